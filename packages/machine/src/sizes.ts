/** How sizes and durations are written in a machine description: a number, or a number with a unit. */
import { parseDuration, parseSize } from '@pincushion/sim';
import { z } from 'zod';

/** Bytes: `4GiB`, `512 MiB`, `64k`, or a plain number. */
export const Size = z.union([z.string(), z.number()]).transform((written, context) => {
  const bytes = parseSize(written);
  if (bytes !== null) return bytes;
  context.addIssue({ code: 'custom', message: 'a size of at least 0, such as 4GiB, 512MiB or 0' });
  return z.NEVER;
});

/** Virtual nanoseconds: `10ms`, `2us`, or a plain number. */
export const Duration = z.union([z.string(), z.number()]).transform((written, context) => {
  const ns = parseDuration(written);
  if (ns !== null) return ns;
  context.addIssue({ code: 'custom', message: 'a duration of at least 0, such as 10ms, 2us or 500' });
  return z.NEVER;
});
