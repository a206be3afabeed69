/**
 * What all entry points of GUP do: check the arguments, try the fast walk, leave the rest to the slow one, tell the ledger.
 *
 * Source followed: mm/gup.c `gup_fast_fallback`, `__get_user_pages_locked` (6.18).
 */
import { sleeping } from '@pincushion/sim';
import type { FaultSites, MaySleep, Task, Tracepoint } from '@pincushion/sim';
import {
  FOLL_FAST_ONLY,
  FOLL_GET,
  FOLL_LONGTERM,
  FOLL_PCI_P2PDMA,
  FOLL_PIN,
  FOLL_TOUCH,
  FOLL_UNLOCKABLE,
  FOLL_WRITE,
} from './gup-flags';
import { FastWalk } from './gup-fast';
import * as rules from './gup-rules';
import type { Memory } from '../memory';
import type { Mm } from '../process/mm';
import { PAGE_SIZE } from '../frames/page-size';
import type { PinnedRanges } from './pinned-ranges';
import { REGION_BYTES, TASK_SIZE } from '../process/page-table';
import { RefusalLog } from './refusal-log';
import { SlowGrab } from './slow-grab';
import { UserPageReleaser } from './unpin';
import { newPinnedPages } from './user-page';
import type { PinnedPages } from './user-page';

// Constants of other modules are bound once: an imported binding read in a loop is a property read.
const SIZE = PAGE_SIZE;
const REGION = REGION_BYTES;
const USER_END = TASK_SIZE;
const PIN = FOLL_PIN;
const GET = FOLL_GET;
const LONGTERM = FOLL_LONGTERM;
const FAST_ONLY = FOLL_FAST_ONLY;
/** Flags that need no validation on the hot path. */
const PLAIN_FLAGS = FOLL_WRITE | FOLL_LONGTERM | FOLL_PCI_P2PDMA;
/** Plain, but not together (F-05). */
const LONGTERM_PEER = FOLL_LONGTERM | FOLL_PCI_P2PDMA;
/** For a ledger that only counts. */
const NO_PAGES = newPinnedPages(0);

/** `int *locked` of the kernel: the caller holds mmap_lock (1) and allows that it is dropped, after which it reads 0. */
export interface MmapLock {
  locked: number;
}

export abstract class GupCalls extends UserPageReleaser {
  protected readonly faults: FaultSites;
  protected readonly refusals: RefusalLog;
  protected readonly slow: SlowGrab;
  private readonly fast: FastWalk;
  private readonly pinTrace: Tracepoint;

  constructor(memory: Memory) {
    super(memory);
    this.faults = memory.faults;
    this.refusals = new RefusalLog(memory.world);
    this.slow = new SlowGrab(memory, this.refusals);
    this.fast = new FastWalk(memory);
    this.pinTrace = memory.world.trace.point('gup:pin', ['frame', 'pages', 'owner', 'flags']);
  }

  /** `gup_fast_fallback`. `own` is FOLL_PIN or FOLL_GET, the latter perhaps with FOLL_FAST_ONLY. */
  protected fastCall(
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

  /** `pinUserPageRanges`. */
  protected rangesCall(
    mm: Mm,
    start: number,
    nr: number,
    flags: number,
    ranges: PinnedRanges,
    owner: number,
  ): MaySleep {
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

  /** Whether a fault plan wants this walk to be left to the slow path. */
  private fastRefuses(): boolean {
    return this.faults.effect('gup.fast') !== null;
  }

  /** F-01 to F-07 for the fast calls: 0 or -errno. */
  private fastRefusal(flags: number, own: number): number {
    const isPlain = (flags & ~PLAIN_FLAGS) === 0 && (flags & LONGTERM_PEER) !== LONGTERM_PEER;
    if (isPlain && ((flags & LONGTERM) === 0 || (own & PIN) !== 0)) return 0;
    const refusal = rules.checkArguments(flags, own, true) ?? rules.checkFastFlags(flags | own);
    return refusal === null ? 0 : this.refusals.warn(refusal);
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
    const rest = this.slow.grab(mm, start, nr, all | FOLL_TOUCH | FOLL_UNLOCKABLE, pages, 0, what);
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
    this.vmstat.gupSlowPages += nr - done;
    const rest = this.slow.grab(mm, first + done * PAGE_SIZE, nr - done, flags, pages, at + done, what);
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
  protected slowCall(
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
      const errno = this.refusals.warn(refusal);
      return isZeroWhenInvalid ? 0 : errno;
    }
    if (nr <= 0) return 0; // E-01
    if (isPin) mm.hasPinned = true; // E-05
    const first = start - (start % PAGE_SIZE);
    const got = this.slow.grab(mm, first, nr, all, pages, at, what);
    if (typeof got === 'number') return this.finish(got, pages, at, 0, owner, all, mm, first);
    return sleeping(this.memory.world, what, () => this.finishLater(got, pages, at, 0, owner, all, mm, first, lock));
  }

  /** `start`: of the first page, in `mm`, if the pages are a piece of an address space. */
  protected account(
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
    const isOverflow = first + nr * PAGE_SIZE > Number.MAX_SAFE_INTEGER;
    return this.refusals.refuse(isOverflow ? rules.OVERFLOW : rules.BEYOND_USER);
  }
}
