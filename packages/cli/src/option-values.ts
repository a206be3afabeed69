/** Parsers for option values; a bad value ends with exit code 2 and says what is allowed. */
import { kernelProfiles } from '@pincushion/mm';
import { THROUGH } from '@pincushion/workloads';
import type { Through } from '@pincushion/workloads';
import { InvalidArgumentError } from 'commander';
import { unknownWord } from './unknown-word';

/** A whole number between `least` and `most`, written in digits. */
export function wholeNumber(least: number, most: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^\d+$/.test(text) || value < least || value > most) {
      throw new InvalidArgumentError(`Expected a whole number from ${least} to ${most}.`);
    }
    return value;
  };
}

/** The name of a kernel that a machine can behave like. */
export function kernelName(text: string): string {
  if (Object.hasOwn(kernelProfiles, text)) return text;
  throw new InvalidArgumentError(`Expected one of ${Object.keys(kernelProfiles).join(', ')}.`);
}

/** What the I/Os of a run go through. Throws `UsageError` ARGUMENT_INVALID with the nearest word. */
export function throughWay(text: string): Through {
  const way = THROUGH.find((known) => known === text);
  if (way === undefined) throw unknownWord(`--through has no ${text}`, text, THROUGH);
  return way;
}
