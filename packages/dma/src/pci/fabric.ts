/**
 * The PCI Express fabric of a machine: which device is at which port, and where its BARs are on the bus.
 *
 * Bus addresses lie in the upper half of what a device can put on the bus, where no IOVA is ever given out
 * (iova_reserve_pci_windows): memory BARs first, in the order of their frames, then registers.
 * Source followed: PCI Express Base Specification; Linux 6.18 drivers/pci/probe.c, drivers/iommu/dma-iommu.c.
 */
import { PAGE_SIZE } from '@pincushion/mm';
import type { Memory } from '@pincushion/mm';
import { EFAULT, EREMOTEIO, PincushionError, formatBytes } from '@pincushion/sim';
import { BarMemory } from './bar';
import type { Bar, BarSpec } from './bar';
import { BusAddresses } from './bus-addresses';
import { calcRoute } from './p2p-route';
import type { P2pRoute } from './p2p-route';
import type { P2pMemory } from './p2p-memory';
import { DEFAULT_LAYOUT, bridgeOf, ownRootPort } from './topology';
import type { PciBridge, PciLayout } from './topology';

/** First bus address of BARs: IOVAs are below. */
export const PCI_WINDOW_START = 2 ** 39;
/** Where registers begin; memory BARs are below. */
const REGISTERS_START = PCI_WINDOW_START + 2 ** 38;
const REGISTERS_END = PCI_WINDOW_START + 2 ** 39;
/** Memory BARs begin at multiples of this, so that each has its own part of the frames. */
const MEMORY_ALIGNMENT = 4 * 1024 * 1024;

/** A device in its slot, seen from the bus. */
export class PciFunction {
  /** The hardware is there. */
  present = true;
  /** What its driver offers of its memory to others; null while nothing. */
  p2p: P2pMemory | null = null;
  /** The ways of others to its memory, once somebody asked (`pci_p2pdma.map_types`). */
  readonly routes = new Map<PciFunction, P2pRoute>();

  constructor(
    /** Path of the device. */
    readonly name: string,
    /** The port it is plugged into. */
    readonly port: PciBridge,
    /** By number; null where the device has none. */
    readonly bars: readonly (Bar | null)[],
  ) {}
}

export class PciFabric {
  /** Devices in their slots, in the order in which they were plugged in. */
  readonly functions: PciFunction[] = [];
  private readonly memoryAddresses: BusAddresses;
  private readonly registerAddresses = new BusAddresses(REGISTERS_START, REGISTERS_END);

  constructor(
    private readonly memory: Memory,
    readonly layout: PciLayout = DEFAULT_LAYOUT,
  ) {
    this.memoryAddresses = new BusAddresses(PCI_WINDOW_START, PCI_WINDOW_START + memory.pciFrames * PAGE_SIZE);
  }

  /**
   * A device is plugged in: its BARs get their addresses. Without a port it gets a root port of its own at the first host
   * bridge. Throws PCI_NO_ROOM when the window has no room for its memory, DEVICE_INVALID for a port that is not there or taken.
   */
  plugIn(name: string, port: string | null, specs: readonly BarSpec[]): PciFunction {
    const at = port === null ? ownRootPort(this.layout, name) : this.freePort(port);
    const bars = specs.map((spec, index) => (spec.bytes === 0 ? null : this.place(name, index, spec)));
    const found = new PciFunction(name, at, bars);
    this.functions.push(found);
    return found;
  }

  /** The hardware is pulled out: nobody answers at its addresses, which stay taken until `forget`. */
  pullOut(gone: PciFunction): void {
    gone.present = false;
    for (const bar of gone.bars) if (bar !== null && bar.memory !== null) bar.memory.present = false;
  }

  /** The device is gone for good: its port and its addresses are free. */
  forget(gone: PciFunction): void {
    const index = this.functions.indexOf(gone);
    if (index < 0) return;
    this.functions.splice(index, 1);
    for (const other of this.functions) other.routes.delete(gone);
    for (const bar of gone.bars) {
      if (bar === null) continue;
      if (bar.memory === null) this.registerAddresses.release(bar.busAddress);
      else this.takeBack(bar.memory);
    }
  }

  /** The way of `client` to the memory of `provider`. Any context. */
  route(provider: PciFunction, client: PciFunction): P2pRoute {
    let route = provider.routes.get(client);
    if (route === undefined) provider.routes.set(client, (route = calcRoute(this.layout, provider, client)));
    return route;
  }

  /** The device whose memory BAR has a frame; null for frames that no BAR has. */
  functionOfFrame(frame: number): PciFunction | null {
    return this.functionAt(PCI_WINDOW_START + (frame - this.memory.pciStart) * PAGE_SIZE);
  }

  /** The device that a bus address belongs to; null when nobody has it. */
  functionAt(address: number): PciFunction | null {
    for (const each of this.functions) {
      for (const bar of each.bars) {
        if (bar !== null && address >= bar.busAddress && address < bar.busAddress + bar.bytes) return each;
      }
    }
    return null;
  }

  /** The frame at a bus address of a memory BAR; -1 for addresses of registers, and for those that nobody has. */
  frameAt(address: number): number {
    const frame = this.memory.pciStart + Math.floor((address - PCI_WINDOW_START) / PAGE_SIZE);
    return address < REGISTERS_START && frame < this.memory.pciStart + this.memory.pciFrames ? frame : -1;
  }

  /** The bus address of a frame of a memory BAR (`pci_p2pdma_bus_addr_map`). */
  busAddressOf(frame: number): number {
    return PCI_WINDOW_START + (frame - this.memory.pciStart) * PAGE_SIZE;
  }

  /**
   * What a device meets that uses a bus address: the frame behind it, -EREMOTEIO when the device there is gone or has only
   * registers at it, and -EFAULT when no switch takes the request there, so that it reaches the IOMMU, which knows no such address.
   */
  deliver(client: PciFunction, address: number): number {
    const target = this.functionAt(address);
    if (target === null || this.route(target, client).mapType !== 'bus-address') return -EFAULT;
    const frame = this.frameAt(address);
    return frame < 0 || !target.present ? -EREMOTEIO : frame;
  }

  private place(name: string, index: number, { bytes, isMemory, isPrefetchable }: BarSpec): Bar {
    if (!isMemory) {
      const busAddress = this.registerAddresses.place(Math.max(PAGE_SIZE, powerOfTwoFrom(bytes)));
      return { index, bytes, busAddress, isPrefetchable, memory: null };
    }
    const busAddress = this.memoryAddresses.place(roomFor(bytes));
    if (busAddress < 0) throw noRoom(name, index, bytes, this.memory.pciFrames * PAGE_SIZE);
    const firstFrame = this.memory.pciStart + (busAddress - PCI_WINDOW_START) / PAGE_SIZE;
    const memory = new BarMemory(this.memory, busAddress, firstFrame, bytes);
    return { index, bytes, busAddress, isPrefetchable, memory };
  }

  /** What was in it is gone: the next device begins with zeros. */
  private takeBack(memory: BarMemory): void {
    for (let i = 0; i < memory.frames; i++) this.memory.bytes.zero(memory.firstFrame + i);
    this.memoryAddresses.release(memory.busAddress);
  }

  private freePort(name: string): PciBridge {
    const port = bridgeOf(this.layout, name);
    const taken = this.functions.find((each) => each.port === port);
    const below = this.layout.bridges.find((each) => each.upstream === port);
    if (taken === undefined && below === undefined) return port;
    throw new PincushionError('DEVICE_INVALID', `a device cannot be plugged into port ${name}`, {
      expected: 'a port with nothing below it',
      actual: taken === undefined ? `${name} with ${below?.name ?? ''} below it` : `${name} with ${taken.name} in it`,
    });
  }
}

/** Bytes of frames that memory BARs of these sizes need, plugged in in this order. */
export function pciMemoryFor(sizes: readonly number[]): number {
  const scratch = new BusAddresses(PCI_WINDOW_START, REGISTERS_START);
  for (const bytes of sizes) scratch.place(roomFor(bytes));
  return scratch.usedEnd - PCI_WINDOW_START;
}

function roomFor(bytes: number): number {
  return Math.max(MEMORY_ALIGNMENT, powerOfTwoFrom(bytes));
}

function powerOfTwoFrom(bytes: number): number {
  let power = 1;
  while (power < bytes) power *= 2;
  return power;
}

function noRoom(name: string, index: number, bytes: number, window: number): PincushionError {
  return new PincushionError('PCI_NO_ROOM', `there is no room for the memory of BAR ${index} of ${name}`, {
    device: name,
    expected: `room for ${formatBytes(bytes)} in the ${formatBytes(window)} of addresses for memory of devices`,
    actual: 'none left',
    hint: `pci: { hotplug: ${formatBytes(roomFor(bytes)).replace(' ', '')} } in the machine description`,
  });
}
