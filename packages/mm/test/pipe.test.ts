import { EAGAIN, EFAULT, EPIPE } from '@pincushion/sim';
import { PAGE_SIZE, Pipe } from '../src/index';
import type { Mm } from '../src/index';
import { anon, assertMemorySane, frameAt, plain, setUp, touched } from './machine-memory';

function child(mm: Mm): Mm {
  const made = mm.fork('child');
  if (typeof made === 'number') throw new Error(`fork failed with ${made}`);
  return made;
}

function drained(pipe: Pipe): number[] {
  const page = new Uint8Array(PAGE_SIZE);
  const firsts: number[] = [];
  while (pipe.read(page) > 0) firsts.push(page[0]);
  return firsts;
}

describe('a pipe with user pages', () => {
  it('holds one plain reference per page until it is read', () => {
    const { mm, memory, frames, vmstat } = setUp();
    const address = touched(mm, 3);
    const pipe = new Pipe(memory);
    expect(plain(pipe.vmsplice(mm, address, 3 * PAGE_SIZE))).toBe(3 * PAGE_SIZE);
    expect([frames.refcount[frameAt(mm, address)], vmstat.nrFollPinAcquired, mm.hasPinned]).toEqual([2, 0, false]);
    expect(drained(pipe)).toEqual([1, 2, 3]);
    expect(frames.refcount[frameAt(mm, address)]).toBe(1);
    assertMemorySane(memory);
  });

  it('shows later writes of a process that has the page alone', () => {
    const { mm, memory } = setUp();
    const address = touched(mm, 1);
    const pipe = new Pipe(memory);
    plain(pipe.vmsplice(mm, address, PAGE_SIZE));
    plain(mm.write(address, Uint8Array.of(77)));
    expect(drained(pipe)).toEqual([77]);
  });

  it('keeps the old content when a shared page is written: its reference forces a copy (fact 7)', () => {
    const { mm, memory } = setUp();
    const address = touched(mm, 1);
    const other = child(mm);
    const pipe = new Pipe(memory);
    plain(pipe.vmsplice(other, address, PAGE_SIZE));
    plain(other.exit());
    const before = frameAt(mm, address);
    plain(mm.write(address, Uint8Array.of(77)));
    expect(frameAt(mm, address)).not.toBe(before);
    expect(drained(pipe)).toEqual([1]);
    assertMemorySane(memory);
  });

  it('takes what it can up to a hole (fact 13)', () => {
    const { mm, memory } = setUp();
    const address = touched(mm, 4);
    plain(mm.munmap(address + 2 * PAGE_SIZE, PAGE_SIZE));
    const pipe = new Pipe(memory);
    expect(plain(pipe.vmsplice(mm, address, 4 * PAGE_SIZE))).toBe(2 * PAGE_SIZE);
    expect(plain(pipe.vmsplice(mm, address + 2 * PAGE_SIZE, PAGE_SIZE))).toBe(-EFAULT);
    pipe.close();
    assertMemorySane(memory);
  });

  it('takes parts of pages', () => {
    const { mm, memory } = setUp();
    const address = touched(mm, 2);
    plain(mm.write(address + PAGE_SIZE - 2, Uint8Array.of(5, 6)));
    const pipe = new Pipe(memory);
    expect(plain(pipe.vmsplice(mm, address + PAGE_SIZE - 2, 3))).toBe(3);
    const into = new Uint8Array(8);
    expect([pipe.read(into), pipe.used]).toEqual([3, 0]);
    expect([...into.subarray(0, 3)]).toEqual([5, 6, 2]);
  });

  it('has room for 16 buffers, more after it was made larger', () => {
    const { mm, memory, frames } = setUp();
    const address = touched(mm, 20);
    const pipe = new Pipe(memory);
    expect(plain(pipe.vmsplice(mm, address, 20 * PAGE_SIZE))).toBe(16 * PAGE_SIZE);
    expect(plain(pipe.vmsplice(mm, address, PAGE_SIZE))).toBe(-EAGAIN);
    expect(frames.refcount[frameAt(mm, address + 17 * PAGE_SIZE)]).toBe(1);
    expect(pipe.setSize(17 * PAGE_SIZE)).toBe(32 * PAGE_SIZE);
    expect(plain(pipe.vmsplice(mm, address, 4 * PAGE_SIZE))).toBe(4 * PAGE_SIZE);
    expect(pipe.setSize(8 * PAGE_SIZE)).toBe(-EAGAIN);
    pipe.close();
    expect(frames.refcount[frameAt(mm, address)]).toBe(1);
    expect(plain(pipe.vmsplice(mm, address, PAGE_SIZE))).toBe(-EPIPE);
    assertMemorySane(memory);
  });

  it('gets the zero page of memory nobody has touched', () => {
    const { mm, memory } = setUp();
    const pipe = new Pipe(memory);
    plain(pipe.vmsplice(mm, anon(mm, 1), PAGE_SIZE));
    expect(drained(pipe)).toEqual([0]);
    assertMemorySane(memory);
  });
});
