/**
 * The ledger: who really pinned, mapped, touched and released what, when and from where.
 *
 * It is truth, not knowledge of the emulated kernel: mm, dma and devices write to it, only tests, reports and the checks
 * in it read it. Modes: `off` records nothing; `counts` keeps totals, per call and never per page; `full` keeps a record
 * per page and reports misuse as findings at once, naming the call sites.
 *
 * Full mode: references are in reference-table.ts and mappings in device-mappings.ts; release-check.ts and access-check.ts
 * judge, ledger-findings.ts words the findings, ledger-queries.ts answers questions; coherence.ts compares what process and
 * device see, accounting-audit.ts charges and pins.
 * Context of all writing functions: any.
 */
import type { FindingSite, World } from '@pincushion/sim';
import { CallTrace } from '@pincushion/sim';
import { AccessCheck } from './access-check';
import { AccountingAudit } from './accounting-audit';
import type { AuditedCharge } from './accounting-audit';
import { Coherence } from './coherence';
import { DeviceMappings } from './device-mappings';
import type { LedgerFacts } from './ledger-facts';
import { LedgerFindings, pagesText } from './ledger-findings';
import { LedgerQueries } from './ledger-queries';
import type { Holder, LiveMap, LivePin, OldPin } from './ledger-queries';
import type { Mm } from '../process/mm';
import { ReferenceBatch, ReferenceTable } from './reference-table';
import type { ReferenceKind } from './reference-table';
import { NOBODY, ReleaseCheck } from './release-check';
import { FRAME_MASK } from '../gup/user-page';

export type LedgerMode = 'off' | 'counts' | 'full';

/** Totals of a run. Pages unless the name says otherwise. */
export interface LedgerCounters {
  pinsAcquired: number;
  pinsReleased: number;
  pinnedNow: number;
  pinnedMost: number;
  getsAcquired: number;
  getsReleased: number;
  /** Mapping calls. */
  mapsMade: number;
  mapsUndone: number;
  mappedPagesNow: number;
  mappedPagesMost: number;
}

const OFF = 0;
const COUNTS = 1;
const FULL = 2;

const MASK = FRAME_MASK;

export class Ledger {
  readonly mode: LedgerMode;
  readonly counters: LedgerCounters = {
    pinsAcquired: 0,
    pinsReleased: 0,
    pinnedNow: 0,
    pinnedMost: 0,
    getsAcquired: 0,
    getsReleased: 0,
    mapsMade: 0,
    mapsUndone: 0,
    mappedPagesNow: 0,
    mappedPagesMost: 0,
  };
  /** Notes when process and device part; null unless full. */
  readonly coherence: Coherence | null;
  /** The trace of the call that mapped last, full mode only: for who keeps mappings, too. */
  lastMapTrace: CallTrace | null = null;
  private readonly level: number;
  private readonly owners: string[] = ['kernel'];
  private readonly ownerIds = new Map<string, number>([['kernel', 0]]);

  private readonly references: ReferenceTable;
  private readonly maps: DeviceMappings;
  private readonly findings: LedgerFindings;
  private readonly audit: AccountingAudit;
  private readonly releases: ReleaseCheck;
  private readonly access: AccessCheck;
  private readonly queries: LedgerQueries;
  /** Who the release under way is for, where that is known. */
  private releaser = NOBODY;

  /** @param facts about frames; without it the ledger cannot tell user memory from other memory */
  constructor(
    private readonly world: World,
    frameCount: number,
    mode: LedgerMode,
    facts: LedgerFacts | null = null,
  ) {
    this.mode = mode;
    this.level = mode === 'off' ? OFF : mode === 'counts' ? COUNTS : FULL;
    const frames = mode === 'full' ? frameCount : 0;
    const ownerName = (id: number): string => this.ownerName(id);
    this.references = new ReferenceTable(frames);
    this.maps = new DeviceMappings(frames, this.references);
    this.findings = new LedgerFindings(world, ownerName);
    this.audit = new AccountingAudit(world, this.references);
    this.releases = new ReleaseCheck(world, this.references, this.maps, facts, this.findings);
    this.access = new AccessCheck(this.references, this.maps, facts, this.findings);
    this.queries = new LedgerQueries(world, this.references, this.maps, ownerName);
    this.coherence = mode === 'full' ? new Coherence(world, this.references, ownerName) : null;
  }

  /** The id of an owner of pins: a device path, a process. Owner 0 is the kernel. */
  owner(name: string): number {
    const known = this.ownerIds.get(name);
    if (known !== undefined) return known;
    const id = this.owners.length;
    this.owners.push(name);
    this.ownerIds.set(name, id);
    return id;
  }

  ownerName(id: number): string {
    return this.owners[id] ?? `owner ${id}`;
  }

  /** `array` is filled anew for each call, by whoever calls: it says nothing about who holds what. */
  notAHandle(array: object): void {
    this.releases.notAHandle(array);
  }

  /**
   * `n` pages were pinned into `pages[from…]` by one call; `handle` is what the caller keeps them in. Of `mm` from the
   * address `start` on, when the pages are a piece of an address space.
   */
  pinned(
    pages: Int32Array,
    from: number,
    n: number,
    owner: number,
    flags: number,
    mm: Mm | null = null,
    start = 0,
    handle: object = pages,
  ): void {
    if (this.level === OFF || n === 0) return;
    const c = this.counters;
    c.pinsAcquired += n;
    c.pinnedNow += n;
    if (c.pinnedNow > c.pinnedMost) c.pinnedMost = c.pinnedNow;
    if (this.level !== FULL) return;
    if (mm !== null) this.audit.saw(mm);
    this.take('pin', pages, from, n, owner, flags, mm, start, handle);
  }

  /** The pins `pages[from…from+n-1]` are about to be given back; see also `unpinSkipped`. */
  unpinned(pages: Int32Array, from: number, n: number, handle: object = pages): void {
    if (this.level === OFF) return;
    const held = this.level === FULL ? this.giveBack('pin', pages, from, n, handle) : n;
    this.counters.pinsReleased += held;
    this.counters.pinnedNow -= held;
  }

  /** One entry of the last `unpinned` was 0, the NULL page: nothing was held there. */
  unpinSkipped(): void {
    if (this.level !== COUNTS) return;
    this.counters.pinsReleased--;
    this.counters.pinnedNow++;
  }

  /** `n` pages were gotten into `pages[from…]` by one call. */
  got(pages: Int32Array, from: number, n: number, owner: number, flags: number, mm: Mm | null = null, start = 0): void {
    if (this.level === OFF || n === 0) return;
    this.counters.getsAcquired += n;
    if (this.level === FULL) this.take('get', pages, from, n, owner, flags, mm, start, pages);
  }

  /** The references `pages[from…from+n-1]` are about to be put; see also `putSkipped`. */
  put(pages: Int32Array, from: number, n: number): void {
    if (this.level === OFF) return;
    this.counters.getsReleased += this.level === FULL ? this.giveBack('get', pages, from, n, pages) : n;
  }

  /** One entry of the last `put` was 0. */
  putSkipped(): void {
    if (this.level === COUNTS) this.counters.getsReleased--;
  }

  /** The next release is by this owner, who may give back only what he holds; -1: nobody knows whose it is. */
  releasing(owner: number): void {
    this.releaser = owner;
  }

  /** The holder of `pages[from…from+n-1]` has marked them dirty. */
  dirtied(pages: Int32Array, from: number, n: number): void {
    if (this.level !== FULL) return;
    for (let i = from; i < from + n; i++) this.references.clearWritten(pages[i] & MASK);
  }

  /** `n` frames from `head` on went back to the allocator. */
  freed(head: number, n: number): void {
    if (this.level === FULL) this.references.freed(head, n);
  }

  /** `n` pages in memory of a device, from `frame` on, went back to their owner. Full mode: they must not be mapped. */
  deviceMemoryFreed(frame: number, n: number, whose: string): void {
    if (this.level !== FULL) return;
    for (let pfn = frame; pfn < frame + n; pfn++) {
      // One whose pin was given back under it has been reported then.
      const maps = this.maps.mappingsOf(pfn).filter(({ orphaned }) => orphaned === null);
      if (maps.length > 0) this.findings.freedWhileMapped(pfn, whose, maps);
      this.references.freed(pfn, 1);
    }
  }

  /** `n` pages of `frames[from…]` were mapped for a device in one contiguous run that starts at `iova`. */
  mapped(domain: number, iova: number, frames: Int32Array, from: number, n: number, direction: number): void {
    if (this.level === OFF) return;
    const c = this.counters;
    c.mapsMade++;
    c.mappedPagesNow += n;
    if (c.mappedPagesNow > c.mappedPagesMost) c.mappedPagesMost = c.mappedPagesNow;
    if (this.level !== FULL) return;
    const trace = new CallTrace();
    this.lastMapTrace = trace;
    const run = this.maps.add(domain, iova, frames, from, n, direction, this.world.now, trace);
    this.access.mapped(run);
  }

  /** The run of `n` pages that was mapped at `iova` is no longer mapped. */
  unmapped(domain: number, iova: number, n: number): void {
    if (this.level === OFF) return;
    this.counters.mapsUndone++;
    this.counters.mappedPagesNow -= n;
    if (this.level === FULL) this.maps.drop(domain, iova);
  }

  /** A device touched `frame` through `iova`. Full mode only: each finding about it is made once per mapping. */
  deviceAccess(domain: number, frame: number, write: boolean, iova: number): void {
    if (this.level === FULL) this.access.accessed(domain, frame & MASK, write, iova);
  }

  /** All pins not yet given back, in the order of frames. Full mode; empty otherwise. */
  livePins(): readonly LivePin[] {
    return this.queries.livePins();
  }

  /** All device mappings not yet undone, a line per page. Full mode; empty otherwise. */
  liveMaps(): readonly LiveMap[] {
    return this.queries.liveMaps();
  }

  /** Who holds a frame, the newest first, once for each reference. Full mode; empty otherwise. */
  holdersOf(frame: number): readonly Holder[] {
    return this.level === FULL ? this.queries.holdersOf(frame) : [];
  }

  /** The same as lines of text: `pinned by nic0 for 3 µs at nic.ts:31:20, of prog at 0x7f00`. */
  holdersText(frame: number): string {
    return this.level === FULL ? this.queries.holdersText(frame) : 'only the full ledger knows who holds a frame';
  }

  /** The calls whose pins have been held the longest, oldest first. Full mode; empty otherwise. */
  oldestPins(most = 10): readonly OldPin[] {
    return this.queries.oldestPins(most);
  }

  /** The accounting audit: what is charged for pinned memory beside what is pinned. Full mode; empty otherwise. */
  auditCharges(): readonly AuditedCharge[] {
    return this.audit.charges();
  }

  /** Live references of one frame by kind. Full mode; for the sanity check. */
  referencesOf(frame: number): { pins: number; gets: number } {
    let pins = 0;
    let gets = 0;
    for (const { kind } of this.references.holdersOf(frame)) {
      if (kind === 'pin') pins++;
      else gets++;
    }
    return { pins, gets };
  }

  /** Whether a wrong release of one of the `n` frames from `frame` on has been reported, which explains its counts. */
  hasReported(frame: number, n: number): boolean {
    return this.releases.hasReported(frame, n);
  }

  /** The call sites that concern a frame, for the message of a release error; empty unless full. */
  sitesOf(frame: number): FindingSite[] {
    return this.level === FULL ? this.queries.sitesOf(frame) : [];
  }

  /**
   * Reports pins that are still held, one finding per owner (full) or one in all, and charges for what is not pinned.
   * Called at the end of a run.
   */
  reportLeaks(where: string): void {
    if (this.level === FULL) {
      this.audit.report();
      const byOwner = new Map<number, ReferenceBatch[]>();
      for (const batch of this.references.batches()) {
        if (batch.kind !== 'pin') continue;
        const known = byOwner.get(batch.owner);
        if (known === undefined) byOwner.set(batch.owner, [batch]);
        else known.push(batch);
      }
      for (const [owner, batches] of byOwner) this.findings.leak(where, owner, batches);
      return;
    }
    const pinned = this.counters.pinnedNow;
    if (this.level === OFF || pinned <= 0) return;
    this.world.findings.report({
      code: 'PIN_LEAK',
      summary: `${pagesText(pinned)} of ${where} still pinned at the end`,
      sites: [],
      details: ['the full ledger names owners and call sites'],
    });
  }

  private take(
    kind: ReferenceKind,
    pages: Int32Array,
    from: number,
    n: number,
    owner: number,
    flags: number,
    mm: Mm | null,
    start: number,
    handle: object,
  ): void {
    const now = this.world.now;
    const batch = new ReferenceBatch(kind, owner, flags, now, new CallTrace(), handle, pages, from, n, mm, start);
    this.references.add(batch, from, n);
  }

  private giveBack(kind: ReferenceKind, pages: Int32Array, from: number, n: number, handle: object): number {
    const { releaser } = this;
    this.releaser = NOBODY;
    return this.releases.giveBack(kind, pages, from, n, handle, releaser);
  }
}
