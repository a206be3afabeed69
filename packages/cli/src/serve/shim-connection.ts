/**
 * A client that sends NVMe commands as a shim for NVMe tools does, over a local socket. Little-endian, one command at a time:
 *
 *   request   u32 magic 'NVSH', u32 kind (0 admin, 1 I/O), 64 bytes command, u32 bytes to the controller, u32 bytes wanted,
 *             the bytes to the controller
 *   reply     u32 status of the completion without its phase (SC, SCT << 8, CRD << 11, M << 13, DNR << 14), u32 dword 0,
 *             u32 bytes, the bytes
 *
 * Whoever breaks it is cut off: there is no way to tell it.
 */
import { ByteQueue } from './byte-queue';
import type { Connection, ConnectionHost } from './connection';
import type { NvmeRequest, ServedReply } from './request';

const MAGIC = 0x4853564e;
const HEADER_BYTES = 80;
const COMMAND_AT = 8;
const COMMAND_BYTES = 64;
/** More than any controller transfers at once. */
const DATA_BYTES_MOST = 4 * 1024 * 1024;

export class ShimConnection implements Connection {
  private readonly bytes = new ByteQueue();
  private busy = false;
  private over = false;

  constructor(private readonly host: ConnectionHost) {}

  begin(): void {
    // The client speaks first.
  }

  receive(bytes: Uint8Array): void {
    this.bytes.push(bytes);
    this.resume();
  }

  get full(): boolean {
    return this.busy || this.host.congested;
  }

  resume(): void {
    if (this.over || this.full) return;
    const request = this.next();
    if (request === 'more') return;
    if (request === 'close') {
      this.over = true;
      this.host.close();
      return;
    }
    this.busy = true;
    this.host.submit(request, (reply) => {
      this.busy = false;
      this.host.send(replyBytes(reply));
      this.resume();
    });
  }

  private next(): NvmeRequest | 'more' | 'close' {
    const header = this.bytes.peek(HEADER_BYTES);
    if (header === null) return 'more';
    const kind = header.readUInt32LE(4);
    const length = header.readUInt32LE(COMMAND_AT + COMMAND_BYTES);
    const wanted = header.readUInt32LE(COMMAND_AT + COMMAND_BYTES + 4);
    const isBad = header.readUInt32LE(0) !== MAGIC || kind > 1;
    if (isBad || length > DATA_BYTES_MOST || wanted > DATA_BYTES_MOST) return 'close';
    if (this.bytes.length < HEADER_BYTES + length) return 'more';
    const command = new Uint8Array(header.subarray(COMMAND_AT, COMMAND_AT + COMMAND_BYTES));
    this.bytes.drop(HEADER_BYTES);
    const data = new Uint8Array(this.bytes.take(length) ?? []);
    return { kind: 'nvme', isAdmin: kind === 0, command, data, wanted };
  }
}

function replyBytes({ status, result, data }: ServedReply): Buffer {
  const head = Buffer.alloc(12);
  head.writeUInt32LE(status >>> 0, 0);
  head.writeUInt32LE(result >>> 0, 4);
  head.writeUInt32LE(data.length, 8);
  return Buffer.concat([head, data]);
}
