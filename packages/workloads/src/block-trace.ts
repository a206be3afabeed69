/**
 * A recorded block trace in memory: one row for each queued I/O, in flat columns.
 *
 * About 60 bytes an I/O whatever the length of the trace; a row is an index, there are no objects. Filled by
 * blkparse.ts, given its recorded latencies by recorded-latency.ts, replayed by trace-source.ts.
 */
import { UsageError } from '@pincushion/sim';
import type { IoKind } from './io-kind';

/** The I/O carries a flush that must be on stable media before its data (REQ_PREFLUSH). */
export const TRACE_PREFLUSH = 1;
/** The data must be on stable media when the I/O completes (REQ_FUA). */
export const TRACE_FUA = 2;

/** Recorded latency of an I/O whose completion the trace does not show. */
export const UNKNOWN_NS = -1;

export class BlockTrace {
  count = 0;
  /** Nanoseconds since the start of the recording. */
  queuedNs = new Float64Array(1024);
  /** First sector of 512 bytes. */
  sector = new Float64Array(1024);
  /** Sectors; 0 for a flush. */
  sectors = new Int32Array(1024);
  /** `IoKind`. */
  kind = new Uint8Array(1024);
  /** TRACE_PREFLUSH, TRACE_FUA. */
  flags = new Uint8Array(1024);
  /** CPU the I/O was queued on. */
  cpu = new Uint16Array(1024);
  /** Line of the file, from 1. */
  line = new Int32Array(1024);
  /** From queued to completed as recorded, or UNKNOWN_NS. */
  recordedNs = new Float64Array(1024);

  /** @param source the file's name, for messages */
  constructor(readonly source: string) {}

  add(
    queuedNs: number,
    kind: IoKind,
    sector: number,
    sectors: number,
    flags: number,
    cpu: number,
    line: number,
  ): number {
    const row = this.count++;
    if (row === this.queuedNs.length) this.grow(row * 2);
    this.queuedNs[row] = queuedNs;
    this.kind[row] = kind;
    this.sector[row] = sector;
    this.sectors[row] = sectors;
    this.flags[row] = flags;
    this.cpu[row] = cpu;
    this.line[row] = line;
    this.recordedNs[row] = UNKNOWN_NS;
    return row;
  }

  /** When the first I/O was queued. */
  get startNs(): number {
    let start = this.count === 0 ? 0 : this.queuedNs[0];
    for (let row = 1; row < this.count; row++) if (this.queuedNs[row] < start) start = this.queuedNs[row];
    return start;
  }

  /** Throws TRACE_INVALID naming the line of the first I/O that reaches beyond `capacitySectors`. */
  checkFits(capacitySectors: number, deviceName: string): void {
    for (let row = 0; row < this.count; row++) {
      const end = this.sector[row] + this.sectors[row];
      if (end <= capacitySectors) continue;
      throw new UsageError('TRACE_INVALID', `${this.source}:${this.line[row]}: sector beyond the end of the device`, {
        expected: `sectors below ${capacitySectors}, the size of ${deviceName}`,
        actual: `sectors ${this.sector[row]} to ${end - 1}`,
        hint: `a machine with a larger device: this trace needs at least ${this.sectorsNeeded} sectors`,
      });
    }
  }

  /** Sectors a device must have to run this trace. */
  get sectorsNeeded(): number {
    let needed = 0;
    for (let row = 0; row < this.count; row++) needed = Math.max(needed, this.sector[row] + this.sectors[row]);
    return needed;
  }

  /** Throws TRACE_INVALID when an I/O does not fit the blocks of a device that cannot address single sectors. */
  checkAligned(blockBytes: number, deviceName: string): void {
    const blockSectors = blockBytes / 512;
    if (blockSectors === 1) return;
    for (let row = 0; row < this.count; row++) {
      if (this.sector[row] % blockSectors === 0 && this.sectors[row] % blockSectors === 0) continue;
      throw new UsageError(
        'TRACE_INVALID',
        `${this.source}:${this.line[row]}: the I/O does not fit the device's blocks`,
        {
          expected: `multiples of ${blockSectors} sectors, the logical block of ${deviceName}`,
          actual: `sector ${this.sector[row]} + ${this.sectors[row]}`,
        },
      );
    }
  }

  private grow(length: number): void {
    this.queuedNs = longer(this.queuedNs, new Float64Array(length));
    this.sector = longer(this.sector, new Float64Array(length));
    this.sectors = longer(this.sectors, new Int32Array(length));
    this.kind = longer(this.kind, new Uint8Array(length));
    this.flags = longer(this.flags, new Uint8Array(length));
    this.cpu = longer(this.cpu, new Uint16Array(length));
    this.line = longer(this.line, new Int32Array(length));
    this.recordedNs = longer(this.recordedNs, new Float64Array(length));
  }
}

function longer<T extends { set(from: T): void }>(from: T, to: T): T {
  to.set(from);
  return to;
}
