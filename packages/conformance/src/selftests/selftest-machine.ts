/**
 * A fresh machine for one row of a self-test table: memory, the parent process, and what the kernel's tests do to them.
 *
 * Areas lie 1 GiB apart, so that huge pages of every size fit. Content is read and compared page by page, in whole pages; of
 * areas above 2 MiB the first and some pages spread over the area stand for all.
 */
import { openedAtOnce } from '@pincushion/fs';
import type { FileSystem } from '@pincushion/fs';
import {
  FOLL_LONGTERM,
  FOLL_WRITE,
  MADV_HUGEPAGE,
  MAP_FIXED,
  Memory,
  PAGE_SIZE,
  PROT_READ,
  PROT_WRITE,
  Pipe,
  clearSoftDirty,
  frameOf,
  linux618,
  newHugetlbFile,
  newPinnedPages,
  newShmemFile,
} from '@pincushion/mm';
import type { KernelProfile, MappableFile, Mm, PinnedPages, VmaBacking } from '@pincushion/mm';
import { World, errnoName } from '@pincushion/sim';
import type { MaySleep } from '@pincushion/sim';
import { mountDisk } from '../machine-set-up';

const MIB = 1 << 20;
const GIB = 2 ** 30;
const FIRST_AREA = 0x10000000000;
const HUGETLB_2M = 9;
const HUGETLB_1G = 18;
/** What a pipe has room for. */
export const PIPE_BYTES = 16 * PAGE_SIZE;
/** Pages that stand for an area of more than 2 MiB, beside those that a pipe would hold. */
const SAMPLED_PAGES = 9;

/** Something a row needs did not happen. Becomes a disagreement. */
export class SelftestFailure extends Error {}

/** User memory of one process. */
export interface Range {
  readonly start: number;
  readonly bytes: number;
}

/** Pages that a device may use without asking the page tables. */
export interface Pin {
  readonly pages: PinnedPages;
}

export class SelftestMachine {
  readonly world = new World();
  readonly memory: Memory;
  readonly parent: Mm;
  private areas = 0;
  private fileSystem: FileSystem | null = null;

  /** `largestPage`: bytes of the largest page that the row is about. `profile`: the kernel it is run on. */
  constructor(largestPage: number, profile: KernelProfile = linux618) {
    const isGigantic = largestPage > 2 * MIB;
    this.memory = new Memory(this.world, {
      ramBytes: isGigantic ? 6 * GIB : 96 * MIB,
      swapBytes: 32 * MIB,
      hugetlb: isGigantic ? { [HUGETLB_1G]: 4 } : { [HUGETLB_2M]: 8 },
      profile,
      name: 'self-test machine',
    });
    this.parent = this.memory.createMm('parent');
  }

  /** Runs a call that may sleep to its end. */
  settle(result: MaySleep): number {
    return this.world.settle(result);
  }

  /** As `settle`, and a failure ends the row. */
  demand(what: string, result: MaySleep): number {
    const value = this.settle(result);
    if (value < 0) throw new SelftestFailure(`${what} failed with ${errnoName(value)}`);
    return value;
  }

  /** Maps memory at a place of its own; `flags` without MAP_FIXED. */
  map(bytes: number, flags: number, backing?: VmaBacking, prot = PROT_READ | PROT_WRITE): Range {
    const start = FIRST_AREA + this.areas++ * 2 * GIB;
    this.demand('mmap', this.parent.mmap(bytes, prot, flags | MAP_FIXED, start, backing));
    return { start, bytes };
  }

  /** Only this size of huge page may be given to anonymous memory that asks for one, and this area asks. */
  wantHugePages(range: Range, pageBytes: number): void {
    this.memory.thpOrders.always = 0;
    this.memory.thpOrders.madvise = pageBytes / PAGE_SIZE; // Bit n is order n.
    this.demand('MADV_HUGEPAGE', this.parent.madvise(range.start, range.bytes, MADV_HUGEPAGE));
  }

  file(kind: 'memfd' | 'ext4', bytes: number): MappableFile {
    const file =
      kind === 'memfd'
        ? newShmemFile(this.memory, 'memfd', bytes)
        : openedAtOnce((this.fileSystem ??= mountDisk(this.memory)).create('file'));
    const made = typeof file === 'number' ? this.demand('creating a file', file) : 0;
    if (typeof file === 'number') throw new SelftestFailure(`no file: ${made}`);
    this.demand('ftruncate', file.truncate(bytes));
    return file;
  }

  hugetlbFile(bytes: number): MappableFile {
    const file = newHugetlbFile(this.memory, 'memfd', bytes, bytes === GIB ? HUGETLB_1G : HUGETLB_2M);
    if (typeof file === 'number') throw new SelftestFailure(`memfd_create failed with ${errnoName(file)}`);
    return file;
  }

  // ---- content ---------------------------------------------------------------------------------------------------------

  /** The pages of a range that are looked at, as indices. */
  private looked(bytes: number): readonly number[] {
    const pages = bytes / PAGE_SIZE;
    if (bytes <= 2 * MIB) return Array.from({ length: pages }, (_, i) => i);
    const spread = Array.from({ length: SAMPLED_PAGES }, (_, i) => Math.floor(((i + 1) * (pages - 1)) / SAMPLED_PAGES));
    return [...this.looked(PIPE_BYTES), ...spread];
  }

  /** The process overwrites all of the range. */
  fill(mm: Mm, { start, bytes }: Range, value: number): void {
    const page = new Uint8Array(PAGE_SIZE).fill(value);
    for (const i of this.looked(bytes)) {
      const wrote = this.demand('writing', mm.write(start + i * PAGE_SIZE, page));
      if (wrote !== PAGE_SIZE) throw new SelftestFailure(`writing page ${i} ended after ${wrote} bytes`);
    }
  }

  /** What the process sees. */
  copyOf(mm: Mm, { start, bytes }: Range): Uint8Array {
    const pages = this.looked(bytes);
    const seen = new Uint8Array(pages.length * PAGE_SIZE);
    for (const [at, i] of pages.entries()) {
      this.demand('reading', mm.read(start + i * PAGE_SIZE, seen, at * PAGE_SIZE, PAGE_SIZE));
    }
    return seen;
  }

  /** What a device sees through a pin. */
  throughPin(pin: Pin): Uint8Array {
    const pages = this.looked(pin.pages.length * PAGE_SIZE);
    const seen = new Uint8Array(pages.length * PAGE_SIZE);
    for (const [at, i] of pages.entries()) {
      this.memory.bytes.read(frameOf(pin.pages[i]), 0, seen, at * PAGE_SIZE, PAGE_SIZE);
    }
    return seen;
  }

  // ---- what the tests do -----------------------------------------------------------------------------------------------

  fork(mm = this.parent): Mm {
    const child = mm.fork('child');
    if (typeof child === 'number') throw new SelftestFailure(`fork failed with ${errnoName(child)}`);
    return child;
  }

  exit(mm: Mm): void {
    this.demand('exit', mm.exit());
  }

  unmap(mm: Mm, { start, bytes }: Range): void {
    this.demand('munmap', mm.munmap(start, bytes));
  }

  advise(mm: Mm, { start, bytes }: Range, advice: number): void {
    this.demand(`madvise ${advice}`, mm.madvise(start, bytes, advice));
  }

  protect(mm: Mm, { start, bytes }: Range, prot: number): void {
    this.demand('mprotect', mm.mprotect(start, bytes, prot));
  }

  /**
   * Read-only and writable again. With `untilWritten` soft-dirty tracking begins between, which keeps mprotect from mapping
   * exclusive pages writable at once: the next write takes a fault.
   */
  readOnlyAndBack(mm: Mm, range: Range, untilWritten: boolean): void {
    this.protect(mm, range, PROT_READ);
    if (untilWritten) clearSoftDirty(mm);
    this.protect(mm, range, PROT_READ | PROT_WRITE);
  }

  /** A long-term pin of the range by the parent; the errno when it is refused. */
  pin({ start, bytes }: Range, options: { write: boolean; fast: boolean }): Pin | number {
    const pages = newPinnedPages(bytes / PAGE_SIZE);
    const { gup, ledger } = this.memory;
    const flags = FOLL_LONGTERM | (options.write ? FOLL_WRITE : 0);
    const owner = ledger.owner('device');
    const got = this.settle(
      options.fast
        ? gup.pinUserPagesFast(this.parent, start, pages.length, flags, pages, 0, owner)
        : gup.pinUserPages(this.parent, start, pages.length, flags, pages, 0, owner),
    );
    if (got < 0) return got;
    if (got === pages.length) return { pages };
    gup.unpinUserPages(pages, 0, got);
    throw new SelftestFailure(`only ${got} of ${pages.length} pages were pinned`);
  }

  /** vmsplice of the range; as much as a pipe has room for. */
  splice(mm: Mm, { start, bytes }: Range): { readonly pipe: Pipe; readonly bytes: number } {
    const pipe = new Pipe(this.memory);
    return { pipe, bytes: this.demand('vmsplice', pipe.vmsplice(mm, start, bytes)) };
  }

  drain({ pipe, bytes }: { readonly pipe: Pipe; readonly bytes: number }): Uint8Array {
    const seen = new Uint8Array(bytes);
    if (pipe.read(seen) !== bytes) throw new SelftestFailure('the pipe lost bytes');
    return seen;
  }
}
