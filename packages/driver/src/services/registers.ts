/**
 * Device registers for a driver: a window on one BAR.
 *
 * A read or write is a direct call of the hardware model, in the context of the caller, as a CPU's access is. When the
 * device has been pulled out, reads give all ones and writes vanish, which is how a driver notices.
 * Source followed: `readl`/`writel` and `include/linux/io-64-nonatomic-lo-hi.h`.
 */
import { PincushionError } from '@pincushion/sim';
import type { DeviceModel } from '../device-model';

export abstract class Registers {
  /** Size of this window, bytes. */
  abstract readonly bytes: number;
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
  private dead = false;

  constructor(
    private readonly model: DeviceModel,
    private readonly index: number,
    readonly bytes: number,
    private readonly windows: readonly RegisterWindow[],
  ) {
    super();
  }

  override read32(offset: number): number {
    if (this.dead) return 0xffffffff;
    return this.model.mmioRead(this.index, offset, 4) >>> 0;
  }

  override write32(offset: number, value: number): void {
    if (this.dead) return;
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
