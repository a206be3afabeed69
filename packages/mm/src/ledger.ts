/**
 * The ledger: who really pinned, mapped, touched and released what, when and from where.
 *
 * It is truth, not knowledge of the emulated kernel: mm, dma and devices write to it, only tests, reports and the checks
 * in it read it. Modes: `off` records nothing; `counts` keeps totals, per call and never per page; `full` keeps a record
 * per page and reports misuse as findings at once, naming the call sites.
 *
 * Full mode, per frame: a chain of reference records (a pin or a get, each pointing to the batch of its call) and a chain
 * of mapping records (each pointing to the batch of its call and to the pin it was mapped through), all in typed arrays.
 * Which of several pins of one frame a release ends is known by the array it was made with; else it is the newest.
 * Context of all writing functions: any.
 */
import type { FindingSite, World } from '@pincushion/sim';
import { CallTrace } from '@pincushion/sim';
import { FRAME_MASK } from './user-page';
import { RecordChains } from './record-chains';

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

export interface LivePin {
  readonly frame: number;
  readonly owner: string;
  readonly site: string;
  readonly sinceNs: number;
  /** FOLL_* flags of the call. */
  readonly flags: number;
}

export interface LiveMap {
  readonly frame: number;
  readonly domain: number;
  /** Device address of the frame. */
  readonly iova: number;
  readonly direction: number;
  readonly site: string;
  readonly sinceNs: number;
}

const OFF = 0;
const COUNTS = 1;
const FULL = 2;

const PAGE = 4096;
const MASK = FRAME_MASK;
/** How many ended pins are remembered, so that a release or an access that comes too late can name them. */
const GONE_KEPT = 1 << 13;
/** Findings of a leak list at most this many call sites. */
const LEAK_SITES_MAX = 16;

/** One call that took references. */
interface ReferenceBatch {
  readonly kind: 'pin' | 'get';
  readonly owner: number;
  readonly flags: number;
  readonly sinceNs: number;
  readonly trace: CallTrace;
  /** The array the caller got its pages in. */
  readonly pages: Int32Array;
  /** Pages of it not yet given back. */
  left: number;
  /** The device domain whose mapping through this pin was undone last; -1 for none. */
  mappedBy: number;
}

/** One call that mapped pages for a device. */
interface MapBatch {
  readonly domain: number;
  readonly iova: number;
  readonly frames: Int32Array;
  readonly direction: number;
  readonly sinceNs: number;
  readonly trace: CallTrace;
  /** The pin under one of its pages went away: what happened then. */
  orphaned: Gone | null;
  reported: boolean;
}

/** A pin that has ended. */
interface Gone {
  readonly id: number;
  readonly batch: ReferenceBatch;
  readonly atNs: number;
  readonly trace: CallTrace;
  /** The device domain that had the page mapped through this pin last; -1 for none. */
  domain: number;
}

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
  private readonly level: number;
  private readonly owners: string[] = ['kernel'];
  private readonly ownerIds = new Map<string, number>([['kernel', 0]]);

  private readonly references: RecordChains<ReferenceBatch>;
  private readonly maps: RecordChains<MapBatch>;
  private readonly mapsByAddress = new Map<number, Map<number, MapBatch>>();
  private readonly goneOf: Int32Array;
  private readonly gone: (Gone | undefined)[] = [];
  private goneMade = 0;
  /** Frames whose last release was reported as misuse by the call that is under way. */
  private readonly misused = new Set<number>();

  constructor(
    private readonly world: World,
    frameCount: number,
    mode: LedgerMode,
  ) {
    this.mode = mode;
    this.level = mode === 'off' ? OFF : mode === 'counts' ? COUNTS : FULL;
    const frames = mode === 'full' ? frameCount : 0;
    this.references = new RecordChains(frames);
    this.maps = new RecordChains(frames);
    this.goneOf = new Int32Array(frames);
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

  /** `n` pages were pinned into `pages[from…]` by one call. */
  pinned(pages: Int32Array, from: number, n: number, owner: number, flags: number): void {
    if (this.level === OFF || n === 0) return;
    const c = this.counters;
    c.pinsAcquired += n;
    c.pinnedNow += n;
    if (c.pinnedNow > c.pinnedMost) c.pinnedMost = c.pinnedNow;
    if (this.level === FULL) this.addReferences('pin', pages, from, n, owner, flags);
  }

  /** The pins `pages[from…from+n-1]` are about to be given back; see also `unpinSkipped`. */
  unpinned(pages: Int32Array, from: number, n: number): void {
    if (this.level === OFF) return;
    const held = this.level === FULL ? this.dropReferences('pin', pages, from, n) : n;
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
  got(pages: Int32Array, from: number, n: number, owner: number, flags: number): void {
    if (this.level === OFF || n === 0) return;
    this.counters.getsAcquired += n;
    if (this.level === FULL) this.addReferences('get', pages, from, n, owner, flags);
  }

  /** The references `pages[from…from+n-1]` are about to be put; see also `putSkipped`. */
  put(pages: Int32Array, from: number, n: number): void {
    if (this.level === OFF) return;
    this.counters.getsReleased += this.level === FULL ? this.dropReferences('get', pages, from, n) : n;
  }

  /** One entry of the last `put` was 0. */
  putSkipped(): void {
    if (this.level === COUNTS) this.counters.getsReleased--;
  }

  /** `n` pages of `frames[from…]` were mapped for a device in one contiguous run that starts at `iova`. */
  mapped(domain: number, iova: number, frames: Int32Array, from: number, n: number, direction: number): void {
    if (this.level === OFF) return;
    const c = this.counters;
    c.mapsMade++;
    c.mappedPagesNow += n;
    if (c.mappedPagesNow > c.mappedPagesMost) c.mappedPagesMost = c.mappedPagesNow;
    if (this.level === FULL) this.addMap(domain, iova, frames, from, n, direction);
  }

  /** The run of `n` pages that was mapped at `iova` is no longer mapped. */
  unmapped(domain: number, iova: number, n: number): void {
    if (this.level === OFF) return;
    this.counters.mapsUndone++;
    this.counters.mappedPagesNow -= n;
    if (this.level === FULL) this.dropMap(domain, iova);
  }

  /** A device touched `frame` through `iova`. Full mode only: reports DMA_AFTER_UNPIN, once per mapping. */
  deviceAccess(domain: number, frame: number, write: boolean, iova: number): void {
    if (this.level === FULL) this.checkAccess(domain, frame & MASK, write, iova);
  }

  /** All pins not yet given back. Full mode; empty otherwise. */
  livePins(): readonly LivePin[] {
    const live: LivePin[] = [];
    this.references.forEach((frame, batch) => {
      if (batch.kind !== 'pin') return undefined;
      live.push({
        frame,
        owner: this.ownerName(batch.owner),
        site: batch.trace.site(),
        sinceNs: batch.sinceNs,
        flags: batch.flags,
      });
      return undefined;
    });
    return live;
  }

  /** All device mappings not yet undone, a line per page. Full mode; empty otherwise. */
  liveMaps(): readonly LiveMap[] {
    const live: LiveMap[] = [];
    for (const runs of this.mapsByAddress.values()) {
      for (const run of runs.values()) {
        run.frames.forEach((frame, i) => {
          live.push({
            frame,
            domain: run.domain,
            iova: run.iova + i * PAGE,
            direction: run.direction,
            site: run.trace.site(),
            sinceNs: run.sinceNs,
          });
        });
      }
    }
    return live;
  }

  /** Live references of one frame by kind. Full mode; for the sanity check. */
  referencesOf(frame: number): { pins: number; gets: number } {
    let pins = 0;
    let gets = 0;
    for (let r = this.references.first(frame); r !== 0; r = this.references.next(r)) {
      if (this.references.batch(r).kind === 'pin') pins++;
      else gets++;
    }
    return { pins, gets };
  }

  /** Whether the release under way was reported for one of the `n` frames from `frame` on. */
  hasReported(frame: number, n: number): boolean {
    for (const misused of this.misused) if (misused >= frame && misused < frame + n) return true;
    return false;
  }

  /** The call sites that concern a frame, for the message of a release error; empty unless full. */
  sitesOf(frame: number): FindingSite[] {
    if (this.level !== FULL) return [];
    const sites: FindingSite[] = [];
    const first = this.references.first(frame & MASK);
    if (first !== 0) {
      const batch = this.references.batch(first);
      sites.push(site(batch.kind === 'pin' ? 'pinned' : 'gotten', batch.trace, batch.sinceNs));
    }
    const gone = this.goneAt(frame & MASK);
    if (first === 0 && gone !== null) sites.push(...goneSites(gone));
    return sites;
  }

  /** Reports pins that are still held, one finding per owner (full) or one in all. Called at the end of a run. */
  reportLeaks(where: string): void {
    const pinned = this.counters.pinnedNow;
    if (this.level === OFF || pinned <= 0) return;
    if (this.level === COUNTS) {
      this.world.findings.report({
        code: 'PIN_LEAK',
        summary: `${pages(pinned)} of ${where} still pinned at the end`,
        sites: [],
        details: ['the full ledger names owners and call sites'],
      });
      return;
    }
    const byOwner = new Map<number, { pages: number; batches: Set<ReferenceBatch> }>();
    this.references.forEach((_frame, batch) => {
      if (batch.kind !== 'pin') return undefined;
      const entry = byOwner.get(batch.owner) ?? { pages: 0, batches: new Set<ReferenceBatch>() };
      entry.pages++;
      entry.batches.add(batch);
      byOwner.set(batch.owner, entry);
      return undefined;
    });
    for (const [owner, leak] of byOwner) {
      const batches = [...leak.batches];
      this.world.findings.report({
        code: 'PIN_LEAK',
        summary: `${pages(leak.pages)} of ${where} still pinned at the end by ${this.ownerName(owner)}`,
        device: this.ownerName(owner),
        sites: batches.slice(0, LEAK_SITES_MAX).map((batch) => site('pinned', batch.trace, batch.sinceNs)),
        details: batches.length > LEAK_SITES_MAX ? [`and ${batches.length - LEAK_SITES_MAX} more calls`] : [],
      });
    }
  }

  private addReferences(kind: 'pin' | 'get', pages: Int32Array, from: number, n: number, owner: number, flags: number) {
    const batch: ReferenceBatch = {
      kind,
      owner,
      flags,
      sinceNs: this.world.now,
      trace: new CallTrace(),
      pages,
      left: n,
      mappedBy: -1,
    };
    const id = this.references.addBatch(batch);
    for (let i = from; i < from + n; i++) this.references.add(pages[i] & MASK, id);
  }

  /** Ends one reference record per entry; misuse becomes one finding per kind and call. Returns how many were held. */
  private dropReferences(kind: 'pin' | 'get', pages: Int32Array, from: number, n: number): number {
    const chains = this.references;
    const trace = new CallTrace();
    this.misused.clear();
    let dropped = 0;
    let wrong = 0;
    let twice = 0;
    let mappedStill = 0;
    let gone: Gone | null = null;
    for (let i = from; i < from + n; i++) {
      if (pages[i] === 0) continue;
      const frame = pages[i] & MASK;
      const record = this.findReference(frame, kind, pages);
      if (record === 0) {
        if (chains.first(frame) === 0) twice = frame;
        else wrong = frame;
        this.misused.add(frame);
        continue;
      }
      dropped++;
      const batch = chains.batch(record);
      batch.left--;
      if (kind === 'pin') {
        if (gone?.batch !== batch) gone = this.newGone(batch, trace);
        this.goneOf[frame] = gone.id;
        const domain = this.orphanMaps(frame, chains.batchId(record), gone);
        if (domain >= 0) mappedStill = frame;
      }
      chains.remove(frame, record);
      if (batch.left === 0) chains.removeBatch(record);
    }
    if (twice !== 0) this.reportDoubleRelease(twice, trace);
    if (wrong !== 0) this.reportWrongRelease(wrong, kind, trace);
    if (mappedStill !== 0) this.reportMappedStill(mappedStill);
    return dropped;
  }

  /** The record of that kind whose call filled `pages`, or the newest of that kind; 0 for none. */
  private findReference(frame: number, kind: 'pin' | 'get', pages: Int32Array): number {
    let newest = 0;
    for (let r = this.references.first(frame); r !== 0; r = this.references.next(r)) {
      const batch = this.references.batch(r);
      if (batch.kind !== kind) continue;
      if (batch.pages === pages) return r;
      if (newest === 0) newest = r;
    }
    return newest;
  }

  private addMap(domain: number, iova: number, frames: Int32Array, from: number, n: number, direction: number) {
    const run: MapBatch = {
      domain,
      iova,
      frames: frames.slice(from, from + n).map((entry) => entry & MASK),
      direction,
      sinceNs: this.world.now,
      trace: new CallTrace(),
      orphaned: null,
      reported: false,
    };
    const id = this.maps.addBatch(run);
    for (const frame of run.frames) {
      const pin = this.findReference(frame, 'pin', frames);
      this.maps.add(frame, id, pin === 0 ? 0 : this.references.batchId(pin));
    }
    let runs = this.mapsByAddress.get(domain);
    if (runs === undefined) this.mapsByAddress.set(domain, (runs = new Map<number, MapBatch>()));
    runs.set(iova, run);
  }

  private dropMap(domain: number, iova: number): void {
    const runs = this.mapsByAddress.get(domain);
    const run = runs?.get(iova);
    if (runs === undefined || run === undefined) return;
    runs.delete(iova);
    let last = 0;
    for (const frame of run.frames) {
      for (let r = this.maps.first(frame); r !== 0; r = this.maps.next(r)) {
        if (this.maps.batch(r) !== run) continue;
        const pin = this.maps.link(r);
        if (pin > 0) this.references.batchWith(pin).mappedBy = domain;
        this.maps.remove(frame, r);
        last = r;
        break;
      }
    }
    if (last !== 0) this.maps.removeBatch(last);
  }

  /** Marks the mappings of `frame` that were made through the ended pin. Returns a domain that has one, else -1. */
  private orphanMaps(frame: number, pinBatch: number, gone: Gone): number {
    let domain = -1;
    for (let r = this.maps.first(frame); r !== 0; r = this.maps.next(r)) {
      if (this.maps.link(r) !== pinBatch) continue;
      this.maps.setLink(r, -1);
      const run = this.maps.batch(r);
      run.orphaned ??= gone;
      domain = run.domain;
    }
    if (domain >= 0) gone.domain = domain;
    return domain;
  }

  private checkAccess(domain: number, frame: number, write: boolean, iova: number): void {
    for (let r = this.maps.first(frame); r !== 0; r = this.maps.next(r)) {
      const run = this.maps.batch(r);
      if (run.domain !== domain) continue;
      if (this.maps.link(r) !== -1 || run.orphaned === null || run.reported) return;
      run.reported = true;
      this.reportLateAccess(run.orphaned, frame, write, iova, [site('mapped', run.trace, run.sinceNs)]);
      return;
    }
    const gone = this.goneAt(frame);
    if (gone === null || gone.domain !== domain || this.references.first(frame) !== 0) return;
    gone.domain = -1;
    this.reportLateAccess(gone, frame, write, iova, []);
  }

  private newGone(batch: ReferenceBatch, trace: CallTrace): Gone {
    const id = ++this.goneMade;
    const gone: Gone = {
      id,
      batch,
      atNs: this.world.now,
      trace,
      domain: batch.mappedBy,
    };
    this.gone[id % GONE_KEPT] = gone;
    return gone;
  }

  private goneAt(frame: number): Gone | null {
    const id = this.goneOf[frame];
    const gone = this.gone[id % GONE_KEPT];
    return id !== 0 && gone !== undefined && gone.id === id ? gone : null;
  }

  private reportDoubleRelease(frame: number, trace: CallTrace): void {
    const gone = this.goneAt(frame);
    this.world.findings.report({
      code: 'PIN_DOUBLE_RELEASE',
      summary: `frame ${frame} was given back although nobody holds it`,
      ...(gone !== null && { device: this.ownerName(gone.batch.owner) }),
      sites: [...(gone === null ? [] : goneSites(gone)), site('given back again', trace, this.world.now)],
      details: [],
    });
  }

  private reportWrongRelease(frame: number, kind: 'pin' | 'get', trace: CallTrace): void {
    const batch = this.references.batch(this.references.first(frame));
    const [taken, given] = kind === 'pin' ? ['gotten', 'unpinned'] : ['pinned', 'put'];
    this.world.findings.report({
      code: 'PIN_WRONG_RELEASE',
      summary: `frame ${frame} was ${taken} and is ${given}`,
      device: this.ownerName(batch.owner),
      sites: [site(taken, batch.trace, batch.sinceNs), site(given, trace, this.world.now)],
      details: [],
    });
  }

  private reportMappedStill(frame: number): void {
    const gone = this.goneAt(frame);
    if (gone === null) return;
    const sites = [site('pinned', gone.batch.trace, gone.batch.sinceNs)];
    for (let r = this.maps.first(frame); r !== 0; r = this.maps.next(r)) {
      const run = this.maps.batch(r);
      if (this.maps.link(r) === -1) sites.push(site('mapped', run.trace, run.sinceNs));
    }
    sites.push(site('unpinned', gone.trace, gone.atNs));
    this.world.findings.report({
      code: 'UNPINNED_WHILE_MAPPED',
      summary: `frame ${frame} was unpinned while a device has it mapped`,
      device: this.ownerName(gone.batch.owner),
      sites,
      details: [],
    });
  }

  private reportLateAccess(gone: Gone, frame: number, write: boolean, iova: number, mapped: FindingSite[]): void {
    const [pinned, unpinned] = goneSites(gone);
    this.world.findings.report({
      code: 'DMA_AFTER_UNPIN',
      summary: `a device ${write ? 'wrote to' : 'read'} frame ${frame} after its pin was given back`,
      device: this.ownerName(gone.batch.owner),
      sites: [
        pinned,
        ...mapped,
        unpinned,
        { what: 'accessed', site: `device address 0x${iova.toString(16)}`, atNs: this.world.now },
      ],
      details: [],
    });
  }
}

function pages(n: number): string {
  return n === 1 ? '1 page' : `${n} pages`;
}

function site(what: string, trace: CallTrace, atNs: number): FindingSite {
  return { what, site: trace.site(), atNs };
}

function goneSites(gone: Gone): [FindingSite, FindingSite] {
  return [site('pinned', gone.batch.trace, gone.batch.sinceNs), site('unpinned', gone.trace, gone.atNs)];
}
