/** Parsers for option values; a bad value ends with exit code 2 and says what is allowed. */
import { kernelProfiles } from '@pincushion/mm';
import { InvalidArgumentError } from 'commander';

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
