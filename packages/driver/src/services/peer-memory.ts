/**
 * Peer-to-peer memory: what a driver offers of its device's memory, and what it takes of others'.
 *
 * What is offered becomes pages, which are mapped for DMA and pinned like others, with the limits of peer-to-peer: the way
 * from device to device decides whether they can be mapped (`-EREMOTEIO`), and pins of programs need FOLL_PCI_P2PDMA. Programs map
 * the pool of a device by `/sys/bus/pci/devices/NAME/p2pmem/allocate`, on kernels since 6.2.
 * Removing the provider waits until the last user has given back what he has; pulled out, it answers nobody meanwhile.
 * Left out: reading `size`, `available` and `published` there; more than one resource of a device.
 * Source followed: `drivers/pci/p2pdma.c` (Linux 6.18).
 */
import { P2pMemory } from '@pincushion/dma';
import type { PciFabric, PciFunction } from '@pincushion/dma';
import type { Memory } from '@pincushion/mm';
import { MAP_SHARED, PAGE_SIZE } from '@pincushion/mm';
import type { Task } from '@pincushion/sim';
import { EBUSY, EINVAL, ENODEV, ENOTTY } from '@pincushion/sim';
import type { Device } from '../device';
import type { Managed } from '../managed';
import type { CharNode, CharOperations } from './char-devices';
import type { DeviceNodes } from './device-nodes';

/** Memory of the device that others may use. Releasing it takes the pages from programs and waits for the last user. */
export interface PeerResource extends Managed {
  /** Bytes in all, and bytes that nobody has. */
  readonly bytes: number;
  readonly availableBytes: number;
  /** Whether others find it (`pci_p2pmem_publish`). Any context. */
  publish(published: boolean): undefined;
  /** Task. */
  release(): Task;
}

/** A device that offers memory. */
export interface PeerProvider {
  /** Path of the device. */
  readonly device: string;
  /** Steps to it from all that it was looked for, together. */
  readonly hops: number;
  /** Whole pages in a row, for `own`: null when it has no more, or is going (`pci_alloc_p2pmem`). Any context. */
  alloc(bytes: number): PeerBuffer | null;
}

/** Pages of a provider. Unmap them before they are released. */
export interface PeerBuffer extends Managed {
  /** Frame numbers, as `DmaMapper.mapPages` takes them. */
  readonly pages: Int32Array;
  readonly bytes: number;
  /** `pci_free_p2pmem`. Any context. */
  release(): undefined;
}

export abstract class PeerMemory {
  /**
   * Offers bytes of a memory BAR, whole pages, all from `offset` on unless `bytes` says how many: a resource for `own`, -EINVAL when the
   * BAR does not have them, -EBUSY when the device offers some already. Task context.
   */
  abstract add(bar: number, offset?: number, bytes?: number): PeerResource | number;
  /** Memory of the device itself, after `add`; null when there is none. Any context. */
  abstract alloc(bytes: number): PeerBuffer | null;
  /** The nearest published provider that this device and the others can reach, one of the nearest by chance; null for none. Any context. */
  abstract find(others?: readonly Device[]): PeerProvider | null;
}

/** The service as bound to one device. */
export class DevicePeerMemory extends PeerMemory {
  private node: AllocateFile | null = null;

  constructor(
    private readonly memory: Memory,
    private readonly fabric: PciFabric,
    private readonly device: Device,
    private readonly nodes: DeviceNodes,
  ) {
    super();
  }

  override add(bar: number, offset = 0, bytes?: number): PeerResource | number {
    const { memory, device } = this;
    const { pciFunction } = device;
    memory.world.contexts.mightSleep('pci_p2pdma_add_resource');
    const content = pciFunction.bars.at(bar)?.memory ?? null;
    const first = offset / PAGE_SIZE;
    const count = (bytes ?? (content === null ? 0 : content.bytes - offset)) / PAGE_SIZE;
    if (content === null || !Number.isInteger(first) || !Number.isInteger(count)) return -EINVAL;
    if (first < 0 || count < 1 || first + count > content.frames) return -EINVAL;
    if (pciFunction.p2p !== null) return -EBUSY;
    const pool = new P2pMemory(memory, pciFunction, content, first, count);
    if (memory.profile.userMapsPeerMemory) this.showToPrograms(pool);
    const goAway = (): Task => this.goAway(pool);
    return {
      what: pool.name,
      bytes: pool.bytes,
      get availableBytes() {
        return pool.availableBytes;
      },
      publish: (published) => {
        pool.published = published;
        return undefined;
      },
      release: goAway,
    };
  }

  override alloc(bytes: number): PeerBuffer | null {
    const { p2p } = this.device.pciFunction;
    return p2p === null ? null : takeFrom(p2p, bytes);
  }

  override find(others: readonly Device[] = []): PeerProvider | null {
    const clients = [this.device, ...others].map(({ pciFunction }) => pciFunction);
    let best: PciFunction[] = [];
    let hops = Infinity;
    for (const provider of this.fabric.functions) {
      if (provider.p2p?.published !== true) continue;
      const distance = this.distance(provider, clients);
      if (distance > hops || distance === Infinity) continue;
      if (distance < hops) best = [];
      hops = distance;
      best.push(provider);
    }
    if (best.length === 0) return null;
    const choice = best.length === 1 ? 0 : this.chooseOf(best.length);
    const chosen = best[choice];
    const alloc = (bytes: number): PeerBuffer | null => (chosen.p2p === null ? null : takeFrom(chosen.p2p, bytes));
    return { device: chosen.name, hops, alloc };
  }

  /** No call of a program reaches the pool from now on. */
  refuse(): void {
    if (this.node !== null) this.node.gone = true;
  }

  /** The device is pulled out. */
  cutOff(): void {
    this.device.pciFunction.p2p?.pulledOut();
  }

  /** `pci_p2pdma_distance_many`; Infinity when one of them cannot reach it. */
  private distance(provider: PciFunction, clients: readonly PciFunction[]): number {
    let sum = 0;
    for (const client of clients) {
      const { mapType, hops } = this.fabric.route(provider, client);
      sum += mapType === 'not-supported' ? Infinity : hops;
    }
    return sum;
  }

  private chooseOf(n: number): number {
    return this.memory.world.choices.stream(`${this.device.path}.p2p-provider`).below(n);
  }

  private showToPrograms(pool: P2pMemory): void {
    const node = new AllocateFile(`/sys/bus/pci/devices/${this.device.name}/p2pmem/allocate`, pool);
    this.nodes.add({ kind: 'char', name: node.name, devicePath: this.device.path, char: node });
    this.node = node;
  }

  /** `pci_p2pdma_unmap_mappings`, then `pci_p2pdma_release`. */
  private *goAway(pool: P2pMemory): Task {
    pool.kill();
    if (this.node !== null) {
      this.node.forget();
      this.nodes.delete(this.node.name);
    }
    pool.revoke();
    yield* pool.idle();
    pool.end();
  }
}

function takeFrom(pool: P2pMemory, bytes: number): PeerBuffer | null {
  const run = pool.alloc(bytes);
  if (run === null) return null;
  return {
    what: `${run.pages} pages of ${pool.name}`,
    pages: Int32Array.from({ length: run.pages }, (_, i) => run.frame + i),
    bytes: run.pages * PAGE_SIZE,
    release: () => {
      pool.free(run);
      return undefined;
    },
  };
}

/** `p2pmem/allocate`: mapping it takes pages out of the pool. */
class AllocateFile implements CharNode {
  gone = false;
  readonly states = new WeakMap<object, unknown>();
  operations: CharOperations;

  constructor(
    readonly name: string,
    pool: P2pMemory,
  ) {
    this.operations = {
      *ioctl(): Task<number> {
        return -ENOTTY;
      },
      // PP-01; whether there are pages left is found out when the area is made.
      mmap: (_file, { flags, pageOffset }) =>
        (flags & MAP_SHARED) === 0 || pageOffset !== 0 ? -EINVAL : pool.newMapping(),
    };
  }

  /** The pool is going. A program that has the file open does not keep it. */
  forget(): void {
    this.gone = true;
    this.operations = {
      *ioctl(): Task<number> {
        return -ENODEV;
      },
    };
  }
}
