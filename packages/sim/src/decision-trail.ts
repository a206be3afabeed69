/**
 * The trail of a run: every decision it took, when, and what came of it, so that another run can be held against it and
 * the first decision named that differs.
 *
 *     pincushion-trail 1
 *     1000 nvme.latency 0 17 0..80000 4711        time, stream, instance, number, what was possible, what was taken
 *     at 66560 5000000 1a2b3c4d                   after 66,560 decisions, at 5 ms, all of them had this checksum
 *     end 70000 5100000 9f8e7d6c
 *
 * The first 65,536 decisions are kept one by one; of what follows only checksums are, at most 1,024 of them at growing
 * distances, so a trail of any run has a few megabytes at most.
 */
import type { ChoiceListener, ChoiceStream } from './choices';
import { UsageError } from './errors';

const HEADER = 'pincushion-trail 1';
/** How much is kept of a run; two trails are compared with the same. */
export interface TrailLimits {
  /** Decisions that are kept one by one. */
  readonly decisions: number;
  /** Decisions between two checksums, at first. */
  readonly stride: number;
  /** Checksums; with more, every second one goes. */
  readonly checks: number;
}

const LIMITS: TrailLimits = Object.freeze({ decisions: 65_536, stride: 1024, checks: 1024 });
/** Numbers kept of a decision: time, stream, counter, low, high, value. */
const COLUMNS = 6;

/** Where two runs part. */
export interface Divergence {
  /** Number of the first decision that differs, from 1. */
  readonly first: number;
  /** The same, or the last decision up to which it must have happened where only checksums are left. */
  readonly last: number;
  /** The decision in the recording and here, in words. */
  readonly recorded: string;
  readonly here: string;
  /** Virtual time of it, in nanoseconds: here, or as recorded where this run had ended. */
  readonly atNs: number;
}

export class DecisionTrail implements ChoiceListener {
  private count = 0;
  private rows = new Float64Array(1024 * COLUMNS);
  private readonly streams = new Map<ChoiceStream, number>();
  private readonly names: string[] = [];
  private checksum = 0;
  private stride: number;
  private checks: string[] = [];

  /** `clock`: the world whose decisions are recorded; make the trail the listener of its choices. */
  constructor(
    private readonly clock: { readonly now: number },
    private readonly limits: TrailLimits = LIMITS,
  ) {
    this.stride = limits.stride;
  }

  /** Any context. */
  taken(stream: ChoiceStream, counter: number, value: number, low: number, high: number): undefined {
    const { now } = this.clock;
    const known = this.streams.get(stream);
    const id = known ?? this.newStream(stream);
    const place = this.count++;
    let sum = this.checksum;
    sum = mixed(sum, now);
    sum = mixed(sum, id);
    sum = mixed(sum, counter);
    sum = mixed(sum, low);
    sum = mixed(sum, high);
    this.checksum = sum = mixed(sum, value);
    if (place >= this.limits.decisions) {
      if (this.count % this.stride === 0) this.check(now);
      return;
    }
    const at = place * COLUMNS;
    if (at === this.rows.length) this.grow();
    const { rows } = this;
    rows[at] = now;
    rows[at + 1] = id;
    rows[at + 2] = counter;
    rows[at + 3] = low;
    rows[at + 4] = high;
    rows[at + 5] = value;
  }

  /** The trail so far, as `firstDivergence` reads it. */
  text(): string {
    const lines = [HEADER];
    const { rows, names } = this;
    const kept = Math.min(this.count, this.limits.decisions) * COLUMNS;
    for (let at = 0; at < kept; at += COLUMNS) {
      const name = names[rows[at + 1]];
      lines.push(`${rows[at]} ${name} ${rows[at + 2]} ${rows[at + 3]}..${rows[at + 4]} ${rows[at + 5]}`);
    }
    lines.push(...this.checks, `end ${this.count} ${this.clock.now} ${hex(this.checksum)}`, '');
    return lines.join('\n');
  }

  /**
   * Where the run of `here` left that of `recorded`; null when it did not. Both are texts of `text()`.
   * Throws `UsageError` CHOICES_UNREADABLE that names the line.
   */
  static firstDivergence(recorded: string, here: string): Divergence | null {
    return compare(parse(recorded), parse(here));
  }

  private newStream(stream: ChoiceStream): number {
    const id = this.names.push(`${stream.name} ${stream.instance}`) - 1;
    this.streams.set(stream, id);
    for (let i = 0; i < stream.name.length; i++) this.checksum = mixed(this.checksum, stream.name.charCodeAt(i));
    return id;
  }

  private grow(): void {
    const larger = new Float64Array(this.rows.length * 2);
    larger.set(this.rows);
    this.rows = larger;
  }

  private check(now: number): void {
    this.checks.push(`at ${this.count} ${now} ${hex(this.checksum)}`);
    if (this.checks.length < this.limits.checks) return;
    this.stride *= 2;
    this.checks = this.checks.filter((line) => Number(line.split(' ')[1]) % this.stride === 0);
  }
}

/** A trail that was read. */
interface ReadTrail {
  readonly decisions: readonly string[];
  readonly checks: readonly Check[];
  readonly end: Check;
}

interface Check {
  readonly count: number;
  readonly atNs: number;
  readonly sum: string;
}

const DECISION = /^(\d{1,16}) (\S+ \d{1,16}) (\d{1,16}) (-?\d{1,16}\.\.-?\d{1,16}) (-?\d{1,16})$/;
const CHECK = /^(at|end) (\d{1,16}) (\d{1,16}) ([0-9a-f]{8})$/;

function parse(text: string): ReadTrail {
  const lines = text.split(/\r?\n/);
  if (lines[0] !== HEADER) throw unreadable(1, lines[0], `'${HEADER}'`);
  const decisions: string[] = [];
  const checks: Check[] = [];
  for (let i = 1; i < lines.length; i++) {
    const line = lines[i];
    const match = CHECK.exec(line);
    if (match !== null) {
      const check = { count: Number(match[2]), atNs: Number(match[3]), sum: match[4] };
      if (match[1] === 'end') return { decisions, checks, end: check };
      checks.push(check);
    } else if (DECISION.test(line)) decisions.push(line);
    else throw unreadable(i + 1, line, 'a decision, a checksum or the end');
  }
  throw unreadable(lines.length, '', 'a line that begins with end');
}

function compare(recorded: ReadTrail, here: ReadTrail): Divergence | null {
  const most = Math.max(recorded.decisions.length, here.decisions.length);
  for (let i = 0; i < most; i++) {
    const [before, now] = [recorded.decisions.at(i), here.decisions.at(i)];
    if (before === now) continue;
    const atNs = Number((now ?? before ?? '').split(' ')[0]);
    return { first: i + 1, last: i + 1, recorded: inWords(before), here: inWords(now), atNs };
  }
  const others = new Map([...here.checks, here.end].map((check) => [check.count, check]));
  let equalUpTo = most;
  for (const check of [...recorded.checks, recorded.end]) {
    const other = others.get(check.count);
    if (other === undefined) continue;
    if (other.sum !== check.sum) {
      const [before, now] = [`checksum ${check.sum}`, `checksum ${other.sum}`];
      return { first: equalUpTo + 1, last: check.count, recorded: before, here: now, atNs: other.atNs };
    }
    equalUpTo = check.count;
  }
  if (recorded.end.count === here.end.count) return null;
  const shorter = Math.min(recorded.end.count, here.end.count);
  return {
    first: Math.min(equalUpTo, shorter) + 1,
    last: shorter + 1,
    recorded: `${recorded.end.count} decisions in all`,
    here: `${here.end.count} decisions in all`,
    atNs: here.end.atNs,
  };
}

/** A line of a trail, or the end of the run. */
function inWords(line: string | undefined): string {
  const [, ns, stream, counter, range, value] = DECISION.exec(line ?? '') ?? [];
  if (line === undefined) return 'the run had ended';
  return `${value} of ${range} by ${stream} decision ${counter}, at ${ns} ns`;
}

/** A running checksum with one more number in it, of up to 53 bits. */
function mixed(sum: number, value: number): number {
  const high = (value / 4294967296) | 0;
  const x = Math.imul(sum ^ (value | 0), 0x21f0aaad) ^ Math.imul(high, 0x9e3779b1);
  return x ^ (x >>> 15);
}

function hex(sum: number): string {
  return (sum >>> 0).toString(16).padStart(8, '0');
}

function unreadable(lineNumber: number, line: string, expected: string): UsageError {
  return new UsageError('CHOICES_UNREADABLE', `line ${lineNumber} of the trail of decisions cannot be understood`, {
    expected,
    actual: line === '' ? 'nothing' : `'${line.slice(0, 80)}'`,
  });
}
