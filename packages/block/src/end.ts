/**
 * The end of a bio: once, in whatever context the driver completes, and not before the bios chained to it have ended.
 *
 * ```
 * driver     bioEndIo(bio, status)      no children: endIo, the bio is its owner's
 *                                       children: it waits
 * last child childEnded(bio, status)    endIo with the first error of all
 * ```
 * Source: Linux 6.18 block/bio.c (bio_endio, bio_remaining_done, __bio_chain_endio).
 */
import { CallTrace, PincushionError, callSite } from '@pincushion/sim';
import { BioState, deviceOf } from './bio';
import type { Bio } from './bio';

/** Imported bindings are getters once compiled; the hot functions read constants of the module. */
const SUBMITTED = BioState.submitted;
const WAITING = BioState.waiting;
const ENDED = BioState.ended;

/**
 * Ends a bio, by its driver, with a BlkStatus. Any context, usually hardirq (B-10). The bio belongs to its owner again and
 * may be free when this returns; one with children ends later, with the first error of all (B-11). A second call throws
 * BIO_ENDED_TWICE.
 */
export function bioEndIo(bio: Bio, status: number): void {
  if (bio.state !== SUBMITTED) endedTwice(bio);
  if (bio.status === 0) bio.status = status;
  if (bio.owner.withSites) bio.endTrace = new CallTrace();
  if (bio.children === 0) finish(bio);
  else bio.state = WAITING;
}

/** The block layer keeps a bio back from its driver until its parts have ended; the caller owes one `childEnded`. */
export function holdForParts(bio: Bio): void {
  bio.state = WAITING;
  bio.children++;
}

/** A child has ended with a status: the parent keeps the first error, and ends with its last child (B-11). Any context. */
export function childEnded(parent: Bio, status: number): void {
  if (parent.status === 0) parent.status = status;
  if (--parent.children === 0 && parent.state === WAITING) finish(parent);
}

function finish(bio: Bio): void {
  const owner = bio.owner;
  bio.state = ENDED;
  if (owner.onComplete.on) owner.onComplete.emit(bio.id, bio.status, bio.op, bio.bytes / 512);
  const disk = bio.disk;
  if (disk !== null && --disk.inFlight === 0) disk.becameIdle();
  bio.endIo(bio);
}

function endedTwice(bio: Bio): never {
  const second = callSite();
  throw new PincushionError('BIO_ENDED_TWICE', `bio ${bio.id} was ended at ${second}, but it is not in flight`, {
    ...deviceOf(bio),
    expected: 'one bioEndIo for each bio that queueBio took',
    actual:
      bio.endTrace === null
        ? 'a second one'
        : `a second one; the first came from ${bio.endTrace.site()}, the bio was submitted at ${bio.submitTrace?.site() ?? 'an unknown place'}`,
    ...(bio.owner.withSites ? {} : { hint: "the ledger's mode full, which also names the first call" }),
  });
}
