/**
 * Reads block traces in blkparse's default text format, plain or gzip.
 *
 *     7,0    1        7     0.003001000 14079  Q FWS [python3]
 *     dev  cpu sequence seconds.nanosec   pid  action rwbs [sector + sectors] [process]
 *
 * Q (queued) events become the I/Os of the trace; C (completed) events give their recorded latencies; everything else
 * is skipped. The letters of rwbs, in their order (Linux 6.18 kernel/trace/blktrace.c, blk_fill_rwbs, and blkparse's
 * own rendering, which writes N where a request carries no data direction):
 *
 *     F first            REQ_PREFLUSH: flush before the data; without sectors a flush and nothing else
 *     R W D N, DE        read, write, discard, none, secure erase
 *     F after those      REQ_FUA: data on stable media before completion
 *     A S M              read-ahead, synchronous, metadata: no effect on the replay
 *
 * A byte scanner over the buffer into typed-array columns: no line is ever made a string, unless it is wrong.
 * Left out on purpose: blktrace's binary files (named when met), zone and atomic writes, events of several devices
 * kept apart: all are replayed on the one device of the run.
 */
import { UsageError } from '@pincushion/sim';
import { BlockTrace, TRACE_FUA, TRACE_PREFLUSH } from './block-trace';
import { IoKind } from './io-kind';
import { RecordedLatency } from './recorded-latency';
import { unpackTrace } from './trace-file';

/** A bio counts its bytes in 32 bits, so no event can be longer. */
const SECTORS_MAX = 0xffffffff / 512;
/** Longest read or write that is replayed: 64 MiB. Real traces stay below 2 MiB. */
const DATA_SECTORS_MAX = 131072;
/** Bytes of a disk are exact numbers: 2^53 / 512. */
const SECTOR_MAX = 17592186044416;
const SECONDS_MAX = 9007199;
const CPU_MAX = 65535;

const NEWLINE = 10;
const RETURN = 13;
const SPACE = 32;
const TAB = 9;
const ZERO = 48;
const NINE = 57;
const COMMA = 44;
const DOT = 46;
const PLUS = 43;
const OPEN_BRACKET = 91;
const Q = 81;
const C = 67;
const D = 68;
const W = 87;

/**
 * Parses a trace. `data` is the file's content, plain or gzip; `source` its name for messages.
 * Throws `UsageError` TRACE_INVALID with `source:line` for anything that is not a trace with at least one queued I/O.
 */
export function parseBlkparse(data: Uint8Array, source: string): BlockTrace {
  return new BlkparseScanner(unpackTrace(data, source), source).scan();
}

class BlkparseScanner {
  private readonly trace: BlockTrace;
  private readonly recorded: RecordedLatency;
  private at = 0;
  private line = 1;
  private lineStart = 0;
  // The event being read.
  private cpu = 0;
  private timeNs = 0;
  private kind: IoKind = IoKind.read;
  private flags = 0;
  private hasRange = false;
  private sector = 0;
  private sectors = 0;
  private hasSectors = false;

  constructor(
    private readonly text: Uint8Array,
    private readonly source: string,
  ) {
    this.trace = new BlockTrace(source);
    this.recorded = new RecordedLatency(this.trace);
  }

  scan(): BlockTrace {
    const text = this.text;
    while (this.at < text.length) {
      this.lineStart = this.at;
      this.skipBlanks();
      const byte = text[this.at];
      if (this.at < text.length && byte !== NEWLINE && byte !== RETURN) {
        // blkparse ends with totals ("CPU0 (loop0):", "Total (loop0):"), which are no events.
        if (this.trace.count > 0 && this.atSummary()) break;
        this.event();
      }
      this.skipLine();
    }
    if (this.trace.count === 0) {
      throw new UsageError('TRACE_INVALID', `${this.source}: the trace has no queued I/O`, {
        expected: 'at least one line with action Q',
        actual: text.length === 0 ? 'an empty file' : `${this.line - 1} lines without one`,
      });
    }
    return this.trace;
  }

  private event(): void {
    this.number('the device number', 0xffffff);
    this.literal(COMMA, 'major,minor of the device');
    this.number('the device number', 0xffffff);
    this.blank('the CPU');
    this.cpu = this.number('the CPU', CPU_MAX);
    this.blank('the sequence number');
    this.number('the sequence number', Number.MAX_SAFE_INTEGER);
    this.blank('the time');
    this.timeNs = this.time();
    this.blank('the process id');
    this.number('the process id', 0x7fffffff);
    this.blank('the action');
    const action = this.text[this.at];
    const single = isBlank(this.text[this.at + 1]);
    if (!single || !isLetter(action)) {
      if (!this.atLetters(2)) this.fail('an action of one or two letters, such as Q, D or C');
      return;
    }
    if (action !== Q && action !== C && action !== D) return;
    this.at++;
    this.blank('the kind of I/O (rwbs)');
    this.rwbs();
    this.range();
    if (action === Q) this.queued();
    else if (action === C) this.completed();
  }

  private queued(): void {
    if (this.kind === IoKind.flush || !this.hasRange || this.sectors === 0) {
      if ((this.flags & TRACE_PREFLUSH) === 0 && this.kind !== IoKind.flush) {
        this.fail('a sector and a count, as in 2048 + 8 (only a flush has none)');
      }
      this.kind = IoKind.flush;
      this.sector = 0;
      this.sectors = 0;
    } else if (this.kind !== IoKind.discard && this.sectors > DATA_SECTORS_MAX) {
      this.fail(`at most ${DATA_SECTORS_MAX} sectors in one read or write`);
    }
    const row = this.trace.add(
      this.timeNs,
      this.kind,
      this.sector,
      this.sectors,
      this.kind === IoKind.flush ? 0 : this.flags,
      this.cpu,
      this.line,
    );
    this.recorded.queued(row);
  }

  private completed(): void {
    if (this.hasRange && this.hasSectors) {
      this.recorded.completed(this.kind, this.sector, this.sectors, this.timeNs);
    } else if (this.hasRange) {
      this.recorded.sequenceCompleted(this.kind, this.sector, this.timeNs);
    }
  }

  /** seconds.nanoseconds, the fraction of any length up to nine digits. */
  private time(): number {
    const seconds = this.number('the time', SECONDS_MAX);
    this.literal(DOT, 'a time in seconds.nanoseconds');
    const from = this.at;
    let nanoseconds = this.number('the time', 999999999);
    if (this.at - from > 9) this.fail('at most nine digits behind the point of the time');
    for (let digits = this.at - from; digits < 9; digits++) nanoseconds *= 10;
    return seconds * 1000000000 + nanoseconds;
  }

  private rwbs(): void {
    let kind: IoKind | null = null;
    let flags = 0;
    let letters = 0;
    for (; this.at < this.text.length && isLetter(this.text[this.at]); this.at++) {
      switch (this.text[this.at]) {
        case 70: // F
          flags |= letters === 0 ? TRACE_PREFLUSH : TRACE_FUA;
          break;
        case 82: // R
          kind = IoKind.read;
          break;
        case W:
          kind = IoKind.write;
          break;
        case D:
          kind = IoKind.discard;
          break;
        case 78: // N
          kind ??= IoKind.flush;
          break;
        case 65: // A
        case 69: // E
        case 77: // M
        case 83: // S
        case 85: // U
          break;
        default:
          this.fail('letters R, W, D, F, N, A, S, M for the kind of I/O');
      }
      letters++;
    }
    if (letters === 0) this.fail('the kind of I/O (rwbs), letters such as WS or FWFSM');
    if (kind === null && flags === 0) this.fail('a kind of I/O with one of R, W, D, F, N');
    this.kind = kind ?? IoKind.flush;
    this.flags = flags;
  }

  /** `sector + sectors`, `sector`, or nothing before the process name. */
  private range(): void {
    this.hasRange = false;
    this.hasSectors = false;
    this.sector = 0;
    this.sectors = 0;
    this.skipBlanks();
    const byte = this.text[this.at];
    if (this.at >= this.text.length || byte === OPEN_BRACKET || byte === NEWLINE || byte === RETURN) return;
    this.sector = this.number('the sector', SECTOR_MAX);
    this.hasRange = true;
    this.skipBlanks();
    if (this.text[this.at] !== PLUS) {
      const next = this.text[this.at];
      if (this.at < this.text.length && next !== OPEN_BRACKET && next !== NEWLINE && next !== RETURN) {
        this.fail('sector + count, or the process name in brackets');
      }
      return;
    }
    this.at++;
    this.skipBlanks();
    this.sectors = this.number('the count of sectors', Math.floor(SECTORS_MAX));
    this.hasSectors = true;
    if (this.sector + this.sectors > SECTOR_MAX) this.fail(`sectors below ${SECTOR_MAX}`);
  }

  private number(what: string, largest: number): number {
    const text = this.text;
    let byte = text[this.at];
    if (!(byte >= ZERO && byte <= NINE)) this.fail(`${what}, a whole number from 0 up`);
    let value = 0;
    do {
      value = value * 10 + (byte - ZERO);
      if (value > largest) this.fail(`${what}, at most ${largest}`);
      byte = text[++this.at];
    } while (byte >= ZERO && byte <= NINE);
    return value;
  }

  private literal(byte: number, what: string): void {
    if (this.text[this.at] !== byte) this.fail(what);
    this.at++;
  }

  private blank(next: string): void {
    if (!isBlank(this.text[this.at])) this.fail(`a space and ${next}`);
    this.skipBlanks();
  }

  private skipBlanks(): void {
    while (isBlank(this.text[this.at])) this.at++;
  }

  private skipLine(): void {
    const end = this.text.indexOf(NEWLINE, this.at);
    this.at = end < 0 ? this.text.length : end + 1;
    this.line++;
  }

  private atLetters(most: number): boolean {
    let n = 0;
    while (isLetter(this.text[this.at + n])) n++;
    return n > 0 && n <= most;
  }

  private atSummary(): boolean {
    const word = Buffer.from(this.text.subarray(this.at, this.at + 5)).toString('latin1');
    return word.startsWith('CPU') || word.startsWith('Total') || word.startsWith('Throu') || word.startsWith('Event');
  }

  private fail(expected: string): never {
    let end = this.text.indexOf(NEWLINE, this.lineStart);
    if (end < 0) end = this.text.length;
    const where = this.at - this.lineStart + 1;
    throw new UsageError('TRACE_INVALID', `${this.source}:${this.line}: not a line of blkparse text`, {
      expected: `${expected}, at column ${where}`,
      actual: shown(this.text.subarray(this.lineStart, Math.min(end, this.lineStart + 100))),
      hint: "the text that blkparse prints by default ('blktrace -o - … | blkparse -i -')",
    });
  }
}

function shown(bytes: Uint8Array): string {
  let text = '';
  for (const byte of bytes) text += byte >= SPACE && byte < 127 ? String.fromCharCode(byte) : byte === TAB ? ' ' : '·';
  return `"${text.trim()}"`;
}

function isBlank(byte: number): boolean {
  return byte === SPACE || byte === TAB;
}

function isLetter(byte: number): boolean {
  return (byte >= 65 && byte <= 90) || (byte >= 97 && byte <= 122);
}
