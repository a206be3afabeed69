/**
 * The bus of a machine: plugs hardware into slots, finds its driver, binds it, and takes both out again.
 *
 * A device that is gone is forgotten: who holds its handle keeps it, and nobody else does. Its number is not used again.
 * Source followed: `pci_scan_slot`, `really_probe` (`drivers/base/dd.c`), in their order: power on, match, check the
 * configuration, probe.
 */
import type { Task } from '@pincushion/sim';
import { Context, UsageError } from '@pincushion/sim';
import { barSpecs, parseModel } from './bar-meta';
import { parseConfig } from './config';
import type { DriverClass, HardwareClass } from './decorators';
import { driverMeta, hardwareMeta } from './decorators';
import { notDecorated } from './decorator-errors';
import { Device } from './device';
import type { RemoveReason } from './driver';
import { bindDriver, removeDriver } from './lifecycle';
import { matchDriver } from './matching';
import { checkOneCopy } from './package-copies';
import type { Platform } from './platform';
import type { Plugin } from './plugin';
import { checkPlugin } from './plugin';

/** A device to plug in. */
export interface DeviceSlot {
  readonly name: string;
  readonly hardware: HardwareClass;
  /** Name of the plugin whose drivers are asked first; then all, in their order. */
  readonly plugin?: string;
  /** Settings of the hardware model. */
  readonly model?: unknown;
  /** The PCI port it is plugged into; without one it gets a root port of its own. */
  readonly port?: string;
}

export class Bus {
  private readonly present: Device[] = [];
  /** Of all devices there ever were, by their number. */
  private readonly paths: string[] = [];
  private readonly preferred = new WeakMap<Device, string>();

  constructor(
    readonly platform: Platform,
    readonly plugins: readonly Plugin[],
  ) {
    checkOneCopy();
    for (const plugin of plugins) checkPlugin(plugin);
  }

  /** Devices that are plugged in, in the order in which they were. */
  get devices(): readonly Device[] {
    return this.present;
  }

  /** Paths of the devices that were pulled out or shut down, in the order in which they had been plugged in. */
  get gone(): readonly string[] {
    return this.paths.filter((_path, index) => this.present.every((device) => device.index !== index));
  }

  /** Path of a device, also of one that is gone; undefined for a number that none has. */
  pathOf(index: number): string | undefined {
    return this.paths.at(index);
  }

  /** Plugs hardware in and powers it on. The device is unbound. Throws `UsageError` for a bad name or settings. */
  plugIn({ name, hardware, plugin, model, port }: DeviceSlot): Device {
    const { world, hostFiles, machineName, pci } = this.platform;
    const path = machineName === '' ? name : `${machineName}/${name}`;
    if (this.present.some((device) => device.name === name)) {
      throw new UsageError('DEVICE_DUPLICATE', `two devices are called ${name}`, {
        device: path,
        expected: 'a name of its own for each device',
        actual: `${name} twice`,
      });
    }
    const meta = hardwareMeta(hardware);
    if (meta === null) throw notDecorated(hardware, 'hardware');
    const config = parseModel(meta, model, path);
    const onBus = pci.plugIn(path, port ?? null, barSpecs(meta, config, path));
    const device = new Device(this.platform, name, path, this.paths.length, new hardware(), meta, onBus);
    device.hardware.plugInto({ world, path, lines: device.lines, hostFiles, bars: onBus.bars }, config);
    device.hardware.connect(device.domain);
    device.hardware.powerOn();
    this.present.push(device);
    this.paths.push(path);
    device.whenGone = () => {
      this.present.splice(this.present.indexOf(device), 1);
      pci.forget(onBus);
      return undefined;
    };
    this.offerToFaults(path);
    if (plugin !== undefined) this.preferred.set(device, plugin);
    return device;
  }

  /** Finds the driver of an unbound device, checks the configuration and probes. Throws as `bindDriver` does. */
  *probe(device: Device, config: unknown): Task {
    const first = this.plugins.filter((plugin) => plugin.name === this.preferred.get(device));
    const cls = matchDriver([...first, ...this.plugins], device.hardwareMeta, device.path);
    yield* bindDriver(device, cls, this.checkConfig(device, cls, config), this.platform);
  }

  /** Removes the driver; for `surprise` the hardware is pulled out first. Findings tell what was left behind. */
  *remove(device: Device, why: RemoveReason): Task {
    yield* removeDriver(device, why);
  }

  /** By its path: what plans may pull out is known for as long as the world is there. */
  private offerToFaults(path: string): void {
    this.platform.world.faults.attachDevice(path, (atNs, wanted) => {
      this.goAt(path, atNs, wanted);
    });
  }

  /** The device is pulled out at a time, as a fault plan wants it. */
  private goAt(path: string, atNs: number, wanted: () => boolean): void {
    const { world } = this.platform;
    world.after(Math.max(0, atNs - world.now), Context.device, () => {
      const device = this.present.find((each) => each.path === path);
      if (device === undefined || !wanted()) return;
      world.spawn(removeDriver(device, 'surprise'), { name: `removal of ${path}` });
    });
  }

  private checkConfig(device: Device, cls: DriverClass, config: unknown): unknown {
    const meta = driverMeta(cls);
    if (meta === null) throw notDecorated(cls, 'driver');
    return parseConfig(meta.config, config ?? {}, {
      code: 'DRIVER_CONFIG_INVALID',
      where: 'config',
      device: device.path,
    });
  }
}
