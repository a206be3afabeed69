import { EFAULT, EINVAL, ENOMEM, armPoint, disarmPoint } from '@pincushion/sim';
import {
  FOLL_GET,
  FOLL_LONGTERM,
  FOLL_NOFAULT,
  FOLL_PIN,
  FOLL_WRITE,
  MADV_HUGEPAGE,
  PAGE_SIZE,
  PG_dirty,
  PIN_TAG,
  PROT_READ,
  PinnedRanges,
  ZERO_PFN,
  frameOf,
  newPinnedPages,
} from '../src/index';
import type { Mm } from '../src/index';
import { MIB, RW, anon, assertMemorySane, codes, frameAt, plain, setUp, touched } from './machine-memory';

const W = FOLL_WRITE;
const LT = FOLL_LONGTERM;
const HUGE = 512;

afterEach(disarmPoint);

/** `folios` huge pages in a row. */
function huge(mm: Mm, folios: number): number {
  const address = anon(mm, folios * HUGE);
  plain(mm.madvise(address, folios * 2 * MIB, MADV_HUGEPAGE));
  for (let i = 0; i < folios; i++) plain(mm.fault(address + i * 2 * MIB, true));
  return address;
}

/** Frame and length of each range. */
function listed(ranges: PinnedRanges): number[][] {
  return Array.from({ length: ranges.count }, (_, i) => [frameOf(ranges.firstOf(i)), ranges.pagesOf(i)]);
}

describe('a list of ranges', () => {
  it('joins frames in a row, whatever the order of calls, and keeps others apart', () => {
    const ranges = new PinnedRanges();
    ranges.append(PIN_TAG | 8, 2);
    ranges.appendPages(Int32Array.of(0, PIN_TAG | 10, PIN_TAG | 11, PIN_TAG | 9), 1, 3);
    expect(listed(ranges)).toEqual([
      [8, 4],
      [9, 1],
    ]);
    expect(ranges.pages).toBe(5);
    expect([...ranges.toPages()].map(frameOf)).toEqual([8, 9, 10, 11, 9]);
    expect([...ranges.toPages(3)].map(frameOf)).toEqual([11, 9]);
    expect(frameOf(ranges.dropLast(1))).toBe(9);
    expect(frameOf(ranges.dropLast(3))).toBe(9);
    expect(listed(ranges)).toEqual([[8, 1]]);
  });

  it('grows with what is put into it', () => {
    const ranges = new PinnedRanges();
    for (let i = 0; i < 100; i++) ranges.append(PIN_TAG | (2 * i + 10), 1);
    expect(listed(ranges)).toEqual(Array.from({ length: 100 }, (_, i) => [2 * i + 10, 1]));
    ranges.clear();
    expect([ranges.count, ranges.pages, ranges.toPages().length]).toEqual([0, 0, 0]);
  });
});

describe('pinUserPageRanges', () => {
  it('pins what an array would get: the same pages, counts, flags and statistics', () => {
    const results = ['array', 'ranges'].map((form) => {
      const { mm, gup, owner, frames, vmstat, memory } = setUp({ ledger: 'counts', movableBytes: 16 * MIB });
      const big = huge(mm, 2);
      plain(mm.munmap(big + 2 * MIB, 5 * PAGE_SIZE));
      const small = touched(mm, 700);
      plain(mm.mprotect(small + 100 * PAGE_SIZE, 50 * PAGE_SIZE, PROT_READ));
      const read = anon(mm, 3);
      plain(mm.fault(read, false));
      const log: unknown[] = [];
      for (const start of [big, big + 3 * PAGE_SIZE + 7, big + 2 * MIB, big + 3 * MIB, small, read]) {
        for (const flags of [0, W, LT, W | LT]) {
          if (form === 'array') {
            const pages = newPinnedPages(600);
            const n = plain(gup.pinUserPagesFast(mm, start, 600, flags | FOLL_NOFAULT, pages, 0, owner));
            log.push(n, [...pages.subarray(0, Math.max(0, n))]);
          } else {
            const ranges = new PinnedRanges();
            const n = plain(gup.pinUserPageRanges(mm, start, 600, flags | FOLL_NOFAULT, ranges, owner));
            log.push(n, [...ranges.toPages()]);
          }
        }
      }
      log.push([...frames.refcount.subarray(0, 1 << 14)], [...frames.pincount.subarray(0, 1 << 14)]);
      const { nrFollPinAcquired, nrFollPinReleased } = vmstat;
      log.push([...frames.flags.subarray(0, 1 << 14)], memory.ledger.counters, nrFollPinAcquired, nrFollPinReleased);
      return log;
    });
    expect(results[1]).toEqual(results[0]);
    expect(results[0].filter((entry) => typeof entry === 'number' && entry > 500).length).toBeGreaterThan(4);
  });

  it('gives one range for a folio, and one for folios that follow each other', () => {
    const { mm, gup, owner, frames } = setUp();
    const address = huge(mm, 2);
    const head = frameAt(mm, address);
    const ranges = new PinnedRanges();
    expect(plain(gup.pinUserPageRanges(mm, address + 3 * PAGE_SIZE, HUGE - 3, W | LT, ranges, owner))).toBe(HUGE - 3);
    expect(listed(ranges)).toEqual([[head + 3, HUGE - 3]]);
    expect(frames.pincount[head]).toBe(HUGE - 3);
    expect(frameAt(mm, address + 2 * MIB)).toBe(head + HUGE);
    expect(plain(gup.pinUserPageRanges(mm, address + 2 * MIB, HUGE, W | LT, ranges, owner))).toBe(HUGE);
    expect(listed(ranges)).toEqual([[head + 3, 2 * HUGE - 3]]);
    gup.unpinUserPageRanges(ranges);
    expect([frames.pincount[head], frames.pincount[head + HUGE], frames.refcount[head]]).toEqual([0, 0, 1]);
    expect(ranges.pages).toBe(0);
  });

  it('faults in what is missing and counts each page once', () => {
    const { mm, gup, owner, memory, vmstat } = setUp();
    const address = anon(mm, 1100);
    plain(mm.fault(address, true));
    const ranges = new PinnedRanges();
    expect(plain(gup.pinUserPageRanges(mm, address, 1100, W | LT, ranges, owner))).toBe(1100);
    expect([...ranges.toPages()].map(frameOf)).toEqual(
      Array.from({ length: 1100 }, (_, i) => frameAt(mm, address + i * PAGE_SIZE)),
    );
    expect([memory.ledger.counters.pinnedNow, vmstat.nrFollPinAcquired]).toEqual([1100, 1100]);
    gup.unpinUserPageRanges(ranges);
    expect([memory.ledger.counters.pinnedNow, vmstat.nrFollPinReleased]).toEqual([0, 1100]);
    assertMemorySane(memory);
  });

  it('says how many it got, and keeps what was there before when it gets none (E-07, E-09)', () => {
    const { mm, gup, owner } = setUp();
    const address = touched(mm, 5);
    plain(mm.munmap(address + 3 * PAGE_SIZE, 2 * PAGE_SIZE));
    const ranges = new PinnedRanges();
    expect(plain(gup.pinUserPageRanges(mm, address, 5, W, ranges, owner))).toBe(3);
    expect(plain(gup.pinUserPageRanges(mm, address + 3 * PAGE_SIZE, 2, W, ranges, owner))).toBe(-EFAULT);
    expect(ranges.pages).toBe(3);
    gup.unpinUserPageRanges(ranges);
  });

  it('refuses the flags that the fast calls refuse, and impossible ranges', () => {
    const { mm, gup, owner, world } = setUp();
    const ranges = new PinnedRanges();
    const pin = (start: number, nr: number, flags: number) =>
      gup.pinUserPageRanges(mm, start, nr, flags, ranges, owner);
    expect(pin(0x10000, 1, FOLL_GET)).toBe(-EINVAL);
    expect(codes(world)).toEqual(['GUP_BAD_FLAGS']);
    expect(pin(0x10000, 0, W)).toBe(0);
    expect(pin(0x7fff_ffff_f000, 2, W)).toBe(-EFAULT);
    world.faults.arm('pin', { nth: 1, errno: -ENOMEM });
    expect(pin(0x10000, 1, W)).toBe(-ENOMEM);
    expect(ranges.count).toBe(0);
  });

  it('gives all pins of the call back, and no others, when fork starts meanwhile (T-19)', () => {
    const { mm, gup, owner, vmstat, frames } = setUp();
    const big = huge(mm, 1);
    const small = touched(mm, 3);
    const head = frameAt(mm, big);
    const ranges = new PinnedRanges();
    plain(gup.pinUserPageRanges(mm, big, 10, W, ranges, owner));
    for (const [start, nr] of [
      [big + 10 * PAGE_SIZE, 20],
      [small, 3],
    ]) {
      armPoint({
        countdown: 2,
        onFire: () => {
          mm.writeProtectSeq += 2;
          return undefined;
        },
      });
      expect(plain(gup.pinUserPageRanges(mm, start, nr, W, ranges, owner))).toBe(nr); // by the slow way
    }
    expect([vmstat.nrFollPinAcquired, vmstat.nrFollPinReleased]).toEqual([10 + 2 * 23, 23]);
    expect([frames.pincount[head], frames.refcount[frameAt(mm, small)]]).toEqual([30, 1025]);
    expect([...ranges.toPages()].map(frameOf).slice(0, 30)).toEqual(Array.from({ length: 30 }, (_, i) => head + i));
  });

  it('notices an unmap of a huge page between its two looks (Q-03)', () => {
    const { mm, gup, owner, memory } = setUp();
    const address = huge(mm, 1);
    armPoint({
      countdown: 2,
      onFire: () => {
        plain(mm.munmap(address, 2 * MIB));
        return undefined;
      },
    });
    expect(plain(gup.pinUserPageRanges(mm, address, HUGE, W, new PinnedRanges(), owner))).toBe(-EFAULT);
    assertMemorySane(memory);
  });

  it('keeps its pages when another pins ranges in the middle of it', () => {
    const { mm, gup, owner } = setUp();
    const address = touched(mm, 4);
    const other = touched(mm, 4);
    const [ranges, inner] = [new PinnedRanges(), new PinnedRanges()];
    armPoint({
      countdown: 6,
      onFire: () => {
        armPoint({ countdown: 1e6, onFire: () => undefined });
        plain(gup.pinUserPageRanges(mm, other, 4, W, inner, owner));
        return undefined;
      },
    });
    plain(gup.pinUserPageRanges(mm, address, 4, W, ranges, owner));
    disarmPoint();
    for (const [got, start] of [
      [ranges, address],
      [inner, other],
    ] as const) {
      expect([...got.toPages()].map(frameOf)).toEqual([0, 1, 2, 3].map((i) => frameAt(mm, start + i * PAGE_SIZE)));
    }
  });
});

describe('unpinUserPageRanges', () => {
  it('leaves the zero page alone (R-04)', () => {
    const { mm, gup, owner, frames, vmstat } = setUp();
    const address = anon(mm, 3);
    plain(mm.fault(address, false));
    plain(mm.fault(address + PAGE_SIZE, false));
    const ranges = new PinnedRanges();
    expect(plain(gup.pinUserPageRanges(mm, address, 2, 0, ranges, owner))).toBe(2);
    expect(listed(ranges)).toEqual([
      [ZERO_PFN, 1],
      [ZERO_PFN, 1],
    ]);
    gup.unpinUserPageRanges(ranges);
    expect([frames.refcount[ZERO_PFN], vmstat.nrFollPinReleased]).toEqual([1, 0]);
  });

  it('frees the pages of a process that has gone, with the last pin', () => {
    const { mm, gup, owner, memory } = setUp();
    const free = memory.framesFree;
    const big = huge(mm, 1);
    const small = touched(mm, 700);
    const ranges = new PinnedRanges();
    plain(gup.pinUserPageRanges(mm, big, HUGE, W | LT, ranges, owner));
    plain(gup.pinUserPageRanges(mm, small, 700, W | LT, ranges, owner));
    plain(mm.exit());
    expect(memory.framesFree).toBe(free - HUGE - 700);
    gup.unpinUserPageRanges(ranges);
    expect(memory.framesFree).toBe(free);
    assertMemorySane(memory);
  });

  it.each([1, 2, 3, 4, 5, 6, 7, 8])('and unpinUserPages tell folios apart that meet after %i pages', (before) => {
    const { mm, gup, owner, frames, world } = setUp();
    const address = huge(mm, 2);
    const heads = [frameAt(mm, address), frameAt(mm, address + 2 * MIB)];
    const start = address + (HUGE - before) * PAGE_SIZE;
    const pages = newPinnedPages(before + 9);
    const ranges = new PinnedRanges();
    plain(gup.pinUserPagesFast(mm, start, before + 9, W, pages, 0, owner));
    plain(gup.pinUserPageRanges(mm, start, before + 9, W, ranges, owner));
    expect(heads.map((head) => frames.pincount[head])).toEqual([2 * before, 18]); // U-01
    gup.unpinUserPages(pages, 0, before + 9);
    expect(heads.map((head) => frames.pincount[head])).toEqual([before, 9]);
    gup.unpinUserPageRanges(ranges);
    expect(heads.map((head) => frames.pincount[head])).toEqual([0, 0]);
    expect(codes(world)).toEqual([]);
  });

  it('marks each folio dirty when the device has written (U-02)', () => {
    const { mm, gup, owner, frames } = setUp();
    const big = huge(mm, 2);
    const small = anon(mm, 2, RW);
    for (let i = 0; i < 2; i++) plain(mm.fault(small + i * PAGE_SIZE, true));
    const heads = [big, big + 2 * MIB, small, small + PAGE_SIZE].map((address) => frameAt(mm, address));
    const ranges = new PinnedRanges();
    plain(gup.pinUserPageRanges(mm, big + PAGE_SIZE, 2 * HUGE - 1, W, ranges, owner));
    plain(gup.pinUserPageRanges(mm, small, 2, W, ranges, owner));
    for (const head of heads) frames.flags[head] &= ~PG_dirty;
    plain(gup.unpinUserPageRangesDirtyLock(ranges, true));
    expect(heads.map((head) => frames.flags[head] & PG_dirty)).toEqual(heads.map(() => PG_dirty));
    expect(ranges.count).toBe(0);
  });

  it('is known to the full ledger: who holds them, and that nobody does', () => {
    const { mm, gup, owner, memory, world } = setUp({ ledger: 'full' });
    const address = huge(mm, 1);
    const ranges = new PinnedRanges();
    plain(gup.pinUserPageRanges(mm, address, 4, W, ranges, owner));
    plain(gup.pinUserPageRanges(mm, address + 4 * PAGE_SIZE, 4, W, ranges, owner));
    expect(memory.ledger.livePins().map((pin) => pin.owner)).toEqual(Array<string>(8).fill('nic0'));
    gup.unpinUserPageRanges(ranges);
    expect(memory.ledger.livePins()).toEqual([]);
    world.checkAtEnd();
    expect(codes(world)).toEqual([]);
  });

  it('tells the full ledger what was marked dirty, so that another holder need not do it again', () => {
    for (const makeDirty of [true, false]) {
      const { mm, gup, owner, memory, frames, world } = setUp({ ledger: 'full' });
      const address = touched(mm, 1);
      const frame = frameAt(mm, address);
      const pages = newPinnedPages(1);
      const ranges = new PinnedRanges();
      plain(gup.pinUserPagesFast(mm, address, 1, W, pages, 0, owner));
      plain(gup.pinUserPageRanges(mm, address, 1, W, ranges, owner));
      memory.ledger.mapped(7, 0x1000, pages, 0, 1, 0);
      memory.ledger.deviceAccess(7, frame, true, 0x1000);
      memory.ledger.unmapped(7, 0x1000, 1);
      if (makeDirty) plain(gup.unpinUserPageRangesDirtyLock(ranges, true));
      frames.flags[frame] &= ~PG_dirty; // written back
      gup.unpinUserPages(pages, 0, 1);
      expect(codes(world)).toEqual(makeDirty ? [] : ['PIN_RELEASED_CLEAN']); // U-02
    }
  });

  it('shows in the trace as one event for each range', () => {
    const { mm, gup, owner, world } = setUp();
    const seen: unknown[] = [];
    world.trace.subscribe((tp, frame, pages, by, flags) => {
      seen.push([tp.name, frame, pages, by, flags]);
      return undefined;
    });
    const address = huge(mm, 1);
    const ranges = new PinnedRanges();
    plain(gup.pinUserPageRanges(mm, address, HUGE, W, ranges, owner));
    gup.unpinUserPageRanges(ranges);
    const head = frameAt(mm, address);
    expect(seen).toEqual([
      ['gup:pin', head, HUGE, owner, W | FOLL_PIN],
      ['gup:unpin', head, HUGE, 0, 0],
    ]);
  });
});
