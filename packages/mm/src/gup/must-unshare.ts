/**
 * Whether a pin must first give the process a page of its own.
 *
 * A page that is pinned for reading must stay the one that the process sees, so an anonymous page must be exclusive, and
 * a long-term pin may not take a file or zero page out of a private mapping. Writing needs no test: a writable entry of an
 * anonymous page implies exclusive.
 * Source followed: mm/internal.h `gup_must_unshare`.
 */
import { PG_anon, PG_anonExclusive } from '../frames/frames';
import { FOLL_LONGTERM, FOLL_PIN, FOLL_WRITE } from './gup-flags';
import type { KernelProfile } from '../kernel-profile';
import type { Vma } from '../process/vma';

/** `headFlags` and `pageFlags` are the flags of the folio and of the page; `vma` is null on the fast path. */
export function gupMustUnshare(
  profile: KernelProfile,
  vma: Vma | null,
  flags: number,
  headFlags: number,
  pageFlags: number,
): boolean {
  if ((flags & (FOLL_PIN | FOLL_WRITE)) !== FOLL_PIN) return false;
  if ((headFlags & PG_anon) !== 0) return profile.readPinUnshares && (pageFlags & PG_anonExclusive) === 0;
  if ((flags & FOLL_LONGTERM) === 0 || !profile.longtermReadUnsharesFiles) return false;
  return vma === null || vma.isCow;
}
