/**
 * References of the full ledger: which call holds a pin or a get of which frame.
 *
 * A call that takes references is a batch, an object. A frame that one batch holds once, which is nearly always so, is one
 * word: the batch's id. A frame with several references has a chain of records instead. So a call over 131,072 pages costs
 * a load and a store per page, and a release two stores, the second of which remembers who gave the frame back last.
 */
import type { CallTrace } from '@pincushion/sim';
import type { Mm } from '../process/mm';
import { PAGE_SIZE } from '../frames/page-size';
import { RecordChains } from './record-chains';
import { FRAME_MASK } from '../gup/user-page';

const MASK = FRAME_MASK;
/** Instead of a batch id: the frame has a chain. */
const CHAINED = -1;
/** How many ended batches are remembered, so that a release or an access that comes too late can name them. */
const GONE_KEPT = 1 << 13;

export type ReferenceKind = 'pin' | 'get';

/** One call that took references. */
export class ReferenceBatch {
  /** Its number in the table, > 0; used again after it has ended. */
  id = 0;
  /** The device domain whose mapping through this pin was undone last; -1 for none. */
  mappedBy = -1;
  /** Pages mapped for devices through this pin now. */
  linked = 0;
  /** A device has written through this pin. */
  isWritten = false;
  /** Where the search for a page's address goes on. */
  private hint = 0;

  /**
   * @param handle what the caller got its pages in: the array, or the ranges @param pages the array with the pages
   * `pages[from…from+left-1]` @param mm whose memory it is, null when that is not known @param start address of the first
   * page @param left pages not yet given back
   */
  constructor(
    readonly kind: ReferenceKind,
    readonly owner: number,
    readonly flags: number,
    readonly sinceNs: number,
    readonly trace: CallTrace,
    readonly handle: object,
    readonly pages: Int32Array,
    readonly from: number,
    public left: number,
    readonly mm: Mm | null,
    readonly start: number,
  ) {
    this.count = left;
  }

  private readonly count: number;

  /**
   * The user address that `frame` was pinned at, or -1 when that is not known: without an mm, or when the caller has used
   * the array for something else. Neighbours are found at once.
   */
  addressOf(frame: number): number {
    const { pages, from, count } = this;
    if (this.mm === null) return -1;
    for (let k = 0, i = this.hint; k < count; k++, i++) {
      if (i >= count) i = 0;
      if ((pages[from + i] & MASK) !== frame) continue;
      this.hint = i + 1;
      return this.start + i * PAGE_SIZE;
    }
    return -1;
  }
}

/** A batch, or a part of it, that was given back. */
export interface Gone {
  readonly id: number;
  readonly batch: ReferenceBatch;
  readonly atNs: number;
  readonly trace: CallTrace;
  /** When, in steps of the table. */
  readonly tick: number;
  /** The device domain that had the page mapped through this pin last; -1 for none. */
  domain: number;
}

export class ReferenceTable {
  private readonly holder: Int32Array;
  private readonly chains: RecordChains<ReferenceBatch>;
  private readonly goneOf: Int32Array;
  /** When a frame was freed last, in steps of the table. */
  private readonly freedAt: Int32Array;
  /** Frames that a device has written since they were pinned or marked dirty. */
  private readonly written: Uint8Array;
  private readonly gone: (Gone | undefined)[] = [];
  private goneMade = 0;
  private ticks = 0;

  constructor(frameCount: number) {
    this.holder = new Int32Array(frameCount);
    this.chains = new RecordChains(frameCount);
    this.goneOf = new Int32Array(frameCount);
    this.freedAt = new Int32Array(frameCount);
    this.written = new Uint8Array(frameCount);
  }

  /** Enters the references `pages[from…from+n-1]` of one call. */
  add(batch: ReferenceBatch, from: number, n: number): void {
    const { holder } = this;
    const { pages } = batch;
    const id = this.chains.addBatch(batch);
    batch.id = id;
    const end = from + n;
    for (let i = from; i < end; i++) {
      const frame = pages[i] & MASK;
      if (holder[frame] === 0) holder[frame] = id;
      else this.addToChain(frame, id);
    }
  }

  /**
   * Ends the references of `pages[from…end-1]` as long as `batch` is the only holder; where that ends. They are remembered
   * as `goneId`. The count of the batch is the caller's.
   */
  dropRow(batch: ReferenceBatch, pages: Int32Array, from: number, end: number, goneId: number): number {
    const { holder, goneOf } = this;
    const { id } = batch;
    let i = from;
    for (; i < end; i++) {
      const frame = pages[i] & MASK;
      if (holder[frame] !== id) break;
      holder[frame] = 0;
      goneOf[frame] = goneId;
    }
    return i;
  }

  /** Ends one reference that `batch` has of `frame`. The count of the batch is the caller's. */
  drop(batch: ReferenceBatch, frame: number, goneId: number): void {
    this.goneOf[frame] = goneId;
    if (this.holder[frame] !== CHAINED) {
      this.holder[frame] = 0;
      return;
    }
    const { chains } = this;
    let record = chains.first(frame);
    while (chains.batchId(record) !== batch.id) record = chains.next(record);
    chains.remove(frame, record);
    if (chains.first(frame) === 0) this.holder[frame] = 0;
  }

  /** Forgets a batch of which nothing is left. */
  end(batch: ReferenceBatch): void {
    this.chains.removeBatchWith(batch.id);
  }

  /** The only holder of a frame; null for none or several. */
  soleHolder(frame: number): ReferenceBatch | null {
    const id = this.holder[frame];
    return id > 0 ? this.chains.batchWith(id) : null;
  }

  isHeld(frame: number): boolean {
    return this.holder[frame] !== 0;
  }

  /** Who holds a frame, the newest first, once for each reference. */
  holdersOf(frame: number): ReferenceBatch[] {
    const id = this.holder[frame];
    if (id === 0) return [];
    if (id !== CHAINED) return [this.chains.batchWith(id)];
    const found: ReferenceBatch[] = [];
    for (let r = this.chains.first(frame); r !== 0; r = this.chains.next(r)) found.push(this.chains.batch(r));
    return found;
  }

  /** The reference of that kind that was taken with `handle`, or the newest of that kind; null for none. */
  find(frame: number, kind: ReferenceKind, handle: object): ReferenceBatch | null {
    const sole = this.soleHolder(frame);
    if (sole !== null) return sole.kind === kind ? sole : null;
    let newest: ReferenceBatch | null = null;
    for (const batch of this.holdersOf(frame)) {
      if (batch.kind !== kind) continue;
      if (batch.handle === handle) return batch;
      newest ??= batch;
    }
    return newest;
  }

  /** A batch by its id. */
  batchWith(id: number): ReferenceBatch {
    return this.chains.batchWith(id);
  }

  /** All batches of which something is left, the oldest id first. */
  batches(): ReferenceBatch[] {
    return this.chains.liveBatches();
  }

  /** Every held frame with each of its holders. Looks at all frames: for reports. */
  forEach(visit: (frame: number, batch: ReferenceBatch) => undefined): void {
    for (let frame = 0; frame < this.holder.length; frame++) {
      if (this.holder[frame] !== 0) for (const batch of this.holdersOf(frame)) visit(frame, batch);
    }
  }

  /** Notes that references of a batch end. */
  newGone(batch: ReferenceBatch, atNs: number, trace: CallTrace): Gone {
    const id = ++this.goneMade;
    const gone: Gone = { id, batch, atNs, trace, tick: this.tick(), domain: batch.mappedBy };
    this.gone[id % GONE_KEPT] = gone;
    return gone;
  }

  /** Who gave a frame back last; null when nobody did, or too long ago. */
  goneAt(frame: number): Gone | null {
    const id = this.goneOf[frame];
    const gone = this.gone[id % GONE_KEPT];
    return id !== 0 && gone !== undefined && gone.id === id ? gone : null;
  }

  /** Whether a frame was ever given back. */
  wasHeld(frame: number): boolean {
    return this.goneOf[frame] !== 0;
  }

  /** A device has written to a frame through a pin. */
  noteWritten(frame: number): void {
    this.written[frame] = 1;
  }

  /** The frame counts as not written; whether it was. */
  clearWritten(frame: number): boolean {
    const was = this.written[frame] !== 0;
    this.written[frame] = 0;
    return was;
  }

  /** The time, in steps that order releases, mappings and frees. */
  tick(): number {
    return ++this.ticks;
  }

  /** `n` frames from `head` on went back to the allocator. */
  freed(head: number, n: number): void {
    this.freedAt.fill(this.tick(), head, head + n);
  }

  /** Whether a frame went back to the allocator after the step `tick`. */
  wasFreedAfter(frame: number, tick: number): boolean {
    return this.freedAt[frame] > tick;
  }

  private addToChain(frame: number, id: number): void {
    const before = this.holder[frame];
    if (before !== CHAINED) {
      this.chains.add(frame, before);
      this.holder[frame] = CHAINED;
    }
    this.chains.add(frame, id);
  }
}
