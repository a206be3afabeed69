import {
  FOLL_LONGTERM,
  FOLL_WRITE,
  MADV_HUGEPAGE,
  PAGE_SIZE,
  PROT_READ,
  PTE_WRITE,
  REGION_BYTES,
  clearSoftDirty,
  indexOf,
  isSoftDirty,
  newPinnedPages,
  regionOf,
} from '../src/index';
import type { Mm } from '../src/index';
import { ANON, RW, assertMemorySane, frameAt, plain, setUp, touched } from './machine-memory';

function isWritable(mm: Mm, address: number): boolean {
  return (mm.pageTable.flagsAt(regionOf(address), indexOf(address)) & PTE_WRITE) !== 0;
}

describe('soft-dirty', () => {
  it('is everything until it is cleared, then what was written since, one fault for each page', () => {
    const { mm, memory } = setUp();
    const address = touched(mm, 3);
    expect(isSoftDirty(mm, address)).toBe(true);
    clearSoftDirty(mm);
    expect([0, 1, 2].map((i) => isSoftDirty(mm, address + i * PAGE_SIZE))).toEqual([false, false, false]);
    const [pfn, faults] = [frameAt(mm, address + PAGE_SIZE), mm.faults];
    plain(mm.write(address + PAGE_SIZE, Uint8Array.of(9)));
    plain(mm.write(address + PAGE_SIZE, Uint8Array.of(10)));
    expect([0, 1, 2].map((i) => isSoftDirty(mm, address + i * PAGE_SIZE))).toEqual([false, true, false]);
    expect([frameAt(mm, address + PAGE_SIZE), mm.faults - faults]).toEqual([pfn, 1]);
    assertMemorySane(memory);
  });

  it('clearing leaves a page alone that may be pinned: its device could write at any time (section 14)', () => {
    const { mm, gup, owner } = setUp();
    const address = touched(mm, 2);
    const pins = newPinnedPages(1);
    plain(gup.pinUserPagesFast(mm, address, 1, FOLL_WRITE | FOLL_LONGTERM, pins, 0, owner));
    clearSoftDirty(mm);
    expect([isWritable(mm, address), isSoftDirty(mm, address)]).toEqual([true, true]);
    expect([isWritable(mm, address + PAGE_SIZE), isSoftDirty(mm, address + PAGE_SIZE)]).toEqual([false, false]);
    gup.unpinUserPages(pins, 0, 1);
  });

  it('is not lost by mprotect and back: a page that is to be noticed stays read-only', () => {
    const { mm } = setUp();
    const address = touched(mm, 1);
    clearSoftDirty(mm);
    plain(mm.mprotect(address, PAGE_SIZE, PROT_READ));
    plain(mm.mprotect(address, PAGE_SIZE, RW));
    expect(isWritable(mm, address)).toBe(false);
    plain(mm.write(address, Uint8Array.of(1)));
    expect([isWritable(mm, address), isSoftDirty(mm, address)]).toEqual([true, true]);
  });

  it('of areas made since is everything', () => {
    const { mm } = setUp();
    clearSoftDirty(mm);
    expect(isSoftDirty(mm, touched(mm, 1))).toBe(true);
  });

  it('is kept for a huge page as a whole', () => {
    const { mm, memory } = setUp();
    const address = plain(mm.mmap(REGION_BYTES, RW, ANON));
    plain(mm.madvise(address, REGION_BYTES, MADV_HUGEPAGE));
    plain(mm.write(address, Uint8Array.of(1)));
    clearSoftDirty(mm);
    expect([isWritable(mm, address), isSoftDirty(mm, address)]).toEqual([false, false]);
    plain(mm.write(address + PAGE_SIZE, Uint8Array.of(1)));
    expect([isWritable(mm, address), isSoftDirty(mm, address)]).toEqual([true, true]);
    assertMemorySane(memory);
  });
});
