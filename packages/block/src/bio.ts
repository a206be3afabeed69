/**
 * A bio: one block I/O on its way through the block layer, and what it knows about its pages.
 *
 * The data of a bio is one run of bytes over `pages[0 .. pageCount)`, starting `firstOffset` bytes into the first page. One
 * whose pieces leave gaps is `vectored`: each piece has its own offset and length (`bioVec`). Only a driver that asks for
 * such bios sees them (`virtBoundaryBytes: 0`); for all others they are split into runs.
 * `pageKind` says who gives the pages back and how (BIO_PAGE_PINNED; B-06: all pages of a bio are of one kind).
 * Bios are made by a pool and reused; all fields exist from the start, so that every bio has one shape.
 *
 * ```
 * children > 0   others must end before this one does: chained bios, or the parts it was split into (B-11, B-12)
 * first          a request: a bio of the block layer's own that carries adjacent bios, linked by `next`, to the driver
 * ```
 * Left out on purpose: integrity, encryption, zones, priorities.
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
/** Never merged with another bio. */
export const REQ_NOMERGE = 1 << 14;
/** The data is on stable media when the bio ends. */
export const REQ_FUA = 1 << 17;
/** The device's cache is flushed before the data is written. */
export const REQ_PREFLUSH = 1 << 18;
/** The submitter asks for completions itself (`bioPoll`). */
export const REQ_POLLED = 1 << 22;

/** How the pages of a bio are held: not by the bio, by a reference (get), or by a pin. */
export const BioPages = { none: 0, get: 1, pin: 2 } as const;
export type BioPages = (typeof BioPages)[keyof typeof BioPages];

/** Where a bio is in its life: in the pool, with its owner, with the driver, with its owner again; `waiting`: its own part
 * is over, it ends when its children have. */
export const BioState = { free: 0, filling: 1, submitted: 2, ended: 3, waiting: 4 } as const;
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

/** The device of a bio, for an error about it; also when it was freed already. */
export function deviceOf(bio: Bio): { device?: string } {
  const device = bio.disk === null ? bio.lastDiskName : bio.disk.name;
  return device === '' ? {} : { device };
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
  /** The pieces have gaps between them: `pieces` has offset and length of piece i at 2 * i and 2 * i + 1. */
  vectored = false;
  pieces: Int32Array | null = null;
  /** Called once, in whatever context the driver completes, usually hardirq (B-10). Must not sleep. */
  endIo: (bio: Bio) => undefined = ignoreEnd;
  /** The submitter's; the driver leaves it alone. */
  privateData = 0;
  /** The disk it was submitted to, until it is freed: a bio in its pool must not keep a removed device alive. */
  disk: Disk | null = null;
  /** The name of the disk it was freed from, for reports. */
  lastDiskName = '';
  submittedNs = 0;
  /** Bios that must end before this one does (__bi_remaining, less the bio itself). */
  children = 0;
  /** The bio that waits for the end of this one. */
  parent: Bio | null = null;
  /** A request: the bios it carries, in order of their sectors, and the link from each to the next. */
  first: Bio | null = null;
  last: Bio | null = null;
  next: Bio | null = null;
  /** The block layer's own while it works on a bio without its driver: steps of a flush, bytes begun. */
  progress = 0;
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
    if (this.pieces !== null && this.vectored) {
      return { page: this.pages[i] & FRAME_MASK, offset: this.pieces[2 * i], length: this.pieces[2 * i + 1] };
    }
    const offset = i === 0 ? this.firstOffset : 0;
    const before = i === 0 ? 0 : i * PAGE_SIZE - this.firstOffset;
    return {
      page: this.pages[i] & FRAME_MASK,
      offset,
      length: Math.min(PAGE_SIZE - offset, this.bytes - before),
    };
  }
}
