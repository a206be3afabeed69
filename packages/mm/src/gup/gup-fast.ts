/**
 * The fast walk of GUP: without locks, without areas, page table only. One refused entry ends it and the slow walk goes on
 * from there; it never returns an error itself.
 *
 * Two bodies. The plain one takes an order-0 run of one table in two short loops (look and hand out, then acquire), because
 * nothing can happen between them: no preemption point stands inside, so the second look at the entry would see the same.
 * The armed one goes entry by entry in the kernel's order (read, reference, read again, checks) with the preemption
 * points between. It is chosen once per call; a test proves the two equal.
 * Source followed: mm/gup.c `gup_fast_pte_range`, `gup_fast_pmd_leaf`, `try_grab_folio_fast` (6.18).
 */
import { point } from '@pincushion/sim';
import type { FrameTable } from '../frames/frames';
import {
  PG_anon,
  PG_anonExclusive,
  PG_cma,
  PG_head,
  PG_hugetlb,
  PG_p2pdma,
  PG_referenced,
  PG_writeback,
  PG_secretmem,
  PG_swapbacked,
  PG_zoneUnpinnable,
} from '../frames/frames';
import { FOLL_LONGTERM, FOLL_PCI_P2PDMA, FOLL_PIN, FOLL_WRITE } from './gup-flags';
import type { KernelProfile } from '../kernel-profile';
import type { Memory } from '../memory';
import type { Mm } from '../process/mm';
import { gupMustUnshare } from './must-unshare';
import {
  PMD_HUGE,
  PTE_PKEY,
  PTE_PKEY_SHIFT,
  PTE_PRESENT,
  PTE_PROTNONE,
  PTE_SPECIAL,
  PTE_WRITE,
  PTRS_PER_TABLE,
  REGION_BYTES,
} from '../process/page-table';
import { pkruAllows } from '../process/protection-keys';
import type { PinnedRanges } from './pinned-ranges';
import type { PinScheme } from './pin-scheme';
import { GUP_FAST_AFTER_REF, GUP_FAST_PTE_READ } from '../sites';
import { PIN_TAG } from './user-page';
import type { Vmstat } from '../vmstat';

// Constants and the point of other modules are bound once: an imported binding read in a loop is a property read.
const P = point;
const PIN = FOLL_PIN;
const WRITE = FOLL_WRITE;
const LONGTERM = FOLL_LONGTERM;
const P2PDMA = FOLL_PCI_P2PDMA;
const WRITEBACK = PG_writeback;
const ANON = PG_anon;
const TAG = PIN_TAG;
const HUGE = PMD_HUGE;
const TABLE = PTRS_PER_TABLE;
const REGION = REGION_BYTES;
const REFERENCED = PG_referenced;
const PTE_CHANGES_MATTER = PTE_PRESENT | PTE_WRITE | PTE_SPECIAL | PTE_PROTNONE | PTE_PKEY;
const KEY = PTE_PKEY;
const KEY_SHIFT = PTE_PKEY_SHIFT;
const keyAllows = pkruAllows;
/** PKRU: access and writing through key 0, which areas have unless they were given another. */
const DEFAULT_KEY_DENIALS = 3;

/** An entry that may be read, or written, through: the bits to look at and what they must be. */
const READ_MASK = PTE_PRESENT | PTE_SPECIAL | PTE_PROTNONE;
const READ_WANT = PTE_PRESENT;
const WRITE_MASK = READ_MASK | PTE_WRITE;
const WRITE_WANT = PTE_PRESENT | PTE_WRITE;

/** The usual page: small, anonymous, exclusive, nothing special. Everything else goes the careful way. */
const USUAL_MASK = PG_head | PG_anon | PG_anonExclusive | PG_p2pdma | PG_secretmem;
/** L-06: for a long-term pin also a page that may stay where it is. */
const UNPINNABLE = PG_zoneUnpinnable | PG_cma;
const USUAL_LONGTERM_MASK = USUAL_MASK | UNPINNABLE;
const USUAL_WANT = PG_anon | PG_anonExclusive;

export class FastWalk {
  private readonly frames: FrameTable;
  private readonly scheme: PinScheme;
  private readonly vmstat: Vmstat;
  private readonly pinsFast: boolean;
  private readonly guardsWriteback: boolean;
  private readonly profile: KernelProfile;
  /** One frame for the scheme's array form; filled and used without a preemption point between. */
  private readonly single = new Int32Array(1);
  /** The pages of one table on their way into ranges. */
  private readonly leaf = new Int32Array(TABLE);

  constructor(memory: Memory) {
    this.frames = memory.frames;
    this.scheme = memory.scheme;
    this.vmstat = memory.vmstat;
    this.profile = memory.profile;
    this.pinsFast = memory.scheme.capabilities.fastPath;
    this.guardsWriteback = memory.writeback.guardsGup;
  }

  /**
   * Grabs up to `nr` pages from `start` on into `pages[at…]`; pins are tagged. Returns how many, 0…nr. Any context.
   * `flags` has FOLL_PIN or FOLL_GET set and was checked.
   */
  grab(mm: Mm, start: number, nr: number, flags: number, pages: Int32Array, at: number): number {
    const isPin = (flags & PIN) !== 0;
    if (isPin && !this.pinsFast) return 0;
    const seq = mm.writeProtectSeq;
    if (isPin && (seq & 1) !== 0) return 0; // fork is copying
    let region = Math.floor(start / REGION);
    let index = (start - region * REGION) >>> 12;
    let done = 0;
    const armed = P.armed;
    while (done < nr) {
      const want = nr - done < TABLE - index ? nr - done : TABLE - index;
      const table = mm.pageTable.tableOf(region);
      let got = 0;
      if (table > 0) {
        got = armed
          ? this.tableArmed(mm, region, table, index, want, flags, pages, at + done)
          : this.table(mm, table, index, want, flags, pages, at + done);
      } else if (table === HUGE) {
        got = this.huge(mm, region, index, want, flags, pages, at + done);
      }
      done += got;
      if (got !== want) break;
      region++;
      index = 0;
    }
    if (isPin && mm.writeProtectSeq !== seq) {
      this.undo(pages, at, done); // fork started meanwhile: all pins go back
      return 0;
    }
    return done;
  }

  /**
   * As `grab` into ranges: appends what it gets. A huge mapping costs one grab and one range. Only with FOLL_PIN.
   */
  grabRanges(mm: Mm, start: number, nr: number, flags: number, ranges: PinnedRanges): number {
    if (!this.pinsFast) return 0;
    const seq = mm.writeProtectSeq;
    if ((seq & 1) !== 0) return 0;
    const { pageTable } = mm;
    const leaf = P.armed ? new Int32Array(TABLE) : this.leaf; // armed: others may pin before this call goes on
    let region = Math.floor(start / REGION);
    let index = (start - region * REGION) >>> 12;
    let done = 0;
    while (done < nr) {
      const want = nr - done < TABLE - index ? nr - done : TABLE - index;
      const table = pageTable.tableOf(region);
      let got = 0;
      if (table > 0) {
        got = P.armed
          ? this.tableArmed(mm, region, table, index, want, flags, leaf, 0)
          : this.table(mm, table, index, want, flags, leaf, 0);
        ranges.appendPages(leaf, 0, got);
      } else if (table === HUGE) {
        const first = this.grabHuge(mm, region, want, flags);
        if (first !== 0) {
          got = want;
          ranges.append((first + index) | TAG, want);
        }
      }
      done += got;
      if (got !== want) break;
      region++;
      index = 0;
    }
    if (mm.writeProtectSeq !== seq) {
      this.undoRanges(ranges, done);
      return 0;
    }
    return done;
  }

  /**
   * Entries [index, index + want) of one table. Nearly always each maps a usual page under the default protection key: this
   * much is small enough to be compiled into its callers.
   */
  private table(
    mm: Mm,
    table: number,
    index: number,
    want: number,
    flags: number,
    pages: Int32Array,
    at: number,
  ): number {
    const { pageTable } = mm;
    const isWrite = (flags & WRITE) !== 0;
    const isPin = (flags & PIN) !== 0;
    let done = 0;
    if ((mm.pkeys.pkru & DEFAULT_KEY_DENIALS) === 0) {
      const pfns = pageTable.framesOf(table);
      const from = pageTable.baseOf(table) + index;
      const mask = isWrite ? WRITE_MASK | KEY : READ_MASK | KEY;
      const open = isWrite ? WRITE_WANT : READ_WANT;
      const usual = (flags & LONGTERM) !== 0 ? USUAL_LONGTERM_MASK : USUAL_MASK;
      const tag = isPin ? TAG : 0;
      const ptes = pageTable.flagsOf(table);
      const run = usualRun(ptes, pfns, this.frames.flags, from, want, mask, open, usual, tag, pages, at);
      done = isPin ? this.scheme.acquire(pfns, from, run) : getRun(this.frames.refcount, pfns, from, run);
      if (isPin) this.vmstat.nrFollPinAcquired += done;
      if (done === want) return want;
      if (done !== run) {
        pages.fill(0, at + done, at + run);
        return done;
      }
    }
    return this.mixedTable(mm, table, index, done, want, flags, pages, at);
  }

  /** Goes on with entry `done` of a table in which not all are usual. A run has one protection key, so PKRU is asked once (V-09). */
  private mixedTable(
    mm: Mm,
    table: number,
    index: number,
    done: number,
    want: number,
    flags: number,
    pages: Int32Array,
    at: number,
  ): number {
    const { pageTable } = mm;
    const { pkru } = mm.pkeys;
    const pfns = pageTable.framesOf(table);
    const ptes = pageTable.flagsOf(table);
    const frameFlags = this.frames.flags;
    const isWrite = (flags & WRITE) !== 0;
    const isPin = (flags & PIN) !== 0;
    const tag = isPin ? TAG : 0;
    const mask = (isWrite ? WRITE_MASK : READ_MASK) | KEY;
    const open = isWrite ? WRITE_WANT : READ_WANT;
    const usual = (flags & LONGTERM) !== 0 ? USUAL_LONGTERM_MASK : USUAL_MASK;
    const first = pageTable.baseOf(table) + index;
    while (done < want) {
      const from = first + done;
      const key = ptes[from] & KEY;
      if (!keyAllows(pkru, key >>> KEY_SHIFT, isWrite)) return done;
      const wanted = open | key;
      const run = usualRun(ptes, pfns, frameFlags, from, want - done, mask, wanted, usual, tag, pages, at + done);
      if (run > 0) {
        const got = isPin ? this.scheme.acquire(pfns, from, run) : getRun(this.frames.refcount, pfns, from, run);
        if (isPin) this.vmstat.nrFollPinAcquired += got;
        done += got;
        if (got !== run) {
          pages.fill(0, at + done, at + done + run - got);
          return done;
        }
        continue;
      }
      if ((ptes[from] & mask) !== wanted) return done;
      const got = this.one(pfns[from], ptes[from], flags);
      if (!got) return done;
      pages[at + done] = pfns[from] | tag;
      done++;
    }
    return done;
  }

  /** One entry that is not usual: a page of a large folio, a file page, a page that must not be pinned. */
  private one(pfn: number, pte: number, flags: number): boolean {
    const head = this.frames.headOf(pfn);
    if (!this.grabPages(pfn, head, 1, flags)) return false;
    if (this.allowed(head, flags) && !this.mustUnshare(pfn, head, pte, flags)) {
      this.frames.flags[head] |= REFERENCED;
      return true;
    }
    this.ungrabPages(pfn, head, 1, flags);
    return false;
  }

  /** A huge mapping into an array of pages. */
  private huge(
    mm: Mm,
    region: number,
    index: number,
    want: number,
    flags: number,
    pages: Int32Array,
    at: number,
  ): number {
    const first = this.grabHuge(mm, region, want, flags);
    if (first === 0) return 0;
    fillRow(pages, at, want, (first + index) | ((flags & PIN) !== 0 ? TAG : 0));
    return want;
  }

  /**
   * A huge mapping: one grab for `want` of its pages (`gup_fast_pmd_leaf`). The frame that the mapping begins with, or 0:
   * refused.
   */
  private grabHuge(mm: Mm, region: number, want: number, flags: number): number {
    const { pageTable } = mm;
    const armed = P.armed; // Only then can anything happen between the two looks at the entry.
    const pte = pageTable.hugeFlags(region);
    const isWrite = (flags & WRITE) !== 0;
    if (isWrite ? (pte & WRITE_MASK) !== WRITE_WANT : (pte & READ_MASK) !== READ_WANT) return 0;
    if (!keyAllows(mm.pkeys.pkru, pte >>> KEY_SHIFT, isWrite)) return 0; // V-09
    const first = pageTable.hugeHead(region);
    const head = this.frames.headOf(first); // Not the same in a hugetlb page of 1 GiB.
    if (P.armed && --P.left === 0) P.fire(GUP_FAST_PTE_READ);
    if (!this.grabPages(head, head, want, flags)) return 0;
    if (P.armed && --P.left === 0) P.fire(GUP_FAST_AFTER_REF);
    const isChanged = armed && (pageTable.hugeHead(region) !== first || pageTable.hugeFlags(region) !== pte);
    if (isChanged || !this.allowed(head, flags) || this.mustUnshare(head, head, pte, flags)) {
      this.ungrabPages(head, head, want, flags);
      return 0;
    }
    this.frames.flags[head] |= REFERENCED;
    return first;
  }

  /** As `table`, entry by entry with preemption points: pin first, then look again. */
  private tableArmed(
    mm: Mm,
    region: number,
    table: number,
    index: number,
    want: number,
    flags: number,
    pages: Int32Array,
    at: number,
  ): number {
    const { pageTable } = mm;
    const isWrite = (flags & WRITE) !== 0;
    const mask = isWrite ? WRITE_MASK : READ_MASK;
    const wanted = isWrite ? WRITE_WANT : READ_WANT;
    for (let i = 0; i < want; i++) {
      const entry = pageTable.baseOf(table) + index + i;
      const pte = pageTable.flagsOf(table)[entry];
      const pfn = pageTable.framesOf(table)[entry];
      if ((pte & mask) !== wanted || !keyAllows(mm.pkeys.pkru, pte >>> KEY_SHIFT, isWrite)) return i;
      const head = this.frames.headOf(pfn);
      if (P.armed && --P.left === 0) P.fire(GUP_FAST_PTE_READ);
      if (!this.grabPages(pfn, head, 1, flags)) return i;
      if (P.armed && --P.left === 0) P.fire(GUP_FAST_AFTER_REF);
      const unchanged =
        pageTable.tableOf(region) === table &&
        pageTable.framesOf(table)[entry] === pfn &&
        ((pageTable.flagsOf(table)[entry] ^ pte) & PTE_CHANGES_MATTER) === 0 &&
        this.frames.headOf(pfn) === head;
      if (!unchanged || !this.allowed(head, flags) || this.mustUnshare(pfn, head, pte, flags)) {
        this.ungrabPages(pfn, head, 1, flags);
        return i;
      }
      this.frames.flags[head] |= REFERENCED;
      pages[at + i] = (flags & PIN) !== 0 ? pfn | TAG : pfn;
    }
    return want;
  }

  /** `try_grab_folio_fast`. False when the page must not be had on this path; nothing is taken then. */
  private grabPages(pfn: number, head: number, pages: number, flags: number): boolean {
    const { frames, scheme } = this;
    const headFlags = frames.flags[head];
    if ((headFlags & PG_p2pdma) !== 0 && (flags & P2PDMA) === 0) return false;
    if (frames.refcount[head] <= 0) return false;
    // A page of a file on its way to the store: the slow walk refuses it, or waits.
    if (this.guardsWriteback && (flags & WRITE) !== 0 && (headFlags & (WRITEBACK | ANON)) === WRITEBACK) return false;
    if ((flags & PIN) === 0) {
      frames.get(head, pages);
      return true;
    }
    if ((flags & LONGTERM) !== 0 && (headFlags & UNPINNABLE) !== 0) return false; // L-06
    if (frames.order[head] !== 0) {
      if (scheme.acquireFolio(head, pages) !== 0) return false;
    } else {
      this.single[0] = pfn;
      if (scheme.acquire(this.single, 0, 1) === 0) return false;
    }
    this.vmstat.nrFollPinAcquired += pages;
    return true;
  }

  /** Gives back what `grabPages` took; visible in vmstat as acquired and released. */
  private ungrabPages(pfn: number, head: number, pages: number, flags: number): void {
    if ((flags & PIN) === 0) {
      this.frames.put(head, pages);
      return;
    }
    this.vmstat.nrFollPinReleased += pages;
    if (this.frames.order[head] !== 0) this.scheme.releaseFolio(head, pages);
    else {
      this.single[0] = pfn;
      this.scheme.release(this.single, 0, 1);
    }
  }

  private undo(pages: Int32Array, at: number, n: number): void {
    for (let i = at; i < at + n; i++) {
      const pfn = pages[i] & ~TAG;
      this.ungrabPages(pfn, this.frames.headOf(pfn), 1, PIN);
      pages[i] = 0;
    }
  }

  /** The last `n` pages of `ranges` go back. */
  private undoRanges(ranges: PinnedRanges, n: number): void {
    let left = n;
    while (left > 0) {
      const of = Math.min(left, ranges.pagesOf(ranges.count - 1));
      const first = ranges.dropLast(of) & ~TAG;
      for (let pfn = first; pfn < first + of; pfn++) this.ungrabPages(pfn, this.frames.headOf(pfn), 1, PIN);
      left -= of;
    }
  }

  /** Q-04, `gup_fast_folio_allowed`. */
  private allowed(head: number, flags: number): boolean {
    const { frames } = this;
    const isRisky = (flags & (PIN | LONGTERM | WRITE)) === (PIN | LONGTERM | WRITE);
    if (!isRisky && frames.order[head] !== 0) return true;
    const headFlags = frames.flags[head];
    if ((headFlags & PG_hugetlb) !== 0) return true; // no dirty tracking, no secret memory
    if (frames.mapping[head] === 0) return !this.profile.fastRefusesNoMapping;
    if ((headFlags & PG_anon) !== 0) return true;
    if ((headFlags & PG_secretmem) !== 0) return false;
    return !isRisky || !this.profile.longtermRefusesDirtyTracked || (headFlags & PG_swapbacked) !== 0; // only shmem
  }

  private mustUnshare(pfn: number, head: number, pte: number, flags: number): boolean {
    if ((pte & PTE_WRITE) !== 0) return false;
    return gupMustUnshare(this.profile, null, flags, this.frames.flags[head], this.frames.flags[pfn]);
  }
}

/**
 * Looks at up to `n` entries from `from` on and writes the frames behind them to `pages[at…]`, marked referenced, as long
 * as each is present as asked and shows a usual page. Returns how many. Takes no reference.
 *
 * Four at a time while they have been referenced before: half the time of one at a time.
 */
function usualRun(
  ptes: Uint16Array,
  pfns: Int32Array,
  frameFlags: Int32Array,
  from: number,
  n: number,
  mask: number,
  want: number,
  usual: number,
  tag: number,
  pages: Int32Array,
  at: number,
): number {
  const seen = usual | REFERENCED;
  const seenWant = USUAL_WANT | REFERENCED;
  let i = 0;
  for (const last = n - 3; i < last; i += 4) {
    const e = from + i;
    if ((ptes[e] & mask) !== want || (ptes[e + 1] & mask) !== want) break;
    if ((ptes[e + 2] & mask) !== want || (ptes[e + 3] & mask) !== want) break;
    const a = pfns[e];
    const b = pfns[e + 1];
    const c = pfns[e + 2];
    const d = pfns[e + 3];
    if ((frameFlags[a] & seen) !== seenWant || (frameFlags[b] & seen) !== seenWant) break;
    if ((frameFlags[c] & seen) !== seenWant || (frameFlags[d] & seen) !== seenWant) break;
    pages[at + i] = a | tag;
    pages[at + i + 1] = b | tag;
    pages[at + i + 2] = c | tag;
    pages[at + i + 3] = d | tag;
  }
  for (; i < n; i++) {
    if ((ptes[from + i] & mask) !== want) return i;
    const pfn = pfns[from + i];
    const flags = frameFlags[pfn];
    if ((flags & usual) !== USUAL_WANT) return i;
    frameFlags[pfn] = flags | REFERENCED;
    pages[at + i] = pfn | tag;
  }
  return n;
}

/** Writes `n` entries in a row, beginning with `entry`; four at a time. */
function fillRow(pages: Int32Array, at: number, n: number, entry: number): void {
  let i = 0;
  for (const last = n - 3; i < last; i += 4) {
    pages[at + i] = entry + i;
    pages[at + i + 1] = entry + i + 1;
    pages[at + i + 2] = entry + i + 2;
    pages[at + i + 3] = entry + i + 3;
  }
  for (; i < n; i++) pages[at + i] = entry + i;
}

/** R-01 for a run of small folios; stops at a count <= 0. */
function getRun(refcount: Int32Array, pfns: Int32Array, from: number, n: number): number {
  for (let i = 0; i < n; i++) {
    const count = refcount[pfns[from + i]];
    if (count <= 0) return i;
    refcount[pfns[from + i]] = count + 1;
  }
  return n;
}
