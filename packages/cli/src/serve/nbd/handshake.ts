/**
 * The negotiation of one client, fixed newstyle:
 *
 *   server: magic, flags → client: flags → options, each with its replies … → EXPORT_NAME or GO → transmission
 *
 * Options it does not have are declined, as the protocol wants it, so that a client can go on without them: TLS, structured replies,
 * metadata contexts, extended headers. What cannot be a client of NBD is cut off: a wrong magic, unknown flags, options
 * without end.
 * Left out: oldstyle, TLS, the wish for a smaller alignment than the disk has.
 */
import type { ByteQueue } from '../byte-queue';
import {
  EXPORT_FLAGS,
  FLAG_FIXED_NEWSTYLE,
  FLAG_NO_ZEROES,
  IHAVEOPT,
  Info,
  NAME_BYTES_MOST,
  NBD_MAGIC,
  OPTION_REPLY_MAGIC,
  Option,
  OptionReply,
  REQUEST_BYTES_MOST,
} from './nbd-protocol';
import type { NbdExport } from './nbd-protocol';

/** Data of one option; more is skipped, and answered TOO_BIG. */
const OPTION_BYTES_MOST = 64 * 1024;
const SKIPPED_BYTES_MOST = 16 * 1024 * 1024;
/** No client needs as many. */
const OPTIONS_MOST = 64;
const OPTION_HEADER_BYTES = 16;

const FLAGS =
  EXPORT_FLAGS.hasFlags |
  EXPORT_FLAGS.sendFlush |
  EXPORT_FLAGS.sendFua |
  EXPORT_FLAGS.sendTrim |
  EXPORT_FLAGS.sendWriteZeroes |
  EXPORT_FLAGS.canMultiConn;

/** What came of some bytes: it goes on, an export was chosen, the client said good-bye or has to go. */
export type HandshakeState = 'more' | NbdExport | 'close';

export class Handshake {
  private stage: 'flags' | 'options' = 'flags';
  private noZeroes = false;
  private options = 0;
  private skip = 0;

  /** @param exports the first is the default one, with the empty name */
  constructor(
    private readonly exports: readonly NbdExport[],
    private readonly send: (bytes: Uint8Array) => void,
  ) {}

  /** The server speaks first. */
  begin(): void {
    const hello = Buffer.alloc(18);
    hello.writeBigUInt64BE(NBD_MAGIC, 0);
    hello.writeBigUInt64BE(IHAVEOPT, 8);
    hello.writeUInt16BE(FLAG_FIXED_NEWSTYLE | FLAG_NO_ZEROES, 16);
    this.send(hello);
  }

  /** Understands what came so far. */
  receive(bytes: ByteQueue): HandshakeState {
    for (;;) {
      if (this.skip > 0) this.skip -= bytes.drop(this.skip);
      if (this.skip > 0) return 'more';
      const state = this.stage === 'flags' ? this.flags(bytes) : this.option(bytes);
      if (state !== null) return state;
    }
  }

  private flags(bytes: ByteQueue): HandshakeState | null {
    const flags = bytes.take(4)?.readUInt32BE(0);
    if (flags === undefined) return 'more';
    if ((flags & ~(FLAG_FIXED_NEWSTYLE | FLAG_NO_ZEROES)) !== 0) return 'close';
    this.noZeroes = (flags & FLAG_NO_ZEROES) !== 0;
    this.stage = 'options';
    return null;
  }

  private option(bytes: ByteQueue): HandshakeState | null {
    const header = bytes.peek(OPTION_HEADER_BYTES);
    if (header === null) return 'more';
    if (header.readBigUInt64BE(0) !== IHAVEOPT) return 'close';
    const option = header.readUInt32BE(8);
    const length = header.readUInt32BE(12);
    if (length > OPTION_BYTES_MOST) {
      if (length > SKIPPED_BYTES_MOST || option === Option.exportName || ++this.options > OPTIONS_MOST) return 'close';
      bytes.drop(OPTION_HEADER_BYTES);
      this.skip = length;
      this.reply(option, OptionReply.tooBig);
      return null;
    }
    if (bytes.length < OPTION_HEADER_BYTES + length) return 'more';
    if (++this.options > OPTIONS_MOST) return 'close';
    bytes.drop(OPTION_HEADER_BYTES);
    return this.answer(option, bytes.take(length) ?? Buffer.alloc(0));
  }

  private answer(option: number, data: Buffer): HandshakeState | null {
    switch (option) {
      case Option.exportName:
        return this.exportName(data);
      case Option.abort:
        this.reply(option, OptionReply.ack);
        return 'close';
      case Option.list:
        this.list(data);
        return null;
      case Option.info:
      case Option.go:
        return this.info(option, data);
      default:
        this.reply(option, OptionReply.unsupported);
        return null;
    }
  }

  /** The old way to choose: an unknown name can only be answered by hanging up. */
  private exportName(data: Buffer): HandshakeState {
    const chosen = this.find(data.toString('utf8'));
    if (chosen === null) return 'close';
    const answer = Buffer.alloc(this.noZeroes ? 10 : 134);
    answer.writeBigUInt64BE(BigInt(chosen.size), 0);
    answer.writeUInt16BE(FLAGS, 8);
    this.send(answer);
    return chosen;
  }

  private list(data: Buffer): void {
    if (data.length !== 0) {
      this.reply(Option.list, OptionReply.invalid, 'LIST takes no data');
      return;
    }
    for (const { name } of this.exports) {
      const bytes = Buffer.from(name, 'utf8');
      const entry = Buffer.alloc(4 + bytes.length);
      entry.writeUInt32BE(bytes.length, 0);
      entry.set(bytes, 4);
      this.reply(Option.list, OptionReply.server, entry);
    }
    this.reply(Option.list, OptionReply.ack);
  }

  private info(option: number, data: Buffer): HandshakeState | null {
    const nameBytes = data.length >= 6 ? data.readUInt32BE(0) : Infinity;
    const wishes = nameBytes + 6 <= data.length ? data.readUInt16BE(4 + nameBytes) : -1;
    if (nameBytes > NAME_BYTES_MOST || data.length !== nameBytes + 6 + 2 * wishes) {
      this.reply(option, OptionReply.invalid, 'the lengths in the option do not fit');
      return null;
    }
    const chosen = this.find(data.toString('utf8', 4, 4 + nameBytes));
    if (chosen === null) {
      this.reply(option, OptionReply.unknown, 'there is no such export');
      return null;
    }
    const wanted = new Set<number>([Info.export, Info.blockSize]);
    for (let i = 0; i < wishes; i++) wanted.add(data.readUInt16BE(6 + nameBytes + 2 * i));
    for (const info of wanted) this.tell(option, info, chosen);
    this.reply(option, OptionReply.ack);
    return option === Option.go ? chosen : null;
  }

  private tell(option: number, info: number, { name, description, size, blockBytes }: NbdExport): void {
    let content: Buffer;
    if (info === Info.export) {
      content = Buffer.alloc(10);
      content.writeBigUInt64BE(BigInt(size), 0);
      content.writeUInt16BE(FLAGS, 8);
    } else if (info === Info.blockSize) {
      content = Buffer.alloc(12);
      content.writeUInt32BE(blockBytes, 0);
      content.writeUInt32BE(Math.max(4096, blockBytes), 4);
      content.writeUInt32BE(REQUEST_BYTES_MOST, 8);
    } else if (info === Info.name || info === Info.description) {
      content = Buffer.from(info === Info.name ? name : description, 'utf8');
    } else {
      return; // A wish that is not known is passed over.
    }
    const type = Buffer.alloc(2);
    type.writeUInt16BE(info, 0);
    this.reply(option, OptionReply.info, Buffer.concat([type, content]));
  }

  private find(name: string): NbdExport | null {
    return (name === '' ? this.exports.at(0) : this.exports.find((each) => each.name === name)) ?? null;
  }

  /** `data`: bytes, or a sentence for people. */
  private reply(option: number, type: number, data: Uint8Array | string = ''): void {
    const bytes = Buffer.from(data as string);
    const head = Buffer.alloc(20);
    head.writeBigUInt64BE(OPTION_REPLY_MAGIC, 0);
    head.writeUInt32BE(option, 8);
    head.writeUInt32BE(type, 12);
    head.writeUInt32BE(bytes.length, 16);
    this.send(Buffer.concat([head, bytes]));
  }
}
