import { EBUSY, EFAULT, EHWPOISON, EINVAL, ENOMEM } from '@pincushion/sim';
import {
  FOLL_LONGTERM,
  FOLL_WRITE,
  MLOCK_ONFAULT,
  MS_ASYNC,
  MS_INVALIDATE,
  MS_SYNC,
  MAP_PRIVATE,
  MAP_SHARED,
  PAGE_SIZE,
  PG_anon,
  PG_dirty,
  PG_hwpoison,
  PG_mlocked,
  PG_swapbacked,
  PROT_READ,
  PTE_DIRTY,
  PTE_UFFD_WP,
  PTE_WRITE,
  indexOf,
  newPinnedPages,
  newShmemFile,
  regionOf,
  uffdRegisterWp,
  uffdWriteprotect,
} from '../src/index';
import type { Mm, ShmemFile } from '../src/index';
import { MIB, RW, assertMemorySane, frameAt, plain, setUp } from './machine-memory';

const BIG = 0x10000000000;

function bitsAt(mm: Mm, address: number): number {
  return mm.pageTable.flagsAt(regionOf(address), indexOf(address));
}

/** A file of `pages` pages, page k full of k + 1. */
function filled(pages: number) {
  const machine = setUp();
  const file = newShmemFile(machine.memory, 'memfd', 0);
  for (let k = 0; k < pages; k++) writePage(file, k, k + 1);
  return { ...machine, file };
}

function writePage(file: ShmemFile, page: number, byte: number): void {
  expect(plain(file.write(page * PAGE_SIZE, new Uint8Array(PAGE_SIZE).fill(byte), 0, PAGE_SIZE))).toBe(PAGE_SIZE);
}

function byteOf(file: ShmemFile, position: number): number {
  const byte = new Uint8Array(1);
  expect(plain(file.read(position, byte, 0, 1))).toBe(1);
  return byte[0];
}

function load(mm: Mm, address: number): number {
  const byte = new Uint8Array(1);
  expect(plain(mm.read(address, byte))).toBe(1);
  return byte[0];
}

describe('shared memory', () => {
  it('reads back what was written, across pages, and ends at its size', () => {
    const { file } = filled(2);
    const into = new Uint8Array(8);
    expect(plain(file.read(PAGE_SIZE - 4, into, 0, 8))).toBe(8);
    expect([...into]).toEqual([1, 1, 1, 1, 2, 2, 2, 2]);
    expect(plain(file.read(2 * PAGE_SIZE - 3, into, 0, 8))).toBe(3);
    expect(plain(file.read(2 * PAGE_SIZE, into, 0, 8))).toBe(0);
  });

  it('reads holes as zeros without making pages (shmem_file_read_iter)', () => {
    const { memory } = setUp();
    const file = newShmemFile(memory, 'tmpfs', 4 * PAGE_SIZE);
    const free = memory.framesFree;
    expect(byteOf(file, PAGE_SIZE)).toBe(0);
    expect(memory.framesFree).toBe(free);
  });

  it('keeps a page of a shared mapping and read(2) the same memory', () => {
    const { mm, file } = filled(1);
    plain(mm.mmap(PAGE_SIZE, RW, MAP_SHARED, BIG, file.backing));
    const address = mm.vmas.all[0].start;
    expect(load(mm, address)).toBe(1);
    plain(mm.write(address, Uint8Array.of(9)));
    expect(byteOf(file, 0)).toBe(9);
    writePage(file, 0, 5);
    expect(load(mm, address)).toBe(5);
  });

  it('maps around a read fault: what is cached in the aligned 64 KiB, dirty pages dirty (fact 28)', () => {
    const { mm, memory, file } = filled(40);
    const address = plain(mm.mmap(40 * PAGE_SIZE, RW, MAP_SHARED, BIG, file.backing));
    plain(mm.fault(address + 20 * PAGE_SIZE, false));
    const mapped = [...Array(40).keys()].filter((k) => frameAt(mm, address + k * PAGE_SIZE) !== 0);
    expect(mapped).toEqual([...Array(16).keys()].map((k) => 16 + k));
    expect(bitsAt(mm, address + 17 * PAGE_SIZE) & (PTE_WRITE | PTE_DIRTY)).toBe(PTE_WRITE | PTE_DIRTY);
    assertMemorySane(memory);
  });

  it('maps a clean page writable and clean, and one page only for a write fault (fact 28)', () => {
    const { mm, memory } = setUp();
    const file = newShmemFile(memory, 'tmpfs', 4 * PAGE_SIZE);
    const address = plain(mm.mmap(4 * PAGE_SIZE, RW, MAP_SHARED, BIG, file.backing));
    plain(mm.fault(address, false));
    expect(bitsAt(mm, address) & (PTE_WRITE | PTE_DIRTY)).toBe(PTE_WRITE);
    plain(mm.fault(address + PAGE_SIZE, true));
    expect(bitsAt(mm, address + PAGE_SIZE) & (PTE_WRITE | PTE_DIRTY)).toBe(PTE_WRITE | PTE_DIRTY);
    expect(frameAt(mm, address + 2 * PAGE_SIZE)).toBe(0);
    assertMemorySane(memory);
  });

  it('dirties a page at a write fault at once, and after a write without fault when it is unmapped', () => {
    const { mm, memory, frames } = setUp();
    const file = newShmemFile(memory, 'tmpfs', 2 * PAGE_SIZE);
    const address = plain(mm.mmap(2 * PAGE_SIZE, RW, MAP_SHARED, BIG, file.backing));
    plain(mm.fault(address, true));
    expect(frames.flags[frameAt(mm, address)] & PG_dirty).toBe(PG_dirty);
    plain(mm.fault(address + PAGE_SIZE, false));
    plain(mm.write(address + PAGE_SIZE, Uint8Array.of(1)));
    const pfn = frameAt(mm, address + PAGE_SIZE);
    expect(frames.flags[pfn] & PG_dirty).toBe(0);
    plain(mm.munmap(address, 2 * PAGE_SIZE));
    expect(frames.flags[pfn] & PG_dirty).toBe(PG_dirty);
  });

  it('gives a private mapping the page itself to read and a copy to write', () => {
    const { mm, memory, frames, file } = filled(1);
    const address = plain(mm.mmap(PAGE_SIZE, RW, MAP_PRIVATE, BIG, file.backing));
    expect(load(mm, address)).toBe(1);
    const page = frameAt(mm, address);
    expect(frames.flags[page] & (PG_anon | PG_swapbacked)).toBe(PG_swapbacked);
    expect(bitsAt(mm, address) & PTE_WRITE).toBe(0);
    plain(mm.write(address, Uint8Array.of(8)));
    expect(frameAt(mm, address)).not.toBe(page);
    expect(frames.flags[frameAt(mm, address)] & PG_anon).toBe(PG_anon);
    expect(byteOf(file, 0)).toBe(1);
    expect([frames.refcount[page], frames.mapcount[page]]).toEqual([1, 0]);
    assertMemorySane(memory);
  });

  it('raises SIGBUS behind the end, and may be pinned for long up to there (V-06, fact 11)', () => {
    const { mm, gup, owner, file } = filled(2);
    const address = plain(mm.mmap(4 * PAGE_SIZE, RW, MAP_SHARED, BIG, file.backing));
    expect(plain(mm.read(address + 2 * PAGE_SIZE, new Uint8Array(1)))).toBe(-EFAULT);
    const pages = newPinnedPages(4);
    expect(plain(gup.pinUserPagesFast(mm, address, 4, FOLL_WRITE | FOLL_LONGTERM, pages, 0, owner))).toBe(2);
    gup.unpinUserPages(pages, 0, 2);
  });

  it('makes the pages of a long-term pin outside of ZONE_MOVABLE from the start (L-01)', () => {
    const { mm, memory, gup, owner, vmstat } = setUp({ movableBytes: 16 * MIB });
    const file = newShmemFile(memory, 'memfd', 2 * PAGE_SIZE);
    const address = plain(mm.mmap(2 * PAGE_SIZE, RW, MAP_SHARED, BIG, file.backing));
    plain(mm.fault(address, true));
    expect(memory.zoneOf(frameAt(mm, address))?.name).toBe('Movable');
    const pages = newPinnedPages(1);
    const flags = FOLL_WRITE | FOLL_LONGTERM;
    expect(plain(gup.pinUserPagesFast(mm, address + PAGE_SIZE, 1, flags, pages, 0, owner))).toBe(1);
    expect(memory.zoneOf(frameAt(mm, address + PAGE_SIZE))?.name).not.toBe('Movable');
    expect(vmstat.pgmigrateSuccess).toBe(0);
    gup.unpinUserPages(pages, 0, 1);
  });

  it('frees its pages with the last user, be it the descriptor or a mapping', () => {
    const { mm, memory, file } = filled(3);
    const address = plain(mm.mmap(3 * PAGE_SIZE, RW, MAP_SHARED, BIG, file.backing));
    file.close();
    expect(load(mm, address)).toBe(1);
    const free = memory.framesFree;
    plain(mm.munmap(address, 3 * PAGE_SIZE));
    expect(memory.framesFree).toBe(free + 3);
    assertMemorySane(memory);
  });
});

describe('faults on areas with a special wish', () => {
  it('leave out fault-around for userfaultfd, and notice the write to a page that was protected before it came', () => {
    const { mm, memory, file } = filled(4);
    const address = plain(mm.mmap(4 * PAGE_SIZE, RW, MAP_SHARED, BIG, file.backing));
    expect(uffdRegisterWp(mm, address, address + 4 * PAGE_SIZE)).toBe(0);
    expect(uffdWriteprotect(mm, address, address + PAGE_SIZE, true)).toBe(0);
    plain(mm.fault(address, false));
    expect(frameAt(mm, address + PAGE_SIZE)).toBe(0);
    expect(bitsAt(mm, address) & (PTE_UFFD_WP | PTE_WRITE)).toBe(PTE_UFFD_WP);
    plain(mm.write(address, Uint8Array.of(3)));
    expect(bitsAt(mm, address) & (PTE_UFFD_WP | PTE_WRITE)).toBe(PTE_WRITE);
    assertMemorySane(memory);
  });

  it('lock the pages that they map around in an mlocked area', () => {
    const { mm, memory, frames, file } = filled(4);
    const address = plain(mm.mmap(4 * PAGE_SIZE, RW, MAP_SHARED, BIG, file.backing));
    expect(plain(mm.mlock(address, 4 * PAGE_SIZE, MLOCK_ONFAULT))).toBe(0);
    plain(mm.fault(address, false));
    expect(frames.flags[frameAt(mm, address + 3 * PAGE_SIZE)] & PG_mlocked).toBe(PG_mlocked);
    plain(mm.munmap(address, 4 * PAGE_SIZE));
    expect(frames.flags[file.mapping.pages.get(3) as number] & PG_mlocked).toBe(0);
    assertMemorySane(memory);
  });

  it('end with -EHWPOISON at a poisoned page, and fault-around leaves it out', () => {
    const { mm, frames, file } = filled(2);
    frames.flags[file.mapping.pages.get(1) as number] |= PG_hwpoison;
    const address = plain(mm.mmap(2 * PAGE_SIZE, RW, MAP_SHARED, BIG, file.backing));
    plain(mm.fault(address, false));
    expect(frameAt(mm, address + PAGE_SIZE)).toBe(0);
    expect(plain(mm.fault(address + PAGE_SIZE, false))).toBe(-EHWPOISON);
  });

  it('sync both sides of a hole with msync, which says -ENOMEM at the end', () => {
    const { mm, file } = filled(3);
    const address = plain(mm.mmap(3 * PAGE_SIZE, RW, MAP_SHARED, BIG, file.backing));
    expect(plain(mm.msync(address, 3 * PAGE_SIZE))).toBe(0);
    plain(mm.munmap(address + PAGE_SIZE, PAGE_SIZE));
    expect(plain(mm.msync(address, 3 * PAGE_SIZE))).toBe(-ENOMEM);
    expect(plain(mm.msync(address, PAGE_SIZE, MS_SYNC | MS_ASYNC))).toBe(-EINVAL);
    plain(mm.mlock(address, PAGE_SIZE));
    expect(plain(mm.msync(address, PAGE_SIZE, MS_SYNC | MS_INVALIDATE))).toBe(-EBUSY);
  });
});

describe('truncation of shared memory', () => {
  it('takes pinned pages away without waiting: the device goes on with a page without file (fact 18)', () => {
    const { mm, memory, frames, gup, owner, file } = filled(2);
    const address = plain(mm.mmap(2 * PAGE_SIZE, RW, MAP_SHARED, BIG, file.backing));
    const pages = newPinnedPages(1);
    expect(plain(gup.pinUserPagesFast(mm, address, 1, FOLL_WRITE | FOLL_LONGTERM, pages, 0, owner))).toBe(1);
    const pfn = frameAt(mm, address);
    expect(plain(file.truncate(0))).toBe(0);
    expect([frames.refcount[pfn], frames.mapcount[pfn], frames.mapping[pfn]]).toEqual([1024, 0, 0]);
    expect(frames.flags[pfn] & PG_dirty).toBe(0);
    expect(plain(file.truncate(2 * PAGE_SIZE))).toBe(0);
    expect(load(mm, address)).toBe(0);
    expect(frameAt(mm, address)).not.toBe(pfn);
    gup.unpinUserPages(pages, 0, 1);
    assertMemorySane(memory);
  });

  it('takes private copies behind the new end, but a hole leaves them (fact 18)', () => {
    const { mm, memory, file } = filled(4);
    const address = plain(mm.mmap(4 * PAGE_SIZE, RW, MAP_PRIVATE, BIG, file.backing));
    for (let k = 0; k < 4; k++) plain(mm.write(address + k * PAGE_SIZE, Uint8Array.of(50 + k)));
    expect(plain(file.punchHole(0, 2 * PAGE_SIZE))).toBe(0);
    expect([load(mm, address), load(mm, address + PAGE_SIZE)]).toEqual([50, 51]);
    expect(plain(file.truncate(3 * PAGE_SIZE))).toBe(0);
    expect(load(mm, address + 2 * PAGE_SIZE)).toBe(52);
    expect(plain(mm.read(address + 3 * PAGE_SIZE, new Uint8Array(1)))).toBe(-EFAULT);
    assertMemorySane(memory);
  });

  it('zeroes the part of the last page behind the end, and parts of pages at the ends of a hole', () => {
    const { file } = filled(3);
    expect(plain(file.truncate(PAGE_SIZE + 10))).toBe(0);
    expect(plain(file.truncate(3 * PAGE_SIZE))).toBe(0);
    expect([byteOf(file, PAGE_SIZE + 9), byteOf(file, PAGE_SIZE + 10)]).toEqual([2, 0]);
    writePage(file, 0, 7);
    expect(plain(file.punchHole(100, 50))).toBe(0);
    expect([99, 100, 149, 150].map((at) => byteOf(file, at))).toEqual([7, 0, 0, 7]);
    expect(plain(file.punchHole(PAGE_SIZE - 1, 2))).toBe(0);
    expect([byteOf(file, PAGE_SIZE - 2), byteOf(file, PAGE_SIZE - 1), byteOf(file, PAGE_SIZE)]).toEqual([7, 0, 0]);
  });

  it('refuses impossible ranges', () => {
    const { file } = filled(1);
    expect([plain(file.truncate(-1)), plain(file.punchHole(0, 0)), plain(file.punchHole(-1, 5))]).toEqual([
      -EINVAL,
      -EINVAL,
      -EINVAL,
    ]);
  });

  it('forgets pages of a read-only mapping, too', () => {
    const { mm, memory, file } = filled(2);
    const address = plain(mm.mmap(2 * PAGE_SIZE, PROT_READ, MAP_SHARED, BIG, file.backing));
    expect(load(mm, address)).toBe(1);
    expect(plain(file.truncate(PAGE_SIZE))).toBe(0);
    expect(frameAt(mm, address + PAGE_SIZE)).toBe(0);
    expect(frameAt(mm, address)).not.toBe(0);
    assertMemorySane(memory);
  });
});
