/** Content that a replay file carries in itself: short text as it is, everything else as gzip in base64. */
import { gunzipSync, gzipSync } from 'node:zlib';
import { UsageError } from '@pincushion/sim';
import { z } from 'zod';

/** Text up to this many bytes is left readable. */
const READABLE_MOST = 16 * 1024;
/** Characters of base64 in a file; what is longer stays outside. */
const PACKED_MOST = 12 * 1024 * 1024;
/** What may come out of one gzip: a few bytes of it could otherwise fill the memory of the host. */
const UNPACKED_MOST = 256 * 1024 * 1024;

export const Packed = z.strictObject({
  text: z.string().max(READABLE_MOST).optional().describe('The content, when it is short text.'),
  gzip: z
    .string()
    .max(PACKED_MOST)
    .regex(/^[A-Za-z0-9+/]*={0,2}$/, 'base64')
    .optional()
    .describe('The content otherwise: gzip in base64.'),
});

export type Packed = z.infer<typeof Packed>;

/** The content packed; null when it is too large for a file that people send around. */
export function pack(content: Uint8Array): Packed | null {
  const text = content.length <= READABLE_MOST ? readable(content) : null;
  if (text !== null) return { text };
  if (content.length > UNPACKED_MOST) return null;
  const gzip = gzipSync(content).toString('base64');
  return gzip.length > PACKED_MOST ? null : { gzip };
}

/** The content. `what` is for the message. Throws `UsageError` REPLAY_INVALID for damaged gzip, or neither or both forms. */
export function unpack({ text, gzip }: Packed, what: string): Buffer {
  if (text !== undefined && gzip === undefined) return Buffer.from(text, 'utf8');
  if (gzip === undefined || text !== undefined) {
    throw new UsageError('REPLAY_INVALID', `${what} is there ${gzip === undefined ? 'in no form' : 'in two forms'}`, {
      expected: 'either text or gzip',
    });
  }
  try {
    return gunzipSync(Buffer.from(gzip, 'base64'), { maxOutputLength: UNPACKED_MOST });
  } catch (cause) {
    throw new UsageError('REPLAY_INVALID', `${what} cannot be unpacked`, {
      expected: 'gzip in base64',
      actual: cause instanceof Error ? cause.message : String(cause),
      cause,
    });
  }
}

/** The text of some bytes; null when they are no text, or would not come back as they are. */
function readable(content: Uint8Array): string | null {
  const text = Buffer.from(content).toString('utf8');
  return Buffer.from(text, 'utf8').equals(content) && !text.includes('\0') ? text : null;
}
