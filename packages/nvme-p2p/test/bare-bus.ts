/**
 * The controller alone on a bus of plain memory: no driver, no kernel, no IOMMU. For tests that send it what no driver would.
 *
 *   [0, ringsEnd)            rings: entries are fetched and posted there; data is refused
 *   [ringsEnd, ramBytes)     data
 *   elsewhere                nobody answers
 */
import { Iommu, PciFabric, pciMemoryFor } from '@pincushion/dma';
import {
  Bus,
  DeviceNodes,
  EFAULT,
  InterruptController,
  PROBE_LIMIT_NS,
  RefusingHostFiles,
  Wiring,
  hardware,
  hardwareMeta,
} from '@pincushion/driver';
import { Memory } from '@pincushion/mm';
import { World } from '@pincushion/sim';
import { NvmeController } from '../src/index';

export class BusController extends NvmeController {
  ram = new Uint8Array(0);
  words = new Int32Array(0);
  ringsEnd = 0;
  /** Accesses that nobody answered. */
  refused = 0;
  interrupts = 0;

  override dmaRead(iova: number, into: Uint8Array, at: number, n: number): number {
    if (!this.isData(iova, n)) return this.noAnswer();
    into.set(this.ram.subarray(iova, iova + n), at);
    return 0;
  }

  override dmaWrite(iova: number, from: Uint8Array, at: number, n: number): number {
    if (!this.isData(iova, n)) return this.noAnswer();
    this.ram.set(from.subarray(at, at + n), iova);
    return 0;
  }

  override dmaReadWords(iova: number, into: Int32Array, at: number, words: number): number {
    if (!(iova >= 0 && iova + 4 * words <= this.ram.length) || iova % 4 !== 0) return this.noAnswer();
    for (let i = 0; i < words; i++) into[at + i] = this.words[iova / 4 + i];
    return 0;
  }

  override dmaWriteWords(iova: number, from: Int32Array, at: number, words: number): number {
    if (!(iova >= 0 && iova + 4 * words <= this.ram.length) || iova % 4 !== 0) return this.noAnswer();
    for (let i = 0; i < words; i++) this.words[iova / 4 + i] = from[at + i];
    return 0;
  }

  override dmaFill(iova: number, byte: number, n: number): number {
    if (!this.isData(iova, n)) return this.noAnswer();
    this.ram.fill(byte, iova, iova + n);
    return 0;
  }

  override dmaCheck(iova: number, n: number): number {
    return this.isData(iova, n) ? 0 : this.noAnswer();
  }

  override raise(): void {
    this.interrupts++;
  }

  private isData(address: number, n: number): boolean {
    return address >= this.ringsEnd && address + n <= this.ram.length;
  }

  private noAnswer(): number {
    this.refused++;
    return -EFAULT;
  }
}

const meta = hardwareMeta(NvmeController);
if (meta === null) throw new Error('the controller is no hardware model');
hardware(meta)(BusController);

export interface BusBed {
  readonly world: World;
  readonly controller: BusController;
}

/** Powers a controller on. @param memoryBars bytes of CMB and PMR, as `model` has them */
export function busBed(
  model: Record<string, unknown>,
  memory: { readonly ramBytes: number; readonly ringsEnd: number; readonly memoryBars?: readonly number[] },
): BusBed {
  const world = new World({ seed: 1 });
  const host = new Memory(world, {
    ramBytes: 16 * 1024 * 1024,
    pciBytes: pciMemoryFor(memory.memoryBars ?? []),
  });
  const bus = new Bus(
    {
      world,
      memory: host,
      iommu: new Iommu(host),
      pci: new PciFabric(host),
      interrupts: new InterruptController(world, 1),
      nodes: new DeviceNodes(),
      hostFiles: new RefusingHostFiles(),
      wiring: Wiring.root(),
      machineName: '',
      probeLimitNs: PROBE_LIMIT_NS,
    },
    [],
  );
  const { hardware: controller } = bus.plugIn({ name: 'nvme0', hardware: BusController, model });
  if (!(controller instanceof BusController)) throw new Error('another model');
  controller.ram = new Uint8Array(memory.ramBytes);
  controller.words = new Int32Array(controller.ram.buffer);
  controller.ringsEnd = memory.ringsEnd;
  return { world, controller };
}
