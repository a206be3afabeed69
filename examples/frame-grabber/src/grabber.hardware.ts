/**
 * The hardware of the frame grabber: a camera that writes a frame into host memory, 512 bytes at a time, as the light comes in.
 *
 * A frame is text, so that a dump of a page shows which frame each part of it belongs to: `frame 07frame 07…`.
 */
import { DeviceModel, hardware } from '@pincushion/driver';
import { z } from 'zod';

/** Offsets in BAR 0; all registers have 32 bits. */
export const Register = { buffer: 0x00, length: 0x08, doorbell: 0x0c, status: 0x10 } as const;
/** What is written to the doorbell: stop, or the number of the frame to take. */
export const STOP = 0;
/** In `status` instead of a number of bytes: a DMA access failed. */
const FAILED = 0x80000000;

const CHUNK_BYTES = 512;
const Model = z.strictObject({ chunkNs: z.int().min(1).default(5000) });

/** What a frame looks like in memory. */
export function frameText(frame: number): string {
  return `frame ${String(frame % 100).padStart(2, '0')}`;
}

@hardware({ name: 'frame-grabber', vendor: 0x1af4, device: 0x10e2, bars: [{ bytes: 32 }], vectors: 1, config: Model })
export class FrameGrabberHardware extends DeviceModel<z.output<typeof Model>> {
  private readonly registers = new Uint32Array(8);
  private readonly chunk = new Uint8Array(CHUNK_BYTES);
  private done = 0;
  private event = 0;

  override powerOn(): void {
    this.registers.fill(0);
  }

  override mmioRead(_bar: number, offset: number): number {
    return this.registers[offset >> 2];
  }

  override mmioWrite(_bar: number, offset: number, value: number): void {
    this.registers[offset >> 2] = value;
    if (offset === Register.doorbell) this.begin(value);
  }

  private begin(frame: number): void {
    this.cancel(this.event);
    if (frame === STOP) return;
    const text = new TextEncoder().encode(frameText(frame));
    for (let i = 0; i < CHUNK_BYTES; i++) this.chunk[i] = text[i % text.length];
    this.done = 0;
    this.exposeNext();
  }

  private exposeNext(): void {
    this.event = this.after(this.config.chunkNs, () => {
      const bytes = Math.min(CHUNK_BYTES, this.registers[Register.length >> 2] - this.done);
      const iova = this.registers[0] + this.registers[1] * 0x1_0000_0000 + this.done;
      const errno = this.dmaWrite(iova, this.chunk, 0, bytes);
      this.done += bytes;
      if (errno === 0 && this.done < this.registers[Register.length >> 2]) this.exposeNext();
      else this.finish(errno === 0 ? this.done : FAILED);
    });
  }

  private finish(status: number): void {
    this.registers[Register.status >> 2] = status;
    this.raise(0);
  }
}
