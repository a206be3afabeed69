/**
 * Numbers of the NBD protocol: fixed newstyle negotiation, simple replies. All fields are big-endian.
 * Source: the NBD protocol description (doc/proto.md of the reference implementation).
 */
export const NBD_MAGIC = 0x4e42444d41474943n;
export const IHAVEOPT = 0x49484156454f5054n;
export const OPTION_REPLY_MAGIC = 0x0003e889045565a9n;
export const REQUEST_MAGIC = 0x25609513;
export const SIMPLE_REPLY_MAGIC = 0x67446698;

/** Handshake flags of the server, and the same bits of the client. */
export const FLAG_FIXED_NEWSTYLE = 1;
export const FLAG_NO_ZEROES = 2;

export const Option = { exportName: 1, abort: 2, list: 3, info: 6, go: 7 } as const;

export const OptionReply = {
  ack: 1,
  server: 2,
  info: 3,
  unsupported: 0x8000_0001,
  invalid: 0x8000_0003,
  unknown: 0x8000_0006,
  tooBig: 0x8000_0009,
} as const;

export const Info = { export: 0, name: 1, description: 2, blockSize: 3 } as const;

/** Transmission flags of an export. */
export const EXPORT_FLAGS = {
  hasFlags: 1,
  sendFlush: 1 << 2,
  sendFua: 1 << 3,
  sendTrim: 1 << 5,
  sendWriteZeroes: 1 << 6,
  canMultiConn: 1 << 8,
} as const;

export const Command = { read: 0, write: 1, disconnect: 2, flush: 3, trim: 4, writeZeroes: 6 } as const;

/** Flags of a request that are understood. */
export const COMMAND_FLAG_FUA = 1;
export const COMMAND_FLAG_NO_HOLE = 2;

/** Errors a client may get. */
export const NbdError = { io: 5, noMemory: 12, invalid: 22, noSpace: 28, notSupported: 95, shutdown: 108 } as const;

/** Bytes of one request: what a client may assume, and what is offered. */
export const REQUEST_BYTES_MOST = 32 * 1024 * 1024;
export const NAME_BYTES_MOST = 4096;

/** A disk that clients can ask for. */
export interface NbdExport {
  readonly name: string;
  readonly description: string;
  /** Bytes. */
  readonly size: number;
  /** Bytes of a logical block: offsets and lengths are multiples. */
  readonly blockBytes: number;
}
