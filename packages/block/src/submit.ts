/**
 * The beginning of a bio's way through the driver; its end is end.ts.
 *
 * ```
 *  owner            block layer                              driver
 *  alloc, fill  ->  submitBio: checks, counts             ->  queueBio … device … interrupt
 *                     not straight: admit, split, flush   ->  queueBio, of parts
 *  endIo, free  <-  bioEndIo: once, any context           <-  status
 * ```
 * A bio that is refused (device gone, beyond the end) ends as well, but from an event of its own, so that no submitter
 * is called back inside its own submission because of us. The kernel ends it at once.
 * Source: Linux 6.18 block/blk-core.c (submit_bio_noacct, bio_check_eod).
 */
import { CallTrace, PincushionError } from '@pincushion/sim';
import { admit } from './admission';
import { BioOp, BioState, deviceOf, REQ_FUA, REQ_POLLED, REQ_PREFLUSH } from './bio';
import type { Bio } from './bio';
import type { Disk } from './disk';
import type { Plug } from './plug';
import { dataMatches } from './split';
import { BlkStatus } from './status';

/** Imported bindings are getters once compiled; the hot functions read constants of the module. */
const FILLING = BioState.filling;
const SUBMITTED = BioState.submitted;
const WAITING = BioState.waiting;
const ENDED = BioState.ended;
const OP_READ = BioOp.read;
const OP_WRITE = BioOp.write;
/** Flags that somebody has to act on before the driver. */
const ATTENTION = REQ_PREFLUSH | REQ_FUA | REQ_POLLED;
/** Bytes up to here are an int32, which a shift turns into sectors. */
const INT_MAX = 0x7fffffff;

/**
 * Gives a bio to a disk. Any context. `endIo` is called once, perhaps before this returns. Reads and writes may have any
 * length in whole blocks: they are split (B-12). Throws BIO_INVALID when the bio is not the caller's to submit, covers parts
 * of blocks, or its pages do not hold its data.
 * @param plug holds the bio back for a moment, so that neighbours become one request
 */
export function submitBio(disk: Disk, bio: Bio, plug: Plug | null = null): void {
  if (bio.state !== FILLING) notFilling(bio);
  // Low bits of a double: exact, whatever is above them.
  if ((bio.bytes & disk.blockMask) !== 0) partOfBlock(disk, bio);
  const straight = goesStraight(disk, bio) && plug === null;
  if (!straight && disk.frozenOut !== null) {
    disk.frozenOut.push({ bio, plug });
    return;
  }
  if (!straight && !dataMatches(bio) && (bio.op === OP_READ || bio.op === OP_WRITE)) wrongPages(disk, bio);
  begin(disk, bio);
  if (disk.gone) bio.owner.endLater(bio, BlkStatus.offline);
  else if (!isWithin(disk, bio)) bio.owner.endLater(bio, BlkStatus.ioerr);
  else if (straight) disk.queueBio(bio);
  else admit(disk, bio, plug);
}

/** Whether the driver can have a bio as it is. In functions of its own, as what follows: each is compiled into its caller. */
function goesStraight(disk: Disk, bio: Bio): boolean {
  const { op } = bio;
  return (
    (op === OP_READ || op === OP_WRITE) &&
    bio.bytes <= disk.straightBytes &&
    bio.pageCount <= disk.straightPages &&
    (bio.flags & ATTENTION) === 0 &&
    !bio.vectored &&
    (bio.firstOffset & disk.dmaMask) === 0
  );
}

/** From here on the bio is in flight. */
function begin(disk: Disk, bio: Bio): void {
  const owner = bio.owner;
  const world = owner.memory.world;
  bio.disk = disk;
  bio.state = SUBMITTED;
  bio.submittedNs = world.now;
  if (disk.world !== world) disk.world = world;
  disk.inFlight++;
  if (owner.onSubmit.on) owner.onSubmit.emit(bio.id, bio.op, bio.sector, bio.bytes / 512);
  if (owner.withSites) bio.submitTrace = new CallTrace();
}

/** bio_check_eod. */
function isWithin(disk: Disk, bio: Bio): boolean {
  const { bytes, sector } = bio;
  const sectors = bytes <= INT_MAX ? bytes >>> 9 : bytes / 512;
  return sector >= 0 && sector + sectors <= disk.capacitySectors;
}

function notFilling(bio: Bio): never {
  throw new PincushionError('BIO_INVALID', `bio ${bio.id} was submitted but is not the submitter's`, {
    ...deviceOf(bio),
    expected: 'a bio fresh from its pool',
    actual:
      bio.state === SUBMITTED || bio.state === WAITING
        ? 'one in flight'
        : bio.state === ENDED
          ? 'one that has ended'
          : 'one that was freed',
  });
}

function partOfBlock(disk: Disk, bio: Bio): never {
  throw new PincushionError('BIO_INVALID', `bio ${bio.id} covers a part of a block`, {
    device: disk.name,
    expected: `whole blocks of ${disk.limits.logicalBlockBytes} bytes`,
    actual: `${bio.bytes} bytes`,
  });
}

function wrongPages(disk: Disk, bio: Bio): never {
  throw new PincushionError('BIO_INVALID', `the pages of bio ${bio.id} do not hold its data`, {
    device: disk.name,
    expected: `pages for ${bio.bytes} bytes from offset ${bio.firstOffset} of the first`,
    actual: `${bio.pageCount} pages`,
  });
}
