/**
 * The two ends of a bio's way through the driver.
 *
 * ```
 *  owner            block layer                    driver
 *  alloc, fill  ->  submitBio: checks, counts  ->  queueBio … device … interrupt
 *  endIo, free  <-  bioEndIo: once, any context <-  status
 * ```
 * A bio that is refused (device gone, beyond the end) ends as well, but from an event of its own, so that no submitter
 * is called back inside its own submission because of us. The kernel ends it at once.
 * Source: Linux 6.18 block/blk-core.c (submit_bio_noacct, bio_check_eod), block/bio.c (bio_endio).
 */
import { CallTrace, PincushionError, callSite } from '@pincushion/sim';
import { BioOp, BioState } from './bio';
import type { Bio } from './bio';
import type { Disk } from './disk';
import { BlkStatus } from './status';

/** Imported bindings are getters once compiled; the hot functions read constants of the module. */
const FILLING = BioState.filling;
const SUBMITTED = BioState.submitted;
const ENDED = BioState.ended;
const OP_READ = BioOp.read;
const OP_WRITE = BioOp.write;
/** Bytes up to here are an int32, which a shift turns into sectors. */
const INT_MAX = 0x7fffffff;

/**
 * Gives a bio to a disk. Any context. `endIo` is called once, perhaps before this returns. Throws BIO_INVALID when the bio
 * is not the caller's to submit or breaks the limits of the disk (the block layer does not split).
 */
export function submitBio(disk: Disk, bio: Bio): void {
  if (bio.state !== FILLING) notFilling(bio);
  const owner = bio.owner;
  const world = owner.memory.world;
  const bytes = bio.bytes;
  if (bio.op === OP_READ || bio.op === OP_WRITE) {
    if (bytes > disk.maxBioBytes || bio.pageCount > disk.maxBioPages) beyondLimits(disk, bio);
  }
  // Low bits of a double: exact, whatever is above them.
  if ((bytes & disk.blockMask) !== 0) beyondLimits(disk, bio);
  bio.disk = disk;
  bio.state = SUBMITTED;
  bio.submittedNs = world.now;
  if (disk.world !== world) disk.world = world;
  disk.inFlight++;
  if (owner.onSubmit.on) owner.onSubmit.emit(bio.id, bio.op, bio.sector, bytes / 512);
  if (owner.withSites) bio.submitTrace = new CallTrace();
  if (disk.gone) {
    owner.endLater(bio, BlkStatus.offline);
    return;
  }
  const sectors = bytes <= INT_MAX ? bytes >>> 9 : bytes / 512;
  if (!(bio.sector >= 0 && bio.sector + sectors <= disk.capacitySectors)) {
    owner.endLater(bio, BlkStatus.ioerr);
    return;
  }
  disk.queueBio(bio);
}

/**
 * Ends a bio, by its driver, with a BlkStatus. Any context, usually hardirq (B-10). The bio belongs to its owner again and
 * may be free when this returns. A second call throws BIO_ENDED_TWICE.
 */
export function bioEndIo(bio: Bio, status: number): void {
  if (bio.state !== SUBMITTED) endedTwice(bio);
  const owner = bio.owner;
  bio.state = ENDED;
  bio.status = status;
  if (owner.withSites) bio.endTrace = new CallTrace();
  if (owner.onComplete.on) owner.onComplete.emit(bio.id, status, bio.op, bio.bytes / 512);
  const disk = bio.disk;
  if (disk !== null && --disk.inFlight === 0) disk.becameIdle();
  bio.endIo(bio);
}

function endedTwice(bio: Bio): never {
  const device = bio.disk?.name;
  const second = callSite();
  throw new PincushionError('BIO_ENDED_TWICE', `bio ${bio.id} was ended at ${second}, but it is not in flight`, {
    ...(device === undefined ? {} : { device }),
    expected: 'one bioEndIo for each bio that queueBio took',
    actual:
      bio.endTrace === null
        ? 'a second one'
        : `a second one; the first came from ${bio.endTrace.site()}, the bio was submitted at ${bio.submitTrace?.site() ?? 'an unknown place'}`,
    ...(bio.owner.withSites ? {} : { hint: "the ledger's mode full, which also names the first call" }),
  });
}

function notFilling(bio: Bio): never {
  const device = bio.disk?.name;
  throw new PincushionError('BIO_INVALID', `bio ${bio.id} was submitted but is not the submitter's`, {
    ...(device === undefined ? {} : { device }),
    expected: 'a bio fresh from its pool',
    actual:
      bio.state === SUBMITTED ? 'one in flight' : bio.state === ENDED ? 'one that has ended' : 'one that was freed',
  });
}

function beyondLimits(disk: Disk, bio: Bio): never {
  const { maxBytes, maxPages, logicalBlockBytes } = disk.limits;
  throw new PincushionError('BIO_INVALID', `bio ${bio.id} breaks the limits of its disk`, {
    device: disk.name,
    expected: `at most ${maxBytes} bytes and ${maxPages} pages, whole blocks of ${logicalBlockBytes} bytes`,
    actual: `${bio.bytes} bytes, ${bio.pageCount} pages`,
  });
}
