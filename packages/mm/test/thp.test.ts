import { EAGAIN, EBUSY, EINVAL, ENOMEM } from '@pincushion/sim';
import {
  FOLL_LONGTERM,
  FOLL_SPLIT_PMD,
  FOLL_WRITE,
  MADV_COLLAPSE,
  MADV_DONTFORK,
  MADV_DONTNEED,
  MADV_FREE,
  MADV_HUGEPAGE,
  MADV_MERGEABLE,
  MADV_PAGEOUT,
  MADV_NOHUGEPAGE,
  PAGE_SIZE,
  PG_anonExclusive,
  PG_dirty,
  PG_mlocked,
  PMD_HUGE,
  PROT_READ,
  PTE_DIRTY,
  PTE_SPECIAL,
  PTE_WRITE,
  REGION_BYTES,
  ZERO_PFN,
  folioMappedShared,
  indexOf,
  linux54,
  linux61,
  newGottenPages,
  newPinnedPages,
  regionOf,
  splitFolio,
  splitHugePages,
} from '../src/index';
import type { MemoryOptions, Mm } from '../src/index';
import { MIB, RW, anon, assertMemorySane, frameAt, plain, setUp } from './machine-memory';

const PAGES = 512;

function child(mm: Mm): Mm {
  const made = mm.fork('child');
  if (typeof made === 'number') throw new Error(`fork failed with ${made}`);
  return made;
}

function write(mm: Mm, address: number, value: number): void {
  expect(plain(mm.write(address, Uint8Array.of(value)))).toBe(1);
}

function read(mm: Mm, address: number): number {
  const byte = new Uint8Array(1);
  expect(plain(mm.read(address, byte))).toBe(1);
  return byte[0];
}

function flagsAt(mm: Mm, address: number): number {
  return mm.pageTable.flagsAt(regionOf(address), indexOf(address));
}

function isHuge(mm: Mm, address: number): boolean {
  return mm.pageTable.tableOf(regionOf(address)) === PMD_HUGE;
}

/** A region for huge pages, untouched. */
function setUpRegion(options: Partial<MemoryOptions> = {}) {
  const machine = setUp(options);
  const address = anon(machine.mm, PAGES);
  expect(plain(machine.mm.madvise(address, PAGES * PAGE_SIZE, MADV_HUGEPAGE))).toBe(0);
  return { ...machine, address };
}

/** The same with a huge page of which page 3 was written. */
function setUpHuge(options: Partial<MemoryOptions> = {}) {
  const machine = setUpRegion(options);
  write(machine.mm, machine.address + 3 * PAGE_SIZE, 7);
  return { ...machine, head: frameAt(machine.mm, machine.address) };
}

describe('the huge zero folio', () => {
  it('is what a reader of an untouched region sees, counted by nobody (do_huge_pmd_anonymous_page)', () => {
    const { memory, mm, frames, address } = setUpRegion();
    expect(read(mm, address + 5 * PAGE_SIZE)).toBe(0);
    expect(isHuge(mm, address)).toBe(true);
    expect(flagsAt(mm, address) & (PTE_SPECIAL | PTE_WRITE)).toBe(PTE_SPECIAL);
    expect(frameAt(mm, address)).toBe(memory.hugeZero.head);
    expect([frames.refcount[memory.hugeZero.head], frames.largeMapcount[memory.hugeZero.head]]).toEqual([1, 0]);
    assertMemorySane(memory);
  });

  it('makes way for a huge page of its own at the first write', () => {
    const { memory, mm, address } = setUpRegion();
    read(mm, address);
    write(mm, address, 1);
    expect(isHuge(mm, address)).toBe(true);
    expect(frameAt(mm, address)).not.toBe(memory.hugeZero.head);
    assertMemorySane(memory);
  });

  it('is counted by pins, unlike the small one, and outlives the shrinker under them (R-07)', () => {
    const { memory, mm, gup, owner, frames, vmstat, address } = setUpRegion();
    const pins = newPinnedPages(4);
    expect(plain(gup.pinUserPages(mm, address, 4, 0, pins, 0, owner))).toBe(4);
    const zero = memory.hugeZero.head;
    expect([vmstat.nrFollPinAcquired, frames.refcount[zero], frames.pincount[zero]]).toEqual([4, 5, 4]);
    plain(mm.exit());
    expect(memory.hugeZero.shrink()).toBe(PAGES);
    expect(frames.refcount[zero]).toBe(4);
    gup.unpinUserPages(pins, 0, 4);
    expect(frames.refcount[zero]).toBe(0);
  });

  it('stays as long as a process that ever used it lives, and no longer', () => {
    const { memory, mm, address } = setUpRegion();
    read(mm, address);
    const other = child(mm);
    plain(mm.exit());
    expect(memory.hugeZero.shrink()).toBe(0);
    plain(other.exit());
    expect(memory.hugeZero.shrink()).toBe(PAGES);
  });

  it('becomes 512 entries of the small zero page when part of the area changes', () => {
    const { memory, mm, address } = setUpRegion();
    read(mm, address);
    plain(mm.mprotect(address, 4 * PAGE_SIZE, PROT_READ));
    expect([frameAt(mm, address), frameAt(mm, address + 511 * PAGE_SIZE)]).toEqual([ZERO_PFN, ZERO_PFN]);
    assertMemorySane(memory);
  });

  it('is given for a long-term read-only pin a huge page of its own (6.3)', () => {
    const { memory, mm, gup, owner, address } = setUpRegion();
    read(mm, address);
    const pins = newPinnedPages(1);
    expect(plain(gup.pinUserPages(mm, address, 1, FOLL_LONGTERM, pins, 0, owner))).toBe(1);
    expect(frameAt(mm, address)).not.toBe(memory.hugeZero.head);
    gup.unpinUserPages(pins, 0, 1);
  });
});

describe('faults on huge pages', () => {
  it('go on with small pages when there is no huge folio to be had', () => {
    const { memory, mm, address, vmstat } = setUpRegion();
    const real = memory.allocFolio.bind(memory);
    memory.allocFolio = (order, gfp) => (order === 9 ? -ENOMEM : real(order, gfp));
    write(mm, address, 1);
    expect(isHuge(mm, address)).toBe(false);
    expect(vmstat.thpFaultFallback).toBe(1);
  });

  it('use small pages where the area has less than the region, or the region has a table already', () => {
    const { mm, address } = setUpRegion();
    plain(mm.mprotect(address, PAGE_SIZE, PROT_READ));
    write(mm, address + 9 * PAGE_SIZE, 1);
    expect(isHuge(mm, address)).toBe(false);
    plain(mm.mprotect(address, PAGE_SIZE, RW));
    plain(mm.madvise(address, 16 * PAGE_SIZE, MADV_DONTNEED));
    write(mm, address, 1);
    expect(isHuge(mm, address)).toBe(false);
    plain(mm.madvise(address, REGION_BYTES, MADV_DONTNEED));
    write(mm, address, 1);
    expect(isHuge(mm, address)).toBe(true);
  });

  it('copy one small page of a shared huge page, and leave the other process its huge mapping (fact 4)', () => {
    const { memory, mm, frames, address, head } = setUpHuge();
    const other = child(mm);
    expect([frames.refcount[head], frames.entireMapcount[head], frames.largeMapcount[head]]).toEqual([2, 2, 2]);
    write(mm, address + 3 * PAGE_SIZE, 9);
    expect([isHuge(mm, address), isHuge(other, address)]).toEqual([false, true]);
    expect([frames.refcount[head], frames.entireMapcount[head], frames.largeMapcount[head]]).toEqual([512, 1, 512]);
    expect(frameAt(mm, address + 4 * PAGE_SIZE)).toBe(head + 4);
    expect([read(mm, address + 3 * PAGE_SIZE), read(other, address + 3 * PAGE_SIZE)]).toEqual([9, 7]);
    assertMemorySane(memory);
  });

  it('take the whole huge page over when nobody else is left (do_huge_pmd_wp_page)', () => {
    const { memory, mm, frames, address, head } = setUpHuge();
    plain(child(mm).exit());
    expect(frames.flags[head] & PG_anonExclusive).toBe(0);
    write(mm, address, 1);
    expect([isHuge(mm, address), frameAt(mm, address)]).toEqual([true, head]);
    expect(frames.flags[head] & PG_anonExclusive).not.toBe(0);
    assertMemorySane(memory);
  });

  it('copy when somebody merely holds a reference of a page that was shared once (X-05)', () => {
    const { mm, gup, owner, address, head } = setUpHuge();
    const pages = newGottenPages(1);
    plain(gup.getUserPagesFast(mm, address, 1, 0, pages, 0, owner));
    plain(child(mm).exit());
    write(mm, address, 1);
    expect(isHuge(mm, address)).toBe(false);
    expect(frameAt(mm, address)).not.toBe(head);
    gup.putPages(pages, 0, 1);
  });
});

describe('splitting the mapping', () => {
  it('keeps folio, pins, exclusiveness and permission, and hands what it knew of writes to the folio', () => {
    const { memory, mm, gup, owner, frames, address, head } = setUpHuge();
    const pins = newPinnedPages(2);
    plain(gup.pinUserPagesFast(mm, address, 2, FOLL_WRITE | FOLL_LONGTERM, pins, 0, owner));
    expect(frames.flags[head] & PG_dirty).toBe(0);
    plain(mm.munmap(address + 8 * PAGE_SIZE, 100 * PAGE_SIZE));
    expect([frames.refcount[head], frames.pincount[head], frames.largeMapcount[head]]).toEqual([414, 2, 412]);
    expect(frames.flags[head] & PG_dirty).not.toBe(0);
    expect(frames.flags[head + 511] & PG_anonExclusive).not.toBe(0);
    const bits = PTE_WRITE | PTE_DIRTY;
    expect(flagsAt(mm, address + 511 * PAGE_SIZE) & bits).toBe(bits);
    assertMemorySane(memory);
    gup.unpinUserPages(pins, 0, 2);
  });

  it('happens wherever an area is cut, and unlocks nothing (vma_adjust_trans_huge)', () => {
    const { memory, mm, frames, address, head } = setUpHuge();
    plain(mm.mlock(address, REGION_BYTES));
    plain(mm.madvise(address, 4 * PAGE_SIZE, MADV_DONTFORK));
    expect(isHuge(mm, address)).toBe(false);
    expect(frames.flags[head] & PG_mlocked).not.toBe(0);
    assertMemorySane(memory);
  });

  it('is what FOLL_SPLIT_PMD asks for', () => {
    const { mm, gup, owner, address, head } = setUpHuge();
    const pages = newGottenPages(1);
    expect(plain(gup.getUserPages(mm, address + PAGE_SIZE, 1, FOLL_SPLIT_PMD, pages, 0, owner))).toBe(1);
    expect([isHuge(mm, address), pages[0]]).toEqual([false, head + 1]);
    gup.putPages(pages, 0, 1);
  });

  it("is the parent's alone when fork copies a pinned huge page, small page by small page (fact 3)", () => {
    const { memory, mm, gup, owner, address, head } = setUpHuge();
    const pins = newPinnedPages(1);
    plain(gup.pinUserPagesFast(mm, address, 1, FOLL_WRITE | FOLL_LONGTERM, pins, 0, owner));
    const other = child(mm);
    expect(frameAt(mm, address + 3 * PAGE_SIZE)).toBe(head + 3);
    expect(flagsAt(mm, address) & PTE_WRITE).not.toBe(0);
    expect([frameAt(other, address) === head, memory.frames.order[frameAt(other, address)]]).toEqual([false, 0]);
    expect(read(other, address + 3 * PAGE_SIZE)).toBe(7);
    assertMemorySane(memory);
    gup.unpinUserPages(pins, 0, 1);
  });
});

describe('splitting the folio', () => {
  it('gives up what nobody maps, turns zeros into the zero page, keeps the rest where it is (fact 21)', () => {
    const { memory, mm, frames, address, head } = setUpHuge();
    plain(mm.munmap(address + 300 * PAGE_SIZE, PAGE_SIZE));
    const free = memory.framesFree;
    expect(splitFolio(memory, head)).toBe(0);
    expect([frames.order[head + 3], frames.refcount[head + 3], frames.mapcount[head + 3]]).toEqual([0, 1, 1]);
    expect([frameAt(mm, address + 3 * PAGE_SIZE), frameAt(mm, address)]).toEqual([head + 3, ZERO_PFN]);
    expect(memory.framesFree).toBe(free + 511);
    expect(read(mm, address + 3 * PAGE_SIZE)).toBe(7);
    assertMemorySane(memory);
  });

  it('makes all pages dirty when an entry of one is (try_to_migrate_one)', () => {
    const { memory, mm, frames, address, head } = setUpHuge();
    write(mm, address + 300 * PAGE_SIZE, 5);
    plain(mm.madvise(address, REGION_BYTES, MADV_FREE));
    plain(mm.mprotect(address, PAGE_SIZE, PROT_READ));
    write(mm, address + 3 * PAGE_SIZE, 8);
    expect(frames.flags[head] & PG_dirty).toBe(0);
    expect(splitFolio(memory, head)).toBe(0);
    expect(flagsAt(mm, address + 300 * PAGE_SIZE) & PTE_DIRTY).toBe(0);
    expect(frames.flags[head + 300] & PG_dirty).not.toBe(0);
    assertMemorySane(memory);
  });

  it('is refused with -EAGAIN under a pin or any other reference (section 14)', () => {
    const { memory, mm, gup, owner, address, head } = setUpHuge();
    const pins = newPinnedPages(1);
    plain(gup.pinUserPagesFast(mm, address, 1, FOLL_WRITE, pins, 0, owner));
    expect([splitFolio(memory, head), splitHugePages(mm, address, address + REGION_BYTES)]).toEqual([-EAGAIN, 0]);
    gup.unpinUserPages(pins, 0, 1);
    const pages = newGottenPages(1);
    plain(gup.getUserPagesFast(mm, address, 1, 0, pages, 0, owner));
    expect(splitFolio(memory, head)).toBe(-EAGAIN);
    gup.putPages(pages, 0, 1);
    expect(isHuge(mm, address)).toBe(true);
    expect(splitHugePages(mm, address, address + REGION_BYTES)).toBe(1);
    assertMemorySane(memory);
  });

  it('is refused for folios that are small, or that nobody maps', () => {
    const { memory, mm, gup, owner, address, head } = setUpHuge();
    const pins = newPinnedPages(1);
    plain(gup.pinUserPagesFast(mm, address, 1, FOLL_WRITE, pins, 0, owner));
    plain(mm.munmap(address, REGION_BYTES));
    expect([splitFolio(memory, head), splitFolio(memory, ZERO_PFN)]).toEqual([-EBUSY, -EINVAL]);
    gup.unpinUserPages(pins, 0, 1);
  });

  it('works for all processes that map it, and for what userspace pages out in part', () => {
    const { memory, mm, address, head } = setUpHuge();
    const other = child(mm);
    write(other, address + 9 * PAGE_SIZE, 1);
    expect(splitFolio(memory, head)).toBe(0);
    expect([frameAt(mm, address + 3 * PAGE_SIZE), frameAt(other, address + 3 * PAGE_SIZE)]).toEqual([
      head + 3,
      head + 3,
    ]);
    expect(memory.frames.refcount[head + 3]).toBe(2);
    expect([isHuge(mm, address), frameAt(mm, address + 9 * PAGE_SIZE)]).toEqual([false, ZERO_PFN]);
    assertMemorySane(memory);
  });
});

describe('MADV_COLLAPSE', () => {
  it('copies small and missing pages into a new huge page, in areas that did not ask for any (fact 23)', () => {
    const { memory, mm } = setUp();
    const address = anon(mm, PAGES);
    expect(plain(mm.madvise(address, REGION_BYTES, MADV_COLLAPSE))).toBe(-EINVAL); // nothing to collapse yet
    write(mm, address + 9 * PAGE_SIZE, 5);
    const before = frameAt(mm, address + 9 * PAGE_SIZE);
    expect(plain(mm.madvise(address, REGION_BYTES, MADV_COLLAPSE))).toBe(0);
    expect(isHuge(mm, address)).toBe(true);
    expect(read(mm, address + 9 * PAGE_SIZE)).toBe(5);
    expect(memory.frames.refcount[before]).toBe(0);
    expect(plain(mm.madvise(address, REGION_BYTES, MADV_COLLAPSE))).toBe(0);
    assertMemorySane(memory);
  });

  it('is refused with -EAGAIN while anybody holds one of the pages', () => {
    const { mm, gup, owner } = setUp();
    const address = anon(mm, PAGES);
    write(mm, address, 5);
    const pages = newGottenPages(1);
    plain(gup.getUserPagesFast(mm, address, 1, 0, pages, 0, owner));
    expect(plain(mm.madvise(address, REGION_BYTES, MADV_COLLAPSE))).toBe(-EAGAIN);
    expect(isHuge(mm, address)).toBe(false);
    gup.putPages(pages, 0, 1);
    expect(plain(mm.madvise(address, REGION_BYTES, MADV_COLLAPSE))).toBe(0);
  });

  it('leaves the other process its pages when they are shared', () => {
    const { memory, mm } = setUp();
    const address = anon(mm, PAGES);
    write(mm, address, 5);
    const other = child(mm);
    expect(plain(mm.madvise(address, REGION_BYTES, MADV_COLLAPSE))).toBe(0);
    write(mm, address, 6);
    expect([read(mm, address), read(other, address), isHuge(other, address)]).toEqual([6, 5, false]);
    assertMemorySane(memory);
  });

  it('reads swapped pages first', () => {
    const { memory, mm } = setUp({ swapBytes: MIB });
    const address = anon(mm, PAGES);
    write(mm, address, 5);
    write(mm, address + PAGE_SIZE, 6);
    expect(plain(mm.madvise(address, PAGE_SIZE, MADV_PAGEOUT))).toBe(0);
    expect(plain(mm.madvise(address, REGION_BYTES, MADV_COLLAPSE))).toBe(0);
    expect([isHuge(mm, address), read(mm, address), read(mm, address + PAGE_SIZE)]).toEqual([true, 5, 6]);
    assertMemorySane(memory);
  });

  it('is -EINVAL without room for a huge page and for areas that want none', () => {
    const { mm } = setUp();
    const small = anon(mm, 4);
    write(mm, small, 1);
    expect(plain(mm.madvise(small, 4 * PAGE_SIZE, MADV_COLLAPSE))).toBe(-EINVAL);
    const address = anon(mm, PAGES);
    write(mm, address, 1);
    expect(plain(mm.madvise(address, 8 * PAGE_SIZE, MADV_COLLAPSE))).toBe(0); // no whole region to do
    plain(mm.madvise(address, REGION_BYTES, MADV_NOHUGEPAGE));
    expect(plain(mm.madvise(address, REGION_BYTES, MADV_COLLAPSE))).toBe(-EINVAL);
  });
});

describe('kernels before 6.18', () => {
  it('5.4 copies all of a shared huge page at the first write (5.8 began to split it)', () => {
    const { memory, mm, address, head } = setUpHuge({ profile: linux54 });
    const other = child(mm);
    write(mm, address, 1);
    expect([isHuge(mm, address), frameAt(mm, address) === head, frameAt(other, address)]).toEqual([true, false, head]);
    expect([read(mm, address + 3 * PAGE_SIZE), read(other, address)]).toEqual([7, 0]);
    expect(memory.frames.refcount[head]).toBe(1);
  });

  it('6.1 gives a writer one small page of the huge zero folio, and collapses only what is writable somewhere', () => {
    const { mm, address } = setUpRegion({ profile: linux61 });
    read(mm, address);
    write(mm, address, 1);
    expect([isHuge(mm, address), frameAt(mm, address + PAGE_SIZE)]).toEqual([false, ZERO_PFN]);
    plain(mm.mprotect(address, REGION_BYTES, PROT_READ));
    expect(plain(mm.madvise(address, REGION_BYTES, MADV_COLLAPSE))).toBe(-EINVAL);
    plain(mm.mprotect(address, REGION_BYTES, RW));
    expect(plain(mm.madvise(address, REGION_BYTES, MADV_COLLAPSE))).toBe(0);
  });

  it('6.1 keeps pages of zeros when it splits a folio', () => {
    const { memory, mm, address, head } = setUpHuge({ profile: linux61 });
    expect(splitFolio(memory, head)).toBe(0);
    expect(frameAt(mm, address)).toBe(head);
    assertMemorySane(memory);
  });
});

describe('a long-term pin of a huge page in ZONE_MOVABLE', () => {
  it('moves the folio as a whole, still huge and with its content (section 12.2)', () => {
    const { memory, mm, gup, owner, frames, address, head } = setUpHuge({ movableBytes: 32 * MIB });
    expect(memory.zoneOf(head)?.name).toBe('Movable');
    const pins = newPinnedPages(2);
    expect(plain(gup.pinUserPagesFast(mm, address, 2, FOLL_WRITE | FOLL_LONGTERM, pins, 0, owner))).toBe(2);
    const moved = frameAt(mm, address);
    expect([isHuge(mm, address), memory.zoneOf(moved)?.name === 'Movable']).toEqual([true, false]);
    expect([frames.refcount[moved], frames.pincount[moved], frames.refcount[head]]).toEqual([3, 2, 0]);
    expect(read(mm, address + 3 * PAGE_SIZE)).toBe(7);
    assertMemorySane(memory);
    gup.unpinUserPages(pins, 0, 2);
  });
});

describe('what takes large folios apart on its own', () => {
  it('the shrinker splits those with a page that nobody maps, and no others (deferred_split_scan)', () => {
    const { memory, mm, frames, address, head } = setUpHuge();
    expect(memory.dropCaches(2)).toBe(0);
    plain(mm.munmap(address + 300 * PAGE_SIZE, PAGE_SIZE));
    expect(memory.dropCaches(2)).toBe(511);
    expect([frames.order[head + 3], frameAt(mm, address + 3 * PAGE_SIZE)]).toEqual([0, head + 3]);
    assertMemorySane(memory);
  });

  it('KSM splits those of which it could merge two pages, unless one is pinned (try_to_merge_one_page)', () => {
    const { memory, mm, gup, owner, address, head } = setUpHuge();
    write(mm, address + 4 * PAGE_SIZE, 7);
    plain(mm.madvise(address, REGION_BYTES, MADV_MERGEABLE));
    const pins = newPinnedPages(1);
    plain(gup.pinUserPagesFast(mm, address, 1, FOLL_WRITE | FOLL_LONGTERM, pins, 0, owner));
    memory.ksm.scan(4);
    expect(isHuge(mm, address)).toBe(true);
    gup.unpinUserPages(pins, 0, 1);
    memory.ksm.scan(4);
    const merged = frameAt(mm, address + 4 * PAGE_SIZE);
    expect([merged, frameAt(mm, address + 3 * PAGE_SIZE), frameAt(mm, address)]).toEqual([
      head + 4,
      head + 4,
      ZERO_PFN,
    ]);
    assertMemorySane(memory);
  });
});

describe('large folios mapped by small entries', () => {
  function setUpLarge(order: number) {
    const machine = setUp();
    machine.memory.thpOrders.madvise = 1 << order;
    const address = anon(machine.mm, PAGES);
    plain(machine.mm.madvise(address, REGION_BYTES, MADV_HUGEPAGE));
    return { ...machine, address };
  }

  it('come as a whole around the page that is written, where nothing is mapped yet (alloc_anon_folio)', () => {
    const { memory, mm, frames, address } = setUpLarge(2);
    write(mm, address + 6 * PAGE_SIZE, 1);
    const head = frames.headOf(frameAt(mm, address + 6 * PAGE_SIZE));
    expect([frameAt(mm, address + 4 * PAGE_SIZE), frames.order[head]]).toEqual([head, 2]);
    expect([frames.refcount[head], frames.largeMapcount[head], frames.entireMapcount[head]]).toEqual([4, 4, 0]);
    expect(frames.flags[head + 3] & PG_anonExclusive).not.toBe(0);
    read(mm, address + 8 * PAGE_SIZE);
    write(mm, address + 9 * PAGE_SIZE, 1);
    expect(frames.order[frameAt(mm, address + 9 * PAGE_SIZE)]).toBe(0);
    assertMemorySane(memory);
  });

  it('are taken over page by page by the only process that maps several of their pages (X-04, since 6.15)', () => {
    const { memory, mm, address } = setUpLarge(4);
    write(mm, address, 1);
    const head = frameAt(mm, address);
    const other = child(mm);
    expect(folioMappedShared(memory, head)).toBe(true);
    write(other, address + PAGE_SIZE, 2);
    expect(frameAt(other, address + PAGE_SIZE)).not.toBe(head + 1);
    plain(other.exit());
    write(mm, address, 3);
    expect([frameAt(mm, address), folioMappedShared(memory, head)]).toEqual([head, false]);
    assertMemorySane(memory);
  });

  it('count as shared for a third process after the first two have gone, so it copies (CONFIG_MM_ID)', () => {
    const { memory, mm, address } = setUpLarge(4);
    write(mm, address, 1);
    const head = frameAt(mm, address);
    const second = child(mm);
    const third = child(mm);
    plain(second.exit());
    plain(mm.exit());
    expect(folioMappedShared(memory, head)).toBe(true);
    write(third, address, 2);
    expect(frameAt(third, address)).not.toBe(head);
    assertMemorySane(memory);
  });

  it('count the pins of their pages exactly, and only for the folio (R-03)', () => {
    const { memory, mm, gup, owner, frames, address } = setUpLarge(3);
    const pins = newPinnedPages(3);
    expect(plain(gup.pinUserPagesFast(mm, address, 3, FOLL_WRITE | FOLL_LONGTERM, pins, 0, owner))).toBe(3);
    const head = frameAt(mm, address);
    expect([frames.refcount[head], frames.pincount[head]]).toEqual([11, 3]);
    const other = child(mm);
    expect(frameAt(other, address + 7 * PAGE_SIZE)).not.toBe(head + 7); // unpinned, but of a pinned folio
    gup.unpinUserPages(pins, 0, 3);
    expect(splitHugePages(mm, address, address + REGION_BYTES)).toBe(1);
    assertMemorySane(memory);
  });
});
