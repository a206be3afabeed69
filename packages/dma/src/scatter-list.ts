/**
 * A scatter list: pieces of memory that a device shall see as few contiguous ranges.
 *
 * One list has two faces, as the kernel's has: the memory side (`add`, `count`) and, while it is mapped, the device side
 * (`mappedCount`, `dmaAddress`, `dmaLength`). Adjacent pieces merge on the device side, so the two counts differ.
 * Pieces of a peer's memory that are reached on the bus take no part in the merging: each is a segment with its bus address.
 * Left out on purpose: chained tables.
 * Source: Linux 6.18 lib/scatterlist.c, drivers/iommu/dma-iommu.c (iommu_dma_map_sg, __finalise_sg).
 */
import { FRAME_MASK, PAGE_SHIFT, PAGE_SIZE } from '@pincushion/mm';
import { EINVAL } from '@pincushion/sim';

export interface ScatterLimits {
  /** Longest range the device takes as one segment, bytes (max_segment_size). Default 64 KiB, as the kernel's. */
  maxSegmentBytes?: number;
  /** No segment may cross a multiple of this, bytes, a power of two (segment_boundary_mask + 1). Default 4 GiB. */
  boundaryBytes?: number;
}

export class ScatterList {
  /** Memory side: pieces in the list. The caller must unmap with the count it mapped with (`dma_unmap_sg` takes the original n). */
  count = 0;
  /** Device side: segments after merging; 0 while the list is not mapped. */
  mappedCount = 0;
  /** `count` at the time of mapping, which unmapping must find again. */
  countWhenMapped = 0;

  readonly maxSegmentBytes: number;
  readonly boundaryBytes: number;

  /** Memory side, per piece: first frame, offset into it (bytes, below a page), length (bytes; may run over following frames). */
  readonly frames: Int32Array;
  readonly offsets: Int32Array;
  readonly lengths: Int32Array;
  /** Device side, per segment. */
  readonly addresses: Float64Array;
  readonly segmentBytes: Int32Array;
  /** Bus address of each piece that is memory of a peer and reached on the bus, else 0; written by mapSg. */
  readonly busAddresses: Float64Array;
  /** IOVA of the first piece that has one; -1 when none has. */
  iovaStart = -1;
  /** Page of each piece counted from the first page of the mapping; written by mapSg. */
  readonly pageIndex: Int32Array;

  /** @param capacity the most pieces the list will hold; the arrays are made once and the list is reused */
  constructor(capacity: number, limits: ScatterLimits = {}) {
    this.frames = new Int32Array(capacity);
    this.offsets = new Int32Array(capacity);
    this.lengths = new Int32Array(capacity);
    this.addresses = new Float64Array(capacity);
    this.segmentBytes = new Int32Array(capacity);
    this.busAddresses = new Float64Array(capacity);
    this.pageIndex = new Int32Array(capacity);
    this.maxSegmentBytes = limits.maxSegmentBytes ?? 65_536;
    this.boundaryBytes = limits.boundaryBytes ?? 0x1_0000_0000;
  }

  get capacity(): number {
    return this.frames.length;
  }

  /**
   * Adds a piece (sg_set_page). Any context. The list takes no reference: whoever fills it keeps the pages alive.
   * @param frame first frame; the tag of a pinned page is masked
   * @param offset bytes into it @param length bytes, at least 1
   * @returns false when the list is full or the piece is empty
   */
  add(frame: number, offset: number, length: number): boolean {
    const at = this.count;
    if (at >= this.frames.length || length <= 0 || offset < 0) return false;
    this.frames[at] = (frame & FRAME_MASK) + (offset >> PAGE_SHIFT);
    this.offsets[at] = offset & (PAGE_SIZE - 1);
    this.lengths[at] = length;
    this.count = at + 1;
    return true;
  }

  /** Forgets all pieces. The list must not be mapped. */
  clear(): void {
    this.count = 0;
    this.mappedCount = 0;
  }

  /** IOVA of segment `i` (sg_dma_address); `i` below `mappedCount`. */
  dmaAddress(i: number): number {
    return this.addresses[i];
  }

  /** Bytes of segment `i` (sg_dma_len). */
  dmaLength(i: number): number {
    return this.segmentBytes[i];
  }

  /** Pages that piece `i` touches. */
  pagesOf(i: number): number {
    return Math.ceil((this.offsets[i] + this.lengths[i]) / PAGE_SIZE);
  }

  /** Bytes of all pieces. */
  totalBytes(): number {
    let bytes = 0;
    for (let i = 0; i < this.count; i++) bytes += this.lengths[i];
    return bytes;
  }

  /**
   * Places the pieces in a range of IOVAs, whole pages each, with room left out where a piece would cross the boundary
   * (iommu_dma_map_sg). For the domain. @returns pages of the range, or -EINVAL when a piece is longer than the boundary
   */
  layOut(): number {
    const boundaryPages = this.boundaryBytes / PAGE_SIZE;
    let pages = 0;
    for (let i = 0; i < this.count; i++) {
      if (this.busAddresses[i] !== 0) continue;
      const own = this.pagesOf(i);
      if (own > boundaryPages) return -EINVAL;
      const room = boundaryPages - (pages % boundaryPages);
      if (own > room) pages += room;
      this.pageIndex[i] = pages;
      pages += own;
    }
    return pages;
  }

  /**
   * Writes the device side: pieces that meet at a page boundary become one segment as long as it stays within the
   * longest segment and crosses no boundary (__finalise_sg). For the domain. @param base IOVA of the range, -1 for none
   */
  merge(base: number): void {
    let segment = -1;
    let end = 0;
    this.iovaStart = -1;
    for (let i = 0; i < this.count; i++) {
      if (this.busAddresses[i] !== 0) {
        segment++;
        this.addresses[segment] = this.busAddresses[i];
        this.segmentBytes[segment] = this.lengths[i];
        end = 0;
        continue;
      }
      const address = base + this.pageIndex[i] * PAGE_SIZE + this.offsets[i];
      const length = this.lengths[i];
      if (this.iovaStart < 0) this.iovaStart = address;
      const joins =
        segment >= 0 &&
        address === end &&
        this.segmentBytes[segment] + length <= this.maxSegmentBytes &&
        Math.floor(this.addresses[segment] / this.boundaryBytes) ===
          Math.floor((address + length - 1) / this.boundaryBytes);
      if (joins) {
        this.segmentBytes[segment] += length;
      } else {
        segment++;
        this.addresses[segment] = address;
        this.segmentBytes[segment] = length;
      }
      end = address + length;
    }
    this.mappedCount = segment + 1;
    this.countWhenMapped = this.count;
  }
}
