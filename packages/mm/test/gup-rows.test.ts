/** Rows of GUP's tables that have no scenario of their own elsewhere: flags, `locked`, extra pins, runs. */
import { EFAULT, EINTR, EINVAL, ENOMEM, EOPNOTSUPP, sleeping } from '@pincushion/sim';
import {
  FOLL_HONOR_NUMA_FAULT,
  FOLL_INTERRUPTIBLE,
  FOLL_LONGTERM,
  FOLL_NOFAULT,
  FOLL_SPLIT_PMD,
  FOLL_WRITE,
  MADV_HUGEPAGE,
  MAP_ANONYMOUS,
  MAP_HUGETLB,
  MAP_PRIVATE,
  MAP_SHARED,
  PAGE_SIZE,
  PG_dirty,
  PMD_HUGE,
  PTE_PROTNONE,
  REGION_BYTES,
  ZERO_PFN,
  frameOf,
  indexOf,
  newGottenPages,
  newPinnedPages,
  regionOf,
} from '../src/index';
import type { MaySleep } from '@pincushion/sim';
import type { MmapLock } from '../src/index';
import { ANON, RW, anon, assertMemorySane, codes, frameAt, plain, setUp, touched } from './machine-memory';

const W = FOLL_WRITE;

/** A process with one huge page, written. */
function withHugePage() {
  const machine = setUp({ ledger: 'counts' });
  const address = plain(machine.mm.mmap(REGION_BYTES, RW, ANON));
  plain(machine.mm.madvise(address, REGION_BYTES, MADV_HUGEPAGE));
  plain(machine.mm.write(address, Uint8Array.of(1)));
  return { ...machine, address };
}

describe('the `locked` argument', () => {
  it('must say that the lock is held (F-06, F-08)', () => {
    const { mm, gup, owner, world } = setUp();
    const lock: MmapLock = { locked: 0 };
    const address = touched(mm, 1);
    expect(plain(gup.getUserPagesRemote(mm, address, 1, 0, newGottenPages(1), 0, owner, lock))).toBe(-EINVAL);
    expect(gup.why()).toMatch(/^F-06: /);
    expect(plain(gup.pinUserPagesRemote(mm, address, 1, 0, newPinnedPages(1), 0, owner, lock))).toBe(0);
    expect(codes(world)).toEqual(['GUP_BAD_FLAGS']);
  });

  it('reads 0 after a wait, for which the lock was dropped, and else stays', () => {
    const { mm, gup, owner, world } = setUp({ ledger: 'counts' });
    const lock: MmapLock = { locked: 1 };
    const pins = newPinnedPages(1);
    expect(plain(gup.pinUserPagesRemote(mm, touched(mm, 1), 1, W, pins, 0, owner, lock))).toBe(1);
    expect(lock.locked).toBe(1);
    gup.unpinUserPages(pins, 0, 1);
    const slow = {
      name: 'slow',
      fault: (): MaySleep =>
        sleeping(world, 'slow', function* () {
          yield* world.sleep(1000);
          return -EINVAL;
        }),
    };
    const address = plain(mm.mmap(PAGE_SIZE, RW, MAP_SHARED, 0, slow));
    expect(world.settle(gup.pinUserPagesRemote(mm, address, 1, W, pins, 0, owner, lock))).toBe(-EFAULT);
    expect(lock.locked).toBe(0);
  });
});

describe('signals', () => {
  it.each([
    ['any signal ends the wait of FOLL_INTERRUPTIBLE where the lock may be dropped', FOLL_INTERRUPTIBLE, -EINTR],
    ['others wait on', 0, 1],
  ])('%s', (_what, flag, expected) => {
    const { mm, gup, owner, world, memory } = setUp({ ledger: 'counts' });
    const pfn = memory.allocFolio(0);
    memory.frames.mapping[pfn] = memory.addOwner({ name: 'slow' });
    const slow = {
      name: 'slow',
      fault: (): MaySleep =>
        sleeping(world, 'slow', function* () {
          yield* world.sleep(1000);
          mm.signalPending = true;
          return pfn;
        }),
    };
    const address = plain(mm.mmap(PAGE_SIZE, RW, MAP_SHARED, 0, slow));
    const pins = newPinnedPages(1);
    const lock: MmapLock = { locked: 1 };
    expect(world.settle(gup.pinUserPagesRemote(mm, address, 1, flag, pins, 0, owner, lock))).toBe(expected);
    if (expected === 1) gup.unpinUserPages(pins, 0, 1);
  });
});

describe('huge mappings', () => {
  it('are split first by FOLL_SPLIT_PMD; the folio stays whole', () => {
    const { mm, gup, owner, memory, frames, address } = withHugePage();
    const pages = newGottenPages(1);
    expect(plain(gup.getUserPages(mm, address + PAGE_SIZE, 1, FOLL_SPLIT_PMD, pages, 0, owner))).toBe(1);
    expect(mm.pageTable.tableOf(regionOf(address))).not.toBe(PMD_HUGE);
    expect([frames.order[pages[0]], pages[0] - frames.headOf(pages[0])]).toEqual([9, 1]);
    gup.putPages(pages, 0, 1);
    assertMemorySane(memory);
  });

  it('of hugetlb cannot be split (V-04)', () => {
    const { mm, gup, owner } = setUp({ hugetlb: { 9: 2 } });
    const address = plain(mm.mmap(REGION_BYTES, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB));
    expect(plain(gup.getUserPages(mm, address, 1, FOLL_SPLIT_PMD, newGottenPages(1), 0, owner))).toBe(-EOPNOTSUPP);
    expect(gup.why()).toMatch(/^V-04: /);
  });
});

describe('NUMA hints', () => {
  it('are passed over, except by those who want them honoured', () => {
    const { mm, gup, owner, memory } = setUp({ ledger: 'counts' });
    const address = touched(mm, 1);
    const [region, index] = [regionOf(address), indexOf(address)];
    const pte = mm.pageTable.flagsAt(region, index);
    mm.pageTable.set(mm.pageTable.tableOf(region), index, frameAt(mm, address), pte | PTE_PROTNONE);
    const pages = newGottenPages(1);
    const honour = FOLL_HONOR_NUMA_FAULT | FOLL_NOFAULT;
    expect(plain(gup.getUserPages(mm, address, 1, honour, pages, 0, owner))).toBe(-EFAULT);
    expect(plain(gup.getUserPages(mm, address, 1, FOLL_NOFAULT, pages, 0, owner))).toBe(1);
    gup.putPages(pages, 0, 1);
    mm.pageTable.set(mm.pageTable.tableOf(region), index, frameAt(mm, address), pte);
    assertMemorySane(memory);
  });
});

describe('extra pins and runs', () => {
  it('T-20: folio_add_pin is not counted as acquired, its release is as released (R-11)', () => {
    const { mm, gup, owner, frames, vmstat, memory } = setUp({ ledger: 'counts' });
    const pins = newPinnedPages(1);
    plain(gup.pinUserPagesFast(mm, touched(mm, 1), 1, W, pins, 0, owner));
    expect(gup.folioAddPin(pins[0], owner)).toBe(0);
    expect(frames.refcount[frameOf(pins[0])]).toBe(2049);
    gup.unpinUserPage(pins[0]);
    gup.unpinUserPage(pins[0]);
    expect([vmstat.nrFollPinAcquired, vmstat.nrFollPinReleased]).toEqual([1, 2]);
    assertMemorySane(memory);
  });

  it('folio_add_pin counts exactly on a large folio, and not at all on the zero page', () => {
    const { mm, gup, owner, frames, address, memory } = withHugePage();
    const pins = newPinnedPages(2);
    plain(gup.pinUserPagesFast(mm, address, 1, W, pins, 0, owner));
    gup.folioAddPin(pins[0], owner);
    expect(frames.pincount[frameOf(pins[0])]).toBe(2);
    plain(gup.pinUserPagesFast(mm, anon(mm, 1), 1, 0, pins, 1, owner));
    expect(gup.folioAddPin(pins[1], owner)).toBe(0);
    gup.unpinUserPages(pins, 0, 2);
    gup.unpinUserPage(pins[0]);
    expect(frames.pincount[frameOf(pins[0])]).toBe(0);
    assertMemorySane(memory);
  });

  it('folio_add_pin is refused when the count is used up (R-21)', () => {
    const { mm, gup, owner, frames } = setUp({ ledger: 'off' });
    const pins = newPinnedPages(1);
    plain(gup.pinUserPagesFast(mm, touched(mm, 1), 1, W, pins, 0, owner));
    frames.refcount[frameOf(pins[0])] = -5;
    expect(gup.folioAddPin(pins[0], owner)).toBe(-ENOMEM);
  });

  it('n pins of one folio, and of pages in a row, go back in one call, dirtied if asked', () => {
    const { mm, gup, owner, frames, vmstat, address, memory } = withHugePage();
    const pins = newPinnedPages(8);
    plain(gup.pinUserPagesFast(mm, address + 3 * PAGE_SIZE, 8, W | FOLL_LONGTERM, pins, 0, owner));
    const head = frames.headOf(frameOf(pins[0]));
    gup.unpinUserFolio(pins[0], 3);
    expect([frames.pincount[head], frames.flags[head] & PG_dirty]).toEqual([5, 0]);
    expect(plain(gup.unpinUserPageRangeDirtyLock(pins[3], 5, true))).toBe(0);
    expect([frames.pincount[head], frames.flags[head] & PG_dirty]).toEqual([0, PG_dirty]);
    expect(vmstat.nrFollPinReleased).toBe(8);
    assertMemorySane(memory);
  });
});

describe('what a pin counts', () => {
  it('is pages, also of a huge page; the whole folio looks pinned, and nothing else changes (R-10, R-14, R-23, P-03)', () => {
    const { mm, gup, owner, frames, vmstat, address, memory } = withHugePage();
    const pins = newPinnedPages(512);
    expect(plain(gup.pinUserPagesFast(mm, address, 512, W | FOLL_LONGTERM, pins, 0, owner))).toBe(512);
    const head = frameOf(pins[0]);
    expect([frames.refcount[head], frames.pincount[head], vmstat.nrFollPinAcquired]).toEqual([513, 512, 512]);
    expect([frames.largeMapcount[head], frames.entireMapcount[head]]).toEqual([1, 1]);
    for (let i = 511; i > 0; i--) gup.unpinUserPage(pins[i]);
    expect([frames.pincount[head], gup.folioMaybeDmaPinned(head + 511)]).toEqual([1, true]);
    gup.unpinUserPage(pins[0]);
    expect([vmstat.nrFollPinReleased, gup.folioMaybeDmaPinned(head + 511)]).toEqual([512, false]);
    assertMemorySane(memory);
  });

  it('stands beside what a get counts (R-01, R-13)', () => {
    const { mm, gup, owner, frames } = setUp({ ledger: 'counts' });
    const address = touched(mm, 1);
    const [pins, gets] = [newPinnedPages(1), newGottenPages(1)];
    plain(gup.pinUserPagesFast(mm, address, 1, W, pins, 0, owner));
    plain(gup.getUserPagesFast(mm, address, 1, W, gets, 0, owner));
    expect(frames.refcount[gets[0]]).toBe(1026);
    gup.unpinUserPages(pins, 0, 1);
    expect([frames.refcount[gets[0]], gup.folioMaybeDmaPinned(gets[0])]).toEqual([2, false]);
    gup.putPages(gets, 0, 1);
  });

  it('is nothing for the small zero page, but something for the huge one (R-04, R-07)', () => {
    const { mm, gup, owner, vmstat, memory } = setUp({ ledger: 'counts' });
    const pins = newPinnedPages(2);
    plain(gup.pinUserPages(mm, anon(mm, 1), 1, 0, pins, 0, owner));
    expect([frameOf(pins[0]), vmstat.nrFollPinAcquired]).toEqual([ZERO_PFN, 0]);
    const address = plain(mm.mmap(REGION_BYTES, RW, ANON));
    plain(mm.madvise(address, REGION_BYTES, MADV_HUGEPAGE));
    plain(mm.read(address, new Uint8Array(1)));
    plain(gup.pinUserPages(mm, address, 1, 0, pins, 1, owner));
    expect([memory.frames.order[frameOf(pins[1])], vmstat.nrFollPinAcquired]).toEqual([9, 1]);
    gup.unpinUserPages(pins, 0, 2);
    expect(vmstat.nrFollPinReleased).toBe(1);
  });
});
