/** The file around a block trace: gzip or plain, text or something else. */
import { gunzipSync } from 'node:zlib';
import { UsageError } from '@pincushion/sim';

/** Unpacked traces above this are refused: a gzip of a few MiB could otherwise fill the memory of the host. */
const UNPACKED_BYTES_MAX = 2 ** 31 - 1;
/** Length of the beginning that is searched for bytes no text has. */
const SNIFFED_BYTES = 65536;

/**
 * The text of a trace file. Throws `UsageError` TRACE_INVALID for a damaged gzip, for a binary file, and for blktrace's
 * own binary format, which blkparse must read first.
 */
export function unpackTrace(data: Uint8Array, source: string): Uint8Array {
  const text = isGzip(data) ? unzip(data, source) : data;
  const end = Math.min(text.length, SNIFFED_BYTES);
  if (isBlktrace(text)) {
    throw new UsageError('TRACE_INVALID', `${source}: this is blktrace's binary output`, {
      expected: 'the text that blkparse prints',
      hint: `blkparse -i ${source} > trace.blkparse.txt`,
    });
  }
  for (let i = 0; i < end; i++) {
    if (text[i] !== 0) continue;
    throw new UsageError('TRACE_INVALID', `${source}: this is a binary file`, {
      expected: 'blkparse text, plain or gzip',
      actual: `a zero byte at offset ${i}`,
    });
  }
  return text;
}

/** True when the data begins as a line of blkparse text does: digits, a comma, digits. Plain text only. */
export function looksLikeBlkparse(data: Uint8Array): boolean {
  return /^\s*\d+,\d+\s+\d+\s+\d+\s+\d+\.\d+\s/.test(Buffer.from(data.subarray(0, 200)).toString('latin1'));
}

export function isGzip(data: Uint8Array): boolean {
  return data.length >= 2 && data[0] === 0x1f && data[1] === 0x8b;
}

function unzip(data: Uint8Array, source: string): Uint8Array {
  try {
    return gunzipSync(data, { maxOutputLength: UNPACKED_BYTES_MAX });
  } catch (cause) {
    throw new UsageError('TRACE_INVALID', `${source}: the gzip is damaged or cut off`, {
      expected: 'a whole gzip file',
      actual: cause instanceof Error ? cause.message : String(cause),
      hint: 'gzip -t on the file',
      cause,
    });
  }
}

/** Magic 0x65617400 in either byte order (linux/blktrace_api.h, BLK_IO_TRACE_MAGIC), version in the low byte. */
function isBlktrace(data: Uint8Array): boolean {
  if (data.length < 4) return false;
  return (
    (data[3] === 0x65 && data[2] === 0x61 && data[1] === 0x74) ||
    (data[0] === 0x65 && data[1] === 0x61 && data[2] === 0x74 && data[3] < 16)
  );
}
