/**
 * The controller alone on a bus: no driver, no kernel, no IOMMU.
 *
 *   main memory     one range from address 0, of plain bytes
 *   CMB, PMR        where the transcript says that the host has put them; the PMR answers while the host has enabled it
 *   elsewhere       nothing answers: an access of the controller is refused, as a bus refuses it; the CPU reads zeroes
 *   interrupts      vector v writes the dword 0x5a000000 | v to 0x600000 + 4 v, so they can be seen in memory
 */
import { Iommu, PciFabric, pciMemoryFor } from '@pincushion/dma';
import type { BarMemory } from '@pincushion/driver';
import {
  Bus,
  DeviceNodes,
  InterruptController,
  PROBE_LIMIT_NS,
  RefusingHostFiles,
  Wiring,
  hardware,
  hardwareMeta,
} from '@pincushion/driver';
import { Memory } from '@pincushion/mm';
import { NvmeController } from '@pincushion/nvme-p2p';
import { EFAULT, PincushionError } from '@pincushion/sim';
import type { World } from '@pincushion/sim';

/** The least main memory that a machine can have; nothing of it is used. */
const UNUSED_MEMORY_BYTES = 16 * 1024 * 1024;
const VECTOR_ADDRESS = 0x600000;
const VECTOR_DATA = 0x5a000000;
/** BARs of the model: the controller memory buffer, the persistent memory region. */
const CMB_BAR = 2;
const PMR_BAR = 4;

/** Where memory lies on the bus. */
export interface BusMap {
  /** End of main memory. */
  readonly ram: number;
  /** CMB and PMR. */
  readonly bar2: number;
  readonly bar4: number;
}

export class BareController extends NvmeController {
  private ram = new Uint8Array(0);
  private ramView = new DataView(this.ram.buffer);
  private windows: readonly { readonly base: number; readonly memory: BarMemory }[] = [];

  /** Powers a controller on. `model` is checked as that of a machine file; throws `UsageError` DRIVER_CONFIG_INVALID. */
  static on(world: World, model: unknown, memoryBars: readonly number[], map: BusMap): BareController {
    const memory = new Memory(world, { ramBytes: UNUSED_MEMORY_BYTES, pciBytes: pciMemoryFor(memoryBars) });
    const bus = new Bus(
      {
        world,
        memory,
        iommu: new Iommu(memory),
        pci: new PciFabric(memory),
        interrupts: new InterruptController(world, 1),
        nodes: new DeviceNodes(),
        hostFiles: new RefusingHostFiles(),
        wiring: Wiring.root(),
        machineName: '',
        probeLimitNs: PROBE_LIMIT_NS,
      },
      [],
    );
    const controller = bus.plugIn({ name: 'nvme0', hardware: BareController, model }).hardware;
    if (!(controller instanceof BareController)) {
      throw new PincushionError('DEVICE_INVALID', 'the bus has plugged in another model');
    }
    controller.ram = new Uint8Array(map.ram);
    controller.ramView = new DataView(controller.ram.buffer);
    controller.windows = [
      { base: map.bar2, memory: controller.barMemory(CMB_BAR) },
      { base: map.bar4, memory: controller.barMemory(PMR_BAR) },
    ].flatMap(({ base, memory: found }) => (found === null ? [] : [{ base, memory: found }]));
    return controller;
  }

  /** The CPU, or the controller, reads `n` bytes at a bus address; false where nothing answers. */
  busRead(address: number, into: Uint8Array, at: number, n: number): boolean {
    if (address + n <= this.ram.length) {
      into.set(this.ram.subarray(address, address + n), at);
      return true;
    }
    const window = this.windowAt(address, n);
    window?.memory.read(address - window.base, into, at, n);
    return window !== null;
  }

  busWrite(address: number, from: Uint8Array, at: number, n: number): boolean {
    if (address + n <= this.ram.length) {
      this.ram.set(from.subarray(at, at + n), address);
      return true;
    }
    const window = this.windowAt(address, n);
    window?.memory.write(address - window.base, from, at, n);
    return window !== null;
  }

  override dmaRead(iova: number, into: Uint8Array, at: number, n: number): number {
    return this.busRead(iova, into, at, n) ? 0 : -EFAULT;
  }

  override dmaWrite(iova: number, from: Uint8Array, at: number, n: number): number {
    return this.busWrite(iova, from, at, n) ? 0 : -EFAULT;
  }

  override dmaReadWords(iova: number, into: Int32Array, at: number, words: number): number {
    const bytes = new Uint8Array(4 * words);
    if (!this.busRead(iova, bytes, 0, bytes.length)) return -EFAULT;
    const view = new DataView(bytes.buffer);
    for (let i = 0; i < words; i++) into[at + i] = view.getInt32(4 * i, true);
    return 0;
  }

  override dmaWriteWords(iova: number, from: Int32Array, at: number, words: number): number {
    const bytes = new Uint8Array(4 * words);
    const view = new DataView(bytes.buffer);
    for (let i = 0; i < words; i++) view.setInt32(4 * i, from[at + i], true);
    return this.busWrite(iova, bytes, 0, bytes.length) ? 0 : -EFAULT;
  }

  override dmaFill(iova: number, byte: number, n: number): number {
    return this.busWrite(iova, new Uint8Array(n).fill(byte), 0, n) ? 0 : -EFAULT;
  }

  override dmaCheck(iova: number, n: number): number {
    return iova + n <= this.ram.length || this.windowAt(iova, n) !== null ? 0 : -EFAULT;
  }

  override raise(vector: number): void {
    const address = VECTOR_ADDRESS + 4 * vector;
    if (address + 4 <= this.ram.length) this.ramView.setInt32(address, VECTOR_DATA | vector, true);
  }

  private windowAt(address: number, n: number): { readonly base: number; readonly memory: BarMemory } | null {
    const found = this.windows.find(({ base, memory }) => {
      return memory.present && address >= base && address + n <= base + memory.bytes;
    });
    return found ?? null;
  }
}

const meta = hardwareMeta(NvmeController);
if (meta === null) throw new PincushionError('DEVICE_INVALID', 'the NVMe controller is no hardware model');
hardware(meta)(BareController);
