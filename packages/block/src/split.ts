/**
 * How much of a bio a disk takes at once.
 *
 * ```
 * bio     |--------------------------------------------|   stays whole, waits for its parts, ends with the first error
 * parts   |------------|------------|------------|-----|   clones: share the pages, own none, are freed at their end (B-12)
 * ```
 * The kernel cuts the front off again and again; here the bio is left as it is and every part is a clone.
 * Pages count one by one against `maxPages`; segments are counted as physical neighbours merge.
 * Source: Linux 6.18 block/blk-merge.c (bio_split_io_at, get_max_io_size, bvec_split_segs, bvec_gap_to_prev,
 * bio_split_discard).
 */
import { FRAME_MASK, PAGE_SIZE } from '@pincushion/mm';
import type { Bio } from './bio';
import type { Disk } from './disk';

const PAGE = PAGE_SIZE;
const OFFSET_MASK = PAGE - 1;
const FRAME = FRAME_MASK;

/**
 * Bytes of data, from byte `at` of a read or write on, that one bio for the disk may carry, in whole blocks; 0 when not even
 * a block fits or memory is not aligned for DMA. Any context.
 */
export function bytesWithinLimits(disk: Disk, bio: Bio, at: number): number {
  const { limits, dmaMask, gapMask } = disk;
  const pieces = bio.vectored ? bio.pieces : null;
  let most = Math.min(bio.bytes - at, limits.maxBytes);
  const chunk = limits.chunkBytes;
  if (chunk !== undefined) most = Math.min(most, chunk - ((bio.sector * 512 + at) % chunk));
  const maxSegments = limits.maxSegments ?? Infinity;
  const maxSegmentBytes = limits.maxSegmentBytes ?? Infinity;
  const boundary = limits.segmentBoundaryBytes ?? Infinity;

  let i = pieceAt(bio, at);
  let skip = at - bytesBefore(bio, i);
  let bytes = 0;
  let pages = 0;
  let segments = 0;
  let segmentBytes = 0;
  /** Physical address behind the last piece. */
  let end = -1;
  for (; i < bio.pageCount && bytes < most; i++) {
    const begin = pieces !== null ? pieces[2 * i] : i === 0 ? bio.firstOffset : 0;
    const offset = begin + skip;
    const whole = pieces !== null ? pieces[2 * i + 1] : PAGE - begin;
    const length = Math.min(whole - skip, most - bytes);
    skip = 0;
    if (((offset | length) & dmaMask) !== 0) return 0;
    if (pages > 0 && ((offset | end) & gapMask) !== 0) break;
    if (++pages > limits.maxPages) break;
    const address = (bio.pages[i] & FRAME) * PAGE + offset;
    const joins =
      address === end &&
      segmentBytes + length <= maxSegmentBytes &&
      Math.floor(address / boundary) === Math.floor((address - 1) / boundary);
    segmentBytes = joins ? segmentBytes + length : length;
    if (!joins && ++segments > maxSegments) break;
    end = address + length;
    bytes += length;
  }
  return bytes - (bytes % limits.logicalBlockBytes);
}

/** Bytes of a discard, from byte `at` on, that one bio may cover: the next one begins at the granularity. */
export function discardWithinLimits(disk: Disk, bio: Bio, at: number): number {
  const { logicalBlockBytes, maxDiscardBytes = Infinity } = disk.limits;
  const granularity = disk.limits.discardGranularityBytes ?? logicalBlockBytes;
  const left = bio.bytes - at;
  const most = maxDiscardBytes === Infinity ? Infinity : maxDiscardBytes - (maxDiscardBytes % granularity);
  if (left <= most) return left;
  const cut = most - ((bio.sector * 512 + at + most) % granularity);
  return cut > 0 ? cut : most;
}

/** Bytes of a write-zeroes, from byte `at` on, that one bio may cover. */
export function zeroesWithinLimits(disk: Disk, bio: Bio, at: number): number {
  const { logicalBlockBytes, maxWriteZeroesBytes = Infinity } = disk.limits;
  const most =
    maxWriteZeroesBytes === Infinity ? Infinity : maxWriteZeroesBytes - (maxWriteZeroesBytes % logicalBlockBytes);
  return Math.min(bio.bytes - at, most);
}

/** Index of the piece that byte `at` of the data lies in. */
export function pieceAt(bio: Bio, at: number): number {
  const pieces = bio.pieces;
  if (!bio.vectored || pieces === null) return Math.floor((bio.firstOffset + at) / PAGE);
  let i = 0;
  for (let before = pieces[1]; before <= at && i < bio.pageCount - 1; before += pieces[2 * i + 1]) i++;
  return i;
}

/** Bytes of data before piece `i`. */
export function bytesBefore(bio: Bio, i: number): number {
  const pieces = bio.pieces;
  if (!bio.vectored || pieces === null) return i === 0 ? 0 : i * PAGE - bio.firstOffset;
  let bytes = 0;
  for (let k = 0; k < i; k++) bytes += pieces[2 * k + 1];
  return bytes;
}

/** Whether the pages hold as much data as the bio says, no less and no more. */
export function dataMatches(bio: Bio): boolean {
  const { bytes, pageCount, firstOffset } = bio;
  if (bytes === 0) return pageCount === 0;
  if (pageCount > bio.maxPages) return false;
  if (bio.vectored) return bytesBefore(bio, pageCount) === bytes;
  const end = firstOffset + bytes;
  return firstOffset <= OFFSET_MASK && pageCount === Math.ceil(end / PAGE);
}
