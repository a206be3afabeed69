/**
 * Clones: bios over the pages of another, which own none of them (B-12).
 *
 * Source: Linux 6.18 block/bio.c (bio_alloc_clone, __bio_clone, bio_split).
 */
import { PAGE_SIZE } from '@pincushion/mm';
import { PincushionError } from '@pincushion/sim';
import { BioState } from './bio';
import type { Bio } from './bio';
import { REFUSED, addPiece, endOfLast } from './bio-page';
import { BioPool } from './bio-pool';
import { bioChain } from './chain';
import type { Disk } from './disk';
import { bytesBefore, pieceAt } from './split';

/**
 * A bio like another, over the same pages, which the other still holds: its pages must stay until the clone has ended. Any
 * context. The caller fills `endIo` or chains it, submits and frees it. Throws BIO_INVALID when the pool's bios are too small.
 */
export function bioAllocClone(pool: BioPool, bio: Bio): Bio {
  const clone = pool.alloc();
  clone.op = bio.op;
  clone.flags = bio.flags;
  clone.sector = bio.sector;
  clone.cpu = bio.cpu;
  clone.disk = bio.disk;
  if (bio.pageCount === 0) clone.bytes = bio.bytes;
  else appendRange(clone, bio, 0, bio.bytes);
  return clone;
}

/**
 * A part of a bio that is being worked on, as submitted: the parent waits for it. One with an `endIo` of its own owes the
 * parent `childEnded`, and the part `free`.
 */
export function makePart(
  disk: Disk,
  bio: Bio,
  at: number,
  bytes: number,
  endIo: ((part: Bio) => undefined) | null = null,
): Bio {
  const part = emptyPart(disk, bio);
  part.sector = bio.sector + at / 512;
  if (bio.pageCount === 0) part.bytes = bytes;
  else appendRange(part, bio, at, bytes);
  bioChain(part, bio);
  if (endIo !== null) part.endIo = endIo;
  return issued(disk, part);
}

/** A bio of the disk's own, with operation, flags and CPU of another and no data yet. */
export function emptyPart(disk: Disk, bio: Bio): Bio {
  disk.parts ??= new BioPool(bio.owner.memory, disk.limits.maxPages, true);
  const part = disk.parts.alloc();
  part.op = bio.op;
  part.flags = bio.flags;
  part.cpu = bio.cpu;
  return part;
}

/** Makes a bio of the disk's own one that is with the block layer: its `endIo` is set, it must be ended. */
export function issued(disk: Disk, part: Bio): Bio {
  const { onSubmit } = part.owner;
  part.disk = disk;
  part.state = BioState.submitted;
  part.submittedNs = part.owner.memory.world.now;
  disk.inFlight++;
  if (onSubmit.on) onSubmit.emit(submitterOf(part).id, part.id, part.sector, part.bytes / 512);
  return part;
}

/** The bio that somebody submitted, of which this is a part; of a request the first one. A shared flush has none but itself. */
function submitterOf(part: Bio): Bio {
  let bio = part.first ?? part;
  while (bio.parent !== null) bio = bio.parent;
  return bio;
}

/** Adds `bytes` bytes of data from byte `at` of another bio. */
export function appendRange(to: Bio, from: Bio, at: number, bytes: number): void {
  const first = pieceAt(from, at);
  if (from.vectored) {
    appendPieces(to, from, at, bytes, first);
    return;
  }
  const offset = (from.firstOffset + at) & (PAGE_SIZE - 1);
  const n = Math.ceil((offset + bytes) / PAGE_SIZE);
  const had = to.pageCount;
  if (had !== 0 && (to.vectored || offset !== 0 || endOfLast(to) !== PAGE_SIZE)) {
    appendPieces(to, from, at, bytes, first);
    return;
  }
  if (had + n > to.maxPages) {
    appendPieces(to, from, at, bytes, first);
    return;
  }
  if (had === 0) to.firstOffset = offset;
  for (let i = 0; i < n; i++) to.pages[had + i] = from.pages[first + i];
  to.pageCount = had + n;
  to.bytes += bytes;
}

function appendPieces(to: Bio, from: Bio, at: number, bytes: number, first: number): void {
  let skip = at - bytesBefore(from, first);
  let left = bytes;
  for (let i = first; left > 0; i++) {
    const { offset, length } = from.bioVec(i);
    const taken = Math.min(length - skip, left);
    if (addPiece(to, from.pages[i], taken, offset + skip) === REFUSED) tooSmall(to, from);
    left -= taken;
    skip = 0;
  }
}

function tooSmall(to: Bio, from: Bio): never {
  throw new PincushionError('BIO_INVALID', `bio ${to.id} has no room for the pages of bio ${from.id}`, {
    expected: `a pool whose bios carry ${from.pageCount} pages`,
    actual: `${to.maxPages} pages`,
  });
}
