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
import { EAGAIN, EINVAL, callSite, sleeping } from '@pincushion/sim';
import type { FaultSites, MaySleep, Task, Tracepoint } from '@pincushion/sim';
import { eagerly, settled } from '../eager-task';
import {
  FOLL_FAST_ONLY,
  FOLL_GET,
  FOLL_LONGTERM,
  FOLL_PIN,
  FOLL_REMOTE,
  FOLL_TOUCH,
  FOLL_UNLOCKABLE,
  FOLL_WRITE,
} from './gup-flags';
import { FastWalk } from './gup-fast';
import * as rules from './gup-rules';
import type { Refusal } from './gup-rules';
import { SlowWalk } from './gup-slow';
import type { Memory } from '../memory';
import { folioIsLongtermPinnable, migrateLongtermUnpinnable } from '../reclaim/migrate';
import type { Mm } from '../process/mm';
import { PAGE_SIZE } from '../frames/page-size';
import type { PinnedRanges } from './pinned-ranges';
import { REGION_BYTES, TASK_SIZE } from '../process/page-table';
import { UserPageReleaser } from './unpin';
import { FRAME_MASK, PIN_TAG, newPinnedPages } from './user-page';
import type { GottenPages, PinnedPages } from './user-page';
import { ZERO_PFN } from '../frames/zero-page';

// Constants of other modules are bound once: an imported binding read in a loop is a property read.
const MASK = FRAME_MASK;
const ZERO = ZERO_PFN;
const SIZE = PAGE_SIZE;
const REGION = REGION_BYTES;
const USER_END = TASK_SIZE;
const PIN = FOLL_PIN;
const GET = FOLL_GET;
const LONGTERM = FOLL_LONGTERM;
const FAST_ONLY = FOLL_FAST_ONLY;
/** Flags that need no validation on the hot path. */
const PLAIN_FLAGS = FOLL_WRITE | FOLL_LONGTERM;
/** How often a long-term pin moves pages and begins anew; twice is the usual number. */
export const LONGTERM_ROUNDS = 100;
/** For a ledger that only counts. */
const NO_PAGES = newPinnedPages(0);
const NO_HEADS: readonly number[] = [];

/** `int *locked` of the kernel: the caller holds mmap_lock (1) and allows that it is dropped, after which it reads 0. */
export interface MmapLock {
  locked: number;
}

export class UserPageGrabber extends UserPageReleaser {
  private readonly faults: FaultSites;
  private readonly fast: FastWalk;
  private readonly pinTrace: Tracepoint;
  private lastRefusal: Refusal | null = null;
  /** WARN_ON_ONCE: refusals that were reported as findings. */
  private readonly warned = new Set<string>();

  constructor(memory: Memory) {
    super(memory);
    this.faults = memory.faults;
    this.fast = new FastWalk(memory);
    this.pinTrace = memory.world.trace.point('gup:pin', ['frame', 'pages', 'owner', 'flags']);
  }

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
    return this.fastCall(mm, start, nr, flags, PIN, pages, at, owner);
  }

  /**
   * `pin_user_pages_fast` into ranges: appends what it pins to `ranges`, so that a huge mapping costs as much as one page.
   * What is promised, and the result, is as with an array. Release: `unpinUserPageRanges`, all of `ranges` at once.
   */
  pinUserPageRanges(mm: Mm, start: number, nr: number, flags: number, ranges: PinnedRanges, owner: number): MaySleep {
    this.contexts.mightSleep('pinUserPageRanges');
    if (this.faults.armed && nr > 0) {
      nr = this.faults.pinCall(nr);
      if (nr < 0) return nr;
    }
    const refused = this.fastRefusal(flags, PIN);
    if (refused !== 0) return refused;
    mm.hasPinned = true; // E-05
    const first = start - (start % SIZE);
    if (nr <= 0 || first + nr * SIZE > USER_END) return this.impossibleRange(first, nr);
    const before = ranges.pages;
    const all = flags | PIN;
    const done = this.faults.armed && this.fastRefuses() ? 0 : this.fast.grabRanges(mm, first, nr, all, ranges);
    if (done < nr) return this.rangesTail(mm, first + done * SIZE, nr - done, all, ranges, before, owner);
    this.accountRanges(ranges, before, owner, all, mm, first);
    return done;
  }

  /** Why the last refused call was refused: "V-07: the area is not writable". Empty when none was. */
  why(): string {
    return this.lastRefusal?.sentence ?? '';
  }

  /**
   * `__get_user_pages` without pages: brings `nr` pages from `start` on in as a grab with `flags`, internal ones included,
   * would, and takes no reference. Pages brought in, or -errno when there is none. Task context.
   */
  faultIn(mm: Mm, start: number, nr: number, flags: number): MaySleep {
    return this.drive(new SlowWalk(mm, start, nr, flags, null, 0), 'faultIn');
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
    this.account(folios, at, 1, owner, PIN | LONGTERM, null, 0);
    return 0;
  }

  /**
   * Of `n` folios of `pinFolio` all may stay where they are: `n`. Else all are unpinned: -EAGAIN when those were moved,
   * -ENOMEM when one could not be. `check_and_migrate_movable_folios`.
   */
  settleLongterm(folios: PinnedPages, n: number): MaySleep {
    const heads = this.unpinnable(folios, 0, n);
    if (heads.length === 0) return n;
    this.unpinFolios(folios, 0, n);
    return this.move(heads);
  }

  /** A long-term pin whose pages may not stay, however often they are moved: -EINTR (L-02). */
  neverSettled(): number {
    this.lastRefusal = rules.NEVER_SETTLES;
    return rules.NEVER_SETTLES.errno;
  }

  // ---- inside ----------------------------------------------------------------------------------------------------------

  /** `gup_fast_fallback`. `own` is FOLL_PIN or FOLL_GET, the latter perhaps with FOLL_FAST_ONLY. */
  private fastCall(
    mm: Mm,
    start: number,
    nr: number,
    flags: number,
    own: number,
    pages: Int32Array,
    at: number,
    owner: number,
  ): MaySleep {
    const refused = this.fastRefusal(flags, own);
    if (refused !== 0) return refused;
    if ((own & PIN) !== 0) mm.hasPinned = true; // E-05
    const offset = (start - Math.floor(start / REGION) * REGION) & (SIZE - 1);
    const first = start - offset;
    const end = first + nr * SIZE;
    if (nr <= 0 || end > USER_END) return this.impossibleRange(first, nr);
    const all = flags | own;
    const done = this.faults.armed && this.fastRefuses() ? 0 : this.fast.grab(mm, first, nr, all, pages, at);
    if (done < nr && (own & FAST_ONLY) === 0) {
      return this.fastTail(mm, first, nr, all, pages, at, done, owner);
    }
    if (done > 0) this.account(pages, at, done, owner, all, mm, first);
    return done;
  }

  /** Whether a fault plan wants this walk to be left to the slow path. */
  private fastRefuses(): boolean {
    return this.faults.effect('gup.fast') !== null;
  }

  /** F-01 to F-07 for the fast calls: 0 or -errno. */
  private fastRefusal(flags: number, own: number): number {
    if ((flags & ~PLAIN_FLAGS) === 0 && ((flags & LONGTERM) === 0 || (own & PIN) !== 0)) return 0;
    const refusal = rules.checkArguments(flags, own, true) ?? rules.checkFastFlags(flags | own);
    return refusal === null ? 0 : this.warnBadFlags(refusal);
  }

  /** The slow way for what the fast walk into ranges left over; `before`: pages of `ranges` that are not of this call. */
  private rangesTail(
    mm: Mm,
    start: number,
    nr: number,
    all: number,
    ranges: PinnedRanges,
    before: number,
    owner: number,
  ): MaySleep {
    const what = 'pinUserPageRanges';
    const pages = newPinnedPages(nr);
    const rest = this.grabSlow(mm, start, nr, all | FOLL_TOUCH | FOLL_UNLOCKABLE, pages, 0, what);
    const first = start - (ranges.pages - before) * SIZE;
    if (typeof rest === 'number') return this.finishRanges(rest, pages, ranges, before, owner, all, mm, first);
    return sleeping(this.memory.world, what, () =>
      this.finishRangesLater(rest, pages, ranges, before, owner, all, mm, first),
    );
  }

  /** E-07, as `finish`. */
  private finishRanges(
    rest: number,
    pages: PinnedPages,
    ranges: PinnedRanges,
    before: number,
    owner: number,
    all: number,
    mm: Mm,
    first: number,
  ): number {
    if (rest > 0) ranges.appendPages(pages, 0, rest);
    const total = ranges.pages - before;
    if (total === 0) return rest;
    this.accountRanges(ranges, before, owner, all, mm, first);
    return total;
  }

  private *finishRangesLater(
    pending: Task<number>,
    pages: PinnedPages,
    ranges: PinnedRanges,
    before: number,
    owner: number,
    all: number,
    mm: Mm,
    first: number,
  ) {
    return this.finishRanges(yield* pending, pages, ranges, before, owner, all, mm, first);
  }

  /** The slow way for what the fast walk left over. */
  private fastTail(
    mm: Mm,
    first: number,
    nr: number,
    all: number,
    pages: Int32Array,
    at: number,
    done: number,
    owner: number,
  ): MaySleep {
    const what = (all & FOLL_PIN) !== 0 ? 'pinUserPagesFast' : 'getUserPagesFast';
    const flags = all | FOLL_TOUCH | FOLL_UNLOCKABLE;
    const rest = this.grabSlow(mm, first + done * PAGE_SIZE, nr - done, flags, pages, at + done, what);
    if (typeof rest !== 'number') {
      return sleeping(this.memory.world, what, () =>
        this.finishLater(rest, pages, at, done, owner, all, mm, first, null),
      );
    }
    return this.finish(rest, pages, at, done, owner, all, mm, first);
  }

  /** E-07: what the fast walk got is kept, and then the error of the slow walk is lost. */
  private finish(
    rest: number,
    pages: Int32Array | null,
    at: number,
    done: number,
    owner: number,
    all: number,
    mm: Mm,
    first: number,
  ): number {
    const total = rest > 0 ? done + rest : done;
    if (total === 0) return rest;
    if (pages !== null) this.account(pages, at, total, owner, all, mm, first);
    return total;
  }

  private *finishLater(
    pending: Task<number>,
    pages: Int32Array | null,
    at: number,
    done: number,
    owner: number,
    all: number,
    mm: Mm,
    first: number,
    lock: MmapLock | null,
  ) {
    const rest = yield* pending;
    if (lock !== null) lock.locked = 0;
    return this.finish(rest, pages, at, done, owner, all, mm, first);
  }

  /** Every entry without a fast part. `grabs` is FOLL_PIN or FOLL_GET; a get without an array grabs nothing (E-10). */
  private slowCall(
    what: string,
    mm: Mm,
    start: number,
    nr: number,
    flags: number,
    own: number,
    grabs: number,
    pages: Int32Array | null,
    at: number,
    owner: number,
    isZeroWhenInvalid: boolean,
    lock: MmapLock | null = null,
  ): MaySleep {
    this.contexts.mightSleep(what);
    const isPin = grabs === FOLL_PIN;
    if (isPin && this.faults.armed && nr > 0) {
      nr = this.faults.pinCall(nr);
      if (nr < 0) return nr;
    }
    const all = flags | own | (isPin || pages !== null ? grabs : 0);
    const refusal = rules.checkArguments(flags, all & ~flags & (FOLL_GET | FOLL_PIN), pages !== null, lock);
    if (refusal !== null) {
      const errno = this.warnBadFlags(refusal);
      return isZeroWhenInvalid ? 0 : errno;
    }
    if (nr <= 0) return 0; // E-01
    if (isPin) mm.hasPinned = true; // E-05
    const first = start - (start % PAGE_SIZE);
    const got = this.grabSlow(mm, first, nr, all, pages, at, what);
    if (typeof got === 'number') return this.finish(got, pages, at, 0, owner, all, mm, first);
    return sleeping(this.memory.world, what, () => this.finishLater(got, pages, at, 0, owner, all, mm, first, lock));
  }

  /** SL-02: a long-term pin looks at what it got; what may not stay where it is is moved, and the walk begins anew. */
  private grabSlow(
    mm: Mm,
    first: number,
    nr: number,
    flags: number,
    pages: Int32Array | null,
    at: number,
    what: string,
  ): MaySleep {
    const got = this.drive(new SlowWalk(mm, first, nr, flags, pages, at), what);
    if ((flags & FOLL_LONGTERM) === 0 || pages === null) return got;
    if (typeof got === 'number' && this.unpinnable(pages, at, got).length === 0) return got;
    return eagerly(this.memory.world, what, this.grabLongterm(got, mm, first, nr, flags, pages, at, what));
  }

  /**
   * `__gup_longterm_locked`, after the first walk. The kernel goes round until a fatal signal as long as pages that may not
   * stay come back (L-02); here a few rounds end like that signal.
   */
  private *grabLongterm(
    walked: MaySleep,
    mm: Mm,
    first: number,
    nr: number,
    flags: number,
    pages: Int32Array,
    at: number,
    what: string,
  ) {
    let got = yield* settled(walked);
    for (let round = 0; round < LONGTERM_ROUNDS; round++) {
      const checked = yield* settled(this.moveUnpinnable(got, pages, at));
      if (checked !== -EAGAIN) return checked;
      got = yield* settled(this.drive(new SlowWalk(mm, first, nr, flags, pages, at), what));
    }
    this.releaseQuietly(pages, at, got);
    return this.neverSettled();
  }

  private drive(walk: SlowWalk, what: string): MaySleep {
    while (!walk.advance()) {
      const fault = walk.fault();
      if (typeof fault !== 'number') {
        if (walk.mayNotWait) {
          fault.return(0);
          walk.stop();
          break;
        }
        return sleeping(this.memory.world, what, () => this.driveLater(walk, fault));
      }
      if (walk.faulted(fault)) break;
    }
    return this.ended(walk);
  }

  private *driveLater(walk: SlowWalk, pending: Task<number>) {
    let fault: MaySleep = pending;
    for (;;) {
      const hadToWait = typeof fault !== 'number';
      const result: number = typeof fault === 'number' ? fault : yield* fault;
      if (walk.faulted(result) || (hadToWait && walk.signalled()) || walk.advance()) return this.ended(walk);
      fault = walk.fault();
    }
  }

  private ended(walk: SlowWalk): number {
    if (walk.refusal !== null) this.lastRefusal = walk.refusal;
    return walk.result;
  }

  /**
   * Of `got` pinned pages all may stay: `got`. Else all are unpinned, and those that may not stay are moved: -EAGAIN, or
   * -ENOMEM when one could not be (L-01). The kernel tries for ever while a page is off its list (L-02); here that is
   * -ENOMEM too. `check_and_migrate_movable_pages`.
   */
  private moveUnpinnable(got: number, pages: Int32Array, at: number): MaySleep {
    const heads = this.unpinnable(pages, at, got);
    if (heads.length === 0) return got;
    this.releaseQuietly(pages, at, got);
    return this.move(heads);
  }

  /** Heads of the folios that a long-term pin may not keep where they are, each once. */
  private unpinnable(pages: Int32Array, at: number, n: number): readonly number[] {
    let heads: Set<number> | null = null;
    for (let i = 0; i < n; i++) {
      const head = this.frames.headOf(pages[at + i] & MASK);
      if (!folioIsLongtermPinnable(this.memory, head)) (heads ??= new Set()).add(head);
    }
    return heads === null ? NO_HEADS : [...heads];
  }

  /** `migrate_longterm_unpinnable_folios`: -EAGAIN when all were moved. */
  private move(heads: readonly number[]): MaySleep {
    const moved = migrateLongtermUnpinnable(this.memory, heads);
    if (typeof moved === 'number') return this.afterMove(moved);
    return sleeping(this.memory.world, 'moving pages for a long-term pin', () => this.moveLater(moved));
  }

  private *moveLater(pending: Task<number>) {
    return this.afterMove(yield* pending);
  }

  private afterMove(moved: number): number {
    if (moved === 0) return -EAGAIN;
    this.lastRefusal = rules.NOT_MOVABLE;
    return moved;
  }

  /** Takes pins back that no holder has seen yet: the ledger does not know them. */
  private releaseQuietly(pages: Int32Array, at: number, n: number): void {
    for (let i = at; i < at + n; i++) {
      const pfn = pages[i] & MASK;
      if (pfn !== ZERO) {
        if (this.frames.order[pfn] !== 0) this.scheme.releaseFolio(this.frames.headOf(pfn), 1);
        else this.scheme.release(pages, i, 1);
        this.vmstat.nrFollPinReleased++;
      }
      pages[i] = 0;
    }
  }

  /** `start`: of the first page, in `mm`, if the pages are a piece of an address space. */
  private account(
    pages: Int32Array,
    at: number,
    n: number,
    owner: number,
    flags: number,
    mm: Mm | null,
    start: number,
    handle: object = pages,
  ): void {
    if ((flags & PIN) !== 0) {
      this.ledger.pinned(pages, at, n, owner, flags, mm, start, handle);
      if (this.pinTrace.on) this.traceRuns(this.pinTrace, pages, at, n, owner, flags);
    } else if ((flags & GET) !== 0) this.ledger.got(pages, at, n, owner, flags, mm, start);
  }

  /** The pages of `ranges` from page `before` on were pinned by this call. */
  private accountRanges(
    ranges: PinnedRanges,
    before: number,
    owner: number,
    flags: number,
    mm: Mm,
    first: number,
  ): void {
    const n = ranges.pages - before;
    const { ledger, pinTrace } = this;
    if (ledger.mode !== 'full' && !pinTrace.on) {
      ledger.pinned(NO_PAGES, 0, n, owner, flags);
      return;
    }
    this.account(ranges.toPages(before), 0, n, owner, flags, mm, first, ranges);
  }

  /** E-01, E-02. */
  private impossibleRange(first: number, nr: number): number {
    if (nr === 0) return 0;
    this.lastRefusal = first + nr * PAGE_SIZE > Number.MAX_SAFE_INTEGER ? rules.OVERFLOW : rules.BEYOND_USER;
    return this.lastRefusal.errno;
  }

  /** The kernel's WARN_ON_ONCE: a finding the first time. Returns the errno. */
  private warnBadFlags(refusal: Refusal | null): number {
    if (refusal === null) return 0;
    this.lastRefusal = refusal;
    if (!this.warned.has(refusal.sentence)) {
      this.warned.add(refusal.sentence);
      this.memory.world.findings.report({
        code: 'GUP_BAD_FLAGS',
        summary: refusal.sentence,
        sites: [{ what: 'called', site: callSite(), atNs: this.memory.world.now }],
        details: [],
      });
    }
    return refusal.errno;
  }
}
