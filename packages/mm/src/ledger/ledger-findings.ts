/** How the findings of the full ledger are worded: what is wrong, and the calls that belong to it, oldest first. */
import { CallTrace } from '@pincushion/sim';
import type { FindingSite, World } from '@pincushion/sim';
import { formatNs } from '@pincushion/sim';
import type { MapBatch } from './device-mappings';
import type { Gone, ReferenceBatch, ReferenceKind } from './reference-table';

/** Findings of a leak list at most this many call sites. */
const LEAK_SITES_MAX = 16;

export class LedgerFindings {
  constructor(
    private readonly world: World,
    private readonly ownerName: (id: number) => string,
  ) {}

  /** Pins of one owner that are left at the end. */
  leak(where: string, owner: number, batches: readonly ReferenceBatch[]): void {
    const left = batches.reduce((sum, batch) => sum + batch.left, 0);
    const oldest = batches.reduce((a, b) => (b.sinceNs < a.sinceNs ? b : a));
    const details = [`the oldest for ${formatNs(this.world.now - oldest.sinceNs)}`];
    if (batches.length > LEAK_SITES_MAX) details.push(`and ${batches.length - LEAK_SITES_MAX} more calls`);
    this.world.findings.report({
      code: 'PIN_LEAK',
      summary: `${pagesText(left)} of ${where} still pinned at the end by ${this.ownerName(owner)}`,
      device: this.ownerName(owner),
      sites: batches.slice(0, LEAK_SITES_MAX).map(takenSite),
      details,
    });
  }

  /** Nobody holds the frame, or only others than `gone`, whose release this is for the second time. */
  doubleRelease(frame: number, gone: Gone | null, holders: readonly ReferenceBatch[], trace: CallTrace): void {
    const held = holders.length > 0;
    this.world.findings.report({
      code: 'PIN_DOUBLE_RELEASE',
      summary: `frame ${frame} was given back ${held ? 'twice through one handle; others still hold it' : 'although nobody holds it'}`,
      ...(gone !== null && { device: this.ownerName(gone.batch.owner) }),
      sites: [
        ...(gone === null ? [] : goneSites(gone)),
        ...holders.map(takenSite),
        this.now('given back again', trace),
      ],
      details: [],
    });
  }

  /** Nobody ever held the frame, or somebody else than `releaser` does. */
  wrongPage(frame: number, releaser: number, holders: readonly ReferenceBatch[], trace: CallTrace): void {
    const [holder] = holders as readonly (ReferenceBatch | undefined)[];
    const summary =
      holder === undefined
        ? `frame ${frame} was given back and had never been pinned`
        : `frame ${frame} was given back by ${this.ownerName(releaser)} and is held by ${this.ownerName(holder.owner)} alone`;
    this.world.findings.report({
      code: 'PIN_WRONG_PAGE',
      summary,
      ...(releaser >= 0 && { device: this.ownerName(releaser) }),
      sites: [...holders.map(takenSite), this.now('given back', trace)],
      details: [],
    });
  }

  /** A get was unpinned, or a pin was put. */
  wrongRelease(frame: number, kind: ReferenceKind, holder: ReferenceBatch, trace: CallTrace): void {
    const given = givenWord(kind);
    this.world.findings.report({
      code: 'PIN_WRONG_RELEASE',
      summary: `frame ${frame} was ${takenWord(holder.kind)} and is ${given}`,
      device: this.ownerName(holder.owner),
      sites: [takenSite(holder), this.now(given, trace)],
      details: [],
    });
  }

  /** The pin of a mapped page was given back. */
  mappedStill(frame: number, gone: Gone, maps: readonly MapBatch[]): void {
    const [pinned, unpinned] = goneSites(gone);
    this.world.findings.report({
      code: 'UNPINNED_WHILE_MAPPED',
      summary: `frame ${frame} was unpinned while a device has it mapped`,
      device: this.ownerName(gone.batch.owner),
      sites: [pinned, ...maps.map(mappedSite), unpinned],
      details: [],
    });
  }

  /** A page in memory of a device went back to its owner while somebody has it mapped. */
  freedWhileMapped(frame: number, whose: string, maps: readonly MapBatch[]): void {
    this.world.findings.report({
      code: 'UNPINNED_WHILE_MAPPED',
      summary: `frame ${frame} of ${whose} was given back while a device has it mapped`,
      sites: [...maps.map(mappedSite), this.now('given back', new CallTrace())],
      details: [],
    });
  }

  /** What a device wrote was given back as if it were clean. */
  releasedClean(frame: number, pages: number, gone: Gone): void {
    this.world.findings.report({
      code: 'PIN_RELEASED_CLEAN',
      summary: `a device wrote to ${pages === 1 ? `frame ${frame}` : `${pages} pages (the first is frame ${frame})`}, and the release did not mark ${pages === 1 ? 'it' : 'them'} dirty`,
      device: this.ownerName(gone.batch.owner),
      sites: goneSites(gone),
      details: ['use unpinUserPagesDirtyLock, or setPageDirtyLock before the release'],
    });
  }

  /** User memory was mapped for a device without a pin; `holder`: who has a mere reference. */
  mappedUnpinned(frame: number, whose: string, holder: ReferenceBatch | null, run: MapBatch): void {
    const sites = holder === null ? [] : [takenSite(holder)];
    this.world.findings.report({
      code: 'MAPPED_UNPINNED',
      summary: `frame ${frame} of ${whose} was mapped for a device and is ${holder === null ? 'not pinned' : 'gotten, not pinned'}`,
      ...(holder !== null && { device: this.ownerName(holder.owner) }),
      sites: [...sites, mappedSite(run)],
      details: [],
    });
  }

  /** A pin without FOLL_WRITE under a mapping that lets the device write (`iova` null), or a write through it. */
  readOnlyWritten(frame: number, pin: ReferenceBatch, run: MapBatch, iova: number | null): void {
    const sites = [takenSite(pin), mappedSite(run)];
    if (iova !== null) sites.push(this.accessed(iova));
    this.world.findings.report({
      code: 'PIN_READ_ONLY_WRITTEN',
      summary: `frame ${frame} was pinned for reading and ${iova === null ? 'is mapped for a device to write' : 'a device wrote to it'}`,
      device: this.ownerName(pin.owner),
      sites,
      details: [],
    });
  }

  /** A device used a page after its pin was given back. */
  lateAccess(frame: number, gone: Gone, write: boolean, iova: number, maps: readonly MapBatch[]): void {
    const [pinned, unpinned] = goneSites(gone);
    this.world.findings.report({
      code: 'DMA_AFTER_UNPIN',
      summary: `a device ${write ? 'wrote to' : 'read'} frame ${frame} after its pin was given back`,
      device: this.ownerName(gone.batch.owner),
      sites: [pinned, ...maps.map(mappedSite), unpinned, this.accessed(iova)],
      details: [],
    });
  }

  /** A device wrote to a page that was freed since it was mapped and belongs to somebody else now. */
  foreignWrite(frame: number, whose: string, gone: Gone | null, run: MapBatch | null, iova: number): void {
    const sites = gone === null ? [] : goneSites(gone);
    if (run !== null) sites.splice(1, 0, mappedSite(run));
    this.world.findings.report({
      code: 'DMA_INTO_FOREIGN_PAGE',
      summary: `a device wrote to frame ${frame}, which was freed and now belongs to ${whose}`,
      ...(gone !== null && { device: this.ownerName(gone.batch.owner) }),
      sites: [...sites, this.accessed(iova)],
      details: [],
    });
  }

  private now(what: string, trace: CallTrace): FindingSite {
    return siteOf(what, trace, this.world.now);
  }

  private accessed(iova: number): FindingSite {
    return { what: 'accessed', site: `device address 0x${iova.toString(16)}`, atNs: this.world.now };
  }
}

export function pagesText(n: number): string {
  return n === 1 ? '1 page' : `${n} pages`;
}

export function siteOf(what: string, trace: CallTrace, atNs: number): FindingSite {
  return { what, site: trace.site(), atNs };
}

/** Where references were taken. */
export function takenSite(batch: ReferenceBatch): FindingSite {
  return siteOf(takenWord(batch.kind), batch.trace, batch.sinceNs);
}

/** Where references were taken, and where they were given back. */
export function goneSites(gone: Gone): FindingSite[] {
  return [takenSite(gone.batch), siteOf(givenWord(gone.batch.kind), gone.trace, gone.atNs)];
}

function mappedSite(run: MapBatch): FindingSite {
  return siteOf('mapped', run.trace, run.sinceNs);
}

function takenWord(kind: ReferenceKind): string {
  return kind === 'pin' ? 'pinned' : 'gotten';
}

function givenWord(kind: ReferenceKind): string {
  return kind === 'pin' ? 'unpinned' : 'put';
}
