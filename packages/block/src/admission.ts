/**
 * What a bio meets that does not go straight to its driver: one longer than the disk takes, with a flag that somebody has to
 * act on, or of another operation than read and write.
 *
 * ```
 * read, write     split                              send-data.ts, split.ts
 * PREFLUSH, FUA   a sequence of flush, data, flush   flush.ts
 * flush           shared with others                 flush.ts
 * discard         split at the granularity           split.ts
 * write-zeroes    split, or zero pages               zeroout.ts
 * ```
 * Source: Linux 6.18 block/blk-core.c (submit_bio_noacct), block/blk-mq.c (blk_mq_submit_bio).
 */
import { BioOp, REQ_FUA, REQ_POLLED, REQ_PREFLUSH } from './bio';
import type { Bio } from './bio';
import { makePart } from './clone';
import type { Disk } from './disk';
import { childEnded, holdForParts } from './end';
import { issue } from './issue';
import type { Plug } from './plug';
import { flushesOf, sendData } from './send-data';
import { discardWithinLimits } from './split';
import { BlkStatus } from './status';
import { zeroRange } from './zeroout';

/** Takes a bio that has been submitted. What is refused ends from an event of its own. Any context. */
export function admit(disk: Disk, bio: Bio, plug: Plug | null): void {
  const { limits } = disk;
  if ((bio.flags & REQ_POLLED) !== 0 && limits.poll !== true) {
    bio.owner.endLater(bio, BlkStatus.notSupp);
    return;
  }
  if (limits.volatileCache === false) {
    const onlyFlushes = bio.op === BioOp.flush || (bio.bytes === 0 && (bio.flags & (REQ_PREFLUSH | REQ_FUA)) !== 0);
    bio.flags &= ~(REQ_PREFLUSH | REQ_FUA);
    if (onlyFlushes) {
      bio.owner.endLater(bio, BlkStatus.ok);
      return;
    }
  }
  switch (bio.op) {
    case BioOp.read:
    case BioOp.write:
      sendData(disk, bio, plug);
      break;
    case BioOp.flush:
      flushesOf(disk, bio).insert(bio);
      break;
    case BioOp.discard:
      discardRange(disk, bio, plug);
      break;
    case BioOp.writeZeroes:
      zeroRange(disk, bio);
      break;
    default:
      issue(disk, bio, null);
  }
}

function discardRange(disk: Disk, bio: Bio, plug: Plug | null): void {
  if (disk.limits.maxDiscardBytes === 0) {
    bio.owner.endLater(bio, BlkStatus.notSupp);
    return;
  }
  if (discardWithinLimits(disk, bio, 0) === bio.bytes) {
    issue(disk, bio, plug);
    return;
  }
  holdForParts(bio);
  for (let at = 0; at < bio.bytes;) {
    const bytes = discardWithinLimits(disk, bio, at);
    issue(disk, makePart(disk, bio, at, bytes), null);
    at += bytes;
  }
  childEnded(bio, 0);
}
