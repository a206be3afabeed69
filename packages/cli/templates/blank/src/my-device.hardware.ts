/**
 * The hardware of my-device: it fills a buffer in host memory with one byte, and says so by an interrupt.
 *
 * A model sees what hardware sees: its registers, bus addresses, its interrupt vectors, and time. It moves a chunk at a
 * time, so that much can happen in the middle; one command at a time.
 */
import { DeviceModel, hardware } from '@pincushion/driver';
import { z } from 'zod';

/** What the bus finds the device by; package.json says the same under `pincushion`. Put your own here. */
export const IDS = { vendor: 0x1234, device: 0x0001 } as const;
/** Offsets in BAR 0; all registers have 32 bits. */
export const Register = { buffer: 0x00, length: 0x08, byte: 0x0c, command: 0x10, status: 0x14 } as const;
/** What is written to `command`. */
export const Command = { stop: 0, fill: 1 } as const;
/** In `status` until there is a number of bytes. */
export const BUSY = 0;
/** In `status` instead of a number of bytes: a DMA access failed. */
const FAILED = 0x80000000;

const CHUNK_BYTES = 512;
const Model = z.strictObject({ nsPerByte: z.int().min(0).default(1) });

@hardware({ name: 'my-device', ...IDS, bars: [{ bytes: 32 }], vectors: 1, config: Model })
export class MyDeviceHardware extends DeviceModel<z.output<typeof Model>> {
  private readonly registers = new Uint32Array(8);
  private done = 0;
  private event = 0;

  override powerOn(): void {
    this.cancel(this.event);
    this.registers.fill(0);
  }

  override mmioRead(_bar: number, offset: number): number {
    return this.registers[offset >> 2];
  }

  override mmioWrite(_bar: number, offset: number, value: number): void {
    this.registers[offset >> 2] = value;
    if (offset === Register.command) this.begin(value);
  }

  private begin(command: number): void {
    this.cancel(this.event);
    this.done = 0;
    this.registers[Register.status >> 2] = BUSY;
    if (command === Command.fill) this.nextChunk();
  }

  private nextChunk(): void {
    const bytes = Math.min(CHUNK_BYTES, this.registers[Register.length >> 2] - this.done);
    this.event = this.after(bytes * this.config.nsPerByte, () => {
      this.fillChunk(bytes);
    });
  }

  private fillChunk(bytes: number): void {
    const iova = this.registers[0] + this.registers[1] * 0x1_0000_0000 + this.done;
    const errno = this.dmaFill(iova, this.registers[Register.byte >> 2] & 0xff, bytes);
    this.done += bytes;
    if (errno === 0 && this.done < this.registers[Register.length >> 2]) {
      this.nextChunk();
      return;
    }
    this.registers[Register.status >> 2] = errno === 0 ? this.done : FAILED;
    this.raise(0);
  }
}
