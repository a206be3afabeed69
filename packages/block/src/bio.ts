/**
 * A bio: one block I/O on its way through the block layer, and what it knows about its pages.
 *
 * The data of a bio is one run of bytes over `pages[0 .. pageCount)`, starting `firstOffset` bytes into the first page.
 * `pageKind` says who gives the pages back and how (B-06: all pages of a bio are of one kind).
 * Bios are made by a pool and reused; all fields exist from the start, so that every bio has one shape.
 * Left out on purpose: chains and splits (B-11, B-12), integrity, encryption.
 * Source: Linux 6.18 include/linux/blk_types.h (struct bio, enum req_op), block/bio.c.
 */
import { FRAME_MASK, PAGE_SIZE } from '@pincushion/mm';
import type { Memory } from '@pincushion/mm';
import type { CallTrace, Tracepoint } from '@pincushion/sim';
import type { Disk } from './disk';

/** What the bio asks for; numbers as in enum req_op. */
export const BioOp = { read: 0, write: 1, flush: 2, discard: 3, writeZeroes: 9 } as const;
export type BioOp = (typeof BioOp)[keyof typeof BioOp];

/** `read`, `write`, …; the number of an operation nobody defined. */
export function opName(op: number): string {
  for (const [name, number] of Object.entries(BioOp)) if (number === op) return name;
  return `op ${op}`;
}

/** Flags beside the operation; bit numbers as in enum req_flag_bits. */
export const REQ_SYNC = 1 << 11;
export const REQ_FUA = 1 << 17;

/** How the pages of a bio are held: not by the bio, by a reference (get), or by a pin. */
export const BioPages = { none: 0, get: 1, pin: 2 } as const;
export type BioPages = (typeof BioPages)[keyof typeof BioPages];

/** Where a bio is in its life: in the pool, with its owner, with the driver, with its owner again. */
export const BioState = { free: 0, filling: 1, submitted: 2, ended: 3 } as const;
export type BioState = (typeof BioState)[keyof typeof BioState];

export interface BioVec {
  /** Frame number. */
  page: number;
  /** Bytes into the page. */
  offset: number;
  /** Bytes. */
  length: number;
}

/** Where a bio comes from and goes back to: its pool. */
export interface BioOwner {
  readonly memory: Memory;
  /** Take call sites: the ledger's mode is full. */
  readonly withSites: boolean;
  readonly onSubmit: Tracepoint;
  readonly onComplete: Tracepoint;
  free(bio: Bio): void;
  /** Ends a bio that was refused at submission, from an event of its own. */
  endLater(bio: Bio, status: number): void;
  /** Dirties and gives back the pages of an ended read in task context, then frees the bio (B-09). */
  dirtyLater(bio: Bio): void;
}

/** The initial `endIo`: nobody asked to be told. */
export function ignoreEnd(_bio: Bio): undefined {
  return undefined;
}

export class Bio {
  /** Fresh for every allocation, unique in the machine: the flow id of traces. An int32, so it recurs after long runs. */
  id = 0;
  op: number = BioOp.read;
  flags = 0;
  /** First sector, in units of 512 bytes. */
  sector = 0;
  /** Bytes of data, or of the range that a discard or write-zeroes covers. */
  bytes = 0;
  /** CPU that submitted; a driver chooses its queue by it. */
  cpu = 0;
  /** BlkStatus, valid once ended. */
  status = 0;
  state: number = BioState.free;
  pageKind: number = BioPages.none;
  /** Entries as mm gave them: PinnedPages when `pageKind` is pin, GottenPages when it is get. */
  readonly pages: Int32Array;
  pageCount = 0;
  /** Bytes into pages[0] where the data starts. */
  firstOffset = 0;
  /** Called once, in whatever context the driver completes, usually hardirq (B-10). Must not sleep. */
  endIo: (bio: Bio) => undefined = ignoreEnd;
  /** The submitter's; the driver leaves it alone. */
  privateData = 0;
  disk: Disk | null = null;
  submittedNs = 0;
  /** Call sites of submission and of the end; filled only with the ledger in mode full. */
  submitTrace: CallTrace | null = null;
  endTrace: CallTrace | null = null;
  /** The driver's own while the bio is submitted: address of the mapping, tag or command id, attempts, anything else. */
  iova = 0;
  cid = 0;
  retries = 0;
  driverData = 0;

  /** Made by a pool. @param index in the pool @param maxPages the most pages this bio can carry */
  constructor(
    readonly owner: BioOwner,
    readonly index: number,
    readonly maxPages: number,
  ) {
    this.pages = new Int32Array(maxPages);
  }

  /** Sectors of 512 bytes that the bio covers. */
  get sectors(): number {
    return this.bytes / 512;
  }

  /** True when the device writes memory. */
  get toMemory(): boolean {
    return this.op === BioOp.read;
  }

  /** Piece `i` of the data, one page at most (bvec_iter). Allocates: not for hot paths, which read the fields. */
  bioVec(i: number): BioVec {
    const offset = i === 0 ? this.firstOffset : 0;
    const before = i === 0 ? 0 : i * PAGE_SIZE - this.firstOffset;
    return {
      page: this.pages[i] & FRAME_MASK,
      offset,
      length: Math.min(PAGE_SIZE - offset, this.bytes - before),
    };
  }
}
