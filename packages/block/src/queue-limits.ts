/**
 * What a disk takes: the limits of one bio that reaches its driver, and what the device can do. Submitters may give any
 * length; the block layer splits.
 *
 * Source: Linux 6.18 include/linux/blkdev.h (struct queue_limits), block/blk-settings.c (blk_validate_limits).
 */
import { PAGE_SIZE } from '@pincushion/mm';
import { PincushionError } from '@pincushion/sim';

export interface QueueLimits {
  /** Smallest addressable unit, bytes: a power of two, 512 to 4096. */
  readonly logicalBlockBytes: number;
  /** Longest read or write bio, bytes (max_sectors). */
  readonly maxBytes: number;
  /** Most pages of one bio. */
  readonly maxPages: number;
  /** Most segments of one bio: runs of memory without a physical gap. Without limit when absent. */
  readonly maxSegments?: number;
  /** Longest segment, bytes, at least a page. Without limit when absent. */
  readonly maxSegmentBytes?: number;
  /** No segment crosses a multiple of this, bytes: a power of two, at least a page. Without limit when absent. */
  readonly segmentBoundaryBytes?: number;
  /**
   * All pieces of a bio but the first begin, and all but the last end, at a multiple of this, bytes: a power of two, at most
   * a page. A page when absent: the data is one run over the pages. 0: pieces as they come, for a driver that reads `bioVec`.
   */
  readonly virtBoundaryBytes?: number;
  /** No read or write crosses a multiple of this on the disk, bytes, whole blocks (chunk_sectors). */
  readonly chunkBytes?: number;
  /** Alignment that the address of a buffer needs, bytes, a power of two; the logical block when absent. */
  readonly dmaAlignmentBytes?: number;
  /** Longest discard bio, bytes; without limit when absent, 0: the device has no discard. */
  readonly maxDiscardBytes?: number;
  /** Discards are split at multiples of this, bytes, whole blocks; the logical block when absent. */
  readonly discardGranularityBytes?: number;
  /**
   * Ranges of one discard (max_discard_segments). More than one: discards that wait are collected into a request, adjacent or
   * not, whose bios the driver reads one by one. One when absent.
   */
  readonly maxDiscardSegments?: number;
  /** Longest write-zeroes bio, bytes; without limit when absent, 0: the device has none, zero pages are written. */
  readonly maxWriteZeroesBytes?: number;
  /**
   * What is written may be lost with the power until it is flushed (BLK_FEAT_WRITE_CACHE). True when absent: the kernel takes
   * the opposite for granted. False: no flush reaches the driver.
   */
  readonly volatileCache?: boolean;
  /** The device knows FUA (BLK_FEAT_FUA); when absent a flush after the data stands for it. */
  readonly fua?: boolean;
  /** Bios may have memory of other devices in them (BLK_FEAT_PCI_P2PDMA); when absent pins of it are refused. */
  readonly pciP2pdma?: boolean;
  /** The disk can be polled (BLK_FEAT_POLL); a disk with several queues says so itself when it has some to poll. */
  readonly poll?: boolean;
}

/** Throws DISK_LIMITS_INVALID when no bio could keep the limits, or a driver could not trust them. */
export function checkLimits(name: string, limits: QueueLimits): void {
  const block = limits.logicalBlockBytes;
  const problem =
    powerOfTwo('logicalBlockBytes', block, 512, PAGE_SIZE) ??
    atLeast('maxBytes', limits.maxBytes, block) ??
    atLeast('maxPages', limits.maxPages, 1) ??
    atLeast('maxSegments', limits.maxSegments, 1) ??
    atLeast('maxDiscardSegments', limits.maxDiscardSegments, 1) ??
    atLeast('maxSegmentBytes', limits.maxSegmentBytes, PAGE_SIZE) ??
    powerOfTwo('segmentBoundaryBytes', limits.segmentBoundaryBytes, PAGE_SIZE, Infinity) ??
    (limits.virtBoundaryBytes === 0 ? null : powerOfTwo('virtBoundaryBytes', limits.virtBoundaryBytes, 4, PAGE_SIZE)) ??
    powerOfTwo('dmaAlignmentBytes', limits.dmaAlignmentBytes, 1, PAGE_SIZE) ??
    wholeBlocks('chunkBytes', limits.chunkBytes, block) ??
    wholeBlocks('discardGranularityBytes', limits.discardGranularityBytes, block);
  if (problem === null) return;
  throw new PincushionError('DISK_LIMITS_INVALID', `disk ${name} was given limits that no bio can keep`, {
    device: name,
    ...problem,
  });
}

interface Problem {
  readonly expected: string;
  readonly actual: string;
}

function atLeast(what: string, value: number | undefined, least: number): Problem | null {
  if (value === undefined || value >= least) return null;
  return { expected: `${what} of at least ${least}`, actual: String(value) };
}

function wholeBlocks(what: string, value: number | undefined, block: number): Problem | null {
  if (value === undefined || (value > 0 && value % block === 0)) return null;
  return { expected: `${what} in whole blocks of ${block}`, actual: String(value) };
}

function powerOfTwo(what: string, value: number | undefined, least: number, most: number): Problem | null {
  if (value === undefined) return null;
  let power = 1;
  while (power < value) power *= 2;
  if (value >= least && value <= most && value === power) return null;
  return { expected: `${what} a power of two from ${least} to ${most}`, actual: String(value) };
}
