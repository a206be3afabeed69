/** A device for tests: on its doorbell it writes or reads host memory by DMA, after a while, and raises an interrupt. */
import { DeviceModel, hardware } from '@pincushion/driver';
import { z } from 'zod';

export const Offset = { address: 0, length: 8, doorbell: 12, status: 16, raise: 20 } as const;
export const Doorbell = { write: 1, read: 2 } as const;
export const MATCH = [{ vendor: 0x1234, device: 0x0001 }];

const Settings = z.strictObject({ delayNs: z.int().min(0).default(1000), fill: z.int().min(0).max(255).default(0xa5) });

@hardware({ name: 'widget', vendor: 0x1234, device: 0x0001, bars: [{ bytes: 64 }], vectors: 4, config: Settings })
export class Widget extends DeviceModel<z.output<typeof Settings>> {
  readonly registers = new Uint32Array(16);
  readonly seen: number[] = [];
  eventsRun = 0;
  powerOns = 0;
  readonly ticks: number[] = [];
  private tick = 0;

  override powerOn(): void {
    this.powerOns++;
    this.registers.fill(0);
    this.tick = this.handler('tick', (count) => {
      this.ticks.push(count);
    });
  }

  override mmioRead(_bar: number, offset: number): number {
    return this.registers[offset >> 2];
  }

  override mmioWrite(_bar: number, offset: number, value: number): void {
    this.registers[offset >> 2] = value;
    this.seen.push(offset);
    if (offset === Offset.raise) this.raise(value);
    if (offset === Offset.doorbell)
      this.after(this.config.delayNs, () => {
        this.move(value);
      });
  }

  /** For tests: a registered handler runs after `ns`, with `count`. */
  tickAfter(ns: number, count: number): void {
    this.schedule(ns, this.tick, count);
  }

  /** For tests: an interrupt that no driver asked for. */
  fire(vector: number): void {
    this.raise(vector);
  }

  /** For tests: a DMA write that no driver asked for. */
  writeAt(iova: number, bytes: number): number {
    return this.dmaFill(iova, this.config.fill, bytes);
  }

  private move(command: number): void {
    this.eventsRun++;
    const iova = this.registers[0] + this.registers[1] * 0x1_0000_0000;
    const length = this.registers[Offset.length >> 2];
    const data = new Uint8Array(length).fill(this.config.fill);
    const errno =
      command === Doorbell.write ? this.dmaWrite(iova, data, 0, length) : this.dmaRead(iova, data, 0, length);
    this.registers[Offset.status >> 2] = errno >>> 0;
    this.raise(0);
  }
}
