/**
 * From a buffer of a process to the pages of a bio.
 *
 * How the pages are held is a setting of the machine (`Memory.directIoHold`): pinned since 6.5, by plain references before.
 * Source: Linux 6.18 block/bio.c (bio_iov_iter_get_pages, __bio_iov_iter_get_pages), lib/iov_iter.c.
 */
import { FOLL_PCI_P2PDMA, FOLL_WRITE, FRAME_MASK, PAGE_SIZE } from '@pincushion/mm';
import type { GottenPages, Memory, Mm, PinnedPages } from '@pincushion/mm';
import { EFAULT } from '@pincushion/sim';
import type { MaySleep, Task } from '@pincushion/sim';
import { BioOp, BioPages } from './bio';
import type { Bio } from './bio';

/** Imported bindings are getters once compiled; the hot functions read constants of the module. */
const PAGE = PAGE_SIZE;
const OFFSET_MASK = PAGE - 1;
const PAGE_BITS = 12;
const WRITE = FOLL_WRITE;
const PEERS = FOLL_PCI_P2PDMA;
const MASK = FRAME_MASK;
const OP_READ = BioOp.read;
const PIN = BioPages.pin;
const GET = BioPages.get;

/**
 * Holds the pages of a user buffer and makes them the data of an empty bio (B-01): by short-term pins (O-01) or plain
 * references, for writing only if the device writes memory. Takes as many pages as the bio holds (B-03) and trims to whole logical blocks; what was
 * pinned beyond them is given back at once (B-04), so that a partly bad buffer never leaks a pin (O-07).
 * Task context, since pinning may sleep. The caller owes bioReleasePages.
 * A bio never mixes memory of other devices with anything else (bio_add_page, zone_device_pages_compatible): it ends where the
 * kind of memory changes.
 * @param blockBytes logical block of the disk, a power of two @param owner ledger owner @param peerFlag FOLL_PCI_P2PDMA when the disk takes
 * memory of other devices (B-02), else 0
 * @returns bytes added, at least one block; or the errno of the first page, or -EFAULT when less than a block was there
 */
export function bioAddUserPages(
  bio: Bio,
  memory: Memory,
  mm: Mm,
  address: number,
  bytes: number,
  blockBytes: number,
  owner: number,
  peerFlag = 0,
): MaySleep {
  const offset = address & OFFSET_MASK;
  const room = bio.maxPages * PAGE - offset;
  const wanted = bytes <= room ? bytes : room - (room & (blockBytes - 1));
  const n = (offset + wanted + OFFSET_MASK) >>> PAGE_BITS;
  const flags = (bio.op === OP_READ ? WRITE : 0) | peerFlag;
  const isPin = memory.directIoHold === 'pin';
  const pinned = isPin
    ? memory.gup.pinUserPagesFast(mm, address, n, flags, bio.pages as PinnedPages, 0, owner)
    : memory.gup.getUserPagesFast(mm, address, n, flags, bio.pages as GottenPages, 0, owner);
  if (pinned === n && (peerFlag & PEERS) === 0) {
    bio.pageKind = isPin ? PIN : GET;
    bio.pageCount = n;
    bio.firstOffset = offset;
    bio.bytes = wanted;
    return wanted;
  }
  if (typeof pinned === 'number') return keepPinned(bio, memory, offset, wanted, blockBytes, pinned);
  return keepLater(bio, memory, offset, wanted, blockBytes, pinned);
}

/** Takes the pages that were pinned, as far as they make whole blocks. */
function keepPinned(
  bio: Bio,
  memory: Memory,
  offset: number,
  wanted: number,
  blockBytes: number,
  pinned: number,
): number {
  if (pinned <= 0) return pinned === 0 ? -EFAULT : pinned;
  const there = Math.min(wanted, pagesOfOneKind(bio, memory, pinned) * PAGE - offset);
  const bytes = there - (there & (blockBytes - 1));
  const used = bytes === 0 ? 0 : Math.ceil((offset + bytes) / PAGE);
  const isPin = memory.directIoHold === 'pin';
  if (used < pinned) {
    if (isPin) memory.gup.unpinUserPages(bio.pages as PinnedPages, used, pinned - used);
    else memory.gup.putPages(bio.pages as GottenPages, used, pinned - used);
  }
  if (bytes === 0) return -EFAULT;
  bio.pageKind = isPin ? PIN : GET;
  bio.pageCount = used;
  bio.firstOffset = offset;
  bio.bytes = bytes;
  return bytes;
}

/** How many of the pages are host memory like the first, or as the first a row of one device's memory. */
function pagesOfOneKind({ pages }: Bio, { pciStart }: Memory, n: number): number {
  const isPeer = (pages[0] & MASK) >= pciStart;
  let i = 1;
  while (i < n && (isPeer ? pages[i] === pages[i - 1] + 1 : (pages[i] & MASK) < pciStart)) i++;
  return i;
}

function* keepLater(
  bio: Bio,
  memory: Memory,
  offset: number,
  wanted: number,
  blockBytes: number,
  pinning: Task<number>,
): Task<number> {
  return keepPinned(bio, memory, offset, wanted, blockBytes, yield* pinning);
}
