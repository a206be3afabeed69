/**
 * The hardware of my-device: an RDMA adapter whose wire leads back to itself.
 *
 * It has a table of memory regions, each a range of bus addresses with a key and with what may be done to it, and queue pairs: a
 * queue of work requests and a queue of completions, both in host memory. A request moves bytes from one region to another. The
 * table is looked at for each chunk, so a region that is taken away is out of reach at once.
 *
 *     work request  64 bytes: operation, bytes, local key, remote key, local offset, remote offset (64 bits each), id
 *     completion    16 bytes: id, status, bytes, sequence number from 1
 */
import { DeviceModel, hardware } from '@pincushion/driver';
import { z } from 'zod';
import { QueuePairState, REQUEST_WORDS } from './queue-pair-state';
import { Access, RegionTable } from './region-table';

/** What the bus finds the device by; package.json says the same under `pincushion`. Put your own here. */
export const IDS = { vendor: 0x1234, device: 0x0001 } as const;

export const QUEUE_PAIRS = 8;
/** Offsets in BAR 0; all registers have 32 bits. The first five describe a region, the sixth acts on it. */
export const Register = {
  regionIova: 0x00,
  regionLength: 0x08,
  regionAccess: 0x0c,
  regionKey: 0x10,
  regionCommand: 0x14,
  /** The registers of queue pair n begin at `queuePairs + n * queuePairBytes`. */
  queuePairs: 0x100,
  queuePairBytes: 0x20,
} as const;
/** What is written to `regionCommand`. */
export const RegionCommand = { invalidate: 0, set: 1 } as const;
/** Offsets in the registers of a queue pair. Starting it empties its queues. */
export const QueueRegister = { requests: 0x00, completions: 0x08, running: 0x10, tail: 0x14 } as const;
export const Operation = { write: 1, read: 2 } as const;
/** Status of a completion. */
export const Status = { ok: 0, localProtection: 1, remoteAccess: 2, badOperation: 3, bus: 4 } as const;

const CHUNK_BYTES = 1024;
const REGISTER_BYTES = Register.queuePairs + QUEUE_PAIRS * Register.queuePairBytes;
const Model = z.strictObject({
  nsPerByte: z.int().min(0).default(1),
  /** From a doorbell to the first byte. */
  wireNs: z.int().min(0).default(1000),
});

@hardware({ name: 'my-device', ...IDS, bars: [{ bytes: REGISTER_BYTES }], vectors: 1, config: Model })
export class MyDeviceHardware extends DeviceModel<z.output<typeof Model>> {
  private readonly registers = new Uint32Array(REGISTER_BYTES / 4);
  private readonly regions = new RegionTable();
  private pairs: readonly QueuePairState[] = [];
  private readonly chunk = new Uint8Array(CHUNK_BYTES);

  override powerOn(): void {
    for (const pair of this.pairs) this.cancel(pair.event);
    this.registers.fill(0);
    this.regions.clear();
    this.pairs = Array.from({ length: QUEUE_PAIRS }, () => new QueuePairState());
  }

  override mmioRead(_bar: number, offset: number): number {
    return this.registers[offset >> 2];
  }

  override mmioWrite(_bar: number, offset: number, value: number): void {
    const { registers } = this;
    registers[offset >> 2] = value;
    if (offset === Register.regionCommand) this.changeRegion(value);
    if (offset < Register.queuePairs) return;
    const n = Math.floor((offset - Register.queuePairs) / Register.queuePairBytes);
    const register = (offset - Register.queuePairs) % Register.queuePairBytes;
    if (register === QueueRegister.running) this.restart(this.pairs[n], n, value !== 0);
    if (register === QueueRegister.tail) this.ring(this.pairs[n], value);
  }

  private changeRegion(command: number): void {
    const { registers, regions } = this;
    const key = registers[Register.regionKey >> 2];
    if (command === RegionCommand.set) {
      const length = registers[Register.regionLength >> 2];
      regions.set(key, { iova: this.wide(Register.regionIova), length, access: registers[Register.regionAccess >> 2] });
    } else {
      regions.invalidate(key);
    }
  }

  private restart(pair: QueuePairState, n: number, running: boolean): void {
    this.cancel(pair.event);
    const at = Register.queuePairs + n * Register.queuePairBytes;
    pair.restart(running, this.wide(at + QueueRegister.requests), this.wide(at + QueueRegister.completions));
  }

  private ring(pair: QueuePairState, tail: number): void {
    pair.tail = tail;
    if (!pair.busy) this.next(pair);
  }

  /** Takes the next work request of a queue pair, when there is one. */
  private next(pair: QueuePairState): void {
    if (!pair.takeNext()) return;
    const errno = this.dmaReadWords(pair.requestIova(), pair.request, 0, REQUEST_WORDS);
    pair.event = this.after(this.config.wireNs, () => {
      if (errno === 0) this.nextChunk(pair);
      else this.complete(pair, Status.bus);
    });
  }

  private nextChunk(pair: QueuePairState): void {
    const bytes = Math.min(CHUNK_BYTES, pair.bytes - pair.done);
    pair.event = this.after(bytes * this.config.nsPerByte, () => {
      this.moveChunk(pair, bytes);
    });
  }

  private moveChunk(pair: QueuePairState, bytes: number): void {
    const { regions, chunk } = this;
    const { operation } = pair;
    if (operation !== Operation.write && operation !== Operation.read) {
      this.complete(pair, Status.badOperation);
      return;
    }
    const write = operation === Operation.write;
    const local = regions.translate(pair.localKey, pair.localOffset + pair.done, bytes, write ? 0 : Access.localWrite);
    const wanted = write ? Access.remoteWrite : Access.remoteRead;
    const remote = regions.translate(pair.remoteKey, pair.remoteOffset + pair.done, bytes, wanted);
    if (local < 0 || remote < 0) {
      this.complete(pair, local < 0 ? Status.localProtection : Status.remoteAccess);
      return;
    }
    let errno = this.dmaRead(write ? local : remote, chunk, 0, bytes);
    if (errno === 0) errno = this.dmaWrite(write ? remote : local, chunk, 0, bytes);
    if (errno !== 0) {
      this.complete(pair, Status.bus);
      return;
    }
    pair.done += bytes;
    if (pair.done < pair.bytes) this.nextChunk(pair);
    else this.complete(pair, Status.ok);
  }

  private complete(pair: QueuePairState, status: number): void {
    this.dmaWriteWords(pair.completionIova(), pair.completion(status), 0, 4);
    pair.finish();
    this.raise(0);
    this.next(pair);
  }

  private wide(offset: number): number {
    return this.registers[offset >> 2] + this.registers[(offset >> 2) + 1] * 0x1_0000_0000;
  }
}
