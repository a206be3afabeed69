/**
 * Giving user pages back, and what may be done with those one holds: the second half of GUP.
 *
 * Pins go back by `unpin*`, gets by `putPages`; the wrong partner would leave counts that nobody can repair (U-04, U-05), so
 * it is refused by the tag of the entry. Marking dirty what a device has written is the holder's duty (U-02), and needs
 * task context, since it waits for the folio lock (U-03).
 * Source followed: mm/gup.c `unpin_user_pages` and its relatives, `folio_add_pin` (6.18).
 */
import { ENOMEM, PincushionError, callSite } from '@pincushion/sim';
import type { ContextStack, MaySleep, Tracepoint } from '@pincushion/sim';
import { PG_dirty } from '../frames/frames';
import type { FrameTable } from '../frames/frames';
import { FOLL_WRITE } from './gup-flags';
import type { Ledger } from '../ledger/ledger';
import type { Memory } from '../memory';
import { folioMarkDirty } from '../page-cache/page-cache';
import type { PinnedRanges } from './pinned-ranges';
import type { PinScheme } from './pin-scheme';
import { NOBODY } from '../ledger/release-check';
import { FRAME_MASK, PIN_TAG, newPinnedPages } from './user-page';
import type { GottenPages, PinnedPages } from './user-page';
import type { Vmstat } from '../vmstat';
import type { WritebackControl } from '../page-cache/writeback-control';
import { ZERO_PFN } from '../frames/zero-page';

// Constants of other modules are bound once: an imported binding read in a loop is a property read.
const TAG = PIN_TAG;
const MASK = FRAME_MASK;
const ZERO = ZERO_PFN;
const PINNED_ZERO = ZERO_PFN | PIN_TAG;
/** Releases are handed to the scheme in runs of at most this many pages: short loops are compiled normally. */
const RUN_MAX = 512;

export class UserPageReleaser {
  protected readonly contexts: ContextStack;
  protected readonly frames: FrameTable;
  protected readonly scheme: PinScheme;
  protected readonly ledger: Ledger;
  protected readonly vmstat: Vmstat;
  private readonly writeback: WritebackControl;
  private readonly unpinTrace: Tracepoint;
  /** The array form of one entry, for `unpinUserPage`. */
  private readonly singlePin = new Int32Array(1) as PinnedPages;
  /** Frames in a row on their way to the scheme. */
  private readonly row = new Int32Array(RUN_MAX);

  constructor(protected readonly memory: Memory) {
    this.contexts = memory.world.contexts;
    this.frames = memory.frames;
    this.scheme = memory.scheme;
    this.ledger = memory.ledger;
    this.vmstat = memory.vmstat;
    this.writeback = memory.writeback;
    this.ledger.notAHandle(this.singlePin);
    this.unpinTrace = memory.world.trace.point('gup:unpin', ['frame', 'pages', 'owner', 'flags']);
  }

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
    const first = smallRun(this.frames.order, pages, from, n < RUN_MAX ? end : from + RUN_MAX);
    this.scheme.release(pages, from, first - from);
    this.vmstat.nrFollPinReleased += first - from;
    if (first !== end) this.unpinMixed(pages, first, end);
    if (this.writeback.waiting) this.writeback.released();
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
    if (makeDirty) {
      for (let i = from; i < from + n; i++) this.markDirty(pages[i]);
      this.ledger.dirtied(pages, from, n);
    }
    this.unpinUserPages(pages, from, n);
    return 0;
  }

  /**
   * `unpin_user_page_range_dirty_lock`: `n` pins of pages in a row in memory, the first of which is `entry`; marks their
   * folios dirty first when `makeDirty`. Task context. Returns 0.
   */
  unpinUserPageRangeDirtyLock(entry: number, n: number, makeDirty: boolean): MaySleep {
    return this.unpinUserPagesDirtyLock(pagesInARow(entry, n), 0, n, makeDirty);
  }

  /** `unpin_user_folio`: `n` pins of pages in a row of one folio, the first of which is `entry`. Any context. */
  unpinUserFolio(entry: number, n: number): void {
    this.unpinUserPages(pagesInARow(entry, n), 0, n);
  }

  /** `unpin_folios`: one pin of each folio, as `memfdPinFolios` gave them; entries of 0 are skipped. Any context. */
  unpinFolios(folios: PinnedPages, from: number, n: number): void {
    this.unpinUserPages(folios, from, n);
  }

  /** `unpin_folio`. Any context. */
  unpinFolio(folio: number): void {
    this.unpinUserPage(folio);
  }

  /**
   * Gives back all pins of `ranges`, which is empty afterwards and may be used again: as `unpinUserPages`, with one release
   * for what lies in one folio. Any context.
   */
  unpinUserPageRanges(ranges: PinnedRanges): void {
    const { ledger, unpinTrace } = this;
    ledger.unpinned(ledger.mode === 'full' ? ranges.toPages() : this.singlePin, 0, ranges.pages, ranges);
    for (let i = 0; i < ranges.count; i++) {
      if (unpinTrace.on) unpinTrace.emit(ranges.firstOf(i) & MASK, ranges.pagesOf(i), 0, 0);
      this.unpinRange(ranges.firstOf(i) & MASK, ranges.pagesOf(i));
    }
    ranges.clear();
    if (this.writeback.waiting) this.writeback.released();
  }

  /** As `unpinUserPageRanges`, and marks the folios dirty first when `makeDirty` (U-02). Task context. Returns 0. */
  unpinUserPageRangesDirtyLock(ranges: PinnedRanges, makeDirty: boolean): MaySleep {
    this.contexts.mightSleep('unpinUserPageRangesDirtyLock');
    if (makeDirty) {
      for (let i = 0; i < ranges.count; i++) this.markRangeDirty(ranges.firstOf(i), ranges.pagesOf(i));
      if (this.ledger.mode === 'full') this.ledger.dirtied(ranges.toPages(), 0, ranges.pages);
    }
    this.unpinUserPageRanges(ranges);
    return 0;
  }

  /**
   * `folio_add_pin`: one more pin of a page that `entry` says is pinned, for a second holder. Not counted in vmstat as
   * acquired, though its release is as released. 0, or -ENOMEM when the count is used up. Any context.
   */
  folioAddPin(entry: number, owner: number): number {
    if ((entry & TAG) === 0) this.throwWrongPartner(entry, 'unpinUserPages');
    const pfn = entry & MASK;
    if (pfn === ZERO) return 0;
    const head = this.frames.headOf(pfn);
    this.singlePin[0] = pfn;
    const taken =
      this.frames.order[head] !== 0
        ? this.scheme.acquireFolio(head, 1) === 0
        : this.scheme.acquire(this.singlePin, 0, 1) === 1;
    if (!taken) return -ENOMEM;
    this.singlePin[0] = entry;
    this.ledger.pinned(Int32Array.of(entry), 0, 1, owner, FOLL_WRITE, null, 0, this.singlePin);
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
    if (this.writeback.waiting) this.writeback.released();
  }

  // ---- dirty, queries --------------------------------------------------------------------------------------------------

  /** `set_page_dirty_lock`. Task context. Returns 0. */
  setPageDirtyLock(entry: number): MaySleep {
    this.contexts.mightSleep('setPageDirtyLock');
    this.markDirty(entry);
    this.ledger.dirtied(Int32Array.of(entry), 0, 1);
    return 0;
  }

  /** Whether the folio of an entry is dirty. Any context. */
  isDirty(entry: number): boolean {
    return (this.frames.flags[this.frames.headOf(entry & MASK)] & PG_dirty) !== 0;
  }

  /** Marks the folio of an entry dirty without a lock; for the block layer before a read (`bio_set_pages_dirty`). */
  markDirty(entry: number): void {
    const pfn = entry & MASK;
    if (pfn === 0 || pfn === ZERO) return;
    const head = this.frames.headOf(pfn);
    if ((this.frames.flags[head] & PG_dirty) === 0) folioMarkDirty(this.memory, head);
  }

  /** `folio_maybe_dma_pinned`, as far as the scheme can tell. Any context. */
  folioMaybeDmaPinned(pfn: number): boolean {
    return this.scheme.isPinned(pfn & MASK) !== 'no';
  }

  // ---- inside ----------------------------------------------------------------------------------------------------------

  /** Entries [i, end) that follow the first run. */
  private unpinMixed(pages: PinnedPages, i: number, end: number): void {
    const order = this.frames.order;
    while (i < end) {
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

  /** What breaks a run of pinned small folios: a NULL entry, a large folio, the zero page, a wrong partner. */
  private unpinOther(pages: PinnedPages, at: number, end: number): number {
    const entry = pages[at];
    if (entry === 0) {
      this.ledger.unpinSkipped();
      return at + 1;
    }
    if ((entry & TAG) === 0) this.throwWrongPartner(entry, 'unpinUserPages');
    const pfn = entry & MASK;
    if (pfn === ZERO) {
      if (this.memory.profile.zeroPageUncounted) return at + 1;
      this.scheme.release(pages, at, 1);
      this.vmstat.nrFollPinReleased++;
      return at + 1;
    }
    const head = this.frames.headOf(pfn);
    const next = folioEnd(pages, at, end, head | TAG, 1 << this.frames.order[head]); // U-01
    this.scheme.releaseFolio(head, next - at);
    this.vmstat.nrFollPinReleased += next - at;
    return next;
  }

  /** Gives back one pin of each of `n` frames in a row (`gup_folio_range_next`). */
  private unpinRange(first: number, n: number): void {
    const { frames, scheme } = this;
    if (first === ZERO) return; // R-04; no other user page is next to it
    const end = first + n;
    let pfn = first;
    while (pfn < end) {
      const order = frames.order[pfn];
      const folioEnd = order === 0 ? this.smallRow(pfn, end) : (pfn & -(1 << order)) + (1 << order);
      const next = folioEnd < end ? folioEnd : end;
      if (order !== 0) scheme.releaseFolio(pfn & -(1 << order), next - pfn);
      else scheme.release(this.row, 0, next - pfn);
      this.vmstat.nrFollPinReleased += next - pfn;
      pfn = next;
    }
  }

  /** Writes small folios from `pfn` on into `row`; where they end. */
  private smallRow(pfn: number, end: number): number {
    const { order } = this.frames;
    const row = this.row;
    const n = end - pfn < RUN_MAX ? end - pfn : RUN_MAX;
    for (let i = 0; i < n; i++) {
      if (order[pfn + i] !== 0) return pfn + i;
      row[i] = pfn + i;
    }
    return pfn + n;
  }

  private markRangeDirty(entry: number, n: number): void {
    for (let i = 0; i < n;) {
      this.markDirty(entry + i);
      const pfn = (entry & MASK) + i;
      i = this.frames.headOf(pfn) + (1 << this.frames.order[pfn]) - (entry & MASK);
    }
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
    this.ledger.releasing(NOBODY); // Nothing is released after all.
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

  protected traceRuns(tp: Tracepoint, pages: Int32Array, from: number, n: number, owner: number, flags: number): void {
    let i = from;
    while (i < from + n) {
      let j = i + 1;
      while (j < from + n && pages[j] === pages[j - 1] + 1) j++;
      tp.emit(pages[i] & MASK, j - i, owner, flags);
      i = j;
    }
  }
}

/** The end of the run of pinned order-0 pages that begins at `from`, four at a time; the zero page and NULL end it. */
function smallRun(order: Uint8Array, pages: Int32Array, from: number, end: number): number {
  let i = from;
  for (const last = end - 3; i < last; i += 4) {
    const a = pages[i];
    const b = pages[i + 1];
    const c = pages[i + 2];
    const d = pages[i + 3];
    if ((a & b & c & d & TAG) === 0) break;
    if (a === PINNED_ZERO || b === PINNED_ZERO || c === PINNED_ZERO || d === PINNED_ZERO) break;
    if ((order[a & MASK] | order[b & MASK] | order[c & MASK] | order[d & MASK]) !== 0) break;
  }
  for (; i < end; i++) {
    const entry = pages[i];
    if ((entry & TAG) === 0 || entry === PINNED_ZERO || order[entry & MASK] !== 0) return i;
  }
  return end;
}

/**
 * The end of the entries from `from` on that lie in the folio of `size` pages whose head has the entry `head`; four at a
 * time.
 */
function folioEnd(pages: Int32Array, from: number, end: number, head: number, size: number): number {
  let i = from + 1;
  for (const last = end - 3; i < last; i += 4) {
    if ((pages[i] - head) >>> 0 >= size || (pages[i + 1] - head) >>> 0 >= size) break;
    if ((pages[i + 2] - head) >>> 0 >= size || (pages[i + 3] - head) >>> 0 >= size) break;
  }
  while (i < end && (pages[i] - head) >>> 0 < size) i++;
  return i;
}

/** The entries of `n` pinned pages in a row in memory. */
function pagesInARow(entry: number, n: number): PinnedPages {
  const pages = newPinnedPages(Math.max(0, n));
  for (let i = 0; i < n; i++) pages[i] = entry + i;
  return pages;
}
