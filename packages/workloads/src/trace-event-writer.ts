/**
 * Writes Chrome trace events, the JSON that ui.perfetto.dev opens, as a stream: nothing is kept but a small buffer.
 *
 * Format: "Trace Event Format" of the Chromium project. Phases used: M (names), B and E (slices, which nest by order), b
 * and e (bars with an id of their own), s, t, f (flows between slices), C (counters). Times are microseconds with three
 * decimals, so that every nanosecond is exact. As `jsonl` the same events come one to a line, without the frame.
 */

export type TraceFormat = 'json' | 'jsonl';

/** Takes pieces of the file, in order. */
export type TraceSink = (chunk: string) => void;

export type TraceArguments = Readonly<Record<string, number | string>>;

const CHUNK_LENGTH = 65536;

export class TraceEventWriter {
  private buffer: string[] = [];
  private length = 0;
  private written = 0;

  constructor(
    private readonly format: TraceFormat,
    private readonly sink: TraceSink,
  ) {
    if (format === 'json') this.put('{"displayTimeUnit":"ns","traceEvents":[\n');
  }

  /** Events written so far. */
  get count(): number {
    return this.written;
  }

  processName(pid: number, name: string): void {
    this.event(`{"ph":"M","name":"process_name","pid":${pid},"tid":0,"args":{"name":${JSON.stringify(name)}}}`);
    this.event(`{"ph":"M","name":"process_sort_index","pid":${pid},"tid":0,"args":{"sort_index":${pid}}}`);
  }

  threadName(pid: number, tid: number, name: string): void {
    this.event(`{"ph":"M","name":"thread_name","pid":${pid},"tid":${tid},"args":{"name":${JSON.stringify(name)}}}`);
    this.event(`{"ph":"M","name":"thread_sort_index","pid":${pid},"tid":${tid},"args":{"sort_index":${tid}}}`);
  }

  begin(ns: number, pid: number, tid: number, name: string, args: TraceArguments): void {
    this.event(`{"ph":"B",${head(ns, pid, tid, name)},"args":${JSON.stringify(args)}}`);
  }

  end(ns: number, pid: number, tid: number): void {
    this.event(`{"ph":"E","ts":${timestamp(ns)},"pid":${pid},"tid":${tid}}`);
  }

  /** A bar of its own, from `b` to `e`; `category` and `id` say which belong together. */
  bar(
    phase: 'b' | 'e',
    ns: number,
    pid: number,
    category: string,
    id: number,
    name: string,
    args: TraceArguments,
  ): void {
    const rest = phase === 'b' ? `,"args":${JSON.stringify(args)}` : '';
    this.event(`{"ph":"${phase}","cat":"${category}","id":${id},${head(ns, pid, 0, name)}${rest}}`);
  }

  /** A step of a flow, from the slice that is open on the track. */
  flow(phase: 's' | 't' | 'f', ns: number, pid: number, tid: number, id: number): void {
    const bind = phase === 's' ? '' : ',"bp":"e"';
    this.event(`{"ph":"${phase}","cat":"io","id":${id},${head(ns, pid, tid, 'io')}${bind}}`);
  }

  counter(ns: number, pid: number, name: string, value: number): void {
    this.event(`{"ph":"C",${head(ns, pid, 0, name)},"args":{"value":${value}}}`);
  }

  /** Ends the file; nothing may be written after. */
  close(): void {
    if (this.format === 'json') this.put('\n]}\n');
    this.flush();
  }

  private event(text: string): void {
    if (this.format === 'jsonl') this.put(`${text}\n`);
    else this.put(this.written === 0 ? text : `,\n${text}`);
    this.written++;
  }

  private put(text: string): void {
    this.buffer.push(text);
    this.length += text.length;
    if (this.length >= CHUNK_LENGTH) this.flush();
  }

  private flush(): void {
    if (this.length === 0) return;
    const chunk = this.buffer.join('');
    this.buffer = [];
    this.length = 0;
    this.sink(chunk);
  }
}

function head(ns: number, pid: number, tid: number, name: string): string {
  return `"ts":${timestamp(ns)},"pid":${pid},"tid":${tid},"name":${JSON.stringify(name)}`;
}

/** Microseconds with three decimals, without the rounding of a division. */
function timestamp(ns: number): string {
  const micros = Math.floor(ns / 1000);
  return `${micros}.${String(ns - micros * 1000).padStart(3, '0')}`;
}
