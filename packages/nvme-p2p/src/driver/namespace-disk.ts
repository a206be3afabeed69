/**
 * A namespace as the block layer sees it: `/dev/nvme0n1`.
 * A bio goes to the queue pair of the CPU that submitted it, so CPUs do not share queues while there are enough of them;
 * a polled one to a queue pair without interrupts.
 * Source followed: `nvme_alloc_ns`, `nvme_update_ns_info_block` (Linux 6.18, drivers/nvme/host/core.c).
 */
import { MultiQueueDisk } from '@pincushion/driver';
import type { QueueLimits } from '@pincushion/driver';
import type { QueuePair } from './queue-pair';

export class NamespaceDisk extends MultiQueueDisk {
  /** log2 of the 512-byte sectors in a logical block. */
  sectorShift: number;

  constructor(
    name: string,
    /** In logical blocks. */
    blocks: number,
    limits: QueueLimits,
    /** Namespace id. */
    readonly nsid: number,
    /** Who the namespace is, beyond its id: its descriptors. */
    readonly identifiers: string,
    queues: readonly QueuePair[],
  ) {
    super(
      name,
      sectors(blocks, limits),
      limits,
      queues.filter(({ isPolled }) => !isPolled).map(({ dispatch }) => dispatch),
      queues.filter(({ isPolled }) => isPolled).map(({ dispatch }) => dispatch),
    );
    this.sectorShift = shiftOf(limits);
  }

  /** Whether the namespace has this size and these limits already. */
  isLike(blocks: number, limits: QueueLimits): boolean {
    const now: QueueLimits = this.limits;
    const names = Object.keys(limits) as (keyof QueueLimits)[];
    return this.capacitySectors === sectors(blocks, limits) && names.every((name) => now[name] === limits[name]);
  }

  /** The namespace has another size or format. The disk must be frozen. */
  reformat(blocks: number, limits: QueueLimits): void {
    this.update(sectors(blocks, limits), limits);
    this.sectorShift = shiftOf(limits);
  }
}

function shiftOf({ logicalBlockBytes }: QueueLimits): number {
  return 31 - Math.clz32(logicalBlockBytes) - 9;
}

function sectors(blocks: number, limits: QueueLimits): number {
  return blocks * 2 ** shiftOf(limits);
}
