import {
  FOLL_LONGTERM,
  FOLL_WRITE,
  MADV_DONTNEED,
  MADV_GUARD_INSTALL,
  MAP_ANONYMOUS,
  MAP_SHARED,
  PAGE_SIZE,
  PG_dirty,
  PTE_GUARD,
  PTE_SPECIAL,
  PTE_UFFD_WP,
  VM_UFFD_WP,
  ZAP_KEEP_COWS,
  indexOf,
  newPinnedPages,
  regionOf,
  zapRange,
} from '../src/index';
import type { Mm } from '../src/index';
import { RW, assertMemorySane, frameAt, plain, setUp, touched } from './machine-memory';

function flagsAt(mm: Mm, address: number): number {
  return mm.pageTable.flagsAt(regionOf(address), indexOf(address));
}

function mark(mm: Mm, address: number, pte: number): void {
  mm.pageTable.set(mm.pageTable.ensureTable(regionOf(address)), indexOf(address), 0, pte);
}

function sharedPage(mm: Mm): number {
  const address = plain(mm.mmap(PAGE_SIZE, RW, MAP_SHARED | MAP_ANONYMOUS));
  plain(mm.write(address, Uint8Array.of(1)));
  return address;
}

describe('unmapping pages', () => {
  it('keeps guard pages through MADV_DONTNEED and drops them with the area', () => {
    const { mm, memory } = setUp();
    const address = touched(mm, 3);
    plain(mm.madvise(address + PAGE_SIZE, PAGE_SIZE, MADV_GUARD_INSTALL));
    plain(mm.madvise(address, 3 * PAGE_SIZE, MADV_DONTNEED));
    expect(flagsAt(mm, address + PAGE_SIZE)).toBe(PTE_GUARD);
    plain(mm.munmap(address, 3 * PAGE_SIZE));
    expect(mm.pageTable.tablesUsed).toBe(0);
    assertMemorySane(memory);
  });

  it("keeps userfaultfd's protection of a shared page as a marker, of an anonymous one not", () => {
    const { mm } = setUp();
    const shared = sharedPage(mm);
    const own = touched(mm, 1);
    for (const address of [shared, own]) {
      const vma = mm.vmas.lookup(address);
      if (vma !== null) vma.flags |= VM_UFFD_WP;
      const pfn = frameAt(mm, address);
      const table = mm.pageTable.tableOf(regionOf(address));
      mm.pageTable.set(table, indexOf(address), pfn, flagsAt(mm, address) | PTE_UFFD_WP);
      plain(mm.madvise(address, PAGE_SIZE, MADV_DONTNEED));
    }
    expect([flagsAt(mm, shared), flagsAt(mm, own)]).toEqual([PTE_UFFD_WP, 0]);
  });

  it('gives the dirt of an entry to the page of a file', () => {
    const { mm, frames } = setUp();
    const address = sharedPage(mm);
    const pfn = frameAt(mm, address);
    frames.flags[pfn] &= ~PG_dirty;
    plain(mm.madvise(address, PAGE_SIZE, MADV_DONTNEED));
    expect(frames.flags[pfn] & PG_dirty).not.toBe(0);
  });

  it('of a process that ends leaves its device the pinned page, which goes with the last pin (section 14)', () => {
    const { mm, memory, gup, owner, frames } = setUp();
    const free = memory.framesFree;
    const address = touched(mm, 3);
    const pins = newPinnedPages(2);
    for (const i of [0, 1]) plain(gup.pinUserPagesFast(mm, address, 1, FOLL_WRITE | FOLL_LONGTERM, pins, i, owner));
    const pfn = frameAt(mm, address);
    plain(mm.exit());
    expect([frames.refcount[pfn], frames.mapcount[pfn], memory.framesFree]).toEqual([2048, 0, free - 1]);
    memory.bytes.write(pfn, 0, Uint8Array.of(9), 0, 1);
    gup.unpinUserPages(pins, 0, 1);
    expect(memory.framesFree).toBe(free - 1);
    gup.unpinUserPages(pins, 1, 1);
    expect(memory.framesFree).toBe(free);
    assertMemorySane(memory);
  });

  it('leaves private copies when only pages of the file are to go', () => {
    const { mm, memory } = setUp();
    const address = touched(mm, 2);
    const pfn = frameAt(mm, address);
    zapRange(mm, address, address + 2 * PAGE_SIZE, ZAP_KEEP_COWS);
    expect(frameAt(mm, address)).toBe(pfn);
    zapRange(mm, address, address + 2 * PAGE_SIZE);
    expect(flagsAt(mm, address)).toBe(0);
    assertMemorySane(memory);
  });

  it('counts nothing for the zero page and for markers', () => {
    const { mm, memory, frames } = setUp();
    const address = touched(mm, 3);
    plain(mm.madvise(address, 2 * PAGE_SIZE, MADV_DONTNEED));
    plain(mm.read(address, new Uint8Array(1)));
    expect(flagsAt(mm, address) & PTE_SPECIAL).not.toBe(0);
    mark(mm, address + PAGE_SIZE, PTE_UFFD_WP);
    plain(mm.munmap(address, 3 * PAGE_SIZE));
    expect(frames.refcount[1]).toBe(1);
    assertMemorySane(memory);
  });
});
