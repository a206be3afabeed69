/** The bytes of an NBD client, written by hand from the protocol, and a connection to talk to without a socket. */
import type { Connection, ConnectionHost } from '../src/serve/connection';
import { NbdConnection } from '../src/serve/nbd/nbd-connection';
import type { NbdExport } from '../src/serve/nbd/nbd-protocol';
import type { ServedReply, ServedRequest } from '../src/serve/request';

export const EXPORT: NbdExport = { name: 'nvme0n1', description: 'a disk', size: 1 << 20, blockBytes: 512 };

const IHAVEOPT = 0x49484156454f5054n;

export function u16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16BE(value);
  return bytes;
}

export function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

export function u64(value: number | bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(value));
  return bytes;
}

/** Client flags: fixed newstyle, no zeroes. */
export const HELLO = u32(3);

export function option(number: number, data: Uint8Array = Buffer.alloc(0)): Buffer {
  return Buffer.concat([u64(IHAVEOPT), u32(number), u32(data.length), data]);
}

/** GO (7) or INFO (6) for an export. */
export function go(name: string, number = 7, infos: readonly number[] = []): Buffer {
  const bytes = Buffer.from(name);
  return option(number, Buffer.concat([u32(bytes.length), bytes, u16(infos.length), ...infos.map(u16)]));
}

export interface RequestFields {
  readonly command: number;
  readonly flags?: number;
  readonly cookie?: number;
  readonly offset?: number | bigint;
  readonly length?: number;
  readonly data?: Uint8Array;
}

export function request({ command, flags = 0, cookie = 1, offset = 0, length, data }: RequestFields): Buffer {
  const bytes = length ?? data?.length ?? 0;
  const head = [u32(0x25609513), u16(flags), u16(command), u64(cookie), u64(offset), u32(bytes)];
  return Buffer.concat([...head, data ?? Buffer.alloc(0)]);
}

/** A connection whose machine is the test. */
export class TestHost implements ConnectionHost {
  sent = Buffer.alloc(0);
  closed = false;
  congested = false;
  readonly submitted: ServedRequest[] = [];
  readonly answers: ((reply: ServedReply) => void)[] = [];
  readonly connection: Connection;

  constructor(connect: (host: ConnectionHost) => Connection = (host) => new NbdConnection([EXPORT], host)) {
    this.connection = connect(this);
    this.connection.begin();
  }

  send(bytes: Uint8Array): void {
    this.sent = Buffer.concat([this.sent, bytes]);
  }

  submit(asked: ServedRequest, answer: (reply: ServedReply) => void): void {
    this.submitted.push(asked);
    this.answers.push(answer);
  }

  close(): void {
    this.closed = true;
  }

  /** What was sent since the last call. */
  take(): Buffer {
    const { sent } = this;
    this.sent = Buffer.alloc(0);
    return sent;
  }

  /** Answers the oldest request that was not answered. */
  answer(status = 0, data: Uint8Array = new Uint8Array(0)): void {
    this.answers.shift()?.({ status, result: 0, data });
  }

  /** Through the handshake. */
  static ready(): TestHost {
    const host = new TestHost();
    host.connection.receive(Buffer.concat([HELLO, go('')]));
    host.take();
    return host;
  }
}
