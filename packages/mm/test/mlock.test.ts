import { EINVAL, ENOMEM, EPERM } from '@pincushion/sim';
import {
  FOLL_LONGTERM,
  FOLL_WRITE,
  MADV_DONTNEED,
  MADV_DONTNEED_LOCKED,
  MADV_FREE,
  MADV_HUGEPAGE,
  MADV_PAGEOUT,
  MAP_ANONYMOUS,
  MAP_LOCKED,
  MAP_PRIVATE,
  MAP_SHARED,
  MLOCK_ONFAULT,
  PAGE_SIZE,
  PG_mlocked,
  PG_unevictable,
  PROT_NONE,
  PROT_READ,
  PTE_DIRTY,
  REGION_BYTES,
  User,
  UserAccount,
  ZERO_PFN,
  indexOf,
  newPinnedPages,
  regionOf,
} from '../src/index';
import type { Memory, Mm } from '../src/index';
import { ANON, RW, anon, assertMemorySane, frameAt, plain, setUp, touched } from './machine-memory';

const LOCKED = PG_mlocked | PG_unevictable;

/** Whether the page at an address carries both marks, none (false), or only one (null). */
function isLocked(memory: Memory, mm: Mm, address: number): boolean | null {
  const flags = memory.frames.flags[memory.frames.headOf(frameAt(mm, address))] & LOCKED;
  return flags === 0 ? false : flags === LOCKED ? true : null;
}

function limited(mm: Mm, pages: number): void {
  mm.user = new UserAccount(new User('somebody'));
  mm.user.capIpcLock = false;
  mm.user.rlimitMemlock = pages * PAGE_SIZE;
}

function child(mm: Mm): Mm {
  const made = mm.fork('child');
  if (typeof made === 'number') throw new Error(`fork failed with ${made}`);
  return made;
}

describe('mlock', () => {
  it('brings the pages in, writable where the area is, and takes no reference', () => {
    const { mm, memory, frames } = setUp();
    const address = anon(mm, 3);
    expect(plain(mm.mlock(address, 3 * PAGE_SIZE))).toBe(0);
    expect([isLocked(memory, mm, address), frames.refcount[frameAt(mm, address)], mm.lockedVm]).toEqual([true, 1, 3]);
    expect(frameAt(mm, address)).not.toBe(ZERO_PFN);
    expect(plain(mm.munlock(address, 3 * PAGE_SIZE))).toBe(0);
    expect([isLocked(memory, mm, address), mm.lockedVm]).toEqual([false, 0]);
    assertMemorySane(memory);
  });

  it('shows the zero page in a read-only area and locks nothing there', () => {
    const { mm } = setUp();
    const address = anon(mm, 2, PROT_READ);
    expect(plain(mm.mlock(address, 2 * PAGE_SIZE))).toBe(0);
    expect([frameAt(mm, address), mm.lockedVm]).toEqual([ZERO_PFN, 2]);
  });

  it('reads shared memory in, so that nothing is dirtied for it', () => {
    const { mm, memory } = setUp();
    const address = plain(mm.mmap(PAGE_SIZE, RW, MAP_SHARED | MAP_ANONYMOUS));
    plain(mm.mlock(address, PAGE_SIZE));
    expect(isLocked(memory, mm, address)).toBe(true);
    expect(mm.pageTable.flagsAt(regionOf(address), indexOf(address)) & PTE_DIRTY).toBe(0);
  });

  it('works on whole pages that the range touches', () => {
    const { mm } = setUp();
    const address = anon(mm, 4);
    plain(mm.mlock(address + PAGE_SIZE + 10, PAGE_SIZE));
    expect(mm.lockedVm).toBe(2);
  });

  it('with MLOCK_ONFAULT waits for the faults', () => {
    const { mm, memory } = setUp();
    const address = anon(mm, 2);
    expect(plain(mm.mlock(address, 2 * PAGE_SIZE, MLOCK_ONFAULT))).toBe(0);
    expect(frameAt(mm, address)).toBe(0);
    plain(mm.write(address, Uint8Array.of(1)));
    expect(isLocked(memory, mm, address)).toBe(true);
  });

  it('refuses flags that it does not know', () => {
    const { mm } = setUp();
    expect(plain(mm.mlock(anon(mm, 1), PAGE_SIZE, 2))).toBe(-EINVAL);
  });

  it('reports what it could not bring in as -ENOMEM and leaves the area locked', () => {
    const { mm } = setUp();
    const address = anon(mm, 2, PROT_NONE);
    expect([plain(mm.mlock(address, 2 * PAGE_SIZE)), mm.lockedVm]).toEqual([-ENOMEM, 2]);
  });

  it('and munlock stop at a hole (fact 31)', () => {
    const { mm, memory } = setUp();
    const address = touched(mm, 3);
    plain(mm.munmap(address + PAGE_SIZE, PAGE_SIZE));
    expect(plain(mm.mlock(address, 3 * PAGE_SIZE))).toBe(-ENOMEM);
    expect([isLocked(memory, mm, address), isLocked(memory, mm, address + 2 * PAGE_SIZE)]).toEqual([true, false]);
    expect(mm.lockedVm).toBe(1);
    expect(plain(mm.munlock(address, 3 * PAGE_SIZE))).toBe(-ENOMEM);
    expect(mm.lockedVm).toBe(0);
  });

  it('counts pages once, and a second lock of them not at all', () => {
    const { mm } = setUp();
    const address = anon(mm, 4);
    plain(mm.mlock(address, 4 * PAGE_SIZE));
    plain(mm.mlock(address, 2 * PAGE_SIZE));
    expect(mm.lockedVm).toBe(4);
    plain(mm.munmap(address, PAGE_SIZE));
    expect(mm.lockedVm).toBe(3);
  });

  it('of a shared page is undone by the last of the areas that lock it (mlock_count)', () => {
    const { mm, memory } = setUp();
    const address = plain(mm.mmap(PAGE_SIZE, RW, MAP_SHARED | MAP_ANONYMOUS));
    plain(mm.write(address, Uint8Array.of(1)));
    const other = child(mm);
    plain(mm.mlock(address, PAGE_SIZE));
    plain(other.mlock(address, PAGE_SIZE));
    plain(mm.munlock(address, PAGE_SIZE));
    expect(isLocked(memory, mm, address)).toBe(true);
    plain(other.munmap(address, PAGE_SIZE));
    expect(isLocked(memory, mm, address)).toBe(false);
    assertMemorySane(memory);
  });

  it('locks a huge page as a whole', () => {
    const { mm, memory } = setUp();
    const address = plain(mm.mmap(REGION_BYTES, RW, ANON));
    plain(mm.madvise(address, REGION_BYTES, MADV_HUGEPAGE));
    plain(mm.write(address, Uint8Array.of(1)));
    plain(mm.mlock(address, REGION_BYTES));
    expect([isLocked(memory, mm, address), mm.lockedVm]).toEqual([true, 512]);
    plain(mm.munlock(address, REGION_BYTES));
    expect(isLocked(memory, mm, address)).toBe(false);
    assertMemorySane(memory);
  });
});

describe('locked memory', () => {
  it('is not given away by advice, except by the one that says so', () => {
    const { mm } = setUp();
    const address = touched(mm, 1);
    plain(mm.mlock(address, PAGE_SIZE));
    for (const advice of [MADV_DONTNEED, MADV_FREE, MADV_PAGEOUT]) {
      expect(plain(mm.madvise(address, PAGE_SIZE, advice))).toBe(-EINVAL);
    }
    expect(plain(mm.madvise(address, PAGE_SIZE, MADV_DONTNEED_LOCKED))).toBe(0);
    expect(frameAt(mm, address)).toBe(0);
  });

  it('is unlocked without a look at pins, by munlock and by munmap (fact 30)', () => {
    const { mm, gup, owner, memory, frames } = setUp({ ledger: 'counts' });
    const address = touched(mm, 2);
    plain(mm.mlock(address, 2 * PAGE_SIZE));
    const pins = newPinnedPages(2);
    plain(gup.pinUserPagesFast(mm, address, 2, FOLL_WRITE | FOLL_LONGTERM, pins, 0, owner));
    const second = frameAt(mm, address + PAGE_SIZE);
    plain(mm.munlock(address, PAGE_SIZE));
    expect(isLocked(memory, mm, address)).toBe(false);
    plain(mm.munmap(address + PAGE_SIZE, PAGE_SIZE));
    expect([frames.flags[second] & LOCKED, frames.refcount[second], mm.lockedVm]).toEqual([0, 1024, 0]);
    gup.unpinUserPages(pins, 0, 2);
  });

  it('is not inherited by a child, though its pages stay locked while the parent maps them', () => {
    const { mm, memory } = setUp();
    const address = touched(mm, 1);
    plain(mm.mlock(address, PAGE_SIZE));
    const other = child(mm);
    expect([other.lockedVm, isLocked(memory, other, address)]).toEqual([0, true]);
    plain(mm.write(address, Uint8Array.of(2)));
    expect([isLocked(memory, mm, address), isLocked(memory, other, address)]).toEqual([true, false]);
    assertMemorySane(memory);
  });

  it('can be made by mmap', () => {
    const { mm, memory } = setUp();
    const address = plain(mm.mmap(2 * PAGE_SIZE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_LOCKED));
    expect([isLocked(memory, mm, address), mm.lockedVm]).toEqual([true, 2]);
    plain(mm.exit());
    expect(mm.lockedVm).toBe(0);
  });
});

describe('RLIMIT_MEMLOCK', () => {
  it('of 0 forbids mlock, and one that is too small refuses it', () => {
    const { mm } = setUp();
    const address = anon(mm, 8);
    limited(mm, 0);
    expect(plain(mm.mlock(address, PAGE_SIZE))).toBe(-EPERM);
    limited(mm, 4);
    expect(plain(mm.mlock(address, 8 * PAGE_SIZE))).toBe(-ENOMEM);
    expect([plain(mm.mlock(address, 4 * PAGE_SIZE)), mm.lockedVm]).toEqual([0, 4]);
    expect(plain(mm.mlock(address + 4 * PAGE_SIZE, PAGE_SIZE))).toBe(-ENOMEM);
  });

  it('does not count again what is locked already', () => {
    const { mm } = setUp();
    const address = anon(mm, 6);
    limited(mm, 4);
    plain(mm.mlock(address, 3 * PAGE_SIZE));
    expect(plain(mm.mlock(address, 4 * PAGE_SIZE))).toBe(0);
    expect(mm.lockedVm).toBe(4);
  });

  it('does not count for those with CAP_IPC_LOCK', () => {
    const { mm } = setUp();
    mm.rlimitMemlock = 0;
    expect(plain(mm.mlock(anon(mm, 4), 4 * PAGE_SIZE))).toBe(0);
  });
});
