/**
 * The base class of every driver.
 *
 * A driver is one class with one decorator. Kernel services come through its constructor; `config` and `device` are
 * there before `probe` runs, and not yet in the constructor. The four hooks are tasks, so they may sleep. What a driver
 * must give back it hands to `own` in the statement that creates it; what is on its way through the hardware it counts
 * with `track`. Left out: the order of a removal, which is in `lifecycle.ts`.
 * Source followed: `struct device_driver` and devres (`drivers/base/dd.c`, `drivers/base/devres.c`).
 */
import type { Task } from '@pincushion/sim';
import type { z } from 'zod';
import type { Device } from './device';
import type { Managed } from './managed';
import type { Transfer } from './transfer';

/**
 * Why a driver is being removed. `surprise`: the hardware is gone already; registers read as ones, DMA is refused and no
 * interrupt will come any more, so the driver must end on its own whatever it was waiting for.
 */
export type RemoveReason = 'driver-unbind' | 'surprise' | 'shutdown';

export abstract class Driver<C extends z.ZodType = z.ZodType> {
  /** The device's configuration, checked and with defaults. Set before `probe`. */
  protected readonly config!: z.output<C>;
  /** Never set: by it a type can tell which schema a driver has. */
  declare protected readonly configSchema?: C;
  /** The device this driver is bound to. Set before `probe`. */
  protected readonly device!: Device;

  /** Brings the device up. A throw gives back everything owned so far, newest first, and leaves the device unbound. */
  abstract probe(): Task;

  /**
   * Stops the device: no DMA and no interrupt may come after it. The services still work while it runs, and what the
   * driver owns is released after it, newest first.
   */
  abstract remove(why: RemoveReason): Task;

  /** Called before the machine sleeps. By default nothing. */
  *suspend(): Task {
    // Nothing to save: a driver without a power state overrides nothing.
  }

  /** Called after the machine woke up. By default nothing. */
  *resume(): Task {
    // See `suspend`.
  }

  /** Called when the device has to be brought back to its state after `probe`. By default nothing. */
  *reset(): Task {
    // See `suspend`.
  }

  /**
   * Makes the device the owner of a resource: it is released after `remove`, newest first. Any context.
   * When the device has been removed meanwhile, the resource is released at once and DEVICE_GONE is thrown; a system call
   * that this happens in answers ENODEV.
   * @returns the same resource.
   */
  protected own<R extends Managed>(resource: R): R {
    this.device.adopt(resource);
    return resource;
  }

  /** Releases owned resources now, in the order given, instead of at removal. They must not be used afterwards. */
  protected *giveBack(...resources: readonly Managed[]): Task {
    for (const resource of resources) yield* this.device.owned.release(resource);
  }

  /**
   * Counts one transfer as in flight until `done()` is called on what is returned. Any context.
   * A transfer that is still in flight when the device has been removed is reported as `DEVICE_TRANSFER_LEAK`.
   */
  protected track(what: string): Transfer {
    return this.device.transfers.begin(what);
  }

  /** Waits until no tracked transfer is in flight. Task context. */
  protected idle(): Task {
    return this.device.transfers.idle();
  }
}
