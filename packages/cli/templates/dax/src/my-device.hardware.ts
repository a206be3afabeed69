/**
 * The hardware of my-device: memory that keeps its content, behind a window in host memory.
 *
 * The window is where programs load and store. `load` writes the media into the window, `flush` makes a range of the window
 * durable. One command at a time, a chunk at a time.
 */
import { DeviceModel, hardware } from '@pincushion/driver';
import { z } from 'zod';

/** What the bus finds the device by; package.json says the same under `pincushion`. Put your own here. */
export const IDS = { vendor: 0x1234, device: 0x0001 } as const;
/** Offsets in BAR 0; all registers have 32 bits. */
export const Register = {
  window: 0x00,
  capacity: 0x08,
  offset: 0x0c,
  length: 0x10,
  command: 0x14,
  status: 0x18,
} as const;
/** What is written to `command`. */
export const Command = { stop: 0, load: 1, flush: 2 } as const;
/** In `status` until a command has ended. */
export const BUSY = 0;
export const DONE = 1;
/** In `status`: a DMA access failed, or the range is beyond the media. */
const FAILED = 2;

const CHUNK_BYTES = 1024;
const PAGE_BYTES = 4096;
const Model = z.strictObject({
  /** Pages of 4 KiB. */
  pages: z.int().min(1).max(4096).default(8),
  nsPerByte: z.int().min(0).default(1),
});

@hardware({ name: 'my-device', ...IDS, bars: [{ bytes: 32 }], vectors: 1, config: Model })
export class MyDeviceHardware extends DeviceModel<z.output<typeof Model>> {
  private readonly registers = new Uint32Array(8);
  private media: Uint8Array = new Uint8Array(0);
  private done = 0;
  private event = 0;

  override powerOn(): void {
    this.cancel(this.event);
    this.registers.fill(0);
    // The media was written in an earlier life, if there was one: a reset does not take its content.
    if (this.media.length === 0) this.media = new Uint8Array(this.config.pages * PAGE_BYTES);
    this.registers[Register.capacity >> 2] = this.media.length;
  }

  /** What would be there after a loss of power: for tests. */
  durable(offset: number, length: number): Uint8Array {
    return this.media.slice(offset, offset + length);
  }

  override mmioRead(_bar: number, offset: number): number {
    return this.registers[offset >> 2];
  }

  override mmioWrite(_bar: number, offset: number, value: number): void {
    if (offset === Register.capacity) return;
    this.registers[offset >> 2] = value;
    if (offset === Register.command) this.begin(value);
  }

  private begin(command: number): void {
    this.cancel(this.event);
    this.done = 0;
    this.registers[Register.status >> 2] = BUSY;
    if (command === Command.stop) return;
    const { offset, length } = this.range();
    if (offset + length > this.media.length) this.finish(FAILED);
    else this.nextChunk(command);
  }

  private range(): { readonly offset: number; readonly length: number } {
    return { offset: this.registers[Register.offset >> 2], length: this.registers[Register.length >> 2] };
  }

  private nextChunk(command: number): void {
    const bytes = Math.min(CHUNK_BYTES, this.range().length - this.done);
    this.event = this.after(bytes * this.config.nsPerByte, () => {
      this.moveChunk(command, bytes);
    });
  }

  private moveChunk(command: number, bytes: number): void {
    const at = this.range().offset + this.done;
    const iova = this.registers[0] + this.registers[1] * 0x1_0000_0000 + at;
    const errno =
      command === Command.load ? this.dmaWrite(iova, this.media, at, bytes) : this.dmaRead(iova, this.media, at, bytes);
    this.done += bytes;
    if (errno === 0 && this.done < this.range().length) this.nextChunk(command);
    else this.finish(errno === 0 ? DONE : FAILED);
  }

  private finish(status: number): void {
    this.registers[Register.status >> 2] = status;
    this.raise(0);
  }
}
