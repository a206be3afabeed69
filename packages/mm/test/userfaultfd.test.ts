import { EINVAL, ENOENT, EPERM } from '@pincushion/sim';
import {
  FOLL_LONGTERM,
  FOLL_WRITE,
  MAP_ANONYMOUS,
  MAP_SHARED,
  PAGE_SIZE,
  PTE_DIRTY,
  PTE_UFFD_WP,
  PTE_WRITE,
  VM_UFFD_WP,
  ZERO_PFN,
  indexOf,
  newPinnedPages,
  regionOf,
  uffdRegisterWp,
  uffdWriteprotect,
} from '../src/index';
import type { Mm } from '../src/index';
import { RW, anon, assertMemorySane, frameAt, plain, setUp, touched } from './machine-memory';

const BITS = PTE_WRITE | PTE_DIRTY | PTE_UFFD_WP;

function bitsAt(mm: Mm, address: number): number {
  return mm.pageTable.flagsAt(regionOf(address), indexOf(address)) & BITS;
}

/** Four pages, the first three written, the first two and the last protected. */
function protectedPages() {
  const machine = setUp({ ledger: 'counts' });
  const { mm } = machine;
  const address = anon(mm, 4);
  for (let i = 0; i < 3; i++) plain(mm.write(address + i * PAGE_SIZE, Uint8Array.of(i + 1)));
  expect(uffdRegisterWp(mm, address, address + 4 * PAGE_SIZE)).toBe(0);
  expect(uffdWriteprotect(mm, address, address + 2 * PAGE_SIZE, true)).toBe(0);
  expect(uffdWriteprotect(mm, address + 3 * PAGE_SIZE, address + 4 * PAGE_SIZE, true)).toBe(0);
  return { ...machine, address };
}

describe('write protection by userfaultfd', () => {
  it('marks pages that are there, and leaves markers where none is (WP_UNPOPULATED)', () => {
    const { mm, address } = protectedPages();
    expect([0, 1, 2, 3].map((i) => bitsAt(mm, address + i * PAGE_SIZE))).toEqual([
      PTE_DIRTY | PTE_UFFD_WP,
      PTE_DIRTY | PTE_UFFD_WP,
      PTE_DIRTY | PTE_WRITE,
      PTE_UFFD_WP,
    ]);
  });

  it('ends with the first write, in one fault, and the page stays the same, pinned or not (fact 17)', () => {
    const { mm, gup, owner, address } = protectedPages();
    const pins = newPinnedPages(1);
    plain(gup.pinUserPagesFast(mm, address, 1, 0, pins, 0, owner));
    const [pfn, faults] = [frameAt(mm, address), mm.faults];
    plain(mm.write(address, Uint8Array.of(9)));
    expect([frameAt(mm, address), bitsAt(mm, address), mm.faults - faults]).toEqual([pfn, PTE_WRITE | PTE_DIRTY, 1]);
    gup.unpinUserPages(pins, 0, 1);
  });

  it('ends for a long-term write pin as for a write', () => {
    const { mm, gup, owner, address } = protectedPages();
    const pins = newPinnedPages(1);
    expect(plain(gup.pinUserPagesFast(mm, address, 1, FOLL_WRITE | FOLL_LONGTERM, pins, 0, owner))).toBe(1);
    expect(bitsAt(mm, address)).toBe(PTE_WRITE | PTE_DIRTY);
    gup.unpinUserPages(pins, 0, 1);
  });

  it('of a missing page takes a fault for the page and one for the protection', () => {
    const { mm, memory, address } = protectedPages();
    const missing = address + 3 * PAGE_SIZE;
    plain(mm.read(missing, new Uint8Array(1)));
    expect([frameAt(mm, missing), bitsAt(mm, missing)]).toEqual([ZERO_PFN, PTE_UFFD_WP]);
    const again = protectedPages();
    const faults = again.mm.faults;
    plain(again.mm.write(again.address + 3 * PAGE_SIZE, Uint8Array.of(1)));
    expect(again.mm.faults - faults).toBe(2);
    assertMemorySane(memory);
  });

  it('is not inherited by a child, whose area is not registered', () => {
    const { mm, address } = protectedPages();
    const child = mm.fork('child');
    if (typeof child === 'number') throw new Error('no child');
    expect([bitsAt(child, address) & PTE_UFFD_WP, bitsAt(child, address + 3 * PAGE_SIZE)]).toEqual([0, 0]);
    expect((child.vmas.lookup(address)?.flags ?? 0) & VM_UFFD_WP).toBe(0);
    expect(bitsAt(mm, address)).toBe(PTE_DIRTY | PTE_UFFD_WP);
  });

  it('is lifted on request, which makes exclusive pages writable at once and drops markers', () => {
    const { mm, address } = protectedPages();
    expect(uffdWriteprotect(mm, address, address + 4 * PAGE_SIZE, false)).toBe(0);
    expect([bitsAt(mm, address), bitsAt(mm, address + 3 * PAGE_SIZE)]).toEqual([PTE_DIRTY | PTE_WRITE, 0]);
  });

  it('covers shared memory, pages that are only in the page cache included', () => {
    const { mm } = setUp();
    const address = plain(mm.mmap(2 * PAGE_SIZE, RW, MAP_SHARED | MAP_ANONYMOUS));
    plain(mm.write(address, Uint8Array.of(1)));
    expect(uffdRegisterWp(mm, address, address + 2 * PAGE_SIZE)).toBe(0);
    expect(uffdWriteprotect(mm, address, address + 2 * PAGE_SIZE, true)).toBe(0);
    expect([bitsAt(mm, address) & PTE_WRITE, bitsAt(mm, address + PAGE_SIZE)]).toEqual([0, PTE_UFFD_WP]);
    plain(mm.write(address, Uint8Array.of(2)));
    expect(bitsAt(mm, address)).toBe(PTE_WRITE | PTE_DIRTY);
  });

  it('leaves pages of shared memory read-only when it is lifted, so that the write takes its fault', () => {
    const { mm } = setUp();
    const address = plain(mm.mmap(PAGE_SIZE, RW, MAP_SHARED | MAP_ANONYMOUS));
    plain(mm.write(address, Uint8Array.of(1)));
    uffdRegisterWp(mm, address, address + PAGE_SIZE);
    uffdWriteprotect(mm, address, address + PAGE_SIZE, false);
    expect(bitsAt(mm, address)).toBe(PTE_DIRTY);
  });

  it('refuses holes and areas that nobody registered', () => {
    const { mm } = setUp();
    const address = touched(mm, 1);
    expect(uffdWriteprotect(mm, address, address + PAGE_SIZE, true)).toBe(-ENOENT);
    expect(uffdRegisterWp(mm, address + PAGE_SIZE, address + 2 * PAGE_SIZE)).toBe(-EINVAL);
    expect(uffdWriteprotect(mm, address + PAGE_SIZE, address + 2 * PAGE_SIZE, true)).toBe(-ENOENT);
    const area = mm.vmas.lookup(address);
    if (area !== null) area.flags &= ~0x20; // VM_MAYWRITE, as of a file opened for reading
    expect(uffdRegisterWp(mm, address, address + PAGE_SIZE)).toBe(-EPERM);
  });
});
