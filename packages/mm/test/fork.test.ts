import { ENOMEM } from '@pincushion/sim';
import {
  FOLL_LONGTERM,
  FOLL_WRITE,
  MADV_DONTNEED,
  MADV_GUARD_INSTALL,
  MADV_GUARD_REMOVE,
  MADV_HUGEPAGE,
  MAP_ANONYMOUS,
  MAP_SHARED,
  PAGE_SIZE,
  PG_anonExclusive,
  PROT_READ,
  PTE_DIRTY,
  PTE_GUARD,
  PTE_PRESENT,
  PTE_WRITE,
  VM_DONTCOPY,
  VM_LOCKED,
  VM_WIPEONFORK,
  ZERO_PFN,
  indexOf,
  newGottenPages,
  newPinnedPages,
  regionOf,
} from '../src/index';
import type { Mm } from '../src/index';
import { RW, anon, assertMemorySane, frameAt, plain, setUp, touched } from './machine-memory';

const LONG_WRITE = FOLL_WRITE | FOLL_LONGTERM;

function child(mm: Mm, name = 'child'): Mm {
  const made = mm.fork(name);
  if (typeof made === 'number') throw new Error(`fork failed with ${made}`);
  return made;
}

function byteAt(mm: Mm, address: number): number {
  const into = new Uint8Array(1);
  plain(mm.read(address, into));
  return into[0];
}

function flagsAt(mm: Mm, address: number): number {
  return mm.pageTable.flagsAt(regionOf(address), indexOf(address));
}

function forked(pages = 3) {
  const machine = setUp({ ledger: 'counts' });
  return { ...machine, address: touched(machine.mm, pages) };
}

describe('fork of a process that never pinned', () => {
  it('shares a large folio that is mapped page by page, beside small pages', () => {
    const { mm, frames, memory } = setUp({ ledger: 'counts' });
    const address = anon(mm, 512);
    plain(mm.madvise(address, 512 * PAGE_SIZE, MADV_HUGEPAGE));
    plain(mm.fault(address, true));
    const head = frameAt(mm, address);
    plain(mm.madvise(address + 3 * PAGE_SIZE, PAGE_SIZE, MADV_DONTNEED));
    plain(mm.fault(address + 3 * PAGE_SIZE, true));
    const small = frameAt(mm, address + 3 * PAGE_SIZE);
    const c = child(mm);
    expect([frames.largeMapcount[head], frames.refcount[head]]).toEqual([1022, 1022]);
    expect([frames.mapcount[head + 4], frames.mapcount[small], frames.refcount[small]]).toEqual([2, 2, 2]);
    expect(frameAt(c, address + 4 * PAGE_SIZE)).toBe(head + 4);
    assertMemorySane(memory);
  });

  it('shares private pages, read-only in both and exclusive in neither (X-02)', () => {
    const { mm, frames, memory, address } = forked();
    const pfn = frameAt(mm, address);
    const c = child(mm);
    expect(frameAt(c, address)).toBe(pfn);
    expect([frames.refcount[pfn], frames.mapcount[pfn]]).toEqual([2, 2]);
    expect(frames.flags[pfn] & PG_anonExclusive).toBe(0);
    for (const process of [mm, c]) expect(flagsAt(process, address) & (PTE_PRESENT | PTE_WRITE)).toBe(PTE_PRESENT);
    assertMemorySane(memory);
  });

  it('copies for the first who writes; the other is alone then and keeps the page (X-04)', () => {
    const { mm, frames, memory, address } = forked();
    const pfn = frameAt(mm, address);
    const c = child(mm);
    plain(mm.write(address, Uint8Array.of(50)));
    expect(frameAt(mm, address)).not.toBe(pfn);
    expect([byteAt(mm, address), byteAt(c, address)]).toEqual([50, 1]);
    plain(c.write(address, Uint8Array.of(60)));
    expect(frameAt(c, address)).toBe(pfn);
    expect(frames.flags[pfn] & PG_anonExclusive).not.toBe(0);
    assertMemorySane(memory);
  });

  it('shares a page with 1100 references, because without a pin nobody looks (P-05)', () => {
    const { mm, gup, owner, address } = forked();
    const gets = newGottenPages(1100);
    for (let i = 0; i < 1100; i++) plain(gup.getUserPagesFast(mm, address, 1, 0, gets, i, owner));
    expect(frameAt(child(mm), address)).toBe(frameAt(mm, address));
    gup.putPages(gets, 0, 1100);
  });

  it('leaves a page to whoever holds a reference when the parent writes after the fork (X-05)', () => {
    const { mm, gup, owner, address, memory } = forked();
    const gets = newGottenPages(1);
    plain(gup.getUserPagesFast(mm, address, 1, 0, gets, 0, owner));
    const c = child(mm);
    plain(c.exit());
    plain(mm.write(address, Uint8Array.of(50)));
    expect(frameAt(mm, address)).not.toBe(gets[0]);
    expect(memory.bytes.view(gets[0], 1)[0]).toBe(1);
    gup.putPages(gets, 0, 1);
    assertMemorySane(memory);
  });
});

describe('fork of a process that may have pinned', () => {
  it('copies the pinned page at once for the child: exclusive, writable and dirty (section 11)', () => {
    const { mm, gup, owner, frames, memory, address } = forked();
    const pins = newPinnedPages(1);
    plain(gup.pinUserPagesFast(mm, address + PAGE_SIZE, 1, LONG_WRITE, pins, 0, owner));
    const pfn = frameAt(mm, address + PAGE_SIZE);
    const c = child(mm);
    const copy = frameAt(c, address + PAGE_SIZE);
    expect(copy).not.toBe(pfn);
    expect(frames.flags[copy] & PG_anonExclusive).not.toBe(0);
    expect(flagsAt(c, address + PAGE_SIZE) & (PTE_WRITE | PTE_DIRTY)).toBe(PTE_WRITE | PTE_DIRTY);
    expect(byteAt(c, address + PAGE_SIZE)).toBe(2);
    expect(flagsAt(mm, address + PAGE_SIZE) & PTE_WRITE).not.toBe(0);
    expect(frames.refcount[pfn]).toBe(1025);
    expect(frameAt(c, address)).toBe(frameAt(mm, address));
    assertMemorySane(memory);
    gup.unpinUserPages(pins, 0, 1);
  });

  it('keeps the parent and its device on one page', () => {
    const { mm, gup, owner, memory, address } = forked();
    const pins = newPinnedPages(1);
    plain(gup.pinUserPagesFast(mm, address, 1, LONG_WRITE, pins, 0, owner));
    const pfn = frameAt(mm, address);
    const c = child(mm);
    plain(mm.write(address, Uint8Array.of(70)));
    expect(frameAt(mm, address)).toBe(pfn);
    memory.bytes.write(pfn, 0, Uint8Array.of(71), 0, 1); // the device
    expect([byteAt(mm, address), byteAt(c, address)]).toEqual([71, 1]);
    gup.unpinUserPages(pins, 0, 1);
  });

  it('takes 1023 references for a pin, its own being the 1024th, and shares 1022 (P-02)', () => {
    for (const [references, isCopied] of [
      [1022, false],
      [1023, true],
    ] as const) {
      const { mm, gup, owner, address } = forked();
      mm.hasPinned = true;
      const gets = newGottenPages(references - 1);
      for (let i = 0; i < references - 1; i++) plain(gup.getUserPagesFast(mm, address, 1, 0, gets, i, owner));
      expect(frameAt(child(mm), address) !== frameAt(mm, address)).toBe(isCopied);
      gup.putPages(gets, 0, references - 1);
    }
  });

  it('shares a page that looks pinned but is not exclusive', () => {
    const { mm, gup, owner, address } = forked();
    child(mm, 'first');
    mm.hasPinned = true;
    const gets = newGottenPages(1100);
    for (let i = 0; i < 1100; i++) plain(gup.getUserPagesFast(mm, address, 1, 0, gets, i, owner));
    expect(frameAt(child(mm, 'second'), address)).toBe(frameAt(mm, address));
    gup.putPages(gets, 0, 1100);
  });

  it('gives the child no memory of the pins (P-05)', () => {
    const { mm, gup, owner, address } = forked();
    const pins = newPinnedPages(1);
    plain(gup.pinUserPagesFast(mm, address, 1, LONG_WRITE, pins, 0, owner));
    const c = child(mm);
    expect([mm.hasPinned, c.hasPinned]).toEqual([true, false]);
    gup.unpinUserPages(pins, 0, 1);
  });

  it('fails with -ENOMEM and leaves no child when there is no page for the copy', () => {
    const { mm, gup, owner, world, memory, frames, address } = forked();
    const pins = newPinnedPages(1);
    plain(gup.pinUserPagesFast(mm, address + 2 * PAGE_SIZE, 1, LONG_WRITE, pins, 0, owner));
    const free = memory.framesFree;
    world.faults.arm('alloc', { nth: 1, errno: -ENOMEM });
    expect(mm.fork('child')).toBe(-ENOMEM);
    world.faults.disarm();
    expect(memory.mms.size).toBe(1);
    expect(memory.framesFree).toBe(free);
    const pfn = frameAt(mm, address);
    expect([frames.refcount[pfn], frames.mapcount[pfn]]).toEqual([1, 1]);
    expect(mm.writeProtectSeq % 2).toBe(0);
    plain(mm.write(address, Uint8Array.of(9)));
    expect(frameAt(mm, address)).toBe(pfn);
    assertMemorySane(memory);
    gup.unpinUserPages(pins, 0, 1);
  });
});

describe('what fork does with areas', () => {
  it('copies no entries of shared memory: the child faults and finds the same page (fact 5)', () => {
    const { mm, memory } = setUp();
    const address = plain(mm.mmap(PAGE_SIZE, RW, MAP_SHARED | MAP_ANONYMOUS));
    plain(mm.write(address, Uint8Array.of(5)));
    const c = child(mm);
    expect(flagsAt(c, address)).toBe(0);
    expect(flagsAt(mm, address) & PTE_WRITE).not.toBe(0);
    expect(byteAt(c, address)).toBe(5);
    expect(frameAt(c, address)).toBe(frameAt(mm, address));
    plain(mm.exit());
    plain(c.exit());
    assertMemorySane(memory);
  });

  it('leaves VM_DONTCOPY areas out and gives VM_WIPEONFORK areas empty', () => {
    const { mm, memory } = setUp();
    const left = touched(mm, 1);
    const wiped = plain(mm.mmap(PAGE_SIZE, PROT_READ | RW, 0x22, left - (1 << 30)));
    plain(mm.write(wiped, Uint8Array.of(5)));
    for (const vma of mm.vmas.all) vma.flags |= vma.start === left ? VM_DONTCOPY : VM_WIPEONFORK;
    const c = child(mm);
    expect(c.vmas.lookup(left)).toBeNull();
    expect(byteAt(c, wiped)).toBe(0);
    expect(byteAt(mm, wiped)).toBe(5);
    assertMemorySane(memory);
  });

  it('does not hand mlock on (fact 30)', () => {
    const { mm, memory, address } = forked();
    plain(mm.mlock(address, PAGE_SIZE));
    const c = child(mm);
    expect((mm.vmas.lookup(address)?.flags ?? 0) & VM_LOCKED).not.toBe(0);
    expect((c.vmas.lookup(address)?.flags ?? 0) & VM_LOCKED).toBe(0);
    expect(c.lockedVm).toBe(0);
    assertMemorySane(memory);
  });

  it('hands guard pages and zero pages on', () => {
    const { mm, memory, address } = forked();
    const fresh = anon(mm, 1);
    byteAt(mm, fresh);
    plain(mm.madvise(address + PAGE_SIZE, PAGE_SIZE, MADV_GUARD_INSTALL));
    const c = child(mm);
    expect(flagsAt(c, address + PAGE_SIZE)).toBe(PTE_GUARD);
    expect(plain(c.read(address + PAGE_SIZE, new Uint8Array(1)))).toBeLessThan(0);
    expect(c.signal).toBe('SIGSEGV');
    expect(frameAt(c, fresh)).toBe(ZERO_PFN);
    plain(c.exit());
    assertMemorySane(memory);
  });

  it('copies the entries of an area that had a guard page once, whatever became of it (VM_MAYBE_GUARD)', () => {
    const { mm, memory } = setUp();
    for (const guarded of [false, true]) {
      const address = plain(mm.mmap(2 * PAGE_SIZE, RW, MAP_SHARED | MAP_ANONYMOUS));
      plain(mm.write(address, Uint8Array.of(5)));
      if (guarded) plain(mm.madvise(address + PAGE_SIZE, PAGE_SIZE, MADV_GUARD_INSTALL));
      if (guarded) plain(mm.madvise(address + PAGE_SIZE, PAGE_SIZE, MADV_GUARD_REMOVE));
      const c = child(mm);
      expect(frameAt(c, address)).toBe(guarded ? frameAt(mm, address) : 0);
      expect(flagsAt(c, address) & PTE_DIRTY).toBe(0);
      plain(c.exit());
    }
    assertMemorySane(memory);
  });

  it('makes write_protect_seq odd only while private areas are copied (Q-06)', () => {
    const { mm } = forked();
    child(mm);
    expect(mm.writeProtectSeq).toBeGreaterThan(0);
    expect(mm.writeProtectSeq % 2).toBe(0);
  });
});
