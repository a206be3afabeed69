/**
 * Values of fio options: numbers with units, percentages, durations, names out of a list.
 *
 * fio's units (its HOWTO, "Parameter types"): sizes are powers of 1024 with or without `i` and `b` (kb_base=1024);
 * a time without a unit is in the option's own default unit. Every failure is a `UsageError` JOB_INVALID naming file, line
 * and option.
 */
import { closest } from 'fastest-levenshtein';
import { UsageError } from '@pincushion/sim';
import type { IniOption } from './fio-ini';

const SIZE_UNITS: Readonly<Record<string, number>> = Object.freeze({
  '': 1,
  k: 2 ** 10,
  m: 2 ** 20,
  g: 2 ** 30,
  t: 2 ** 40,
  p: 2 ** 50,
});

const TIME_UNITS: Readonly<Record<string, number>> = Object.freeze({
  ns: 1,
  us: 1_000,
  usec: 1_000,
  ms: 1_000_000,
  msec: 1_000_000,
  s: 1_000_000_000,
  sec: 1_000_000_000,
  m: 60_000_000_000,
  h: 3_600_000_000_000,
  d: 86_400_000_000_000,
});

/** An amount of bytes, absolute or a share of the device. */
export interface FioSize {
  readonly bytes: number | null;
  readonly percent: number | null;
}

/** Reads the values of one option; knows how to complain about it. */
export class FioValue {
  readonly text: string;

  constructor(
    readonly option: IniOption,
    readonly source: string,
  ) {
    this.text = option.value ?? '';
  }

  fail(expected: string, hint?: string): never {
    throw new UsageError('JOB_INVALID', `${this.source}:${this.option.line}: ${this.option.name} cannot be used`, {
      expected,
      actual: this.option.value === null ? 'no value' : `"${this.text}"`,
      ...(hint === undefined ? {} : { hint }),
    });
  }

  /** A whole number from `least` to `most`, with k, m, g allowed. */
  count(least: number, most: number): number {
    const value = sizeIn(this.text);
    if (value === null || value < least || value > most) this.fail(`a whole number from ${least} to ${most}`);
    return value;
  }

  /** Bytes from 1 up. */
  bytes(): number {
    const value = sizeIn(this.text);
    if (value === null || value === 0) this.fail('a size above 0, such as 4k or 64m');
    return value;
  }

  /** Bytes, or a percentage of the device. */
  size(): FioSize {
    const percent = /^(\d+(?:\.\d+)?)%$/.exec(this.text);
    if (percent !== null) {
      const share = Number(percent[1]);
      if (share > 100) this.fail('at most 100%');
      return { bytes: null, percent: share };
    }
    const value = sizeIn(this.text);
    if (value === null) this.fail('a size such as 64m, or a percentage of the device');
    return { bytes: value, percent: null };
  }

  /** Nanoseconds; a bare number counts in `defaultUnit`. */
  duration(defaultUnit: 'us' | 's'): number {
    const match = /^(\d+(?:\.\d+)?)\s*([a-z]*)$/i.exec(this.text);
    const unit = match?.[2].toLowerCase() ?? '';
    const name = unit === '' ? defaultUnit : unit;
    const factor = Object.hasOwn(TIME_UNITS, name) ? TIME_UNITS[name] : null;
    const value = match === null || factor === null ? NaN : Number(match[1]) * factor;
    if (!Number.isSafeInteger(value)) this.fail('a time such as 10s, 500ms or 20us');
    return value;
  }

  /** On or off; a switch without a value is on. */
  flag(): boolean {
    if (this.option.value === null || this.text === '1' || this.text === 'true') return true;
    if (this.text === '0' || this.text === 'false') return false;
    return this.fail('0 or 1');
  }

  oneOf<T extends string>(names: readonly T[]): T {
    const found = names.find((name) => name === this.text.toLowerCase());
    if (found !== undefined) return found;
    return this.fail(`one of ${names.join(', ')}`, `${this.option.name}=${closest(this.text.toLowerCase(), names)}`);
  }
}

/** Bytes of a fio size; null when it is none, or not a whole number below 2^53. */
function sizeIn(text: string): number | null {
  const match = /^(0x[0-9a-f]+|\d+(?:\.\d+)?)\s*([kmgtp]?)(?:i?b)?$/i.exec(text);
  if (match === null) return null;
  const value = Number(match[1]) * SIZE_UNITS[match[2].toLowerCase()];
  return Number.isSafeInteger(value) ? value : null;
}
