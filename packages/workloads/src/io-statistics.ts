/** Counts and latencies of one workload, by kind of I/O. Flat: recording an I/O allocates nothing. */
import { IO_KIND_NAMES } from './io-kind';
import type { IoKind } from './io-kind';
import { LatencyHistogram } from './latency-histogram';

const KINDS = IO_KIND_NAMES.length;

export class IoStatistics {
  readonly ios = new Float64Array(KINDS);
  readonly bytes = new Float64Array(KINDS);
  readonly failed = new Float64Array(KINDS);
  /** As emulated: from issue to completion. */
  readonly latency: readonly LatencyHistogram[] = IO_KIND_NAMES.map(() => new LatencyHistogram());
  /** As the recording has it; empty for what was not recorded. */
  readonly recorded: readonly LatencyHistogram[] = IO_KIND_NAMES.map(() => new LatencyHistogram());
  inFlight = 0;
  inFlightMost = 0;

  issued(): void {
    if (++this.inFlight > this.inFlightMost) this.inFlightMost = this.inFlight;
  }

  /** An I/O is over. Any context. */
  completed(kind: IoKind, bytes: number, latencyNs: number, ok: boolean): void {
    this.inFlight--;
    this.ios[kind]++;
    if (ok) {
      this.bytes[kind] += bytes;
      this.latency[kind].record(latencyNs);
    } else {
      this.failed[kind]++;
    }
  }

  get total(): number {
    let sum = 0;
    for (let kind = 0; kind < KINDS; kind++) sum += this.ios[kind];
    return sum;
  }

  add(other: IoStatistics): void {
    for (let kind = 0; kind < KINDS; kind++) {
      this.ios[kind] += other.ios[kind];
      this.bytes[kind] += other.bytes[kind];
      this.failed[kind] += other.failed[kind];
      this.latency[kind].add(other.latency[kind]);
      this.recorded[kind].add(other.recorded[kind]);
    }
    this.inFlightMost = Math.max(this.inFlightMost, other.inFlightMost);
  }
}
