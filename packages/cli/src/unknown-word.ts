/** The error for a word on the command line that is none of those we know: lists them and suggests the nearest. */
import { nearestName } from '@pincushion/driver';
import { UsageError } from '@pincushion/sim';

/** `summary` says in a few words that there is no such thing: `there is no demo "x"`. */
export function unknownWord(summary: string, word: string, known: readonly string[], listed = true): UsageError {
  const nearest = nearestName(word, known);
  return new UsageError('ARGUMENT_INVALID', summary, {
    ...(listed ? { expected: `one of ${known.join(', ')}` } : {}),
    ...(nearest === null ? {} : { hint: nearest }),
  });
}
