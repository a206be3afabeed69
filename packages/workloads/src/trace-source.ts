/**
 * Replays rows of a block trace: at their recorded times (open loop), or as fast as the device answers, with so many in
 * flight at most (closed loop).
 *
 * In the open loop there is one source for each CPU of the machine, as there was one submitter for each CPU of the
 * recording; the CPU of the trace is taken modulo the machine's. In the closed loop a single source keeps the order of
 * the whole trace.
 */
import type { BlockTrace } from './block-trace';
import type { IoKind } from './io-kind';
import { AFTER_COMPLETION, IoSource, NO_MORE } from './io-source';

export class TraceSource extends IoSource {
  readonly expected: number;
  private readonly traceStartNs: number;
  private startNs = 0;
  private next = 0;

  /**
   * @param rows rows of the trace, in the order of issue
   * @param cpus CPUs of the machine
   * @param depth most I/Os in flight in the closed loop, or 0 for the recorded times
   */
  constructor(
    private readonly trace: BlockTrace,
    private readonly rows: Int32Array,
    private readonly cpus: number,
    private readonly depth: number,
  ) {
    super();
    this.expected = rows.length;
    this.traceStartNs = trace.startNs;
  }

  override start(nowNs: number): void {
    this.startNs = nowNs;
    this.next = 0;
  }

  override dueNs(nowNs: number, inFlight: number): number {
    if (this.next === this.rows.length) return NO_MORE;
    if (this.depth > 0) return inFlight < this.depth ? nowNs : AFTER_COMPLETION;
    return this.startNs + this.trace.queuedNs[this.rows[this.next]] - this.traceStartNs;
  }

  override take(): void {
    const row = this.rows[this.next++];
    this.kind = this.trace.kind[row] as IoKind;
    this.sector = this.trace.sector[row];
    this.sectors = this.trace.sectors[row];
    this.flags = this.trace.flags[row];
    this.cpu = this.trace.cpu[row] % this.cpus;
  }

  override completed(): void {
    // Nothing waits for a completion but the depth, which the issuer counts.
  }
}

/** The rows of a trace by CPU of the machine, each list in the order of time; lists of unused CPUs are left out. */
export function rowsByCpu(trace: BlockTrace, cpus: number): { cpu: number; rows: Int32Array }[] {
  const counts = new Int32Array(cpus);
  for (let row = 0; row < trace.count; row++) counts[trace.cpu[row] % cpus]++;
  const lists = Array.from(counts, (count) => new Int32Array(count));
  counts.fill(0);
  for (let row = 0; row < trace.count; row++) {
    const cpu = trace.cpu[row] % cpus;
    lists[cpu][counts[cpu]++] = row;
  }
  return lists.flatMap((rows, cpu) => (rows.length === 0 ? [] : [{ cpu, rows: inOrderOfTime(trace, rows) }]));
}

/** All rows of a trace in the order of time. */
export function rowsInOrder(trace: BlockTrace): Int32Array {
  const rows = new Int32Array(trace.count);
  for (let row = 0; row < rows.length; row++) rows[row] = row;
  return inOrderOfTime(trace, rows);
}

/** Per-CPU buffers of a recording may be merged slightly out of order; most are not. */
function inOrderOfTime(trace: BlockTrace, rows: Int32Array): Int32Array {
  for (let i = 1; i < rows.length; i++) {
    if (trace.queuedNs[rows[i]] < trace.queuedNs[rows[i - 1]]) {
      return rows.sort((a, b) => trace.queuedNs[a] - trace.queuedNs[b] || a - b);
    }
  }
  return rows;
}
