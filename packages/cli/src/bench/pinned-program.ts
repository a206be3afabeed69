/**
 * A program with one buffer, for the benchmarks of the memory manager: a machine's memory alone, without devices, ledger
 * `counts`. Every page of the buffer has been written once when `touch…` is done.
 */
import type { FrameTable, Mm, PinScheme, PinnedPages } from '@pincushion/mm';
import {
  FOLL_LONGTERM,
  FOLL_WRITE,
  MADV_HUGEPAGE,
  MAP_ANONYMOUS,
  MAP_PRIVATE,
  Memory,
  PAGE_SIZE,
  PROT_READ,
  PROT_WRITE,
  PinnedRanges,
  newPinnedPages,
} from '@pincushion/mm';
import type { MaySleep } from '@pincushion/sim';
import { PincushionError, World } from '@pincushion/sim';

const SIZE = PAGE_SIZE;
const FLAGS = FOLL_LONGTERM | FOLL_WRITE;
const HUGE_PAGES = 512;
/** What a machine needs besides the buffer: the reserved frames, and room for early copies if asked for. */
const SPARE_PAGES = 4096;

export interface ProgramOptions {
  /** Pages of the buffer; a multiple of 512 with `huge`. */
  readonly pages: number;
  /** The buffer consists of folios of 2 MiB. */
  readonly huge?: boolean;
  /** Further pages of RAM. */
  readonly morePages?: number;
  readonly scheme?: (frames: FrameTable) => PinScheme;
}

export class PinnedProgram {
  readonly mm: Mm;
  readonly pages: number;
  /** The first page of the buffer. */
  readonly buffer: number;
  private readonly memory: Memory;
  private readonly huge: boolean;
  private readonly owner: number;
  private readonly array: PinnedPages;
  private readonly ranges = new PinnedRanges();

  constructor({ pages, huge = false, morePages = 0, scheme }: ProgramOptions) {
    const ramBytes = (pages + morePages + SPARE_PAGES) * SIZE;
    this.memory = new Memory(new World(), {
      ramBytes,
      minFreeBytes: 0,
      ledger: 'counts',
      ...(scheme !== undefined && { scheme }),
    });
    this.mm = this.memory.createMm('bench');
    this.owner = this.memory.ledger.owner('bench');
    this.pages = pages;
    this.huge = huge;
    this.array = newPinnedPages(pages);
    this.buffer = done(this.mm.mmap(pages * SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS));
    if (huge) done(this.mm.madvise(this.buffer, pages * SIZE, MADV_HUGEPAGE));
  }

  /** Writes to each page in the order of addresses, so that neighbours lie in neighbouring frames. No content is kept. */
  touch(): void {
    const step = this.huge ? HUGE_PAGES : 1;
    for (let i = 0; i < this.pages; i += step) done(this.mm.fault(this.buffer + i * SIZE, true));
  }

  /** As `touch` in an order drawn at random, always the same: each page lies in a frame far from its neighbours'. */
  touchAtRandom(): void {
    const order = new Int32Array(this.pages);
    for (let i = 0; i < this.pages; i++) order[i] = i;
    let state = 1;
    for (let i = this.pages - 1; i > 0; i--) {
      state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
      const other = (state >> 4) % (i + 1);
      [order[i], order[other]] = [order[other], order[i]];
    }
    for (let i = 0; i < this.pages; i++) done(this.mm.fault(this.buffer + order[i] * SIZE, true));
  }

  /** Writes a byte to each page, so that each has content of its own. */
  write(): void {
    const byte = Uint8Array.of(1);
    for (let i = 0; i < this.pages; i++) done(this.mm.write(this.buffer + i * SIZE, byte));
  }

  pin(): void {
    const r = this.memory.gup.pinUserPagesFast(this.mm, this.buffer, this.pages, FLAGS, this.array, 0, this.owner);
    expectPages(r, this.pages);
  }

  unpin(): void {
    this.memory.gup.unpinUserPages(this.array, 0, this.pages);
  }

  /** Pins and unpins the buffer `times` times, all of it by one call each. */
  pinAndUnpin(times: number): void {
    for (let i = 0; i < times; i++) {
      this.pin();
      this.unpin();
    }
  }

  /** Pins and unpins the buffer `times` times in calls of `batch` pages, each unpinned before the next is pinned. */
  pinAndUnpinInBatches(batch: number, times: number): void {
    const { memory, mm, array, owner } = this;
    for (let time = 0; time < times; time++) {
      for (let i = 0; i < this.pages; i += batch) {
        const r = memory.gup.pinUserPagesFast(mm, this.buffer + i * SIZE, batch, FLAGS, array, 0, owner);
        expectPages(r, batch);
        memory.gup.unpinUserPages(array, 0, batch);
      }
    }
  }

  /** As `pinAndUnpin`, by ranges. */
  pinAndUnpinRanges(times: number): void {
    const { memory, mm, ranges, owner } = this;
    for (let i = 0; i < times; i++) {
      expectPages(memory.gup.pinUserPageRanges(mm, this.buffer, this.pages, FLAGS, ranges, owner), this.pages);
      memory.gup.unpinUserPageRanges(ranges);
    }
  }
}

/** The result of a call that has nothing to wait for. */
export function done(result: MaySleep): number {
  if (typeof result !== 'number')
    throw new PincushionError('INTERNAL', 'a call waits, and there is nothing to wait for');
  if (result < 0) throw new PincushionError('INTERNAL', 'a call failed', { errno: result });
  return result;
}

function expectPages(result: MaySleep, pages: number): void {
  if (done(result) !== pages) throw new PincushionError('INTERNAL', `not all of ${pages} pages were pinned`);
}
