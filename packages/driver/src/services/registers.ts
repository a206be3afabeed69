/**
 * Device registers for a driver: a window on one BAR.
 *
 * A read or write is a direct call of the hardware model, in the context of the caller, as a CPU's access is; of a memory BAR
 * it reads or writes the memory. When the
 * device has been pulled out, reads give all ones and writes vanish, which is how a driver notices.
 * Source followed: `readl`/`writel` and `include/linux/io-64-nonatomic-lo-hi.h`.
 */
import { PincushionError } from '@pincushion/sim';
import type { Bar, BarMemory } from '@pincushion/dma';
import type { DeviceModel } from '../device-model';

export abstract class Registers {
  /** Size of this window, bytes; 0 when the device has no such BAR. */
  abstract readonly bytes: number;
  /** Where other devices reach it (pci_bus_address); 0 when there is none. */
  abstract readonly busAddress: number;
  /** It holds memory, not registers. */
  abstract readonly isMemory: boolean;
  /** `offset` in bytes from the start of the BAR, aligned to 4; the result is unsigned. */
  abstract read32(offset: number): number;
  /** The low 32 bits of `value` are written. */
  abstract write32(offset: number, value: number): void;
  /** Low half first; exact up to 2^53. */
  abstract read64lohi(offset: number): number;
  /** Low half first; `value` is an address below 2^53. */
  abstract write64lohi(offset: number, value: number): void;
  /** The window on another BAR of the device. */
  abstract bar(index: number): Registers;
}

/** What a driver holds on to: cut off from the model when the device is gone. */
export class RegisterWindow extends Registers {
  readonly bytes: number;
  readonly busAddress: number;
  readonly isMemory: boolean;
  private dead: boolean;
  private readonly index: number;
  private readonly memory: BarMemory | null;

  /** @param bar null: the device has none of this number, so reads give ones and writes vanish */
  constructor(
    private readonly model: DeviceModel,
    bar: Bar | null,
    private readonly windows: readonly RegisterWindow[],
  ) {
    super();
    this.index = bar?.index ?? 0;
    this.bytes = bar?.bytes ?? 0;
    this.busAddress = bar?.busAddress ?? 0;
    this.memory = bar?.memory ?? null;
    this.isMemory = this.memory !== null;
    this.dead = bar === null;
  }

  override read32(offset: number): number {
    if (this.dead) return 0xffffffff;
    if (this.memory !== null) return this.memory.read32(offset);
    return this.model.mmioRead(this.index, offset, 4) >>> 0;
  }

  override write32(offset: number, value: number): void {
    if (this.dead) return;
    if (this.memory !== null) {
      this.memory.write32(offset, value);
      return;
    }
    this.model.mmioWrite(this.index, offset, value, 4);
  }

  override read64lohi(offset: number): number {
    const low = this.read32(offset);
    return low + this.read32(offset + 4) * 0x1_0000_0000;
  }

  override write64lohi(offset: number, value: number): void {
    this.write32(offset, (value % 0x1_0000_0000) >>> 0);
    this.write32(offset + 4, Math.floor(value / 0x1_0000_0000));
  }

  override bar(index: number): Registers {
    const window = this.windows[index] as RegisterWindow | undefined;
    if (window === undefined) {
      throw new PincushionError('DEVICE_INVALID', `the device has no BAR ${index}`, {
        expected: `0 to ${this.windows.length - 1}`,
        actual: String(index),
      });
    }
    return window;
  }

  /** The device is gone: from now on reads give ones and writes vanish. */
  cutOff(): void {
    this.dead = true;
  }
}
