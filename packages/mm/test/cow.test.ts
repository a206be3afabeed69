import { linux54 } from '../src/kernel-profile';
import {
  FOLL_FORCE,
  FOLL_LONGTERM,
  FOLL_WRITE,
  MAP_ANONYMOUS,
  MAP_PRIVATE,
  PAGE_SIZE,
  PG_anonExclusive,
  PG_ksm,
  PROT_READ,
  PTE_DIRTY,
  PTE_PRESENT,
  PTE_WRITE,
  ZERO_PFN,
  indexOf,
  newGottenPages,
  newPinnedPages,
  regionOf,
} from '../src/index';
import type { Mm } from '../src/index';
import { RW, anon, assertMemorySane, frameAt, plain, setUp, touched } from './machine-memory';

function child(mm: Mm): Mm {
  const made = mm.fork('child');
  if (typeof made === 'number') throw new Error(`fork failed with ${made}`);
  return made;
}

function flagsAt(mm: Mm, address: number): number {
  return mm.pageTable.flagsAt(regionOf(address), indexOf(address));
}

function shared() {
  const machine = setUp({ ledger: 'counts' });
  const address = touched(machine.mm, 2);
  return { ...machine, address, pfn: frameAt(machine.mm, address), other: child(machine.mm) };
}

describe('unsharing', () => {
  it('gives a read-only pin of a shared page a page of its own, read-only and clean (X-06, fact 8)', () => {
    const { mm, gup, owner, vmstat, address, pfn, other, memory } = shared();
    const pins = newPinnedPages(1);
    expect(plain(gup.pinUserPagesFast(mm, address, 1, 0, pins, 0, owner))).toBe(1);
    expect(frameAt(mm, address)).not.toBe(pfn);
    expect(frameAt(other, address)).toBe(pfn);
    expect(flagsAt(mm, address) & (PTE_PRESENT | PTE_WRITE | PTE_DIRTY)).toBe(PTE_PRESENT);
    expect([vmstat.nrFollPinAcquired, vmstat.nrFollPinReleased]).toEqual([2, 1]);
    const before = frameAt(mm, address);
    plain(mm.write(address, Uint8Array.of(9)));
    expect(frameAt(mm, address)).toBe(before);
    gup.unpinUserPages(pins, 0, 1);
    assertMemorySane(memory);
  });

  it('only marks the page when nobody else has it', () => {
    const { mm, gup, owner, frames, address, pfn, other } = shared();
    plain(other.exit());
    const pins = newPinnedPages(1);
    plain(gup.pinUserPagesFast(mm, address, 1, 0, pins, 0, owner));
    expect(frameAt(mm, address)).toBe(pfn);
    expect(frames.flags[pfn] & PG_anonExclusive).not.toBe(0);
    expect(flagsAt(mm, address) & PTE_WRITE).toBe(0);
    gup.unpinUserPages(pins, 0, 1);
  });

  it('is not done for a plain reference', () => {
    const { mm, gup, owner, address, pfn } = shared();
    const gets = newGottenPages(1);
    plain(gup.getUserPagesFast(mm, address, 1, 0, gets, 0, owner));
    expect(frameAt(mm, address)).toBe(pfn);
    gup.putPages(gets, 0, 1);
  });

  it('replaces the zero page for a read-only long-term pin, not for a short one (6.3, fact 9)', () => {
    const { mm, gup, owner, frames } = setUp();
    const address = anon(mm, 2);
    const pins = newPinnedPages(2);
    plain(gup.pinUserPagesFast(mm, address, 1, 0, pins, 0, owner));
    expect(frameAt(mm, address)).toBe(ZERO_PFN);
    plain(gup.pinUserPagesFast(mm, address, 1, FOLL_LONGTERM, pins, 1, owner));
    const pfn = frameAt(mm, address);
    expect(pfn).not.toBe(ZERO_PFN);
    expect(frames.refcount[pfn]).toBe(1025);
    gup.unpinUserPages(pins, 0, 2);
  });
});

describe('write faults on pages that are not exclusive', () => {
  it('never take over a page merged by KSM, even with a single mapping', () => {
    const { mm, frames, address, other } = shared();
    const pfn = frameAt(mm, address + PAGE_SIZE);
    frames.flags[pfn] |= PG_ksm;
    plain(other.exit());
    expect(frames.refcount[pfn]).toBe(1);
    plain(mm.write(address + PAGE_SIZE, Uint8Array.of(1)));
    expect(frameAt(mm, address + PAGE_SIZE)).not.toBe(pfn);
  });

  it('leave a fresh page clean that FOLL_FORCE writes to where the process may only read', () => {
    const { mm, gup, owner } = setUp();
    const address = anon(mm, 1, PROT_READ);
    const gets = newGottenPages(1);
    const flags = FOLL_WRITE | FOLL_FORCE;
    expect(plain(gup.getUserPages(mm, address, 1, flags, gets, 0, owner))).toBe(1);
    expect(flagsAt(mm, address) & (PTE_PRESENT | PTE_WRITE | PTE_DIRTY)).toBe(PTE_PRESENT);
    gup.putPages(gets, 0, 1);
  });

  it('count as one fault of the process each, reuse and copy alike', () => {
    const { mm, address, other } = shared();
    const before = mm.faults;
    plain(mm.write(address, Uint8Array.of(1)));
    plain(mm.write(address, Uint8Array.of(2)));
    plain(other.write(address, Uint8Array.of(3)));
    expect([mm.faults - before, other.faults]).toEqual([1, 1]);
  });

  it('ask only who maps the page on 5.4: a reference does not keep it', () => {
    const { mm, gup, owner, memory } = setUp({ ledger: 'counts', profile: linux54 });
    const address = touched(mm, 1);
    const pfn = frameAt(mm, address);
    const gets = newGottenPages(1);
    plain(child(mm).exit());
    plain(gup.getUserPagesFast(mm, address, 1, 0, gets, 0, owner));
    plain(mm.write(address, Uint8Array.of(4)));
    expect(frameAt(mm, address)).toBe(pfn);
    gup.putPages(gets, 0, 1);
    assertMemorySane(memory);
  });

  it('lose the page that a device writes to on 5.4, where fork does not copy early', () => {
    const { mm, gup, owner } = setUp({ ledger: 'counts', profile: linux54 });
    const address = touched(mm, 1);
    const gets = newGottenPages(1);
    plain(gup.getUserPagesFast(mm, address, 1, 1, gets, 0, owner));
    child(mm);
    plain(mm.write(address, Uint8Array.of(4)));
    expect(frameAt(mm, address)).not.toBe(gets[0]);
    gup.putPages(gets, 0, 1);
  });
});

describe('signals', () => {
  it('tell apart what is not mapped and what has nothing behind it', () => {
    const { mm } = setUp();
    const empty = plain(mm.mmap(PAGE_SIZE, RW, MAP_PRIVATE, 0, { name: 'empty file', fault: () => -14 }));
    expect(plain(mm.read(empty, new Uint8Array(1)))).toBeLessThan(0);
    expect(mm.signal).toBe('SIGBUS');
    const readOnly = plain(mm.mmap(PAGE_SIZE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS));
    expect(plain(mm.write(readOnly, Uint8Array.of(1)))).toBeLessThan(0);
    expect(mm.signal).toBe('SIGSEGV');
  });
});
