import { EACCES, EFAULT, EINTR, EINVAL, ENOMEM } from '@pincushion/sim';
import {
  FOLL_LONGTERM,
  FOLL_WRITE,
  MADV_COLLAPSE,
  MADV_DODUMP,
  MADV_DOFORK,
  MADV_DONTDUMP,
  MADV_DONTFORK,
  MADV_DONTNEED,
  MADV_FREE,
  MADV_GUARD_INSTALL,
  MADV_GUARD_REMOVE,
  MADV_HUGEPAGE,
  MADV_KEEPONFORK,
  MADV_MERGEABLE,
  MADV_NOHUGEPAGE,
  MADV_NORMAL,
  MADV_PAGEOUT,
  MADV_POPULATE_READ,
  MADV_POPULATE_WRITE,
  MADV_RANDOM,
  MADV_REMOVE,
  MADV_SEQUENTIAL,
  MADV_SOFT_OFFLINE,
  MADV_UNMERGEABLE,
  MADV_WIPEONFORK,
  MAP_ANONYMOUS,
  MAP_PRIVATE,
  MAP_SHARED,
  PAGE_SIZE,
  PROT_NONE,
  PROT_READ,
  PTE_GUARD,
  PTE_WRITE,
  REGION_BYTES,
  VM_DONTCOPY,
  VM_HUGEPAGE,
  VM_IO,
  VM_MERGEABLE,
  VM_NOHUGEPAGE,
  VM_PFNMAP,
  VM_WIPEONFORK,
  ZERO_PFN,
  fixupUserFault,
  indexOf,
  newPinnedPages,
  newShmemFile,
  regionOf,
  uffdRegisterWp,
  uffdWriteprotect,
} from '../src/index';
import type { Mm } from '../src/index';
import { VM_DONTDUMP, VM_RAND_READ, VM_SEQ_READ } from '../src/process/vma-flags';
import { ANON, MIB, RW, anon, assertMemorySane, frameAt, plain, setUp, touched } from './machine-memory';

const SHARED = MAP_SHARED | MAP_ANONYMOUS;

function pteAt(mm: Mm, address: number): number {
  return mm.pageTable.flagsAt(regionOf(address), indexOf(address));
}

function flagsOf(mm: Mm, address: number): number {
  return mm.vmas.lookup(address)?.flags ?? 0;
}

describe('madvise', () => {
  it('refuses advices that it does not know, and ranges that begin inside a page', () => {
    const { mm } = setUp();
    const address = touched(mm, 1);
    expect(plain(mm.madvise(address, PAGE_SIZE, 99))).toBe(-EINVAL);
    expect(plain(mm.madvise(address, PAGE_SIZE, MADV_SOFT_OFFLINE))).toBe(-EINVAL);
    expect(plain(mm.madvise(address, 0, 99))).toBe(-EINVAL);
    expect(plain(mm.madvise(address + 1, PAGE_SIZE, MADV_DONTNEED))).toBe(-EINVAL);
    expect(plain(mm.madvise(address, 0, MADV_DONTNEED))).toBe(0);
  });

  it('works on both sides of a hole, then says -ENOMEM (fact 31)', () => {
    const { mm } = setUp();
    const address = touched(mm, 3);
    plain(mm.munmap(address + PAGE_SIZE, PAGE_SIZE));
    expect(plain(mm.madvise(address, 3 * PAGE_SIZE, MADV_DONTNEED))).toBe(-ENOMEM);
    expect([frameAt(mm, address), frameAt(mm, address + 2 * PAGE_SIZE)]).toEqual([0, 0]);
    expect(plain(mm.madvise(address + PAGE_SIZE, PAGE_SIZE, MADV_FREE))).toBe(-ENOMEM);
  });

  it('is impossible for kinds of areas: FREE of shared, COLLAPSE of small, WIPEONFORK of shared, REMOVE of private', () => {
    const { mm } = setUp();
    const own = touched(mm, 1);
    const shared = plain(mm.mmap(PAGE_SIZE, RW, SHARED));
    expect(plain(mm.madvise(shared, PAGE_SIZE, MADV_FREE))).toBe(-EINVAL);
    expect(plain(mm.madvise(shared, PAGE_SIZE, MADV_WIPEONFORK))).toBe(-EINVAL);
    expect(plain(mm.madvise(own, PAGE_SIZE, MADV_COLLAPSE))).toBe(-EINVAL);
    expect(plain(mm.madvise(own, PAGE_SIZE, MADV_REMOVE))).toBe(-EINVAL);
  });

  it('throws nothing of a mapping of frames away', () => {
    const { mm } = setUp();
    const backing = { name: 'registers', vmFlags: VM_PFNMAP | VM_IO, fault: () => 1 << 12 };
    const address = plain(mm.mmap(PAGE_SIZE, RW, MAP_SHARED, 0, backing));
    for (const advice of [MADV_DONTNEED, MADV_PAGEOUT, MADV_GUARD_INSTALL, MADV_DOFORK, MADV_DODUMP]) {
      expect(plain(mm.madvise(address, PAGE_SIZE, advice))).toBe(-EINVAL);
    }
  });

  it('punches holes into what a shared writable area shows', () => {
    const { mm, memory } = setUp();
    const address = plain(mm.mmap(2 * PAGE_SIZE, RW, SHARED));
    plain(mm.write(address + PAGE_SIZE, Uint8Array.of(5)));
    expect(plain(mm.madvise(address + PAGE_SIZE, PAGE_SIZE, MADV_REMOVE))).toBe(0);
    const into = new Uint8Array(1).fill(1);
    plain(mm.read(address + PAGE_SIZE, into));
    expect(into[0]).toBe(0);
    const readOnly = memory.createMm('other');
    const private_ = plain(
      readOnly.mmap(PAGE_SIZE, RW, ANON & ~MAP_ANONYMOUS, 0, mm.vmas.lookup(address)?.backing ?? undefined),
    );
    expect(plain(readOnly.madvise(private_, PAGE_SIZE, MADV_REMOVE))).toBe(-EACCES);
    assertMemorySane(memory);
  });

  it.each([
    [MADV_DONTFORK, VM_DONTCOPY, MADV_DOFORK],
    [MADV_WIPEONFORK, VM_WIPEONFORK, MADV_KEEPONFORK],
    [MADV_DONTDUMP, VM_DONTDUMP, MADV_DODUMP],
    [MADV_RANDOM, VM_RAND_READ, MADV_NORMAL],
    [MADV_SEQUENTIAL, VM_SEQ_READ, MADV_NORMAL],
    [MADV_HUGEPAGE, VM_HUGEPAGE, MADV_NOHUGEPAGE],
    [MADV_NOHUGEPAGE, VM_NOHUGEPAGE, MADV_HUGEPAGE],
    [MADV_MERGEABLE, VM_MERGEABLE, MADV_UNMERGEABLE],
  ])('%i marks the part of the area it is said of, %i, until %i', (advice, flag, opposite) => {
    const { mm } = setUp();
    const address = touched(mm, 3);
    plain(mm.madvise(address + PAGE_SIZE, PAGE_SIZE, advice));
    expect([0, 1, 2].map((i) => (flagsOf(mm, address + i * PAGE_SIZE) & flag) !== 0)).toEqual([false, true, false]);
    plain(mm.madvise(address + PAGE_SIZE, PAGE_SIZE, opposite));
    expect(flagsOf(mm, address + PAGE_SIZE) & flag).toBe(0);
  });
});

describe('MADV_POPULATE', () => {
  it('READ maps what is there, WRITE makes pages', () => {
    const { mm } = setUp();
    const address = anon(mm, 2);
    expect(plain(mm.madvise(address, 2 * PAGE_SIZE, MADV_POPULATE_READ))).toBe(0);
    expect(frameAt(mm, address)).toBe(ZERO_PFN);
    expect(plain(mm.madvise(address, 2 * PAGE_SIZE, MADV_POPULATE_WRITE))).toBe(0);
    expect([frameAt(mm, address) === ZERO_PFN, pteAt(mm, address) & PTE_WRITE]).toEqual([false, PTE_WRITE]);
  });

  it('says -EINVAL where an area does not allow it, -ENOMEM at a hole, and keeps what came before (V-10)', () => {
    const { mm } = setUp();
    const address = anon(mm, 3);
    plain(mm.mprotect(address + PAGE_SIZE, PAGE_SIZE, PROT_READ));
    expect(plain(mm.madvise(address, 3 * PAGE_SIZE, MADV_POPULATE_WRITE))).toBe(-EINVAL);
    expect([frameAt(mm, address) !== 0, frameAt(mm, address + 2 * PAGE_SIZE)]).toEqual([true, 0]);
    plain(mm.mprotect(address + PAGE_SIZE, PAGE_SIZE, PROT_NONE));
    expect(plain(mm.madvise(address, 3 * PAGE_SIZE, MADV_POPULATE_READ))).toBe(-EINVAL);
    plain(mm.munmap(address + PAGE_SIZE, PAGE_SIZE));
    expect(plain(mm.madvise(address, 3 * PAGE_SIZE, MADV_POPULATE_READ))).toBe(-ENOMEM);
  });

  it('says -EFAULT where a fault would raise a signal', () => {
    const { mm } = setUp();
    const nothing = { name: 'empty file', fault: () => -EINVAL };
    const address = plain(mm.mmap(PAGE_SIZE, RW, MAP_SHARED, 0, nothing));
    expect(plain(mm.madvise(address, PAGE_SIZE, MADV_POPULATE_READ))).toBe(-EFAULT);
  });

  it('says -ENOMEM when there is no memory', () => {
    const { mm } = setUp({ ramBytes: 8 * MIB });
    const address = anon(mm, 4096);
    expect(plain(mm.madvise(address, 4096 * PAGE_SIZE, MADV_POPULATE_WRITE))).toBe(-ENOMEM);
    expect(frameAt(mm, address)).not.toBe(0);
  });
});

describe('guard pages', () => {
  it('raise a signal, and stay through ordinary zaps until they are removed', () => {
    const { mm, memory } = setUp();
    const address = touched(mm, 3);
    expect(plain(mm.madvise(address + PAGE_SIZE, PAGE_SIZE, MADV_GUARD_INSTALL))).toBe(0);
    expect(plain(mm.read(address + PAGE_SIZE, new Uint8Array(1)))).toBe(-EFAULT);
    expect(mm.signal).toBe('SIGSEGV');
    plain(mm.madvise(address, 3 * PAGE_SIZE, MADV_DONTNEED));
    expect(pteAt(mm, address + PAGE_SIZE)).toBe(PTE_GUARD);
    expect(plain(mm.madvise(address, 3 * PAGE_SIZE, MADV_GUARD_REMOVE))).toBe(0);
    expect(plain(mm.read(address + PAGE_SIZE, new Uint8Array(1)))).toBe(1);
    assertMemorySane(memory);
  });

  it('take a pinned page out of the mapping, and GUP refuses the place (fact 16)', () => {
    const { mm, gup, owner, frames } = setUp({ ledger: 'counts' });
    const address = touched(mm, 1);
    const pins = newPinnedPages(1);
    plain(gup.pinUserPagesFast(mm, address, 1, FOLL_WRITE | FOLL_LONGTERM, pins, 0, owner));
    const pfn = frameAt(mm, address);
    plain(mm.madvise(address, PAGE_SIZE, MADV_GUARD_INSTALL));
    expect([frames.refcount[pfn], frames.mapcount[pfn]]).toEqual([1024, 0]);
    expect(plain(gup.pinUserPagesFast(mm, address, 1, 0, newPinnedPages(1), 0, owner))).toBe(-EFAULT);
    gup.unpinUserPages(pins, 0, 1);
  });

  it('go where nothing was, are inherited by a child, and end with the mapping', () => {
    const { mm } = setUp();
    const address = anon(mm, 2);
    plain(mm.madvise(address, PAGE_SIZE, MADV_GUARD_INSTALL));
    const child = mm.fork('child');
    if (typeof child === 'number') throw new Error('no child');
    expect(pteAt(child, address)).toBe(PTE_GUARD);
    plain(mm.munmap(address, 2 * PAGE_SIZE));
    expect(pteAt(mm, address)).toBe(0);
  });

  it('replace part of a huge page', () => {
    const { mm, memory } = setUp();
    const address = plain(mm.mmap(REGION_BYTES, RW, ANON));
    plain(mm.madvise(address, REGION_BYTES, MADV_HUGEPAGE));
    plain(mm.write(address, Uint8Array.of(1)));
    plain(mm.madvise(address + PAGE_SIZE, PAGE_SIZE, MADV_GUARD_INSTALL));
    expect(pteAt(mm, address + PAGE_SIZE)).toBe(PTE_GUARD);
    const into = new Uint8Array(1);
    plain(mm.read(address, into));
    expect(into[0]).toBe(1);
    assertMemorySane(memory);
  });

  it('cannot be installed over userfaultfd markers of a file, which outlive the zap', () => {
    const { mm, memory } = setUp();
    const file = newShmemFile(memory, 'memfd', 2 * PAGE_SIZE);
    const address = plain(mm.mmap(2 * PAGE_SIZE, RW, MAP_PRIVATE, 0, file.backing));
    uffdRegisterWp(mm, address, address + 2 * PAGE_SIZE);
    uffdWriteprotect(mm, address, address + PAGE_SIZE, true);
    expect(plain(mm.madvise(address, 2 * PAGE_SIZE, MADV_GUARD_INSTALL))).toBe(-EINTR);
    expect(plain(mm.madvise(address + PAGE_SIZE, PAGE_SIZE, MADV_GUARD_INSTALL))).toBe(0);
    file.close();
  });

  it('are refused in locked memory, though they may be removed there', () => {
    const { mm } = setUp();
    const address = touched(mm, 1);
    plain(mm.mlock(address, PAGE_SIZE));
    expect(plain(mm.madvise(address, PAGE_SIZE, MADV_GUARD_INSTALL))).toBe(-EINVAL);
    expect(plain(mm.madvise(address, PAGE_SIZE, MADV_GUARD_REMOVE))).toBe(0);
  });
});

describe('fixup_user_fault', () => {
  it('takes one fault as the CPU would, under the permissions of the area', () => {
    const { mm, frames } = setUp();
    const address = anon(mm, 2);
    expect([plain(fixupUserFault(mm, address, true)), frames.refcount[frameAt(mm, address)]]).toEqual([0, 1]);
    plain(mm.mprotect(address, PAGE_SIZE, PROT_READ));
    expect(plain(fixupUserFault(mm, address, true))).toBe(-EFAULT);
    expect(plain(fixupUserFault(mm, address - PAGE_SIZE, false))).toBe(-EFAULT);
  });
});
