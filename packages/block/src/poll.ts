/**
 * Polling: a submitter of a REQ_POLLED bio looks for its completion instead of waiting for an interrupt.
 *
 * Source: Linux 6.18 block/blk-core.c (bio_poll).
 */
import { BioState, REQ_POLLED } from './bio';
import type { Bio } from './bio';

/**
 * Lets the driver of a polled bio take completions: how many there were, of this bio and of others. 0 for a bio that is not
 * polled or not in flight. Any context; virtual time does not move, so who polls in a loop sleeps in between.
 */
export function bioPoll(bio: Bio): number {
  const { disk, state } = bio;
  const isInFlight = state === BioState.submitted || state === BioState.waiting;
  return disk === null || !isInFlight || (bio.flags & REQ_POLLED) === 0 ? 0 : disk.poll(bio);
}
