/**
 * One device of a machine: the hardware in its slot, the driver bound to it, and what that driver owns.
 *
 * The handle outlives both. The lifecycle (`lifecycle.ts`) moves it through its states:
 *
 *     unbound --bind--> probing --> bound --remove--> removing --> unbound   (hardware still there)
 *        ^                 |                               \-----> gone      (pulled out, or the machine is shut down)
 *        +---probe threw---+
 */
import type { DmaDomain, PciFabric, PciFunction } from '@pincushion/dma';
import type { Memory } from '@pincushion/mm';
import type { Task, World } from '@pincushion/sim';
import { ENODEV, Mutex, PincushionError } from '@pincushion/sim';
import type { HardwareMeta } from './decorators';
import type { DeviceModel } from './device-model';
import type { DeviceServices } from './device-services';
import type { Driver, RemoveReason } from './driver';
import { removeDriver } from './lifecycle';
import type { Managed } from './managed';
import { Owned } from './managed';
import type { Platform } from './platform';
import { DeviceInterrupts } from './services/interrupts';
import type { DeviceLog } from './services/machine-facts';
import { Transfers } from './transfer';

export type DeviceState = 'unbound' | 'probing' | 'bound' | 'removing' | 'gone';

export class Device {
  readonly world: World;
  readonly memory: Memory;
  state: DeviceState = 'unbound';
  /** The hardware has been pulled out, or the machine is off. */
  unplugged = false;
  /** The bound driver; null when there is none. */
  driver: Driver | null = null;
  /** Name of the bound driver; empty when there is none. */
  driverName = '';
  /** The checked configuration of the bound driver, with defaults. */
  config: unknown = null;
  /** What the driver must give back. Filled by `Driver.own`. */
  readonly owned = new Owned();
  /** What is in flight. Filled by `Driver.track`. */
  readonly transfers: Transfers;
  /** The services of the current binding; null when there is none. */
  services: DeviceServices | null = null;
  /** What the present or last driver noted. */
  notes: DeviceLog | null = null;
  /** By the bus: it forgets a device that is gone. */
  whenGone: () => undefined = () => undefined;
  /** The IO page table of the current binding. */
  domain: DmaDomain;
  readonly lines: DeviceInterrupts;
  /** Held while a hook of the lifecycle runs, as the kernel's device_lock. */
  readonly lock: Mutex;

  constructor(
    private readonly platform: Platform,
    /** Name in the machine description: `nic0`. */
    readonly name: string,
    /** Name in reports; with the machine's name before it when there is one: `nic0`, `left/nic0`. */
    readonly path: string,
    /** Number in tracepoints. */
    readonly index: number,
    readonly hardware: DeviceModel,
    readonly hardwareMeta: HardwareMeta,
    /** What the bus sees of it. */
    readonly pciFunction: PciFunction,
  ) {
    const { world, memory, interrupts } = platform;
    this.world = world;
    this.memory = memory;
    this.domain = platform.iommu.attach(path, pciFunction);
    this.lines = new DeviceInterrupts(interrupts, path, index, hardwareMeta.vectors);
    this.transfers = new Transfers(world, path, memory.ledger.mode === 'full');
    this.lock = new Mutex(world, `device ${path}`);
  }

  /** Takes a resource into ownership, or, when the driver has been removed meanwhile, releases it and throws DEVICE_GONE. */
  adopt(resource: Managed): void {
    if (this.driver !== null) {
      this.owned.add(resource);
      return;
    }
    const task = resource.release();
    if (task !== undefined) this.world.spawn(task, { name: `release of ${resource.what}` });
    throw new PincushionError('DEVICE_GONE', `${resource.what} came too late: the driver has been removed`, {
      device: this.path,
      errno: ENODEV,
    });
  }

  /** The newest lines that the present or last driver has noted. */
  get log(): readonly { readonly atNs: number; readonly text: string }[] {
    return this.notes?.lines() ?? [];
  }

  /** A new, empty IO page table, for a driver that is bound after another one was removed. */
  renewDomain(): void {
    this.domain = this.platform.iommu.attach(this.path, this.pciFunction);
    this.hardware.connect(this.domain);
  }

  /** The bus it is on. */
  get pci(): PciFabric {
    return this.platform.pci;
  }

  /** Removes the driver; for `surprise` the hardware is pulled out first. Task context. */
  remove(why: RemoveReason): Task {
    return removeDriver(this, why);
  }
}
