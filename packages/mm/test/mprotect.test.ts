import { ENOMEM } from '@pincushion/sim';
import {
  FOLL_LONGTERM,
  FOLL_WRITE,
  MAP_ANONYMOUS,
  MAP_SHARED,
  PAGE_SIZE,
  PG_anonExclusive,
  PROT_NONE,
  PROT_READ,
  PTE_DIRTY,
  PTE_PROTNONE,
  PTE_UFFD_WP,
  PTE_WRITE,
  VM_UFFD_WP,
  ZERO_PFN,
  indexOf,
  newPinnedPages,
  regionOf,
} from '../src/index';
import type { Mm } from '../src/index';
import { RW, anon, assertMemorySane, frameAt, plain, setUp, touched } from './machine-memory';

function flagsAt(mm: Mm, address: number): number {
  return mm.pageTable.flagsAt(regionOf(address), indexOf(address));
}

describe('mprotect to read-only or none and back', () => {
  it('maps an exclusive page writable at once, pinned or not: the next write takes no fault (X-07, fact 17)', () => {
    for (const between of [PROT_READ, PROT_NONE]) {
      const { mm, gup, owner, memory } = setUp();
      const address = touched(mm, 2);
      const pins = newPinnedPages(1);
      plain(gup.pinUserPagesFast(mm, address, 1, FOLL_WRITE | FOLL_LONGTERM, pins, 0, owner));
      const pfn = frameAt(mm, address);
      plain(mm.mprotect(address, 2 * PAGE_SIZE, between));
      expect(flagsAt(mm, address) & (PTE_WRITE | PTE_PROTNONE)).toBe(between === PROT_NONE ? PTE_PROTNONE : 0);
      plain(mm.mprotect(address, 2 * PAGE_SIZE, RW));
      expect(flagsAt(mm, address) & PTE_WRITE).not.toBe(0);
      const before = mm.faults;
      plain(mm.write(address, Uint8Array.of(7)));
      expect(mm.faults).toBe(before);
      expect(frameAt(mm, address)).toBe(pfn);
      assertMemorySane(memory);
      gup.unpinUserPages(pins, 0, 1);
    }
  });

  it('leaves shared pages and the zero page read-only: a write must copy', () => {
    const { mm, frames, memory } = setUp();
    const address = touched(mm, 1);
    const untouched = anon(mm, 1);
    plain(mm.read(untouched, new Uint8Array(1)));
    mm.fork('child');
    for (const page of [address, untouched]) {
      plain(mm.mprotect(page, PAGE_SIZE, PROT_READ));
      plain(mm.mprotect(page, PAGE_SIZE, RW));
      expect(flagsAt(mm, page) & PTE_WRITE).toBe(0);
    }
    expect(frames.flags[frameAt(mm, address)] & PG_anonExclusive).toBe(0);
    expect(frameAt(mm, untouched)).toBe(ZERO_PFN);
    assertMemorySane(memory);
  });

  it('maps a shared page that needs no dirty tracking writable with its area', () => {
    const { mm } = setUp();
    const address = plain(mm.mmap(PAGE_SIZE, RW, MAP_SHARED | MAP_ANONYMOUS));
    plain(mm.write(address, Uint8Array.of(1)));
    plain(mm.mprotect(address, PAGE_SIZE, PROT_READ));
    expect(flagsAt(mm, address) & (PTE_WRITE | PTE_DIRTY)).toBe(PTE_DIRTY);
    plain(mm.mprotect(address, PAGE_SIZE, RW));
    expect(flagsAt(mm, address) & PTE_WRITE).not.toBe(0);
  });

  it("leaves userfaultfd's protection in place", () => {
    const { mm } = setUp();
    const address = touched(mm, 1);
    const vma = mm.vmas.lookup(address);
    if (vma !== null) vma.flags |= VM_UFFD_WP;
    const { pageTable } = mm;
    const table = pageTable.tableOf(regionOf(address));
    const pte = (flagsAt(mm, address) & ~PTE_WRITE) | PTE_UFFD_WP;
    pageTable.set(table, indexOf(address), frameAt(mm, address), pte);
    plain(mm.mprotect(address, PAGE_SIZE, PROT_READ));
    plain(mm.mprotect(address, PAGE_SIZE, RW));
    expect(flagsAt(mm, address) & (PTE_WRITE | PTE_UFFD_WP)).toBe(PTE_UFFD_WP);
    plain(mm.write(address, Uint8Array.of(1)));
    expect(flagsAt(mm, address) & (PTE_WRITE | PTE_UFFD_WP)).toBe(PTE_WRITE);
  });

  it('works up to a hole and reports it (fact 31)', () => {
    const { mm } = setUp();
    const address = touched(mm, 3);
    plain(mm.munmap(address + PAGE_SIZE, PAGE_SIZE));
    expect(plain(mm.mprotect(address, 3 * PAGE_SIZE, PROT_READ))).toBe(-ENOMEM);
    expect(flagsAt(mm, address) & PTE_WRITE).toBe(0);
    expect(flagsAt(mm, address + 2 * PAGE_SIZE) & PTE_WRITE).not.toBe(0);
  });

  it('brings the copies in when locked private memory becomes writable', () => {
    const { mm, frames } = setUp();
    const address = anon(mm, 2, PROT_READ);
    plain(mm.mlock(address, 2 * PAGE_SIZE));
    expect(frameAt(mm, address)).toBe(ZERO_PFN);
    plain(mm.mprotect(address, 2 * PAGE_SIZE, RW));
    for (const page of [address, address + PAGE_SIZE]) {
      expect(frameAt(mm, page)).not.toBe(ZERO_PFN);
      expect(frames.flags[frameAt(mm, page)] & PG_anonExclusive).not.toBe(0);
    }
  });
});
