/**
 * The last step before the driver: a bio that keeps every limit.
 *
 * Source: Linux 6.18 block/blk-mq.c (blk_mq_submit_bio, blk_add_rq_to_plug).
 */
import type { Bio } from './bio';
import type { Disk } from './disk';
import type { Plug } from './plug';
import { BlkStatus } from './status';

/** Hands a bio to the driver, or to a plug that will. Any context. It may end before this returns. */
export function issue(disk: Disk, bio: Bio, plug: Plug | null): void {
  if (plug !== null) plug.add(disk, bio);
  else if (disk.gone) bio.owner.endLater(bio, BlkStatus.offline);
  else disk.queueBio(bio);
}
