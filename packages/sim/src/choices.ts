/**
 * The one source of nondeterministic decisions.
 *
 * A choice is a hash of (seed, name, instance, counter): streams are independent, one more choice in one shifts nobody
 * else's, and the same seed gives the same run on any machine (integer arithmetic only). A recording is the seed plus
 * forced values; it is a text that a person can read and cut down.
 *
 *     pincushion-choices 1
 *     seed 42
 *     force nvme.latency 0 17 80000
 */
import { PincushionError, UsageError } from './errors';

/** One decision that does not follow the hash: the `counter`-th (from 0) of the stream (name, instance). */
export interface ForcedChoice {
  name: string;
  instance: number;
  counter: number;
  /** What the call returns. */
  value: number;
}

/** A decision that was taken. */
export interface TakenChoice extends ForcedChoice {
  /** Smallest and largest value that was possible. */
  low: number;
  high: number;
}

/** Is told of each decision, in the order in which they are taken. */
export interface ChoiceListener {
  /** The `counter`-th decision (from 0) of the stream gave `value`, of all from `low` to `high`. */
  taken(stream: ChoiceStream, counter: number, value: number, low: number, high: number): undefined;
}

const HEADER = 'pincushion-choices 1';
const TWO_32 = 4294967296;

export class ChoiceSource {
  /** Decisions taken while `record` was on. */
  readonly log: TakenChoice[] = [];
  private readonly streams = new Map<string, ChoiceStream>();
  private readonly forced: ForcedChoice[] = [];
  private recording_ = false;
  private listener_: ChoiceListener | null = null;

  constructor(
    readonly seed: number,
    forced: readonly ForcedChoice[] = [],
  ) {
    if (!Number.isSafeInteger(seed) || seed < 0) {
      throw new PincushionError('CHOICE_INVALID', `the seed is ${seed}`, { expected: 'an integer from 0 to 2^53 - 1' });
    }
    for (const choice of forced) this.force(choice);
  }

  /** The stream of decisions of that name; the same object for the same name and instance. Keep it in a field. */
  stream(name: string, instance = 0): ChoiceStream {
    if (!/^\S+$/.test(name) || !Number.isSafeInteger(instance) || instance < 0) {
      throw new PincushionError('CHOICE_INVALID', `no stream can be called '${name}' with instance ${instance}`, {
        expected: 'a name without blanks and an instance from 0 up',
      });
    }
    const key = `${name} ${instance}`;
    const known = this.streams.get(key);
    if (known !== undefined) return known;
    const stream = new ChoiceStream(this, name, instance);
    this.streams.set(key, stream);
    for (const choice of this.forced) if (choice.name === name && choice.instance === instance) stream.force(choice);
    stream.recordInto(this.recording_ ? this.log : null, this.listener_);
    return stream;
  }

  /** Fixes a decision that is still to come. */
  force(choice: ForcedChoice): void {
    const { name, instance, counter, value } = choice;
    this.forced.push({ name, instance, counter, value });
    this.streams.get(`${name} ${instance}`)?.force(choice);
  }

  /** Whether decisions are added to `log`. */
  get record(): boolean {
    return this.recording_;
  }

  set record(on: boolean) {
    this.recording_ = on;
    this.tellStreams();
  }

  /** Who is told of each decision; null for nobody, which is the default and costs nothing. */
  get listener(): ChoiceListener | null {
    return this.listener_;
  }

  set listener(listener: ChoiceListener | null) {
    this.listener_ = listener;
    this.tellStreams();
  }

  /** The seed and the forced values as a text that `parse` reads. */
  recording(): string {
    const lines = this.forced.map((f) => `force ${f.name} ${f.instance} ${f.counter} ${f.value}`);
    return [HEADER, `seed ${this.seed}`, ...lines, ''].join('\n');
  }

  private tellStreams(): void {
    for (const stream of this.streams.values()) stream.recordInto(this.recording_ ? this.log : null, this.listener_);
  }

  /** Reads a recording. Empty lines and lines that begin with `#` are skipped; anything else unknown is a UsageError. */
  static parse(text: string): { seed: number; forced: ForcedChoice[] } {
    const seeds: number[] = [];
    const forced: ForcedChoice[] = [];
    let headerSeen = false;
    text.split(/\r?\n/).forEach((line, index) => {
      const words = line.trim().split(/\s+/);
      if (words[0] === '' || words[0].startsWith('#')) return;
      if (!headerSeen) {
        if (line.trim() !== HEADER) throw unreadable(index + 1, line, `'${HEADER}' as the first line`);
        headerSeen = true;
      } else if (words[0] === 'seed' && words.length === 2 && seeds.length === 0) {
        const seed = wholeNumber(words[1]);
        if (seed === null || seed < 0) throw unreadable(index + 1, line, 'a seed from 0 to 2^53 - 1');
        seeds.push(seed);
      } else {
        const choice = words[0] === 'force' && words.length === 5 ? parseForced(words) : null;
        if (choice === null) throw unreadable(index + 1, line, "'seed N' once, or 'force NAME INSTANCE COUNTER VALUE'");
        forced.push(choice);
      }
    });
    const [seed] = seeds;
    if (seeds.length === 0)
      throw new UsageError('CHOICES_UNREADABLE', 'the recording names no seed', { hint: "a line 'seed 0'" });
    return { seed, forced };
  }
}

/** The decisions of one name and instance. */
export class ChoiceStream {
  /** Number of decisions taken. */
  counter = 0;
  private readonly a: number;
  private readonly b: number;
  /** True when forced values, a log or a listener make a decision more than a hash. */
  private watched = false;
  private forced: Map<number, number> | null = null;
  private log: TakenChoice[] | null = null;
  private listener: ChoiceListener | null = null;

  constructor(
    source: ChoiceSource,
    readonly name: string,
    readonly instance: number,
  ) {
    const seedLow = (source.seed % TWO_32) | 0;
    const seedHigh = Math.floor(source.seed / TWO_32) | 0;
    const nameFnv = hashName(name, 0x811c9dc5);
    const nameOther = hashName(name, 0x2545f491);
    this.a = mix(mix(seedLow ^ nameFnv) + instance) ^ mix(seedHigh + 0x632be5ab);
    this.b = mix(mix(seedHigh ^ nameOther) + mix(instance ^ 0x85157af5)) ^ mix(seedLow + 0x58f38ded);
  }

  /** A whole number from 0 to n - 1; n from 1 to 2^53. Any context. */
  below(n: number): number {
    const counter = this.counter++;
    const value = n <= TWO_32 ? this.small(counter, n) : this.large(counter, n);
    return this.watched ? this.watch(counter, value, 0, n - 1) : value;
  }

  /** A whole number from 0 to 2^32 - 1. Any context. */
  uint32(): number {
    const counter = this.counter++;
    const value = this.word(counter, this.b);
    return this.watched ? this.watch(counter, value, 0, TWO_32 - 1) : value;
  }

  /** A whole number from `low` to `high`, both included. Any context. */
  between(low: number, high: number): number {
    const n = high - low + 1;
    const counter = this.counter++;
    const value = low + (n <= TWO_32 ? this.small(counter, n) : this.large(counter, n));
    return this.watched ? this.watch(counter, value, low, high) : value;
  }

  /** Of the source. */
  force(choice: ForcedChoice): void {
    this.forced ??= new Map();
    this.forced.set(choice.counter, choice.value);
    this.watched = true;
  }

  /** Of the source. */
  recordInto(log: TakenChoice[] | null, listener: ChoiceListener | null): void {
    this.log = log;
    this.listener = listener;
    this.watched = log !== null || listener !== null || this.forced !== null;
  }

  private small(counter: number, n: number): number {
    if (!(n >= 1)) throw impossibleRange(this.name, n);
    // The high part of a 32 x 32 bit product: below 2^53 exactly for n up to 2^21, and never n itself above that.
    return Math.floor((this.word(counter, this.b) * n) / TWO_32);
  }

  private large(counter: number, n: number): number {
    if (!(n <= Number.MAX_SAFE_INTEGER + 1)) throw impossibleRange(this.name, n);
    const high = this.word(counter, this.b) >>> 11;
    const low = this.word(counter, ~this.b);
    return (high * TWO_32 + low) % n;
  }

  /** 32 bits of the hash of (seed, name, instance, counter). Two rounds of an avalanche function with the key between. */
  private word(counter: number, key: number): number {
    const low = counter | 0;
    const high = counter >= TWO_32 ? (counter / TWO_32) | 0 : 0;
    return (mix(mix(Math.imul(low, 0x9e3779b1) ^ this.a) + key + high) ^ this.a) >>> 0;
  }

  private watch(counter: number, hashed: number, low: number, high: number): number {
    const forced = this.forced?.get(counter);
    const value = forced ?? hashed;
    if (!(value >= low && value <= high)) {
      throw new PincushionError('CHOICE_INVALID', `choice ${counter} of '${this.name}' is forced to ${value}`, {
        expected: `a value from ${low} to ${high}`,
        hint: 'the recording with the program it was made with',
      });
    }
    this.log?.push({ name: this.name, instance: this.instance, counter, value, low, high });
    this.listener?.taken(this, counter, value, low, high);
    return value;
  }
}

/** An avalanche function over 32 bits: each bit of the input moves half of the bits of the result. */
function mix(value: number): number {
  let x = value | 0;
  x = Math.imul(x ^ (x >>> 16), 0x21f0aaad);
  x = Math.imul(x ^ (x >>> 15), 0x735a2d97);
  return x ^ (x >>> 15);
}

/** FNV-1a over the UTF-16 units of a name. */
function hashName(name: string, basis: number): number {
  let hash = basis;
  for (let i = 0; i < name.length; i++) hash = Math.imul(hash ^ name.charCodeAt(i), 0x01000193);
  return mix(hash);
}

function impossibleRange(name: string, n: number): PincushionError {
  return new PincushionError('CHOICE_INVALID', `a choice of '${name}' is asked among ${n} values`, {
    expected: 'from 1 to 2^53 values',
  });
}

function parseForced(words: readonly string[]): ForcedChoice | null {
  const [instance, counter, value] = words.slice(2).map(wholeNumber);
  if (instance === null || instance < 0 || counter === null || counter < 0 || value === null) return null;
  return { name: words[1], instance, counter, value };
}

function wholeNumber(word: string): number | null {
  const value = /^-?\d+$/.test(word) ? Number(word) : NaN;
  return Number.isSafeInteger(value) ? value : null;
}

function unreadable(lineNumber: number, line: string, expected: string): UsageError {
  return new UsageError('CHOICES_UNREADABLE', `line ${lineNumber} of the recording cannot be understood`, {
    expected,
    actual: `'${line.trim().slice(0, 80)}'`,
  });
}
