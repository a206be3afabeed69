/**
 * Pages added to a bio one by one.
 *
 * ```
 * kernel pages   bioAddPage      the bio holds nothing, nothing is given back          page cache, metadata
 *                bioAddZeroPage  the zero page, for padding: never pinned, never unpinned (O-03, O-04)
 * user pages     bioAddUserPage  the bio takes over one reference, get or pin, and its end gives it back
 * ```
 * A bio is homogeneous: the first page decides its kind, a page of another kind is refused and its caller begins a new bio
 * (B-06). What continues the last piece in its page becomes part of it.
 * Source: Linux 6.18 block/bio.c (bio_add_page, bvec_try_merge_page, bio_iov_add_folio); the mail of 10 October 2018 that
 * proposes bio_add_user_page().
 */
import { FRAME_MASK, PAGE_SIZE, ZERO_PFN } from '@pincushion/mm';
import type { GottenPages, PinnedPages } from '@pincushion/mm';
import { PincushionError } from '@pincushion/sim';
import { BioPages, BioState } from './bio';
import type { Bio } from './bio';

/** What `addPiece` did. */
export const REFUSED = 0;
const ADDED = 1;
const MERGED = 2;

/**
 * Adds `length` bytes at `offset` of a page of the kernel, by frame number (bio_add_page). Any context. The page must stay
 * until the bio ends, and stays the caller's.
 * @returns `length`, or 0 when the bio is full or carries user pages: submit it and begin a new one
 */
export function bioAddPage(bio: Bio, page: number, length: number, offset: number): number {
  if (bio.state !== BioState.filling) notFilling(bio);
  if (bio.pageKind !== BioPages.none) return 0;
  return addPiece(bio, page, length, offset) === REFUSED ? 0 : length;
}

/** Adds `length` bytes of zeroes, at most a page, as `bioAddPage` does. */
export function bioAddZeroPage(bio: Bio, length: number): number {
  return bioAddPage(bio, ZERO_PFN, length, 0);
}

/**
 * Adds `length` bytes at `offset` of a user's page to a bio, with the reference under which it is held (B-06). Any context.
 * The bio owns that reference from here on and owes bioReleasePages. A page that continues the last piece needs none of its
 * own: the extra reference goes back at once (B-05).
 * @param entry as mm gave it: of PinnedPages for kind `pin`, of GottenPages for `get`
 * @returns `length`, or 0 when the bio is full or of another kind: the reference is still the caller's, who submits this bio
 * and begins a new one
 */
export function bioAddUserPage(bio: Bio, entry: number, kind: BioPages, length: number, offset: number): number {
  if (bio.state !== BioState.filling) notFilling(bio);
  if (bio.pageCount !== 0 && bio.pageKind !== kind) return 0;
  const added = addPiece(bio, entry, length, offset);
  if (added === REFUSED) return 0;
  bio.pageKind = kind;
  if (added === MERGED) giveExtraBack(bio, entry, kind);
  return length;
}

/** Adds a piece, whoever holds its page. */
export function addPiece(bio: Bio, entry: number, length: number, offset: number): number {
  if (!(length > 0 && offset >= 0 && offset + length <= PAGE_SIZE)) badPiece(bio, length, offset);
  const n = bio.pageCount;
  if (n === 0) {
    bio.firstOffset = offset;
  } else {
    const end = endOfLast(bio);
    if (offset === end && ((bio.pages[n - 1] ^ entry) & FRAME_MASK) === 0) {
      if (bio.vectored && bio.pieces !== null) bio.pieces[2 * n - 1] += length;
      bio.bytes += length;
      return MERGED;
    }
    if (n === bio.maxPages) return REFUSED;
    if (!bio.vectored && (offset !== 0 || end !== PAGE_SIZE)) becomeVectored(bio);
  }
  if (n === bio.maxPages) return REFUSED;
  bio.pages[n] = entry;
  bio.pageCount = n + 1;
  bio.bytes += length;
  if (bio.vectored) setPiece(bio, n, offset, length);
  return ADDED;
}

/** Where the data ends in the last page, 1 to the size of a page. */
export function endOfLast(bio: Bio): number {
  const { pieces, pageCount } = bio;
  if (bio.vectored && pieces !== null) return pieces[2 * pageCount - 2] + pieces[2 * pageCount - 1];
  return ((bio.firstOffset + bio.bytes - 1) & (PAGE_SIZE - 1)) + 1;
}

/** From a run to pieces, each with its offset and length. */
function becomeVectored(bio: Bio): void {
  for (let i = 0; i < bio.pageCount; i++) {
    const { offset, length } = bio.bioVec(i);
    setPiece(bio, i, offset, length);
  }
  bio.vectored = true;
}

function setPiece(bio: Bio, i: number, offset: number, length: number): void {
  const pieces = (bio.pieces ??= new Int32Array(2 * bio.maxPages));
  pieces[2 * i] = offset;
  pieces[2 * i + 1] = length;
}

/** The page is in the bio once; it is held twice. */
function giveExtraBack(bio: Bio, entry: number, kind: BioPages): void {
  const { gup } = bio.owner.memory;
  const extra = Int32Array.of(entry);
  if (kind === BioPages.pin) gup.unpinUserPages(extra as PinnedPages, 0, 1);
  else if (kind === BioPages.get) gup.putPages(extra as GottenPages, 0, 1);
}

function notFilling(bio: Bio): never {
  throw new PincushionError('BIO_INVALID', `a page was added to bio ${bio.id}, which is not being filled`, {
    expected: 'a bio fresh from its pool, before its submission',
  });
}

function badPiece(bio: Bio, length: number, offset: number): never {
  throw new PincushionError('BIO_INVALID', `bio ${bio.id} cannot take ${length} bytes at ${offset} of a page`, {
    expected: `at least one byte, all within a page of ${PAGE_SIZE} bytes`,
  });
}
