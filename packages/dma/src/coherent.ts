/**
 * Coherent DMA memory: physically contiguous, zeroed, visible to driver and device at the same time, for rings and
 * descriptors. No ownership changes hands, so there is nothing to sync.
 *
 * Left out on purpose: buffers above 4 MiB (one chunk of page content), and devices that are not coherent.
 * Source: Linux 6.18 dma_alloc_coherent / dma_free_coherent, drivers/iommu/dma-iommu.c (iommu_dma_alloc).
 */

/** What gives the memory and the mapping back; the domain that made the buffer. */
export interface CoherentOwner {
  freeCoherent(buffer: CoherentBuffer): void;
}

export class CoherentBuffer {
  released = false;

  constructor(
    private readonly owner: CoherentOwner,
    /** Address of the first byte for the device. */
    readonly iova: number,
    /** First frame; the buffer is `1 << order` frames. */
    readonly frame: number,
    /** The driver's window on the memory, as long as asked for. Not to be used after `release`. */
    readonly bytes: Uint8Array,
    /** The same memory as little-endian 32-bit words. */
    readonly words: Int32Array,
  ) {}

  /** dma_free_coherent: unmaps and frees. Any context; the device must have stopped using it. The second call does nothing. */
  release(): void {
    if (this.released) return;
    this.released = true;
    this.owner.freeCoherent(this);
  }
}
