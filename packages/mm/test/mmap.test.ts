import { EBADF, EEXIST, EFAULT, EINVAL, ENOMEM, EPERM } from '@pincushion/sim';
import {
  MADV_DONTNEED,
  MADV_HUGEPAGE,
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_FIXED_NOREPLACE,
  MAP_POPULATE,
  MAP_PRIVATE,
  MAP_SHARED,
  PAGE_SIZE,
  PROT_NONE,
  PROT_READ,
  TASK_SIZE,
} from '../src/index';
import type { Mm } from '../src/index';
import { ANON, MIB, RW, anon, assertMemorySane, frameAt, plain, setUp, touched } from './machine-memory';

const areas = (mm: Mm) => mm.vmas.all.map((vma) => [vma.start, (vma.end - vma.start) / PAGE_SIZE]);

describe('mmap', () => {
  it('places areas from the top down, each below the last, and joins them', () => {
    const { mm } = setUp();
    const first = anon(mm, 3);
    const second = anon(mm, 2);
    expect(second).toBe(first - 2 * PAGE_SIZE);
    expect(areas(mm)).toEqual([[second, 5]]);
  });

  it('keeps areas of different permissions apart', () => {
    const { mm } = setUp();
    anon(mm, 1);
    anon(mm, 1, PROT_READ);
    expect(mm.vmas.all).toHaveLength(2);
  });

  it('fills a gap that fits before it goes lower', () => {
    const { mm } = setUp();
    const top = anon(mm, 10);
    plain(mm.munmap(top + 4 * PAGE_SIZE, 2 * PAGE_SIZE));
    expect(anon(mm, 3)).toBe(top - 3 * PAGE_SIZE);
    expect(anon(mm, 2)).toBe(top + 4 * PAGE_SIZE);
    expect(areas(mm)).toEqual([[top - 3 * PAGE_SIZE, 13]]);
  });

  it('aligns whole 2 MiB units so that huge folios fit', () => {
    const { mm } = setUp();
    anon(mm, 1);
    expect(anon(mm, 512) % (2 * MIB)).toBe(0);
  });

  it('takes a free hint and ignores a taken one', () => {
    const { mm } = setUp();
    expect(plain(mm.mmap(PAGE_SIZE, RW, ANON, 0x5000_0000))).toBe(0x5000_0000);
    expect(plain(mm.mmap(PAGE_SIZE, RW, ANON, 0x5000_0000))).toBeGreaterThan(0x6000_0000);
  });

  it('replaces what MAP_FIXED covers, and only that', () => {
    const { mm, memory } = setUp();
    const address = touched(mm, 4);
    const kept = frameAt(mm, address + 3 * PAGE_SIZE);
    expect(plain(mm.mmap(2 * PAGE_SIZE, PROT_READ, ANON | MAP_FIXED, address + PAGE_SIZE))).toBe(address + PAGE_SIZE);
    expect(areas(mm)).toEqual([
      [address, 1],
      [address + PAGE_SIZE, 2],
      [address + 3 * PAGE_SIZE, 1],
    ]);
    expect(frameAt(mm, address + PAGE_SIZE)).toBe(0);
    expect(frameAt(mm, address + 3 * PAGE_SIZE)).toBe(kept);
    assertMemorySane(memory);
  });

  it('answers impossible requests with the errors of mmap(2)', () => {
    const { mm } = setUp();
    expect(plain(mm.mmap(0, RW, ANON))).toBe(-EINVAL);
    expect(plain(mm.mmap(PAGE_SIZE, RW, MAP_ANONYMOUS))).toBe(-EINVAL);
    expect(plain(mm.mmap(PAGE_SIZE, RW, MAP_ANONYMOUS | MAP_SHARED | MAP_PRIVATE))).toBe(-EINVAL);
    expect(plain(mm.mmap(PAGE_SIZE, RW, MAP_PRIVATE))).toBe(-EBADF);
    expect(plain(mm.mmap(PAGE_SIZE, RW, ANON | MAP_FIXED, 0x10_0001))).toBe(-EINVAL);
    expect(plain(mm.mmap(PAGE_SIZE, RW, ANON | MAP_FIXED, TASK_SIZE))).toBe(-ENOMEM);
    expect(plain(mm.mmap(PAGE_SIZE, RW, ANON | MAP_FIXED, 0x1000))).toBe(-EPERM);
    expect(plain(mm.mmap(2 ** 48, RW, ANON))).toBe(-ENOMEM);
    const taken = anon(mm, 1);
    expect(plain(mm.mmap(PAGE_SIZE, RW, ANON | MAP_FIXED_NOREPLACE, taken))).toBe(-EEXIST);
    expect(plain(mm.munmap(taken + 1, PAGE_SIZE))).toBe(-EINVAL);
    expect(plain(mm.munmap(taken, 0))).toBe(-EINVAL);
  });

  it('brings every page in with MAP_POPULATE, writable ones for writing', () => {
    const { mm, memory } = setUp();
    const address = plain(mm.mmap(3 * PAGE_SIZE, RW, ANON | MAP_POPULATE));
    for (let i = 0; i < 3; i++) expect(frameAt(mm, address + i * PAGE_SIZE)).toBeGreaterThan(1);
    const readOnly = plain(mm.mmap(PAGE_SIZE, PROT_READ, ANON | MAP_POPULATE));
    expect(frameAt(mm, readOnly)).toBe(1);
    assertMemorySane(memory);
  });
});

describe('munmap', () => {
  it('frees the pages of the range and splits the area around it', () => {
    const { mm, memory } = setUp();
    const address = touched(mm, 8);
    const free = memory.framesFree;
    plain(mm.munmap(address + 2 * PAGE_SIZE, 3 * PAGE_SIZE));
    expect(memory.framesFree).toBe(free + 3);
    expect(areas(mm)).toEqual([
      [address, 2],
      [address + 5 * PAGE_SIZE, 3],
    ]);
    expect(plain(mm.fault(address + 2 * PAGE_SIZE, false))).toBe(-EFAULT);
    assertMemorySane(memory);
  });

  it('gives every frame back at exit', () => {
    const { mm, memory } = setUp();
    const free = memory.framesFree;
    touched(mm, 40);
    plain(mm.mmap(4 * PAGE_SIZE, RW, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE));
    plain(mm.exit());
    expect(memory.framesFree).toBe(free);
    expect(mm.pageTable.tablesUsed).toBe(0);
    assertMemorySane(memory);
  });

  it('splits a huge mapping when only part of it goes', () => {
    const { mm, memory, vmstat, frames } = setUp();
    const address = anon(mm, 512);
    plain(mm.madvise(address, 2 * MIB, MADV_HUGEPAGE));
    plain(mm.write(address + 300 * PAGE_SIZE, Uint8Array.of(77)));
    const head = frameAt(mm, address);
    plain(mm.munmap(address, PAGE_SIZE));
    expect(vmstat.thpSplitPmd).toBe(1);
    expect([frames.refcount[head], frames.folioMapcount(head)]).toEqual([511, 511]);
    const into = new Uint8Array(1);
    plain(mm.read(address + 300 * PAGE_SIZE, into));
    expect(into[0]).toBe(77);
    assertMemorySane(memory);
    plain(mm.exit());
    assertMemorySane(memory);
  });
});

describe('mprotect and madvise', () => {
  it('takes the write permission away and gives it back with the same page (X-07)', () => {
    const { mm, memory } = setUp();
    const address = touched(mm, 3);
    const frame = frameAt(mm, address + PAGE_SIZE);
    plain(mm.mprotect(address + PAGE_SIZE, PAGE_SIZE, PROT_READ));
    expect(mm.vmas.all).toHaveLength(3);
    expect(plain(mm.write(address + PAGE_SIZE, Uint8Array.of(1)))).toBe(-EFAULT);
    plain(mm.mprotect(address + PAGE_SIZE, PAGE_SIZE, RW));
    expect(mm.vmas.all).toHaveLength(1);
    expect(plain(mm.write(address + PAGE_SIZE, Uint8Array.of(1)))).toBe(1);
    expect(frameAt(mm, address + PAGE_SIZE)).toBe(frame);
    assertMemorySane(memory);
  });

  it('makes memory unreachable with PROT_NONE and keeps its content', () => {
    const { mm } = setUp();
    const address = touched(mm, 1);
    const into = new Uint8Array(1);
    plain(mm.mprotect(address, PAGE_SIZE, PROT_NONE));
    expect(plain(mm.read(address, into))).toBe(-EFAULT);
    plain(mm.mprotect(address, PAGE_SIZE, PROT_READ));
    expect(plain(mm.read(address, into))).toBe(1);
    expect(into[0]).toBe(1);
  });

  it('reports holes', () => {
    const { mm } = setUp();
    const address = anon(mm, 3);
    plain(mm.munmap(address + PAGE_SIZE, PAGE_SIZE));
    expect(plain(mm.mprotect(address, 3 * PAGE_SIZE, PROT_READ))).toBe(-ENOMEM);
    expect(plain(mm.madvise(address, 3 * PAGE_SIZE, MADV_DONTNEED))).toBe(-ENOMEM);
    expect(plain(mm.madvise(address, PAGE_SIZE, 12345))).toBe(-EINVAL);
  });

  it('drops pages with MADV_DONTNEED; the next read sees zeros', () => {
    const { mm, memory } = setUp();
    const address = touched(mm, 1);
    plain(mm.madvise(address, PAGE_SIZE, MADV_DONTNEED));
    const into = Uint8Array.of(9);
    plain(mm.read(address, into));
    expect(into[0]).toBe(0);
    assertMemorySane(memory);
  });
});
