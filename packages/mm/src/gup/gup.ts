/**
 * `get_user_pages` and `pin_user_pages`: user memory for the kernel and for devices.
 *
 * What all acquiring functions promise: of `nr` pages from `start` (rounded down to a page) on, the first n were grabbed
 * and stand in `pages[at…at+n-1]`; the result is n, which may be less than asked, or -errno when there is none (E-07,
 * E-09). The caller owes one release per page: pins to `unpin*`, gets to `putPages`. `owner` is an id of the ledger.
 * Not promised: that the range stays mapped to these pages; fork, munmap and MADV_DONTNEED may part them.
 * Results are numbers unless a fault has to sleep; then a task that gives the number. The functions may sleep (task
 * context only, checked at the call) unless they say "any context".
 * mmap_lock is implied (see mm.ts), so `*_unlocked` differs from the plain form by FOLL_TOUCH only.
 * Elsewhere: the release half (unpin.ts), memfd_pin_folios (memfd-pin.ts), what only faults in (populate.ts), get_dump_page
 * (access-remote.ts). Left out: converting pins of device-coherent pages.
 * Source followed: mm/gup.c (6.18), Documentation/core-api/pin_user_pages.rst.
 */
import { EINVAL } from '@pincushion/sim';
import type { MaySleep } from '@pincushion/sim';
import {
  FOLL_FAST_ONLY,
  FOLL_GET,
  FOLL_LONGTERM,
  FOLL_PIN,
  FOLL_REMOTE,
  FOLL_TOUCH,
  FOLL_UNLOCKABLE,
} from './gup-flags';
import { GupCalls } from './gup-calls';
import type { MmapLock } from './gup-calls';
import * as rules from './gup-rules';
import type { Mm } from '../process/mm';
import type { PinnedRanges } from './pinned-ranges';
import { PIN_TAG } from './user-page';
import type { GottenPages, PinnedPages } from './user-page';

export class UserPageGrabber extends GupCalls {
  // ---- acquiring: get ------------------------------------------------------------------------------------------------

  /** `get_user_pages`. Without `pages` it only faults in and counts (E-10). */
  getUserPages(
    mm: Mm,
    start: number,
    nr: number,
    flags: number,
    pages: GottenPages | null,
    at: number,
    owner: number,
  ): MaySleep {
    return this.slowCall('getUserPages', mm, start, nr, flags, FOLL_TOUCH, FOLL_GET, pages, at, owner, false);
  }

  /** `get_user_pages_unlocked`. */
  getUserPagesUnlocked(
    mm: Mm,
    start: number,
    nr: number,
    flags: number,
    pages: GottenPages | null,
    at: number,
    owner: number,
  ): MaySleep {
    const own = FOLL_TOUCH | FOLL_UNLOCKABLE;
    return this.slowCall('getUserPagesUnlocked', mm, start, nr, flags, own, FOLL_GET, pages, at, owner, false);
  }

  /** `get_user_pages_remote`: on the memory of another process. With `lock` waits may drop the lock. */
  getUserPagesRemote(
    mm: Mm,
    start: number,
    nr: number,
    flags: number,
    pages: GottenPages | null,
    at: number,
    owner: number,
    lock: MmapLock | null = null,
  ): MaySleep {
    const own = FOLL_TOUCH | FOLL_REMOTE | (lock === null ? 0 : FOLL_UNLOCKABLE);
    return this.slowCall('getUserPagesRemote', mm, start, nr, flags, own, FOLL_GET, pages, at, owner, false, lock);
  }

  /** `get_user_pages_fast`: page table first, then as `getUserPagesUnlocked`. */
  getUserPagesFast(
    mm: Mm,
    start: number,
    nr: number,
    flags: number,
    pages: GottenPages,
    at: number,
    owner: number,
  ): MaySleep {
    this.contexts.mightSleep('getUserPagesFast');
    return this.fastCall(mm, start, nr, flags, FOLL_GET, pages, at, owner);
  }

  /** `get_user_pages_fast_only`: never sleeps, never faults; 0…nr or an argument error. Any context. */
  getUserPagesFastOnly(
    mm: Mm,
    start: number,
    nr: number,
    flags: number,
    pages: GottenPages,
    at: number,
    owner: number,
  ): number {
    return this.fastCall(mm, start, nr, flags, FOLL_GET | FOLL_FAST_ONLY, pages, at, owner) as number;
  }

  // ---- acquiring: pin ------------------------------------------------------------------------------------------------

  /** `pin_user_pages`. Invalid arguments give 0, not an error (F-08). The one entry that does not mark pages accessed. */
  pinUserPages(
    mm: Mm,
    start: number,
    nr: number,
    flags: number,
    pages: PinnedPages,
    at: number,
    owner: number,
  ): MaySleep {
    return this.slowCall('pinUserPages', mm, start, nr, flags, 0, FOLL_PIN, pages, at, owner, true);
  }

  /** `pin_user_pages_unlocked`. Invalid arguments give 0 (F-08). */
  pinUserPagesUnlocked(
    mm: Mm,
    start: number,
    nr: number,
    flags: number,
    pages: PinnedPages,
    at: number,
    owner: number,
  ): MaySleep {
    const own = FOLL_TOUCH | FOLL_UNLOCKABLE;
    return this.slowCall('pinUserPagesUnlocked', mm, start, nr, flags, own, FOLL_PIN, pages, at, owner, true);
  }

  /** `pin_user_pages_remote`. Invalid arguments give 0 (F-08). With `lock` waits may drop the lock. */
  pinUserPagesRemote(
    mm: Mm,
    start: number,
    nr: number,
    flags: number,
    pages: PinnedPages,
    at: number,
    owner: number,
    lock: MmapLock | null = null,
  ): MaySleep {
    const own = FOLL_TOUCH | FOLL_REMOTE | (lock === null ? 0 : FOLL_UNLOCKABLE);
    return this.slowCall('pinUserPagesRemote', mm, start, nr, flags, own, FOLL_PIN, pages, at, owner, true, lock);
  }

  /** `pin_user_pages_fast`: the form for every I/O. Page table first; only what that refuses goes the slow way. */
  pinUserPagesFast(
    mm: Mm,
    start: number,
    nr: number,
    flags: number,
    pages: PinnedPages,
    at: number,
    owner: number,
  ): MaySleep {
    this.contexts.mightSleep('pinUserPagesFast');
    if (this.faults.armed && nr > 0) {
      nr = this.faults.pinCall(nr);
      if (nr < 0) return nr;
    }
    return this.fastCall(mm, start, nr, flags, FOLL_PIN, pages, at, owner);
  }

  /**
   * `pin_user_pages_fast` into ranges: appends what it pins to `ranges`, so that a huge mapping costs as much as one page.
   * What is promised, and the result, is as with an array. Release: `unpinUserPageRanges`, all of `ranges` at once.
   */
  pinUserPageRanges(mm: Mm, start: number, nr: number, flags: number, ranges: PinnedRanges, owner: number): MaySleep {
    return this.rangesCall(mm, start, nr, flags, ranges, owner);
  }

  /** Why the last refused call was refused: "V-07: the area is not writable". Empty when none was. */
  why(): string {
    return this.refusals.sentence;
  }

  /**
   * `__get_user_pages` without pages: brings `nr` pages from `start` on in as a grab with `flags`, internal ones included,
   * would, and takes no reference. Pages brought in, or -errno when there is none. Task context.
   */
  faultIn(mm: Mm, start: number, nr: number, flags: number): MaySleep {
    return this.slow.faultIn(mm, start, nr, flags);
  }

  /** One pin of the folio at `head` into `folios[at]`, as FOLL_PIN | FOLL_LONGTERM. 0 or -EINVAL. For memfd_pin_folios. */
  pinFolio(folios: PinnedPages, at: number, head: number, owner: number): number {
    folios[at] = head;
    const taken =
      this.frames.order[head] !== 0
        ? this.scheme.acquireFolio(head, 1) === 0
        : this.scheme.acquire(folios, at, 1) === 1;
    if (!taken) return -EINVAL;
    folios[at] = head | PIN_TAG;
    this.vmstat.nrFollPinAcquired++;
    this.account(folios, at, 1, owner, FOLL_PIN | FOLL_LONGTERM, null, 0);
    return 0;
  }

  /**
   * Of `n` folios of `pinFolio` all may stay where they are: `n`. Else all are unpinned: -EAGAIN when those were moved,
   * -ENOMEM when one could not be. `check_and_migrate_movable_folios`.
   */
  settleLongterm(folios: PinnedPages, n: number): MaySleep {
    const heads = this.slow.unpinnable(folios, 0, n);
    if (heads.length === 0) return n;
    this.unpinFolios(folios, 0, n);
    return this.slow.move(heads);
  }

  /** A long-term pin whose pages may not stay, however often they are moved: -EINTR (L-02). */
  neverSettled(): number {
    return this.refusals.refuse(rules.NEVER_SETTLES);
  }
}
