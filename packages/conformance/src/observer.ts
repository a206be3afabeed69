/**
 * The recorder's eyes on our machine: names frames, prints views and states exactly as the recordings do.
 *
 * Frames get names in the order of first sight: processes in order of creation, their regions, the pages from low to
 * high. A part of a large folio is `p0.5`, named once an operation touched it, and keeps that name when the folio is
 * split. A name ends when its frame is freed or its content belongs to somebody else, unless a device still holds it.
 * Everything is read from the frame table, the page tables and the bytes; nothing is changed.
 * Left out: what the recorder's tables could not hold (more than 8192 frames).
 */
import {
  PG_anon,
  PG_anonExclusive,
  PG_dirty,
  PG_head,
  PG_hugetlb,
  PG_ksm,
  PG_lru,
  PG_mlocked,
  PG_private,
  PG_swapbacked,
  PG_swapcache,
  PG_unevictable,
  PG_uptodate,
  PG_writeback,
  PG_zero,
  PMD_HUGE,
  PTE_DIRTY,
  PTE_GUARD,
  PTE_PRESENT,
  PTE_PROTNONE,
  PTE_UFFD_WP,
  PTE_WRITE,
  regionOf,
} from '@pincushion/mm';
import type { Mm } from '@pincushion/mm';
import type { ObservedMemory } from './observed-memory';
import type { FrameState, ProcessAccounts } from './recording';
import type { Snapshot } from './snapshot';
import { splitName } from './views';

const PAGE = 4096;
const PAGES_PER_REGION = 512;
/** The recorder looks at this many pages of a region, cuts a view here, and writes shorter runs of frames one by one. */
export const OBSERVED_PAGES = 2048;
const VIEW_LENGTH_MOST = 8800;
const RUN_LEAST = 8;

export interface ObservedProcess {
  readonly name: string;
  readonly mm: Mm;
  readonly alive: boolean;
  accounts(): ProcessAccounts;
}

export interface ObservedRegion {
  readonly name: string;
  readonly base: number;
  readonly pages: number;
  /** Pages that some operation named: their parts of large folios get names. */
  readonly touched: Uint8Array;
}

/** Frames that a device holds: the process saw them when it gave them away. */
export interface ObservedHold {
  readonly live: boolean;
  readonly frames: readonly number[];
}

/** What the observer looks at; read anew for each snapshot. */
export interface ObservedState {
  readonly processes: readonly ObservedProcess[];
  readonly regions: readonly ObservedRegion[];
  readonly holds: readonly ObservedHold[];
}

/** A named frame. */
class NamedFrame {
  alive = true;
  /** Parts that are no part of it any more. */
  readonly gone = new Set<number>();
  /** Its state in the last snapshot, and what its letters were made from. */
  state: FrameState | null = null;
  letters = '';
  lettersFor = 0;
  ownFlags = 0;

  constructor(
    readonly name: string,
    readonly pfn: number,
    /** Order of the folio when it was first seen; 0 for a part. */
    readonly order: number,
    public owner: Owner,
    public seenIn: number,
  ) {}
}

/** Whom a folio's content belongs to, as the recorder reads it from `folio->mapping`. */
interface Owner {
  readonly mapping: number;
  readonly kind: 'none' | 'anon' | 'ksm' | 'file';
}

const NOBODY: Owner = { mapping: 0, kind: 'none' };

/** Bits of an entry that break a run. */
const RUN_BITS = PTE_PRESENT | PTE_WRITE | PTE_DIRTY | PTE_PROTNONE | PTE_UFFD_WP;

export class Observer {
  private readonly named: NamedFrame[] = [];
  private readonly byFrame = new Map<number, NamedFrame>();
  private nextName = 0;
  private snapshots = 0;
  private readonly firstByte = new Uint8Array(1);

  constructor(
    private readonly memory: ObservedMemory,
    private readonly state: ObservedState,
  ) {}

  /** What is to be seen now. Names frames seen for the first time and ends names of those that are gone. */
  snapshot(): Snapshot {
    this.snapshots++;
    this.retire();
    this.memory.forgetFreed();
    const views = new Map<string, Map<string, string>>();
    const accounts = new Map<string, ProcessAccounts>();
    for (const process of this.state.processes) {
      if (!process.alive) continue;
      const regions = new Map<string, string>();
      for (const region of this.state.regions) regions.set(region.name, this.view(process.mm, region));
      views.set(process.name, regions);
      accounts.set(process.name, process.accounts());
    }
    const frames = new Map<string, FrameState>();
    for (const frame of this.named) {
      if (frame.alive && this.isReusedElsewhere(frame)) this.bury(frame);
      if (frame.alive) frames.set(frame.name, this.stateOf(frame));
    }
    return { views, frames, accounts };
  }

  /** The frame that has a name now, or -1. */
  frameNamed(name: string): number {
    return this.named.find((frame) => frame.alive && frame.name === name)?.pfn ?? -1;
  }

  /** The name of a frame or of a part of a folio; `Z` for a page of zeros, empty for one that has no name yet. */
  nameOf(pfn: number): string {
    if (this.isZero(pfn)) return 'Z';
    const known = this.byFrame.get(pfn);
    if (known !== undefined) return known.name;
    const whole = this.largeFrameAround(pfn);
    return whole === null ? '' : `${whole.name}.${pfn - whole.pfn}`;
  }

  /** The frames that `pages` pages from `address` on show to a process now; 0 where nothing is mapped. */
  framesAt(mm: Mm, address: number, pages: number): number[] {
    const walk = new Entries(mm, address);
    return Array.from({ length: pages }, (_, i) => (walk.isPresent(i) ? walk.frame(i) : 0));
  }

  // ---- names -----------------------------------------------------------------------------------------------------------

  private frameOf(pfn: number): NamedFrame {
    const known = this.byFrame.get(pfn);
    if (known !== undefined) {
      known.seenIn = this.snapshots;
      return known;
    }
    const whole = this.largeFrameAround(pfn);
    if (whole !== null) return this.add(`${whole.name}.${pfn - whole.pfn}`, pfn, 0, whole.owner);
    const { frames } = this.memory;
    const head = frames.headOf(pfn);
    const order = this.isLarge(head) ? frames.order[head] : 0;
    const frame = this.add(`p${this.nextName++}`, head, order, this.ownerOf(head));
    return head === pfn ? frame : this.frameOf(pfn);
  }

  /** A former or present part of a large folio is named after it. */
  private largeFrameAround(pfn: number): NamedFrame | null {
    for (let i = this.named.length - 1; i >= 0; i--) {
      const frame = this.named[i];
      if (!frame.alive || frame.order === 0 || pfn <= frame.pfn || pfn >= frame.pfn + 2 ** frame.order) continue;
      if (!frame.gone.has(pfn - frame.pfn)) return frame;
    }
    return null;
  }

  private add(name: string, pfn: number, order: number, owner: Owner): NamedFrame {
    const frame = new NamedFrame(name, pfn, order, owner, this.snapshots);
    this.named.push(frame);
    this.byFrame.set(pfn, frame);
    return frame;
  }

  /** Takes back names given while a run was tried. */
  private forgetFrom(count: number, nextName: number): void {
    while (this.named.length > count) {
      const frame = this.named.pop();
      if (frame !== undefined) this.byFrame.delete(frame.pfn);
    }
    this.nextName = nextName;
  }

  /** Ends the names of frames that were freed or belong to somebody else now. */
  private retire(): void {
    const { frames } = this.memory;
    const { freed } = this.memory;
    for (const frame of this.named) {
      if (!frame.alive) continue;
      const { pfn } = frame;
      const head = frames.headOf(pfn);
      const wasFreed = freed.has(pfn) || frames.refcount[head] <= 0;
      const owner = wasFreed ? NOBODY : this.ownerOf(head);
      if (frame.order > 0 && (wasFreed || !this.isLarge(head))) this.lookAtParts(frame);
      if (wasFreed || this.hasChangedHands(frame, owner)) this.bury(frame);
      else frame.owner = owner;
    }
  }

  private hasChangedHands(frame: NamedFrame, owner: Owner): boolean {
    const was = frame.owner;
    if (was.mapping !== 0 && owner.mapping !== was.mapping) {
      if (owner.kind === 'ksm' && was.kind === 'anon') return false; // It became the shared copy.
      return owner.mapping !== 0 || !this.isHeld(frame); // Truncated, but a device still holds it.
    }
    return was.mapping === 0 && owner.mapping !== 0 && !this.isHeld(frame) && frame.order === 0;
  }

  /** A large folio was split: some parts may be gone. */
  private lookAtParts(frame: NamedFrame): void {
    const { frames, freed } = this.memory;
    for (let k = 1; k < Math.min(2 ** frame.order, PAGES_PER_REGION); k++) {
      const pfn = frame.pfn + k;
      const isGone =
        freed.has(pfn) ||
        frames.refcount[frames.headOf(pfn)] <= 0 ||
        (frame.owner.mapping !== 0 && this.ownerOf(frames.headOf(pfn)).mapping !== frame.owner.mapping);
      if (isGone) frame.gone.add(k);
    }
  }

  private bury(frame: NamedFrame): void {
    frame.alive = false;
    if (this.byFrame.get(frame.pfn) === frame) this.byFrame.delete(frame.pfn);
  }

  /** An anonymous page that is mapped, but in no region: somebody else has the frame. */
  private isReusedElsewhere(frame: NamedFrame): boolean {
    const { frames } = this.memory;
    if (frame.seenIn === this.snapshots || frame.order !== 0) return false;
    const { pfn } = frame;
    return frames.headOf(pfn) === pfn && (frames.flags[pfn] & PG_anon) !== 0 && frames.mapcount[pfn] > 0;
  }

  private isHeld(frame: NamedFrame): boolean {
    const end = frame.pfn + 2 ** frame.order;
    return this.state.holds.some((hold) => hold.live && hold.frames.some((pfn) => pfn >= frame.pfn && pfn < end));
  }

  private ownerOf(head: number): Owner {
    const { frames } = this.memory;
    const mapping = frames.mapping[head];
    if (mapping === 0) return NOBODY;
    const flags = frames.flags[head];
    return { mapping, kind: (flags & PG_ksm) !== 0 ? 'ksm' : (flags & PG_anon) !== 0 ? 'anon' : 'file' };
  }

  private isLarge(head: number): boolean {
    return (this.memory.frames.flags[head] & PG_head) !== 0;
  }

  // ---- views -----------------------------------------------------------------------------------------------------------

  /** The pages of a region as a process maps them. */
  private view(mm: Mm, region: ObservedRegion): string {
    const n = Math.min(region.pages, OBSERVED_PAGES);
    const walk = new Entries(mm, region.base);
    const entries: string[] = [];
    let length = 0;
    for (let i = 0; i < n;) {
      const [text, run] = this.entry(walk, i, n, region);
      entries.push(text);
      length += text.length + (i === 0 ? 0 : 1);
      i += run;
      if (length > VIEW_LENGTH_MOST && walk.isPresent(i - 1)) {
        entries.push('...');
        break;
      }
    }
    return entries.join(' ');
  }

  /** The entry of page `i` and how many pages it stands for. */
  private entry(walk: Entries, i: number, n: number, region: ObservedRegion): [string, number] {
    if (!walk.isPresent(i)) {
      const text = walk.absentAs(i);
      let run = 1;
      while (i + run < n && !walk.isPresent(i + run) && walk.absentAs(i + run) === text) run++;
      return [run > 1 ? `${text}*${run}` : text, run];
    }
    const pfn = walk.frame(i);
    const flags = this.entryFlags(walk, i);
    const suffix = flags === '' ? '' : `:${flags}`;
    if (this.isZero(pfn)) {
      let run = 1;
      while (i + run < n && walk.isSameTable(i, i + run) && walk.isPresent(i + run)) {
        if (!walk.isHuge(i) && (walk.frame(i + run) !== pfn || !walk.isAlike(i, i + run))) break;
        run++;
      }
      return [run > 1 ? `Z${suffix}*${run}` : `Z${suffix}`, run];
    }
    const frame = this.frameOf(pfn);
    const head = this.memory.frames.headOf(pfn);
    if (this.isLarge(head)) return this.partsOf(walk, i, n, region, head, suffix);
    return this.smallRun(walk, i, n, frame, suffix);
  }

  private partsOf(
    walk: Entries,
    i: number,
    n: number,
    region: ObservedRegion,
    head: number,
    suffix: string,
  ): [string, number] {
    const pfn = walk.frame(i);
    let run = 1;
    while (i + run < n && walk.isSameTable(i, i + run) && walk.isPresent(i + run)) {
      if (walk.frame(i + run) !== pfn + run) break;
      const isAlike = walk.isAlike(i, i + run) && this.isMappedOnce(pfn + run) === this.isMappedOnce(pfn);
      if (!walk.isHuge(i) && !isAlike) break;
      if (this.memory.frames.headOf(pfn + run) !== head) break;
      run++;
    }
    const { name } = this.frameOf(head);
    const first = pfn - head;
    for (let k = 0; k < run; k++) if (region.touched[i + k] !== 0) this.frameOf(pfn + k);
    return [run > 1 ? `${name}.${first}..${first + run - 1}${suffix}` : `${name}.${first}${suffix}`, run];
  }

  private smallRun(walk: Entries, i: number, n: number, frame: NamedFrame, suffix: string): [string, number] {
    const { frames } = this.memory;
    const { before, number } = splitName(frame.name);
    const isOnce = this.isMappedOnce(frame.pfn);
    let run = 1;
    while (i + run < n && !walk.isHuge(i) && walk.isSameTable(i, i + run) && walk.isPresent(i + run)) {
      const next = walk.frame(i + run);
      if (!walk.isAlike(i, i + run) || this.isZero(next) || this.isMappedOnce(next) !== isOnce) break;
      if (frames.headOf(next) !== next || this.isLarge(next)) break;
      const count = this.named.length;
      const nextName = this.nextName;
      if (this.frameOf(next).name !== `${before}${number + run}`) {
        if (this.named.length > count) this.forgetFrom(count, nextName);
        break;
      }
      run++;
    }
    if (run < RUN_LEAST) return [`${frame.name}${suffix}`, 1];
    return [`${frame.name}..${number + run - 1}${suffix}`, run];
  }

  private entryFlags(walk: Entries, i: number): string {
    const bits = walk.bits(i);
    const pfn = walk.frame(i);
    let flags = '';
    if ((bits & PTE_WRITE) !== 0) flags += 'w';
    if ((bits & PTE_DIRTY) !== 0) flags += 'd';
    if ((bits & PTE_PROTNONE) !== 0) flags += 'n';
    else if ((bits & PTE_UFFD_WP) !== 0) flags += 'u';
    // Of a huge entry /proc/pid/pagemap asks about the first page only, whichever page it is read for.
    const asked = walk.isHuge(i) ? this.memory.frames.headOf(pfn) : pfn;
    if (!this.isZero(pfn) && this.isMappedOnce(asked)) flags += 'x';
    if (walk.isHuge(i)) flags += 'H';
    return flags;
  }

  /** PM_MMAP_EXCLUSIVE of /proc/pid/pagemap. */
  private isMappedOnce(pfn: number): boolean {
    return this.memory.frames.preciseMapcount(pfn) === 1;
  }

  private isZero(pfn: number): boolean {
    const { frames, hugeZero } = this.memory;
    const head = frames.headOf(pfn);
    return (frames.flags[head] & PG_zero) !== 0 || head === hugeZero.head;
  }

  // ---- states ----------------------------------------------------------------------------------------------------------

  /** The state of a frame; the object of the snapshot before while nothing has changed. */
  private stateOf(named: NamedFrame): FrameState {
    const { frames, bytes } = this.memory;
    const { pfn, state } = named;
    const head = frames.headOf(pfn);
    bytes.read(pfn, 0, this.firstByte, 0, 1);
    const c = this.firstByte[0];
    const f = this.lettersOf(named, head);
    if (head !== pfn) {
      if (state?.f !== f || state.c !== c || state.rc !== undefined) named.state = { f, c };
      return named.state as FrameState;
    }
    const rc = frames.refcount[head];
    const isSame = state?.f === f && state.c === c && state.rc === rc;
    if (!this.isLarge(head)) {
      const mc = frames.mapcount[head];
      if (!isSame || state.mc !== mc) named.state = { rc, mc, f, c };
      return named.state as FrameState;
    }
    const pc = frames.pincount[head];
    const em = frames.entireMapcount[head];
    const lm = frames.largeMapcount[head];
    const o = frames.order[head];
    if (!isSame || state.pc !== pc || state.em !== em || state.lm !== lm || state.o !== o) {
      named.state = { rc, pc, em, lm, o, f, c };
    }
    return named.state as FrameState;
  }

  /** Flag letters, put together anew when the flags have changed. */
  private lettersOf(named: NamedFrame, head: number): string {
    const { flags } = this.memory.frames;
    if (named.lettersFor !== flags[head] || named.ownFlags !== flags[named.pfn]) {
      named.lettersFor = flags[head];
      named.ownFlags = flags[named.pfn];
      named.letters = this.frameFlags(named.pfn, head);
    }
    return named.letters;
  }

  private frameFlags(pfn: number, head: number): string {
    const own = this.memory.frames.flags[pfn];
    const flags = this.memory.frames.flags[head];
    let letters = '';
    if ((flags & PG_anon) !== 0) letters += 'A';
    if ((flags & PG_ksm) !== 0) letters += 'K';
    if ((flags & PG_anon) !== 0 && (own & PG_anonExclusive) !== 0) letters += 'X';
    if ((flags & PG_dirty) !== 0 && (flags & PG_hugetlb) === 0) letters += 'D';
    if ((flags & PG_writeback) !== 0) letters += 'W';
    if ((flags & PG_uptodate) !== 0) letters += 'U';
    if ((flags & PG_lru) !== 0) letters += 'L';
    if ((flags & PG_swapbacked) !== 0) letters += 'B';
    if ((flags & PG_swapbacked) !== 0 && (flags & PG_swapcache) !== 0) letters += 'C';
    if ((flags & PG_unevictable) !== 0) letters += 'V';
    if ((flags & PG_mlocked) !== 0) letters += 'M';
    if ((flags & PG_private) !== 0) letters += 'P';
    if ((flags & PG_head) !== 0) letters += head === pfn ? 'H' : 'T';
    if ((flags & PG_hugetlb) !== 0) letters += 'G';
    return letters;
  }
}

/** Entries of a page table by the page of a region. */
class Entries {
  private readonly firstPage: number;

  constructor(
    private readonly mm: Mm,
    base: number,
  ) {
    this.firstPage = base / PAGE;
  }

  bits(i: number): number {
    const page = this.firstPage + i;
    return this.mm.pageTable.flagsAt(regionOf(page * PAGE), page % PAGES_PER_REGION);
  }

  frame(i: number): number {
    const page = this.firstPage + i;
    return this.mm.pageTable.frameAt(regionOf(page * PAGE), page % PAGES_PER_REGION);
  }

  isPresent(i: number): boolean {
    return (this.bits(i) & PTE_PRESENT) !== 0;
  }

  isHuge(i: number): boolean {
    return this.mm.pageTable.tableOf(regionOf((this.firstPage + i) * PAGE)) === PMD_HUGE;
  }

  isSameTable(i: number, k: number): boolean {
    const per = PAGES_PER_REGION;
    return Math.floor((this.firstPage + i) / per) === Math.floor((this.firstPage + k) / per);
  }

  isAlike(i: number, k: number): boolean {
    return (this.bits(i) & RUN_BITS) === (this.bits(k) & RUN_BITS);
  }

  /** How a page that is not present looks. */
  absentAs(i: number): string {
    const bits = this.bits(i);
    if (bits === 0) return '.';
    if ((bits & PTE_GUARD) !== 0) return 'G';
    return (bits & PTE_UFFD_WP) !== 0 ? 'S:u' : 'S';
  }
}
