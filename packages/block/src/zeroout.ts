/**
 * Write-zeroes where the device has none: the zero page is written, over and over.
 *
 * ```
 * maxWriteZeroesBytes 0                    zero pages
 * the device ends one with notSupp         zero pages for that range, and for all to come
 * ```
 * The zero page belongs to nobody: it is neither pinned nor unpinned, and a bio of it is never one of user pages (O-03, O-04).
 * A few bios are under way at a time, so that zeroing a whole disk needs no memory for all of them.
 * The kernel does this for callers of blkdev_issue_zeroout alone; here every write-zeroes bio has it.
 * Source: Linux 6.18 block/blk-lib.c (blkdev_issue_zeroout, blkdev_issue_write_zeroes, __blkdev_issue_zero_pages).
 */
import { PAGE_SIZE } from '@pincushion/mm';
import { BioOp } from './bio';
import type { Bio } from './bio';
import { bioAddZeroPage } from './bio-page';
import { bioChain } from './chain';
import { emptyPart, issued, makePart } from './clone';
import type { Disk } from './disk';
import { childEnded, holdForParts } from './end';
import { issue } from './issue';
import { sendData } from './send-data';
import { zeroesWithinLimits } from './split';
import { BlkStatus } from './status';

/** Bios of zero pages under way for one range. */
const WINDOW = 8;

/** Zeroes the range of a write-zeroes bio that was submitted. Any context. */
export function zeroRange(disk: Disk, bio: Bio): void {
  if (disk.writeZeroesRefused || disk.limits.maxWriteZeroesBytes === 0) {
    writeZeroPages(disk, bio);
    return;
  }
  holdForParts(bio);
  for (let at = 0; at < bio.bytes;) {
    const bytes = zeroesWithinLimits(disk, bio, at);
    issue(disk, makePart(disk, bio, at, bytes, zeroesEnded), null);
    at += bytes;
  }
  childEnded(bio, 0);
}

function zeroesEnded(part: Bio): undefined {
  const { parent, disk, status, sector, bytes } = part;
  part.parent = null;
  part.owner.free(part);
  if (parent === null || disk === null) return undefined;
  if (status === BlkStatus.notSupp) {
    disk.writeZeroesRefused = true;
    writeZeroPages(disk, makePart(disk, parent, sector * 512 - parent.sector * 512, bytes));
    childEnded(parent, 0);
  } else {
    childEnded(parent, status);
  }
  return undefined;
}

function writeZeroPages(disk: Disk, bio: Bio): void {
  bio.progress = 0;
  holdForParts(bio);
  for (let i = 0; i < WINDOW; i++) writeNextZeroes(disk, bio);
  childEnded(bio, 0);
}

/** The next piece of the range, as long as the disk takes; nothing when all is begun, or one has failed. */
function writeNextZeroes(disk: Disk, bio: Bio): void {
  const { limits } = disk;
  const left = bio.bytes - bio.progress;
  if (left === 0 || bio.status !== 0) return;
  const most = Math.min(left, limits.maxBytes, limits.maxPages * PAGE_SIZE);
  const part = emptyPart(disk, bio);
  part.op = BioOp.write;
  part.sector = bio.sector + bio.progress / 512;
  const bytes = most - (most % limits.logicalBlockBytes);
  for (let pages = 0; pages < bytes; pages += PAGE_SIZE) bioAddZeroPage(part, Math.min(PAGE_SIZE, bytes - pages));
  bio.progress += bytes;
  bioChain(part, bio);
  part.endIo = zeroPagesEnded;
  sendData(disk, issued(disk, part), null);
}

function zeroPagesEnded(part: Bio): undefined {
  const { parent, disk, status } = part;
  part.parent = null;
  part.owner.free(part);
  if (parent === null || disk === null) return undefined;
  if (status !== 0 && parent.status === 0) parent.status = status;
  writeNextZeroes(disk, parent);
  childEnded(parent, status);
  return undefined;
}
