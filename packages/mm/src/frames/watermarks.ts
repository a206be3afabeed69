/**
 * Watermarks of zones: how much stays free for those who cannot wait, and when reclaim begins and ends.
 *
 *   free        > high    nothing is done
 *     …         < low     kswapd is woken, which reclaims until every zone is above `high` again
 *     …         < min     who may sleep reclaims himself; who may not uses a part of what is left, and fails below that
 *
 * Left out: lowmem_reserve, boosts after fragmentation, free CMA pages counted with ZONE_NORMAL (CMA is a zone here, and has
 * no marks).
 * Source followed: mm/page_alloc.c `calculate_min_free_kbytes`, `__setup_per_zone_wmarks` (6.18).
 */
import { PAGE_SIZE } from './page-size';
import { ZoneType } from './zone';

/** All in frames. */
export interface Watermarks {
  readonly min: number;
  readonly low: number;
  readonly high: number;
}

/** A zone without any: it is used up to the last frame. */
export const NO_WATERMARKS: Watermarks = { min: 0, low: 0, high: 0 };

/** `vm.watermark_scale_factor`, of 10,000. */
const SCALE = 10;
/** `SWAP_CLUSTER_MAX` and the other end: what ZONE_MOVABLE keeps, whatever its size. */
const MOVABLE_MIN = 32;
const MOVABLE_MAX = 128;
const KIB = 1024;

/** `vm.min_free_kbytes` in bytes, of a machine whose zones for the kernel have `lowmemFrames`. */
export function minFreeBytes(lowmemFrames: number): number {
  const kib = Math.floor(Math.sqrt((lowmemFrames * PAGE_SIZE * 16) / KIB));
  return Math.min(Math.max(kib, 128), 256 * KIB) * KIB;
}

/** The marks of a zone of `frames` frames, when `minFree` bytes are kept free of `lowmemFrames` in all. */
export function watermarksOf(type: ZoneType, frames: number, lowmemFrames: number, minFree: number): Watermarks {
  if (minFree === 0 || frames === 0) return NO_WATERMARKS;
  const share = Math.floor((Math.floor(minFree / PAGE_SIZE) * frames) / Math.max(1, lowmemFrames));
  const isMovable = type === ZoneType.movable;
  const min = isMovable ? Math.min(Math.max(Math.floor(frames / KIB), MOVABLE_MIN), MOVABLE_MAX) : share;
  const gap = Math.max(Math.floor(share / 4), Math.floor((frames * SCALE) / 10_000));
  return { min, low: min + gap, high: min + 2 * gap };
}
