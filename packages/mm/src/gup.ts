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
 * Left out: memfd_pin_folios, get_dump_page, migration out of ZONE_MOVABLE (a long-term pin of such a page is refused),
 * the `locked` argument (F-06).
 * Source followed: mm/gup.c (6.18), Documentation/core-api/pin_user_pages.rst.
 */
import { PincushionError, callSite, sleeping } from '@pincushion/sim';
import type { ContextStack, FaultSites, MaySleep, Task, Tracepoint } from '@pincushion/sim';
import { PG_dirty, PG_zoneUnpinnable, ZONES_SHIFT } from './frames';
import type { FrameTable } from './frames';
import {
  FOLL_FAST_ONLY,
  FOLL_GET,
  FOLL_LONGTERM,
  FOLL_MADV_POPULATE,
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
import type { Ledger } from './ledger';
import type { Memory } from './memory';
import type { Mm } from './mm';
import { PAGE_SIZE } from './page-size';
import { REGION_BYTES, TASK_SIZE } from './page-table';
import type { PinScheme } from './pin-scheme';
import { FRAME_MASK, PIN_TAG } from './user-page';
import type { GottenPages, PinnedPages } from './user-page';
import { VM_WRITE } from './vma';
import type { Vmstat } from './vmstat';
import { ZERO_PFN } from './zero-page';
import { ZoneType } from './zone';

// Constants of other modules are bound once: an imported binding read in a loop is a property read.
const TAG = PIN_TAG;
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
/** Releases are handed to the scheme in runs of at most this many pages: short loops are compiled normally. */
const RUN_MAX = 512;

export class UserPageGrabber {
  private readonly contexts: ContextStack;
  private readonly frames: FrameTable;
  private readonly scheme: PinScheme;
  private readonly ledger: Ledger;
  private readonly vmstat: Vmstat;
  private readonly faults: FaultSites;
  private readonly fast: FastWalk;
  private readonly pinTrace: Tracepoint;
  private readonly unpinTrace: Tracepoint;
  /** The array form of one entry, for `unpinUserPage`. */
  private readonly singlePin = new Int32Array(1) as PinnedPages;
  private lastRefusal: Refusal | null = null;
  /** WARN_ON_ONCE: refusals that were reported as findings. */
  private readonly warned = new Set<string>();

  constructor(private readonly memory: Memory) {
    this.contexts = memory.world.contexts;
    this.frames = memory.frames;
    this.scheme = memory.scheme;
    this.ledger = memory.ledger;
    this.vmstat = memory.vmstat;
    this.faults = memory.faults;
    this.fast = new FastWalk(memory);
    this.pinTrace = memory.world.trace.point('gup:pin', ['frame', 'pages', 'owner', 'flags']);
    this.unpinTrace = memory.world.trace.point('gup:unpin', ['frame', 'pages', 'owner', 'flags']);
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

  /** `get_user_pages_remote`: on the memory of another process. */
  getUserPagesRemote(
    mm: Mm,
    start: number,
    nr: number,
    flags: number,
    pages: GottenPages | null,
    at: number,
    owner: number,
  ): MaySleep {
    const own = FOLL_TOUCH | FOLL_REMOTE;
    return this.slowCall('getUserPagesRemote', mm, start, nr, flags, own, FOLL_GET, pages, at, owner, false);
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

  /** `pin_user_pages_remote`. Invalid arguments give 0 (F-08). */
  pinUserPagesRemote(
    mm: Mm,
    start: number,
    nr: number,
    flags: number,
    pages: PinnedPages,
    at: number,
    owner: number,
  ): MaySleep {
    const own = FOLL_TOUCH | FOLL_REMOTE;
    return this.slowCall('pinUserPagesRemote', mm, start, nr, flags, own, FOLL_PIN, pages, at, owner, true);
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
    if (this.faults.armed) {
      const error = this.faults.hit('pin');
      if (error !== 0) return error;
    }
    return this.fastCall(mm, start, nr, flags, PIN, pages, at, owner);
  }

  // ---- releasing -----------------------------------------------------------------------------------------------------

  /**
   * `unpin_user_pages`: gives back `n` pins, `pages[from…from+n-1]`; entries of 0 are skipped. Does not mark anything
   * dirty: a caller whose device wrote uses `unpinUserPagesDirtyLock` (U-02). An errno as `n` is reported and releases
   * nothing. Throws PIN_WRONG_RELEASE for pages that were not pinned by `pin*`. Any context.
   */
  unpinUserPages(pages: PinnedPages, from: number, n: number): void {
    if (n <= 0) {
      if (n < 0) this.warnErrnoAsCount(n);
      return;
    }
    if ((pages[from] & TAG) === 0 && pages[from] !== 0) this.throwWrongPartner(pages[from], 'unpinUserPages');
    this.ledger.unpinned(pages, from, n);
    if (this.unpinTrace.on) this.traceRuns(this.unpinTrace, pages, from, n, 0, 0);
    const end = from + n;
    const order = this.frames.order;
    for (let i = from; i < end;) {
      const stop = end - i < RUN_MAX ? end : i + RUN_MAX;
      const runEnd = smallRun(order, pages, i, stop);
      if (runEnd > i) {
        this.scheme.release(pages, i, runEnd - i);
        this.vmstat.nrFollPinReleased += runEnd - i;
        i = runEnd;
      }
      if (i < stop) i = this.unpinOther(pages, i, end);
    }
  }

  /** `unpin_user_page`: one pin, an entry of a `PinnedPages`. Any context. */
  unpinUserPage(entry: number): void {
    this.singlePin[0] = entry;
    this.unpinUserPages(this.singlePin, 0, 1);
  }

  /**
   * `unpin_user_pages_dirty_lock`: as `unpinUserPages`, and marks the folios dirty first when `makeDirty`. Waits for the
   * folio lock, so task context only (U-03). Returns 0.
   */
  unpinUserPagesDirtyLock(pages: PinnedPages, from: number, n: number, makeDirty: boolean): MaySleep {
    this.contexts.mightSleep('unpinUserPagesDirtyLock');
    if (makeDirty) for (let i = from; i < from + n; i++) this.markDirty(pages[i]);
    this.unpinUserPages(pages, from, n);
    return 0;
  }

  /** `put_page` for each of `n` gotten pages; entries of 0 are skipped. Throws PIN_WRONG_RELEASE for pins. Any context. */
  putPages(pages: GottenPages, from: number, n: number): void {
    for (let i = from; i < from + n; i++) {
      if ((pages[i] & TAG) !== 0) this.throwWrongPartner(pages[i], 'putPages');
    }
    if (n <= 0) return;
    this.ledger.put(pages, from, n);
    for (let i = from; i < from + n; i++) {
      if (pages[i] !== 0) this.frames.put(this.frames.headOf(pages[i]), 1);
      else this.ledger.putSkipped();
    }
  }

  // ---- dirty, queries --------------------------------------------------------------------------------------------------

  /** `set_page_dirty_lock`. Task context. Returns 0. */
  setPageDirtyLock(entry: number): MaySleep {
    this.contexts.mightSleep('setPageDirtyLock');
    this.markDirty(entry);
    return 0;
  }

  /** Whether the folio of an entry is dirty. Any context. */
  isDirty(entry: number): boolean {
    return (this.frames.flags[this.frames.headOf(entry & MASK)] & PG_dirty) !== 0;
  }

  /** Marks the folio of an entry dirty without a lock; for the block layer before a read (`bio_set_pages_dirty`). */
  markDirty(entry: number): void {
    const pfn = entry & MASK;
    if (pfn !== 0 && pfn !== ZERO) this.frames.flags[this.frames.headOf(pfn)] |= PG_dirty;
  }

  /** `folio_maybe_dma_pinned`, as far as the scheme can tell. Any context. */
  folioMaybeDmaPinned(pfn: number): boolean {
    return this.scheme.isPinned(pfn & MASK) !== 'no';
  }

  /** Why the last refused call was refused: "V-07: the area is not writable". Empty when none was. */
  why(): string {
    return this.lastRefusal?.sentence ?? '';
  }

  /** `mm_populate`: faults `nr` pages in, writably where the area allows writing. 0 or -errno; task context. */
  populate(mm: Mm, start: number, nr: number): MaySleep {
    const vma = mm.vmas.lookup(start);
    const write = vma !== null && (vma.flags & VM_WRITE) !== 0 ? FOLL_WRITE : 0;
    return this.drive(new SlowWalk(mm, start, nr, FOLL_TOUCH | FOLL_MADV_POPULATE | write, null, 0), 'populate');
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
    if ((flags & ~PLAIN_FLAGS) !== 0 || (flags & LONGTERM & ~own) !== 0) {
      const refusal = rules.checkArguments(flags, own, true) ?? rules.checkFastFlags(flags | own);
      if (refusal !== null) return this.warnBadFlags(refusal);
    }
    const isPin = (own & PIN) !== 0;
    if (!isPin && (flags & LONGTERM) !== 0) return this.warnBadFlags(rules.checkArguments(flags, own, true));
    if (isPin) mm.hasPinned = true; // E-05
    const offset = (start - Math.floor(start / REGION) * REGION) & (SIZE - 1);
    const first = start - offset;
    const end = first + nr * SIZE;
    if (nr <= 0 || end > USER_END) return this.impossibleRange(first, nr);
    const all = flags | own;
    const done = this.fast.grab(mm, first, nr, all, pages, at);
    if (done < nr && (own & FAST_ONLY) === 0) {
      return this.fastTail(mm, first, nr, all, pages, at, done, owner);
    }
    if (done > 0) this.account(pages, at, done, owner, all);
    return done;
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
    const walk = new SlowWalk(mm, first + done * PAGE_SIZE, nr - done, flags, pages, at + done);
    const rest = this.grabSlow(walk, what, flags, pages, at + done);
    if (typeof rest !== 'number') {
      return sleeping(this.memory.world, what, () => this.finishLater(rest, pages, at, done, owner, all));
    }
    return this.finish(rest, pages, at, done, owner, all);
  }

  /** E-07: what the fast walk got is kept, and then the error of the slow walk is lost. */
  private finish(rest: number, pages: Int32Array | null, at: number, done: number, owner: number, all: number): number {
    const total = rest > 0 ? done + rest : done;
    if (total === 0) return rest;
    if (pages !== null) this.account(pages, at, total, owner, all);
    return total;
  }

  private *finishLater(
    pending: Task<number>,
    pages: Int32Array | null,
    at: number,
    done: number,
    owner: number,
    all: number,
  ) {
    return this.finish(yield* pending, pages, at, done, owner, all);
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
  ): MaySleep {
    this.contexts.mightSleep(what);
    const isPin = grabs === FOLL_PIN;
    if (isPin && this.faults.armed) {
      const error = this.faults.hit('pin');
      if (error !== 0) return error;
    }
    const all = flags | own | (isPin || pages !== null ? grabs : 0);
    const refusal = rules.checkArguments(flags, all & ~flags & (FOLL_GET | FOLL_PIN), pages !== null);
    if (refusal !== null) {
      const errno = this.warnBadFlags(refusal);
      return isZeroWhenInvalid ? 0 : errno;
    }
    if (isPin) mm.hasPinned = true; // E-05
    if (nr <= 0) return 0; // E-01
    const first = start - (start % PAGE_SIZE);
    const walk = new SlowWalk(mm, first, nr, all, pages, at);
    const got = this.grabSlow(walk, what, all, pages, at);
    if (typeof got === 'number') return this.finish(got, pages, at, 0, owner, all);
    return sleeping(this.memory.world, what, () => this.finishLater(got, pages, at, 0, owner, all));
  }

  /** SL-02: a long-term pin looks at what it got, and gives all of it back when a page may not be pinned so. */
  private grabSlow(walk: SlowWalk, what: string, flags: number, pages: Int32Array | null, at: number): MaySleep {
    const got = this.drive(walk, what);
    if ((flags & FOLL_LONGTERM) === 0 || pages === null) return got;
    if (typeof got === 'number') return this.checkLongterm(got, pages, at);
    return sleeping(this.memory.world, what, () => this.checkLongtermLater(got, pages, at));
  }

  private *checkLongtermLater(pending: Task<number>, pages: Int32Array, at: number) {
    return this.checkLongterm(yield* pending, pages, at);
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
      const result: number = typeof fault === 'number' ? fault : yield* fault;
      if (walk.faulted(result) || walk.advance()) return this.ended(walk);
      fault = walk.fault();
    }
  }

  private ended(walk: SlowWalk): number {
    if (walk.refusal !== null) this.lastRefusal = walk.refusal;
    return walk.result;
  }

  /** `check_and_migrate_movable_pages`, without migration: L-01, nothing stays pinned. */
  private checkLongterm(got: number, pages: Int32Array, at: number): number {
    for (let i = 0; i < got; i++) {
      if (this.isLongtermPinnable(pages[at + i] & MASK)) continue;
      this.releaseQuietly(pages, at, got);
      this.lastRefusal = rules.NOT_MOVABLE;
      return rules.NOT_MOVABLE.errno;
    }
    return got;
  }

  /** `folio_is_longterm_pinnable`. */
  private isLongtermPinnable(pfn: number): boolean {
    const flags = this.frames.flags[this.frames.headOf(pfn)];
    return (flags & PG_zoneUnpinnable) === 0 || ((flags >>> ZONES_SHIFT) & 3) !== ZoneType.movable;
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

  private account(pages: Int32Array, at: number, n: number, owner: number, flags: number): void {
    if ((flags & PIN) !== 0) {
      this.ledger.pinned(pages, at, n, owner, flags);
      if (this.pinTrace.on) this.traceRuns(this.pinTrace, pages, at, n, owner, flags);
    } else if ((flags & GET) !== 0) this.ledger.got(pages, at, n, owner, flags);
  }

  /** What breaks a run of pinned small folios: a NULL entry, a large folio, the zero page, a wrong partner. */
  private unpinOther(pages: PinnedPages, at: number, end: number): number {
    const entry = pages[at];
    if (entry === 0) {
      this.ledger.unpinSkipped();
      return at + 1;
    }
    if ((entry & TAG) === 0) this.throwWrongPartner(entry, 'unpinUserPages');
    const pfn = entry & MASK;
    if (pfn === ZERO) return at + 1;
    const head = this.frames.headOf(pfn);
    let i = at + 1;
    while (i < end && (pages[i] & TAG) !== 0 && this.frames.headOf(pages[i] & MASK) === head) i++; // U-01
    this.scheme.releaseFolio(head, i - at);
    this.vmstat.nrFollPinReleased += i - at;
    return i;
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

  private warnErrnoAsCount(n: number): void {
    this.memory.world.findings.report({
      code: 'PIN_WRONG_RELEASE',
      summary: `unpinUserPages was given ${n} as the number of pages, which looks like an error number; nothing is released`,
      sites: [{ what: 'unpinned', site: callSite(), atNs: this.memory.world.now }],
      details: [],
    });
  }

  private throwWrongPartner(entry: number, release: 'unpinUserPages' | 'putPages'): never {
    const isPin = (entry & TAG) !== 0;
    const sites = this.ledger.sitesOf(entry).map((site) => `; ${site.what} at ${site.site}`);
    throw new PincushionError(
      'PIN_WRONG_RELEASE',
      `${release} at ${callSite()} was given frame ${entry & MASK}, which was taken by ${isPin ? 'pin' : 'get'}*${sites.join('')}`,
      {
        expected: isPin ? 'pages taken by get*' : 'pages taken by pin*',
        actual: isPin ? 'a pinned page' : 'a page without the mark of a pin',
        hint: isPin ? 'unpinUserPages' : 'putPages',
      },
    );
  }

  private traceRuns(tp: Tracepoint, pages: Int32Array, from: number, n: number, owner: number, flags: number): void {
    let i = from;
    while (i < from + n) {
      let j = i + 1;
      while (j < from + n && pages[j] === pages[j - 1] + 1) j++;
      tp.emit(pages[i] & MASK, j - i, owner, flags);
      i = j;
    }
  }
}

/** The end of the run of pinned order-0 pages that begins at `from`; the zero page and NULL end it. */
function smallRun(order: Uint8Array, pages: Int32Array, from: number, end: number): number {
  for (let i = from; i < end; i++) {
    const entry = pages[i];
    const pfn = entry & MASK;
    if ((entry & TAG) === 0 || pfn === ZERO || order[pfn] !== 0) return i;
  }
  return end;
}
