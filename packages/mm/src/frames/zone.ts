/**
 * Zones: ranges of frames with one purpose each. One NUMA node.
 * Left out: per-CPU page lists, highmem. A CMA area is a zone of its own here, in the kernel a migrate type
 * of page blocks.
 * Source followed: include/linux/mmzone.h.
 */
import type { Buddy } from './buddy';
import type { Watermarks } from './watermarks';

export const ZoneType = { dma32: 0, normal: 1, movable: 2, device: 3 } as const;
export type ZoneType = 0 | 1 | 2 | 3;

export interface Zone {
  readonly type: ZoneType;
  /** The kernel calls both kinds of ZONE_DEVICE memory `Device`; `PCI` is what lies in BARs of devices. */
  readonly name: 'DMA32' | 'Normal' | 'CMA' | 'Movable' | 'Device' | 'PCI';
  /** First frame, and the frame after the last. */
  readonly start: number;
  readonly end: number;
  /** The page allocator of the zone; memory of devices is handed out by its driver and has none. */
  readonly buddy: Buddy | null;
  /** Reserved for contiguous allocations: pages that can be moved may use it meanwhile, long-term pins may not. */
  readonly cma: boolean;
  readonly watermarks: Watermarks;
}

/** Which memory an allocation may use: a small part of the kernel's gfp flags. */
export const Gfp = {
  /** For the kernel and devices: stays where it is. */
  kernel: 0,
  /** For user pages: prefers ZONE_MOVABLE, because the page can be moved. */
  movable: 1,
  /** Below 4 GiB. */
  dma32: 2,
} as const;
export type GfpFlags = 0 | 1 | 2;
