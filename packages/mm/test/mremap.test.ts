import { EFAULT, EINVAL } from '@pincushion/sim';
import {
  FOLL_LONGTERM,
  FOLL_WRITE,
  MADV_HUGEPAGE,
  PAGE_SIZE,
  PG_anonExclusive,
  PTE_UFFD_WP,
  VM_UFFD_WP,
  indexOf,
  newPinnedPages,
  regionOf,
} from '../src/index';
import type { Mm } from '../src/index';
import { MIB, RW, anon, assertMemorySane, frameAt, plain, setUp, touched } from './machine-memory';

const TARGET = 0x10000000000;

function byteAt(mm: Mm, address: number): number {
  const into = new Uint8Array(1);
  plain(mm.read(address, into));
  return into[0];
}

describe('mremap', () => {
  it('moves the entries, so that a pinned page stays with its device (section 14)', () => {
    const { mm, memory, gup, owner, frames } = setUp();
    const address = touched(mm, 3);
    const pins = newPinnedPages(1);
    plain(gup.pinUserPagesFast(mm, address + PAGE_SIZE, 1, FOLL_WRITE | FOLL_LONGTERM, pins, 0, owner));
    const pfn = frameAt(mm, address + PAGE_SIZE);
    expect(plain(mm.mremap(address, 3 * PAGE_SIZE, TARGET))).toBe(TARGET);
    expect(frameAt(mm, TARGET + PAGE_SIZE)).toBe(pfn);
    expect(frames.flags[pfn] & PG_anonExclusive).not.toBe(0);
    memory.bytes.write(pfn, 0, Uint8Array.of(80), 0, 1);
    expect([1, 2, 3].map((_, i) => byteAt(mm, TARGET + i * PAGE_SIZE))).toEqual([1, 80, 3]);
    expect(plain(mm.read(address, new Uint8Array(1)))).toBe(-EFAULT);
    assertMemorySane(memory);
    gup.unpinUserPages(pins, 0, 1);
  });

  it('leaves an empty area behind with MREMAP_DONTUNMAP', () => {
    const { mm, memory } = setUp();
    const address = touched(mm, 2);
    plain(mm.mremap(address, 2 * PAGE_SIZE, TARGET, { dontUnmap: true }));
    expect([byteAt(mm, address), byteAt(mm, TARGET)]).toEqual([0, 1]);
    plain(mm.write(address, Uint8Array.of(9)));
    assertMemorySane(memory);
  });

  it('lets the reverse map find the pages at their new place', () => {
    const { mm, memory } = setUp();
    const address = touched(mm, 4);
    plain(mm.mremap(address + PAGE_SIZE, 2 * PAGE_SIZE, TARGET));
    const pfn = frameAt(mm, TARGET);
    const child = mm.fork('child');
    expect(typeof child).not.toBe('number');
    expect(frameAt(child as Mm, TARGET)).toBe(pfn);
    assertMemorySane(memory);
  });

  it('moves a huge mapping whole where both ends are aligned, and by pages elsewhere', () => {
    for (const target of [TARGET, TARGET + PAGE_SIZE]) {
      const { mm, memory, vmstat } = setUp();
      const address = anon(mm, 512);
      plain(mm.madvise(address, 2 * MIB, MADV_HUGEPAGE));
      plain(mm.write(address + 7 * PAGE_SIZE, Uint8Array.of(77)));
      const head = frameAt(mm, address);
      plain(mm.mremap(address, 2 * MIB, target));
      expect(vmstat.thpSplitPmd).toBe(target === TARGET ? 0 : 1);
      expect(frameAt(mm, target)).toBe(head);
      expect(byteAt(mm, target + 7 * PAGE_SIZE)).toBe(77);
      assertMemorySane(memory);
    }
  });

  it("leaves userfaultfd's protection behind", () => {
    const { mm } = setUp();
    const address = touched(mm, 1);
    const vma = mm.vmas.lookup(address);
    if (vma !== null) vma.flags |= VM_UFFD_WP;
    const { pageTable } = mm;
    const [region, index] = [regionOf(address), indexOf(address)];
    const pte = pageTable.flagsAt(region, index);
    pageTable.set(pageTable.tableOf(region), index, pageTable.frameAt(region, index), pte | PTE_UFFD_WP);
    plain(mm.mremap(address, PAGE_SIZE, TARGET));
    expect(pageTable.flagsAt(regionOf(TARGET), indexOf(TARGET)) & PTE_UFFD_WP).toBe(0);
    expect((mm.vmas.lookup(TARGET)?.flags ?? 0) & VM_UFFD_WP).toBe(0);
  });

  it('takes away what was mapped at the target, and moves several areas at once since 6.17', () => {
    const { mm, memory } = setUp();
    const address = touched(mm, 3);
    plain(mm.mprotect(address + PAGE_SIZE, PAGE_SIZE, 1));
    const old = plain(mm.mmap(2 * PAGE_SIZE, RW, 0x32, TARGET));
    plain(mm.write(old, Uint8Array.of(99)));
    plain(mm.mremap(address, 3 * PAGE_SIZE, TARGET));
    expect(byteAt(mm, TARGET)).toBe(1);
    expect(plain(mm.write(TARGET + PAGE_SIZE, Uint8Array.of(1)))).toBe(-EFAULT);
    expect(byteAt(mm, TARGET + 2 * PAGE_SIZE)).toBe(3);
    assertMemorySane(memory);
  });

  it('may move pages over others of the same area', () => {
    const { mm, memory } = setUp();
    const address = touched(mm, 4);
    expect(plain(mm.mremap(address + 3 * PAGE_SIZE, PAGE_SIZE, address))).toBe(address);
    expect([0, 1, 2].map((page) => byteAt(mm, address + page * PAGE_SIZE))).toEqual([4, 2, 3]);
    assertMemorySane(memory);
  });

  it('moves an area that a userfaultfd watches only alone: those before it have moved when it is refused', () => {
    const { mm, memory } = setUp();
    const address = touched(mm, 2);
    plain(mm.mprotect(address + PAGE_SIZE, PAGE_SIZE, 1));
    const vma = mm.vmas.lookup(address + PAGE_SIZE);
    if (vma !== null) vma.flags |= VM_UFFD_WP;
    expect(plain(mm.mremap(address, 2 * PAGE_SIZE, TARGET))).toBe(-EFAULT);
    expect([byteAt(mm, TARGET), byteAt(mm, address + PAGE_SIZE)]).toEqual([1, 2]);
    expect(plain(mm.mremap(address + PAGE_SIZE, PAGE_SIZE, TARGET + MIB))).toBe(TARGET + MIB);
    assertMemorySane(memory);
  });

  it('refuses what is not mapped, not aligned or overlaps itself', () => {
    const { mm } = setUp();
    const address = touched(mm, 3);
    expect(plain(mm.mremap(TARGET, PAGE_SIZE, TARGET + MIB))).toBe(-EFAULT);
    expect(plain(mm.mremap(address + 1, PAGE_SIZE, TARGET))).toBe(-EINVAL);
    expect(plain(mm.mremap(address, 3 * PAGE_SIZE, address + PAGE_SIZE))).toBe(-EINVAL);
  });
});
