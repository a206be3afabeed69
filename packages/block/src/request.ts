/**
 * Requests: adjacent bios that go to the driver as one.
 *
 * ```
 * bios      [0..8) [8..16) [16..24)      linked by `next`, each ends by itself
 * request   [0..24)                      a bio of the disk's own with all their pages, owns none
 * ```
 * A request of one bio is that bio. Bios merge when the operation, the flags, the kind of their pages and the CPU agree, one
 * begins where the other ends, and the disk's limits hold for both together; each page counts as a segment. Discards merge
 * wherever they lie, when the disk takes several ranges at once.
 * Source: Linux 6.18 block/blk-merge.c (blk_attempt_bio_merge, blk_rq_merge_ok, bio_attempt_back_merge,
 * bio_attempt_front_merge, ll_back_merge_fn, req_gap_back_merge).
 */
import { FRAME_MASK } from '@pincushion/mm';
import { BioOp, REQ_FUA, REQ_NOMERGE, REQ_POLLED, REQ_PREFLUSH } from './bio';
import type { Bio } from './bio';
import { endOfLast } from './bio-page';
import { appendRange, emptyPart, issued } from './clone';
import type { Disk } from './disk';
import { bioEndIo } from './end';

/** REQ_NOMERGE_FLAGS; and a polled bio is looked for by itself. */
const ALONE = REQ_NOMERGE | REQ_PREFLUSH | REQ_FUA | REQ_POLLED;

/**
 * The request that carries both, or null when they do not merge. `request` is a request or a bio that goes to the driver
 * next; the result takes its place. Any context.
 */
export function mergeInto(disk: Disk, request: Bio, bio: Bio): Bio | null {
  if (bio.first !== null) return null;
  if (bio.op === BioOp.discard) return mergeDiscard(disk, request, bio);
  if (!mayMerge(disk, request, bio)) return null;
  if (endSector(request) === bio.sector && fitsBehind(disk, request, bio)) {
    const merged = asRequest(disk, request);
    if (merged.last !== null) merged.last.next = bio;
    merged.last = bio;
    return grown(merged, bio);
  }
  if (endSector(bio) === request.sector && fitsBehind(disk, bio, request)) {
    const merged = asRequest(disk, request);
    bio.next = merged.first;
    merged.first = bio;
    merged.sector = bio.sector;
    return grown(merged, bio);
  }
  return null;
}

/** Collects the pages of a request before its driver gets it. Called again when it has grown. */
export function collectPages(request: Bio): void {
  if (request.first === null || request.op === BioOp.discard) return;
  request.pageCount = 0;
  request.bytes = 0;
  request.vectored = false;
  for (let bio: Bio | null = request.first; bio !== null; bio = bio.next) appendRange(request, bio, 0, bio.bytes);
}

/**
 * A further range of a discard: where it lies does not matter (blk_attempt_bio_merge, bio_attempt_discard_merge). The
 * request has the sector of its first range and the bytes of all; its driver goes through the bios.
 */
function mergeDiscard(disk: Disk, request: Bio, bio: Bio): Bio | null {
  const { maxDiscardSegments = 1 } = disk.limits;
  if (maxDiscardSegments === 1 || request.op !== BioOp.discard || request.flags !== bio.flags) return null;
  if ((bio.flags & ALONE) !== 0 || request.disk !== disk || bio.disk !== disk || request.cpu !== bio.cpu) return null;
  if (rangesOf(request) >= maxDiscardSegments) return null;
  if (request.bytes + bio.bytes > (disk.limits.maxDiscardBytes ?? Infinity)) return null;
  const merged = asRequest(disk, request);
  if (merged.last !== null) merged.last.next = bio;
  merged.last = bio;
  merged.bytes += bio.bytes;
  merged.progress++;
  return merged;
}

/** Ranges of a discard that waits. Of a request `progress` counts those after the first. */
function rangesOf(request: Bio): number {
  return request.first === null ? 1 : request.progress + 1;
}

function mayMerge(disk: Disk, a: Bio, b: Bio): boolean {
  const { chunkBytes } = disk.limits;
  const bytes = a.bytes + b.bytes;
  return (
    a.op === b.op &&
    (a.op === BioOp.read || a.op === BioOp.write) &&
    a.flags === b.flags &&
    (a.flags & ALONE) === 0 &&
    a.disk === b.disk &&
    a.cpu === b.cpu &&
    kindOf(a) === kindOf(b) &&
    (disk.limits.pciP2pdma !== true || !(hasPeerMemory(a) || hasPeerMemory(b))) &&
    a.bytes !== 0 &&
    b.bytes !== 0 &&
    bytes <= disk.limits.maxBytes &&
    pagesOf(a) + b.pageCount <= Math.min(disk.limits.maxPages, disk.limits.maxSegments ?? Infinity) &&
    (chunkBytes === undefined || ((Math.min(a.sector, b.sector) * 512) % chunkBytes) + bytes <= chunkBytes)
  );
}

/** Memory of another device goes alone (REQ_P2PDMA, REQ_NOMERGE); all of a bio's pages are, or none. */
function hasPeerMemory(bio: Bio): boolean {
  const first = bio.first ?? bio;
  return first.pageCount > 0 && (first.pages[0] & FRAME_MASK) >= first.owner.memory.pciStart;
}

/** Where the two meet in memory there is no gap that the disk does not take. */
function fitsBehind(disk: Disk, before: Bio, behind: Bio): boolean {
  const tail = before.last ?? before;
  const head = behind.first ?? behind;
  return ((endOfLast(tail) | head.bioVec(0).offset) & disk.gapMask) === 0;
}

/** A bio as the first of a request. */
function asRequest(disk: Disk, bio: Bio): Bio {
  return bio.first !== null ? bio : requestOf(disk, bio, bio);
}

/** A request of the bios from `first` to `last`, which are linked and adjacent. */
export function requestOf(disk: Disk, first: Bio, last: Bio): Bio {
  const request = emptyPart(disk, first);
  request.sector = first.sector;
  request.first = first;
  request.last = last;
  request.progress = 0;
  for (let bio: Bio | null = first; bio !== null; bio = bio.next) grown(request, bio);
  request.endIo = requestEnded;
  return issued(disk, request);
}

function requestEnded(request: Bio): undefined {
  const { status } = request;
  let bio = request.first;
  request.first = null;
  request.last = null;
  request.owner.free(request);
  while (bio !== null) {
    const { next } = bio;
    bio.next = null;
    bioEndIo(bio, status);
    bio = next;
  }
  return undefined;
}

function endSector(bio: Bio): number {
  return bio.sector + bio.bytes / 512;
}

function kindOf(bio: Bio): number {
  return (bio.first ?? bio).pageKind;
}

/** Of a request `progress` counts the pages. */
function pagesOf(request: Bio): number {
  return request.first === null ? request.pageCount : request.progress;
}

function grown(request: Bio, bio: Bio): Bio {
  request.bytes += bio.bytes;
  request.progress += bio.pageCount;
  return request;
}
