/**
 * A frozen disk: nothing is in flight and nothing comes in, so that its size, its limits or its format can change.
 *
 * ```
 * freezeDisk     what is in flight ends; what is submitted from now on waits
 * disk.update    new size and limits
 * unfreezeDisk   what waited is submitted, in order, as if it came now
 * ```
 * A bio that waits is still its submitter's and counts as not submitted: the kernel lets the submitter sleep instead.
 * Left out on purpose: freezes within freezes; whoever freezes keeps others from it.
 * Source: Linux 6.18 block/blk-mq.c (blk_mq_freeze_queue, blk_mq_unfreeze_queue), block/blk-core.c (bio_queue_enter).
 */
import type { Task } from '@pincushion/sim';
import { BioState } from './bio';
import type { Bio } from './bio';
import type { Disk } from './disk';
import { BlkStatus } from './status';
import { submitBio } from './submit';

/** Lets no new bio in and waits for those in flight. Task context. The caller owes `unfreezeDisk`. */
export function* freezeDisk(disk: Disk): Task {
  disk.setFrozen(true);
  yield* disk.waitIdle();
}

/**
 * Lets bios in again, those that waited first. Any context. One that lies beyond the end of the disk by now ends with an
 * error, and so does one that is not of whole blocks any more (bio_unaligned).
 */
export function unfreezeDisk(disk: Disk): void {
  for (const { bio, plug } of disk.setFrozen(false)) {
    const isWhole = (bio.bytes & disk.blockMask) === 0 && (bio.sector * 512) % (disk.blockMask + 1) === 0;
    if (isWhole) submitBio(disk, bio, plug);
    else refuse(disk, bio);
  }
}

function refuse(disk: Disk, bio: Bio): void {
  const { owner } = bio;
  bio.disk = disk;
  bio.state = BioState.submitted;
  bio.submittedNs = owner.memory.world.now;
  disk.inFlight++;
  owner.endLater(bio, BlkStatus.ioerr);
}
