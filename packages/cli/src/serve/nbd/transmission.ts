/**
 * The second half of a client's life: requests in, simple replies out, in the order in which they end.
 *
 * A request that makes no sense is answered EINVAL and the client goes on; one after which the place of the next request cannot be known
 * (a wrong magic, a payload that is too long) cuts the client off.
 */
import { EINVAL, ENODEV, ENOMEM, ENOSPC, EOPNOTSUPP } from '@pincushion/sim';
import type { ByteQueue } from '../byte-queue';
import type { BlockOp, BlockRequest, ServedReply } from '../request';
import {
  COMMAND_FLAG_FUA,
  COMMAND_FLAG_NO_HOLE,
  Command,
  NbdError,
  REQUEST_BYTES_MOST,
  REQUEST_MAGIC,
  SIMPLE_REPLY_MAGIC,
} from './nbd-protocol';
import type { NbdExport } from './nbd-protocol';

const REQUEST_HEADER_BYTES = 28;

/** One request as it came: what to do, or the error it is answered with at once. */
export interface NbdRequest {
  /** Eight bytes that the client wants back. */
  readonly cookie: Buffer;
  readonly request: BlockRequest | null;
  /** Of a request that is not carried out: an error of NBD. */
  readonly error: number;
}

/** Takes one request from the bytes: `more` while it is not whole, `close` when the client has to go or wants to. */
export function nextRequest(bytes: ByteQueue, { name, size }: NbdExport): NbdRequest | 'more' | 'close' {
  const header = bytes.peek(REQUEST_HEADER_BYTES);
  if (header === null) return 'more';
  if (header.readUInt32BE(0) !== REQUEST_MAGIC) return 'close';
  const flags = header.readUInt16BE(4);
  const command = header.readUInt16BE(6);
  const offset = Number(header.readBigUInt64BE(16));
  const length = header.readUInt32BE(24);
  const isWrite = command === Command.write;
  if (command === Command.disconnect || (isWrite && length > REQUEST_BYTES_MOST)) return 'close';
  if (isWrite && bytes.length < REQUEST_HEADER_BYTES + length) return 'more';
  const cookie = Buffer.from(header.subarray(8, 16));
  bytes.drop(REQUEST_HEADER_BYTES);
  // A copy: the client's next bytes may share its memory.
  const data = isWrite ? new Uint8Array(bytes.take(length) ?? []) : null;
  const op = opOf(command);
  const error = refusal(op, flags, offset, length, size);
  if (op === null || error !== 0) return { cookie, request: null, error };
  const fua = (flags & COMMAND_FLAG_FUA) !== 0 && op !== 'read' && op !== 'flush';
  const isFlush = op === 'flush';
  const place = { offset: isFlush ? 0 : offset, length: isFlush ? 0 : length };
  return { cookie, request: { kind: 'block', op, disk: name, ...place, fua, data }, error: 0 };
}

function opOf(command: number): BlockOp | null {
  switch (command) {
    case Command.read:
      return 'read';
    case Command.write:
      return 'write';
    case Command.flush:
      return 'flush';
    case Command.trim:
      return 'trim';
    case Command.writeZeroes:
      return 'zeroes';
    default:
      return null;
  }
}

function refusal(op: BlockOp | null, flags: number, offset: number, length: number, size: number): number {
  const known = op === 'zeroes' ? COMMAND_FLAG_FUA | COMMAND_FLAG_NO_HOLE : COMMAND_FLAG_FUA;
  if (op === null || (flags & ~known) !== 0) return NbdError.invalid;
  if (op === 'flush') return offset === 0 && length === 0 ? 0 : NbdError.invalid;
  if (length === 0 || (op === 'read' && length > REQUEST_BYTES_MOST)) return NbdError.invalid;
  if (offset + length <= size) return 0;
  return op === 'write' || op === 'zeroes' ? NbdError.noSpace : NbdError.invalid;
}

/** A simple reply; data only without an error. */
export function replyHeader(cookie: Buffer, error: number): Buffer {
  const head = Buffer.alloc(16);
  head.writeUInt32BE(SIMPLE_REPLY_MAGIC, 0);
  head.writeUInt32BE(error, 4);
  head.set(cookie, 8);
  return head;
}

/** What an errno of the machine is to a client. */
export function nbdError({ status }: ServedReply): number {
  switch (-status) {
    case 0:
      return 0;
    case ENOMEM:
      return NbdError.noMemory;
    case EINVAL:
      return NbdError.invalid;
    case ENOSPC:
      return NbdError.noSpace;
    case EOPNOTSUPP:
      return NbdError.notSupported;
    case ENODEV:
      return NbdError.shutdown;
    default:
      return NbdError.io;
  }
}
