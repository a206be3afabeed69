/**
 * The services of one binding of a driver to a device, and the scope they are injected from.
 *
 * Made anew for each binding. Cutting them off is what makes the device unreachable when it is pulled out.
 */
import type { Device } from './device';
import type { Platform } from './platform';
import { BlockDisks, DeviceBlockDisks } from './services/block-disks';
import { CharDevices, DeviceCharDevices } from './services/char-devices';
import { BoundDeviceWork, DeviceWork } from './services/device-work';
import { DeviceDmaMapper, DmaMapper } from './services/dma-mapper';
import { DeviceGup, Gup } from './services/gup';
import { Interrupts } from './services/interrupts';
import { DeviceLog, Log } from './services/machine-facts';
import { DevicePeerMemory, PeerMemory } from './services/peer-memory';
import { RegisterWindow, Registers } from './services/registers';
import type { Wiring } from './wiring';

export class DeviceServices {
  readonly gup: DeviceGup;
  readonly work: BoundDeviceWork;
  readonly disks: DeviceBlockDisks;
  readonly chars: DeviceCharDevices;
  readonly log: DeviceLog;
  readonly peers: DevicePeerMemory;
  readonly windows: readonly RegisterWindow[];
  readonly wiring: Wiring;
  /** Ledger owner of the device's pins. */
  readonly owner: number;

  constructor(device: Device, platform: Platform) {
    const { world, memory } = platform;
    this.owner = memory.ledger.owner(device.path);
    this.gup = new DeviceGup(memory, this.owner);
    this.work = new BoundDeviceWork(world, device.path, memory.ledger.mode === 'full');
    this.disks = new DeviceBlockDisks(platform.nodes, device.path);
    this.chars = new DeviceCharDevices(platform.nodes, device.path);
    this.peers = new DevicePeerMemory(memory, platform.pci, device, platform.nodes);
    this.log = new DeviceLog(world);
    const windows: RegisterWindow[] = [];
    for (const bar of device.pciFunction.bars) windows.push(new RegisterWindow(device.hardware, bar, windows));
    this.windows = windows;
    this.wiring = platform.wiring
      .child()
      .provide(Gup, this.gup)
      .provide(DmaMapper, new DeviceDmaMapper(device.domain, memory))
      .provide(Interrupts, device.lines)
      .provide(DeviceWork, this.work)
      .provide(BlockDisks, this.disks)
      .provide(CharDevices, this.chars)
      .provide(PeerMemory, this.peers)
      .provide(Log, this.log);
    if (windows.length > 0) this.wiring.provide(Registers, windows[0]);
  }

  /** Programs can start nothing new on the device. */
  refuseNewWork(): void {
    this.chars.refuse();
    this.peers.refuse();
    this.disks.refuse();
  }

  /** Nodes a driver forgot to own would otherwise keep their names. */
  removeNodes(): void {
    this.chars.removeAll();
    this.disks.removeAll();
  }

  /** Registers read as ones and take nothing. */
  cutOff(): void {
    for (const window of this.windows) window.cutOff();
    this.peers.cutOff();
  }
}
