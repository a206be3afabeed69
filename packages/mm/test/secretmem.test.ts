import { EAGAIN, EFAULT, EINVAL } from '@pincushion/sim';
import {
  MADV_DONTNEED,
  MAP_PRIVATE,
  MAP_SHARED,
  PAGE_SIZE,
  PG_secretmem,
  SecretMemory,
  newGottenPages,
  newPinnedPages,
} from '../src/index';
import { RW, frameAt, plain, setUp } from './machine-memory';

function mapped() {
  const machine = setUp();
  const file = new SecretMemory(machine.memory);
  expect(file.truncate(2 * PAGE_SIZE)).toBe(0);
  const address = plain(machine.mm.mmap(2 * PAGE_SIZE, RW, MAP_SHARED, 0, file));
  plain(machine.mm.write(address, Uint8Array.of(42)));
  return { ...machine, file, address };
}

describe('secret memory', () => {
  it('is seen by the process that maps it and refused to GUP by the area (V-05)', () => {
    const { mm, gup, owner, address } = mapped();
    const into = new Uint8Array(1);
    plain(mm.read(address, into));
    expect(into[0]).toBe(42);
    const pins = newPinnedPages(1);
    expect(plain(gup.pinUserPages(mm, address, 1, 0, pins, 0, owner))).toBe(-EFAULT);
    expect(gup.why()).toMatch(/^V-05: /);
  });

  it('is refused by the page where the area is not known (Q-04)', () => {
    const { mm, gup, owner, frames, address } = mapped();
    const pages = newGottenPages(1);
    expect(gup.getUserPagesFastOnly(mm, address, 1, 0, pages, 0, owner)).toBe(0);
    frames.flags[frameAt(mm, address)] &= ~PG_secretmem;
    expect(gup.getUserPagesFastOnly(mm, address, 1, 0, pages, 0, owner)).toBe(1);
    gup.putPages(pages, 0, 1);
  });

  it('is locked from the beginning, charged like mlock, and munlock does not undo it', () => {
    const { mm, address, file } = mapped();
    expect(mm.lockedVm).toBe(2);
    expect(plain(mm.munlock(address, 2 * PAGE_SIZE))).toBe(0);
    expect(mm.lockedVm).toBe(2);
    expect(plain(mm.madvise(address, PAGE_SIZE, MADV_DONTNEED))).toBe(-EINVAL);
    mm.user.capIpcLock = false;
    mm.rlimitMemlock = 3 * PAGE_SIZE;
    expect(plain(mm.mmap(2 * PAGE_SIZE, RW, MAP_SHARED, 0, file))).toBe(-EAGAIN);
    plain(mm.munmap(address, 2 * PAGE_SIZE));
    expect(mm.lockedVm).toBe(0);
  });

  it('cannot be mapped privately, has one size, and ends there', () => {
    const { mm, file } = mapped();
    expect(plain(mm.mmap(PAGE_SIZE, RW, MAP_PRIVATE, 0, file))).toBe(-EINVAL);
    expect(file.truncate(PAGE_SIZE)).toBe(-EINVAL);
    const address = plain(mm.mmap(3 * PAGE_SIZE, RW, MAP_SHARED, 0, file));
    expect([plain(mm.write(address + 2 * PAGE_SIZE, Uint8Array.of(1))), mm.signal]).toEqual([-EFAULT, 'SIGBUS']);
  });

  it('is freed with its last use', () => {
    const { mm, memory, file, address } = mapped();
    const free = memory.framesFree;
    plain(mm.munmap(address, 2 * PAGE_SIZE));
    expect(memory.framesFree).toBe(free);
    file.release();
    expect(memory.framesFree).toBe(free + 1);
  });
});
