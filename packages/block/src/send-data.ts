/**
 * A read or write on its way to the driver: cut to the limits of the disk, then through its flushes if it needs any.
 *
 * Source: Linux 6.18 block/blk-mq.c (blk_mq_submit_bio), block/blk-merge.c (bio_split_rw).
 */
import { REQ_FUA, REQ_PREFLUSH } from './bio';
import type { Bio } from './bio';
import { makePart } from './clone';
import type { Disk } from './disk';
import { childEnded, holdForParts } from './end';
import { FlushQueue, needsNoFlush } from './flush';
import { issue } from './issue';
import type { Plug } from './plug';
import { bytesWithinLimits } from './split';
import { BlkStatus } from './status';

/** Sends a read or write that was submitted, in as many parts as the disk needs (bio_split_rw). Any context. */
export function sendData(disk: Disk, bio: Bio, plug: Plug | null): void {
  const first = bio.bytes === 0 ? 0 : bytesWithinLimits(disk, bio, 0);
  if (first === bio.bytes) sendPart(disk, bio, plug);
  else if (first === 0) bio.owner.endLater(bio, BlkStatus.inval);
  else sendParts(disk, bio, plug);
}

function sendParts(disk: Disk, bio: Bio, plug: Plug | null): void {
  let status: number = BlkStatus.ok;
  holdForParts(bio);
  for (let at = 0; at < bio.bytes && status === BlkStatus.ok;) {
    const bytes = bytesWithinLimits(disk, bio, at);
    if (bytes === 0) status = BlkStatus.inval;
    else sendPart(disk, makePart(disk, bio, at, bytes), plug);
    at += bytes;
  }
  childEnded(bio, status);
}

/** A bio within the limits: to the driver, or through the flushes of the disk. */
function sendPart(disk: Disk, bio: Bio, plug: Plug | null): void {
  if ((bio.flags & (REQ_PREFLUSH | REQ_FUA)) === 0 || needsNoFlush(disk, bio)) issue(disk, bio, plug);
  else flushesOf(disk, bio).insert(bio);
}

export function flushesOf(disk: Disk, bio: Bio): FlushQueue {
  return (disk.flushes ??= new FlushQueue(bio.owner.memory.world, disk));
}
