import { EFAULT, EIO } from '@pincushion/sim';
import {
  FOLL_LONGTERM,
  FOLL_WRITE,
  MAP_ANONYMOUS,
  MAP_SHARED,
  PAGE_SIZE,
  PG_dirty,
  PROT_NONE,
  PROT_READ,
  getDumpPage,
  newGottenPages,
  newPinnedPages,
  processVmReadv,
  processVmWritev,
  readProcMem,
  writeProcMem,
} from '../src/index';
import type { Mm } from '../src/index';
import { anon, assertMemorySane, frameAt, plain, setUp, touched } from './machine-memory';

function forked() {
  const machine = setUp({ ledger: 'counts' });
  const address = touched(machine.mm, 3);
  const other = machine.mm.fork('child');
  if (typeof other === 'number') throw new Error('no child');
  return { ...machine, address, other };
}

function byteAt(mm: Mm, address: number): number {
  const into = new Uint8Array(1);
  plain(mm.read(address, into));
  return into[0];
}

describe('process_vm_readv and process_vm_writev', () => {
  it('write into the copy of the other process, which is dirty then and no longer pinned', () => {
    const { mm, memory, frames, vmstat, address, other } = forked();
    expect(plain(processVmWritev(other, address, Uint8Array.of(9)))).toBe(1);
    expect([byteAt(mm, address), byteAt(other, address)]).toEqual([1, 9]);
    expect(frames.flags[frameAt(other, address)] & PG_dirty).not.toBe(0);
    expect([vmstat.nrFollPinAcquired, vmstat.nrFollPinReleased, other.hasPinned]).toEqual([1, 1, true]);
    assertMemorySane(memory);
  });

  it('read pages that are shared after fork by giving the other process its own (fact 8)', () => {
    const { mm, address, other } = forked();
    const into = new Uint8Array(2 * PAGE_SIZE);
    expect(plain(processVmReadv(other, address + 1, into))).toBe(into.length);
    expect(into[PAGE_SIZE - 1]).toBe(2);
    expect(frameAt(other, address)).not.toBe(frameAt(mm, address));
  });

  it('end at the first page that may not be used, and force nothing', () => {
    const { mm } = setUp();
    const address = touched(mm, 2);
    plain(mm.mprotect(address + PAGE_SIZE, PAGE_SIZE, PROT_READ));
    const bytes = new Uint8Array(PAGE_SIZE + 10).fill(7);
    expect(plain(processVmWritev(mm, address, bytes))).toBe(PAGE_SIZE);
    expect(plain(processVmWritev(mm, address + PAGE_SIZE, bytes, 0, 1))).toBe(-EFAULT);
    plain(mm.mprotect(address, PAGE_SIZE, PROT_NONE));
    expect(plain(processVmReadv(mm, address, bytes, 0, 1))).toBe(-EFAULT);
  });
});

describe('/proc/pid/mem', () => {
  it('writes into a read-only private area and leaves it read-only (6.2)', () => {
    const { mm, memory, frames, address, other } = forked();
    plain(other.mprotect(address, PAGE_SIZE, PROT_READ));
    expect(plain(writeProcMem(other, address, Uint8Array.of(9)))).toBe(1);
    expect([byteAt(mm, address), byteAt(other, address)]).toEqual([1, 9]);
    expect(plain(other.write(address, Uint8Array.of(1)))).toBe(-EFAULT);
    expect(frames.flags[frameAt(other, address)] & PG_dirty).not.toBe(0);
    assertMemorySane(memory);
  });

  it('writes into the very page that a device has pinned (fact 17)', () => {
    const { mm, gup, owner, frames } = setUp({ ledger: 'counts' });
    const address = touched(mm, 1);
    const pins = newPinnedPages(1);
    plain(gup.pinUserPagesFast(mm, address, 1, FOLL_WRITE | FOLL_LONGTERM, pins, 0, owner));
    const pfn = frameAt(mm, address);
    plain(mm.mprotect(address, PAGE_SIZE, PROT_READ));
    plain(writeProcMem(mm, address, Uint8Array.of(9)));
    expect([frameAt(mm, address), frames.refcount[pfn]]).toEqual([pfn, 1025]);
    gup.unpinUserPages(pins, 0, 1);
  });

  it('reads without unsharing, and from areas without permissions', () => {
    const { mm, address, other } = forked();
    plain(other.mprotect(address, PAGE_SIZE, PROT_NONE));
    const into = new Uint8Array(1);
    expect([plain(readProcMem(other, address, into)), into[0]]).toEqual([1, 1]);
    expect(frameAt(other, address)).toBe(frameAt(mm, address));
    expect(other.hasPinned).toBe(false);
  });

  it('is -EIO where nothing is mapped and for writes into shared read-only mappings', () => {
    const { mm } = setUp();
    const address = plain(mm.mmap(PAGE_SIZE, PROT_READ, MAP_SHARED | MAP_ANONYMOUS));
    expect(plain(writeProcMem(mm, address, Uint8Array.of(1)))).toBe(-EIO);
    plain(mm.munmap(address, PAGE_SIZE));
    expect(plain(readProcMem(mm, address, new Uint8Array(1)))).toBe(-EIO);
  });

  it('is cut short at the end of what is mapped', () => {
    const { mm } = setUp();
    const address = touched(mm, 1);
    expect(plain(readProcMem(mm, address + PAGE_SIZE - 3, new Uint8Array(10)))).toBe(3);
  });
});

describe('a core dump', () => {
  it('contains pages and leaves holes where nothing or only zeros are (get_dump_page)', () => {
    const { mm, gup, owner, memory } = setUp();
    const address = anon(mm, 3);
    plain(mm.write(address, Uint8Array.of(1)));
    plain(mm.read(address + PAGE_SIZE, new Uint8Array(1)));
    const page = newGottenPages(1);
    expect(plain(getDumpPage(mm, address, page, owner))).toBe(1);
    gup.putPages(page, 0, 1);
    expect(plain(getDumpPage(mm, address + PAGE_SIZE, page, owner))).toBe(0);
    expect(plain(getDumpPage(mm, address + 2 * PAGE_SIZE, page, owner))).toBe(0);
    expect(frameAt(mm, address + 2 * PAGE_SIZE)).toBe(0);
    assertMemorySane(memory);
  });
});
