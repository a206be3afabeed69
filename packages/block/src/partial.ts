/**
 * Partial completion: the device has done the first bytes of a bio or request, and nothing is known of the rest.
 *
 * ```
 * bio       |=====done=====|------rest------|     waits for the rest, a part of it; its pages stay until then (B-13)
 * request   |==a==|==b==|=c=|--c--|--d--|         a and b end; the rest of c and d are a new request
 * ```
 * Source: Linux 6.18 block/blk-mq.c (blk_update_request, req_bio_endio).
 */
import type { Bio } from './bio';
import { bioChain, isChained } from './chain';
import { appendRange, emptyPart, issued, makePart } from './clone';
import { bioEndIo, childEnded, holdForParts } from './end';
import { collectPages, requestOf } from './request';
import { BlkStatus } from './status';

/**
 * Ends the first `bytes` bytes of a bio that its driver has, whole blocks, without an error. Any context.
 * @returns a bio for the rest, to be sent again or ended; null when nothing is left
 */
export function blkUpdateRequest(bio: Bio, bytes: number): Bio | null {
  if (bytes >= bio.bytes) {
    bioEndIo(bio, BlkStatus.ok);
    return null;
  }
  if (bytes === 0) return bio;
  return bio.first === null ? restOf(bio, bytes) : restOfRequest(bio, bio.first, bytes);
}

function restOf(bio: Bio, bytes: number): Bio {
  const { disk, parent } = bio;
  if (disk === null) return bio;
  if (parent !== null && isChained(bio)) {
    // A part: the parent waits for the rest instead, so that parts of parts do not pile up.
    const rest = emptyPart(disk, bio);
    rest.sector = bio.sector + bytes / 512;
    if (bio.pageCount === 0) rest.bytes = bio.bytes - bytes;
    else appendRange(rest, bio, bytes, bio.bytes - bytes);
    bioChain(rest, parent);
    issued(disk, rest);
    bioEndIo(bio, BlkStatus.ok);
    return rest;
  }
  holdForParts(bio);
  const rest = makePart(disk, bio, bytes, bio.bytes - bytes);
  childEnded(bio, BlkStatus.ok);
  return rest;
}

function restOfRequest(request: Bio, first: Bio, bytes: number): Bio {
  const { disk, last } = request;
  request.first = null;
  request.last = null;
  bioEndIo(request, BlkStatus.ok);
  let bio = first;
  let done = bytes;
  while (done >= bio.bytes && bio.next !== null) {
    const { next } = bio;
    bio.next = null;
    done -= bio.bytes;
    bioEndIo(bio, BlkStatus.ok);
    bio = next;
  }
  const { next } = bio;
  bio.next = null;
  const head = done === 0 ? bio : restOf(bio, done);
  head.next = next;
  if (next === null || last === null || disk === null) return head;
  const rest = requestOf(disk, head, last);
  collectPages(rest);
  return rest;
}
