/**
 * DMA mapping for a driver, bound to its device's IOMMU domain.
 *
 * The functions are those of `DmaDomain`, each one call further. `mapRange` makes a mapping that a device can own.
 * Source followed: `Documentation/core-api/dma-api.rst`.
 */
import type { CoherentBuffer, DmaDomain, ScatterList } from '@pincushion/dma';
import type { Memory, VmaBacking, Vma } from '@pincushion/mm';
import { PAGE_SIZE } from '@pincushion/mm';
import { EFAULT } from '@pincushion/sim';
import type { Managed } from '../managed';
import type { PinnedRange } from './gup';

/** A mapped range. Release it after the hardware has stopped using it and before its pages are unpinned. */
export interface MappedRange extends Managed {
  /** Bus address of the first byte. */
  readonly iova: number;
  /** Bytes. */
  readonly length: number;
  /** What is mapped. */
  readonly pinned: PinnedRange;
  /** Unmaps. Any context. */
  release(): undefined;
}

/** Memory that driver and device share, as something a device can own. */
export interface ManagedCoherent extends Managed {
  /** Bus address of the first byte. */
  readonly iova: number;
  /** First frame; frames are contiguous. */
  readonly frame: number;
  /** The driver's window on the memory; not to be used after `release`. */
  readonly bytes: Uint8Array;
  /** The same memory as little-endian 32-bit words. */
  readonly words: Int32Array;
  readonly released: boolean;
  /** Frees. Any context. */
  release(): undefined;
}

export abstract class DmaMapper {
  /** IOVA of the first byte, one contiguous range, or -errno. Any context. */
  abstract mapPages(
    pages: Int32Array,
    from: number,
    n: number,
    offset: number,
    length: number,
    direction: number,
  ): number;
  /** `length` and `direction` must be those of the mapping. Any context. */
  abstract unmapPages(iova: number, length: number, direction: number): void;
  abstract mapSg(list: ScatterList, direction: number): number;
  abstract unmapSg(list: ScatterList, direction: number): void;
  /** Physically contiguous memory both sides may use at any time; null when there is none. The caller releases it. */
  abstract allocCoherent(bytes: number): CoherentBuffer | null;
  /** `allocCoherent` as a resource for `own`; null when there is no memory. */
  abstract coherent(bytes: number, what: string): ManagedCoherent | null;
  /** What a character device's `mmap` answers to show coherent memory to a program, until it is unmapped there too. */
  abstract mmapCoherent(buffer: ManagedCoherent): VmaBacking;
  /** Maps a pinned range as a resource for `own`, or -errno. */
  abstract mapRange(pinned: PinnedRange, direction: number): MappedRange | number;
}

/** The service as bound to one device. */
export class DeviceDmaMapper extends DmaMapper {
  constructor(
    private readonly domain: DmaDomain,
    private readonly memory: Memory,
  ) {
    super();
  }

  override mapPages(
    pages: Int32Array,
    from: number,
    n: number,
    offset: number,
    length: number,
    direction: number,
  ): number {
    return this.domain.mapPages(pages, from, n, offset, length, direction);
  }

  override unmapPages(iova: number, length: number, direction: number): void {
    this.domain.unmapPages(iova, length, direction);
  }

  override mapSg(list: ScatterList, direction: number): number {
    return this.domain.mapSg(list, direction);
  }

  override unmapSg(list: ScatterList, direction: number): void {
    this.domain.unmapSg(list, direction);
  }

  override allocCoherent(bytes: number): CoherentBuffer | null {
    return this.domain.allocCoherent(bytes);
  }

  override coherent(bytes: number, what: string): ManagedCoherent | null {
    const buffer = this.domain.allocCoherent(bytes);
    if (buffer === null) return null;
    return {
      what,
      iova: buffer.iova,
      frame: buffer.frame,
      bytes: buffer.bytes,
      words: buffer.words,
      get released() {
        return buffer.released;
      },
      release: () => {
        buffer.release();
        return undefined;
      },
    };
  }

  override mmapCoherent(buffer: ManagedCoherent): VmaBacking {
    return new CoherentMapping(this.memory, buffer);
  }

  override mapRange(pinned: PinnedRange, direction: number): MappedRange | number {
    const { domain } = this;
    const { pages, count, offset, length } = pinned;
    const iova = domain.mapPages(pages, 0, count, offset, length, direction);
    if (iova < 0) return iova;
    return {
      what: `mapping of ${count} page${count === 1 ? '' : 's'} at 0x${iova.toString(16)}`,
      iova,
      length,
      pinned,
      release: () => {
        domain.unmapPages(iova, length, direction);
        return undefined;
      },
    };
  }
}

/**
 * Coherent memory in an address space (`dma_mmap_coherent`). Mapped pages hold references, so a program that keeps them
 * mapped after the device has gone reads old bytes, never somebody else's.
 */
class CoherentMapping implements VmaBacking {
  readonly name: string;

  constructor(
    memory: Memory,
    private readonly buffer: ManagedCoherent,
  ) {
    this.name = buffer.what;
    if (memory.frames.mapping[buffer.frame] === 0) {
      memory.frames.mapping[buffer.frame] = memory.addOwner({ name: buffer.what });
    }
  }

  fault(_vma: Vma, pageIndex: number): number {
    const { frame, bytes, released } = this.buffer;
    return released || pageIndex >= Math.ceil(bytes.length / PAGE_SIZE) ? -EFAULT : frame + pageIndex;
  }
}
