/**
 * The hardware of the echo NIC: a wire that leads back to where it came from.
 *
 * `send` takes bytes out of host memory and puts them on the wire; `receive` writes the oldest packet of the wire into
 * host memory. Both move a chunk at a time and take time, so much can happen in the middle. One command at a time.
 */
import { DeviceModel, hardware } from '@pincushion/driver';
import { z } from 'zod';

/** Offsets in BAR 0; all registers have 32 bits. */
export const Register = { buffer: 0x00, length: 0x08, doorbell: 0x0c, status: 0x10 } as const;
/** What is written to the doorbell. */
export const Command = { stop: 0, send: 1, receive: 2 } as const;
/** In `status` instead of a number of bytes: a DMA access failed. */
const FAILED = 0x80000000;

const CHUNK_BYTES = 512;
const Model = z.strictObject({ nsPerByte: z.int().min(0).default(1) });

@hardware({ name: 'echo-nic', vendor: 0x1af4, device: 0x10e1, bars: [{ bytes: 32 }], vectors: 1, config: Model })
export class EchoNicHardware extends DeviceModel<z.output<typeof Model>> {
  private readonly registers = new Uint32Array(8);
  private wire: Uint8Array[] = [];
  private packet: Uint8Array = new Uint8Array(0);
  private done = 0;
  private event = 0;

  override powerOn(): void {
    this.registers.fill(0);
    this.wire = [];
  }

  override mmioRead(_bar: number, offset: number): number {
    return this.registers[offset >> 2];
  }

  override mmioWrite(_bar: number, offset: number, value: number): void {
    this.registers[offset >> 2] = value;
    if (offset === Register.doorbell) this.begin(value);
  }

  private begin(command: number): void {
    this.cancel(this.event);
    if (command === Command.stop) return;
    const length = this.registers[Register.length >> 2];
    const taken = command === Command.send ? new Uint8Array(length) : this.wire.shift();
    this.packet = taken?.subarray(0, length) ?? new Uint8Array(0);
    this.done = 0;
    this.nextChunk(command);
  }

  private nextChunk(command: number): void {
    const bytes = Math.min(CHUNK_BYTES, this.packet.length - this.done);
    this.event = this.after(bytes * this.config.nsPerByte, () => {
      this.moveChunk(command, bytes);
    });
  }

  private moveChunk(command: number, bytes: number): void {
    const iova = this.registers[0] + this.registers[1] * 0x1_0000_0000 + this.done;
    const errno =
      command === Command.send
        ? this.dmaRead(iova, this.packet, this.done, bytes)
        : this.dmaWrite(iova, this.packet, this.done, bytes);
    this.done += bytes;
    if (errno === 0 && this.done < this.packet.length) this.nextChunk(command);
    else this.finish(command, errno === 0 ? this.done : FAILED);
  }

  private finish(command: number, status: number): void {
    if (command === Command.send && status !== FAILED) this.wire.push(this.packet);
    this.registers[Register.status >> 2] = status;
    this.raise(0);
  }
}
