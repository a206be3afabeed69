/**
 * Finds, for each queued I/O of a trace, when it completed.
 *
 * A completion names sectors, not the queued I/O: requests are merged (one completion ends all I/Os inside its range) and
 * split (an I/O is over when completions have covered all its sectors). Model: I/Os that wait lie in chains by region of
 * the disk, oldest first; a completion credits its sectors to the oldest I/Os of its kind that overlap it, each sector
 * once.
 *
 * Flushes go through the flush machinery (Linux block/blk-flush.c), whose end the trace shows as a completion without a
 * length: `C WS 0 [0]` ends the oldest flush without data, `C WSM 2107312 [0]` the write at that sector whose data was
 * completed before and which then waited for the flush behind it.
 */
import type { BlockTrace } from './block-trace';
import { TRACE_FUA, TRACE_PREFLUSH } from './block-trace';
import { IoKind } from './io-kind';

const REGION_SECTORS = 2048;
const CHAINS = 4096;
const NONE = -1;
/** After this an I/O no longer waits: its completion was lost, or it never had a second one. Keeps the chains short. */
const FORGOTTEN_NS = 10_000_000_000;

export class RecordedLatency {
  private readonly head = new Int32Array(CHAINS).fill(NONE);
  private readonly tail = new Int32Array(CHAINS).fill(NONE);
  private next = new Int32Array(1024);
  private previous = new Int32Array(1024);
  /** Sectors of the I/O that no completion has covered yet. */
  private left = new Int32Array(1024);
  /** Flushes without data that wait, oldest first. */
  private readonly flushes: number[] = [];
  private flushesDone = 0;
  private longest = 1;
  /** Rows credited by the completion at work, so that a sector is credited once. */
  private readonly credited: number[] = [];

  constructor(private readonly trace: BlockTrace) {}

  /** A row was added to the trace. */
  queued(row: number): void {
    if (row >= this.next.length) this.grow(this.next.length * 2);
    const sectors = this.trace.sectors[row];
    if (sectors === 0) {
      this.flushes.push(row);
      return;
    }
    this.left[row] = sectors;
    if (sectors > this.longest) this.longest = sectors;
    const chain = chainOf(this.trace.sector[row]);
    this.previous[row] = this.tail[chain];
    this.next[row] = NONE;
    if (this.tail[chain] === NONE) this.head[chain] = row;
    else this.next[this.tail[chain]] = row;
    this.tail[chain] = row;
  }

  /** A completion of a range. What nobody queued is ignored: recordings begin in the middle of things. */
  completed(kind: IoKind, sector: number, sectors: number, atNs: number): void {
    const end = sector + sectors;
    const regions = Math.floor(end / REGION_SECTORS) - this.firstRegion(sector) + 1;
    this.credited.length = 0;
    let credit = sectors;
    for (let i = 0; i < Math.min(regions, CHAINS) && credit > 0; i++) {
      const chain = (this.firstRegion(sector) + i) % CHAINS;
      for (let row = this.head[chain]; row !== NONE && credit > 0;) {
        const after = this.next[row];
        const overlap = this.overlap(row, kind, sector, end);
        if (overlap > 0) {
          credit -= overlap;
          this.credited.push(row);
          this.left[row] -= overlap;
          this.trace.recordedNs[row] = atNs - this.trace.queuedNs[row];
          // With a flush around its data the I/O stays, until the completion without a length.
          const flags = this.trace.flags[row] & (TRACE_PREFLUSH | TRACE_FUA);
          if (this.left[row] <= 0 && flags === 0) this.unlink(row, chain);
        } else if (atNs - this.trace.queuedNs[row] > FORGOTTEN_NS) {
          this.unlink(row, chain);
        }
        row = after;
      }
    }
  }

  /** A completion without a length: the end of a flush sequence. */
  sequenceCompleted(kind: IoKind, sector: number, atNs: number): void {
    const chain = chainOf(sector);
    if (kind !== IoKind.flush) {
      for (let row = this.head[chain]; row !== NONE; row = this.next[row]) {
        if (this.trace.sector[row] !== sector || this.trace.kind[row] !== kind || this.left[row] > 0) continue;
        this.trace.recordedNs[row] = atNs - this.trace.queuedNs[row];
        this.unlink(row, chain);
        return;
      }
    }
    // `C FN 0` is the flush request itself; the I/O that asked for it completes with its own kind.
    if (kind === IoKind.flush || sector !== 0 || this.flushesDone === this.flushes.length) return;
    const row = this.flushes[this.flushesDone++];
    this.trace.recordedNs[row] = atNs - this.trace.queuedNs[row];
  }

  private overlap(row: number, kind: IoKind, sector: number, end: number): number {
    const trace = this.trace;
    if (trace.kind[row] !== kind || this.left[row] <= 0) return 0;
    const from = Math.max(sector, trace.sector[row]);
    const to = Math.min(end, trace.sector[row] + trace.sectors[row]);
    if (to <= from) return 0;
    for (const other of this.credited) {
      if (trace.sector[other] < to && from < trace.sector[other] + trace.sectors[other]) return 0;
    }
    return to - from;
  }

  /** An I/O that overlaps may start as far before as the longest I/O is long. */
  private firstRegion(sector: number): number {
    return Math.floor(Math.max(0, sector - this.longest) / REGION_SECTORS);
  }

  private unlink(row: number, chain: number): void {
    const before = this.previous[row];
    const after = this.next[row];
    if (before === NONE) this.head[chain] = after;
    else this.next[before] = after;
    if (after === NONE) this.tail[chain] = before;
    else this.previous[after] = before;
  }

  private grow(length: number): void {
    const next = new Int32Array(length);
    next.set(this.next);
    this.next = next;
    const previous = new Int32Array(length);
    previous.set(this.previous);
    this.previous = previous;
    const left = new Int32Array(length);
    left.set(this.left);
    this.left = left;
  }
}

function chainOf(sector: number): number {
  return Math.floor(sector / REGION_SECTORS) % CHAINS;
}
