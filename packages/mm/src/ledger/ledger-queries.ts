/**
 * What the full ledger answers: who holds which frame, since when, from where and for whom. For tests, reports and people;
 * empty in the other modes. Call sites are put into words here, so none of this is cheap.
 */
import type { FindingSite, World } from '@pincushion/sim';
import { formatNs } from '@pincushion/sim';
import type { DeviceMappings } from './device-mappings';
import { goneSites, takenSite } from './ledger-findings';
import { PAGE_SIZE } from '../frames/page-size';
import type { ReferenceBatch, ReferenceKind, ReferenceTable } from './reference-table';
import { FRAME_MASK } from '../gup/user-page';

const MASK = FRAME_MASK;

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

/** Somebody who holds a frame. */
export interface Holder {
  readonly kind: ReferenceKind;
  readonly owner: string;
  /** For whom: the process whose memory was taken, and where it has the page; null and -1 when that is not known. */
  readonly process: string | null;
  readonly address: number;
  readonly site: string;
  readonly sinceNs: number;
  readonly ageNs: number;
  /** FOLL_* flags of the call. */
  readonly flags: number;
}

/** One call that pinned and of which something is still pinned. */
export interface OldPin {
  readonly owner: string;
  readonly process: string | null;
  readonly pages: number;
  readonly site: string;
  readonly sinceNs: number;
  readonly ageNs: number;
}

export class LedgerQueries {
  constructor(
    private readonly world: World,
    private readonly references: ReferenceTable,
    private readonly maps: DeviceMappings,
    private readonly ownerName: (id: number) => string,
  ) {}

  /** All pins not yet given back, in the order of frames. Full mode; empty otherwise. */
  livePins(): readonly LivePin[] {
    const live: LivePin[] = [];
    this.references.forEach((frame, { kind, owner, trace, sinceNs, flags }) => {
      if (kind === 'pin') live.push({ frame, owner: this.ownerName(owner), site: trace.site(), sinceNs, flags });
      return undefined;
    });
    return live;
  }

  /** All device mappings not yet undone, a line per page. Full mode; empty otherwise. */
  liveMaps(): readonly LiveMap[] {
    const live: LiveMap[] = [];
    for (const { frames, domain, iova, direction, trace, sinceNs } of this.maps.all()) {
      frames.forEach((frame, i) => {
        live.push({ frame, domain, iova: iova + i * PAGE_SIZE, direction, site: trace.site(), sinceNs });
      });
    }
    return live;
  }

  /** Who holds a frame, the newest first, once for each reference. Full mode; empty otherwise. */
  holdersOf(frame: number): readonly Holder[] {
    return this.references.holdersOf(frame & MASK).map((batch) => ({
      kind: batch.kind,
      owner: this.ownerName(batch.owner),
      process: batch.mm?.name ?? null,
      address: batch.addressOf(frame & MASK),
      site: batch.trace.site(),
      sinceNs: batch.sinceNs,
      ageNs: this.world.now - batch.sinceNs,
      flags: batch.flags,
    }));
  }

  /** The same as lines of text: `pinned by nic0 for 3 us at nic.ts:31:20, of prog at 0x7f00`. */
  holdersText(frame: number): string {
    const holders = this.holdersOf(frame);
    if (holders.length === 0) return `frame ${frame & MASK} is held by nobody`;
    const lines = holders.map(({ kind, owner, process, address, site, ageNs }) => {
      const where = process === null ? '' : `, of ${process}${address < 0 ? '' : ` at 0x${address.toString(16)}`}`;
      return `  ${kind === 'pin' ? 'pinned' : 'gotten'} by ${owner} for ${formatNs(ageNs)} at ${site}${where}`;
    });
    return [`frame ${frame & MASK}:`, ...lines].join('\n');
  }

  /** The calls whose pins have been held the longest, oldest first. Full mode; empty otherwise. */
  oldestPins(most = 10): readonly OldPin[] {
    return this.references
      .batches()
      .filter(({ kind }) => kind === 'pin')
      .sort((a, b) => a.sinceNs - b.sinceNs)
      .slice(0, most)
      .map(({ owner, mm, left, trace, sinceNs }) => ({
        owner: this.ownerName(owner),
        process: mm?.name ?? null,
        pages: left,
        site: trace.site(),
        sinceNs,
        ageNs: this.world.now - sinceNs,
      }));
  }

  /** The call sites that concern a frame, for the message of a release error; empty unless full. */
  sitesOf(frame: number): FindingSite[] {
    const [newest] = this.references.holdersOf(frame & MASK) as (ReferenceBatch | undefined)[];
    if (newest !== undefined) return [takenSite(newest)];
    const gone = this.references.goneAt(frame & MASK);
    return gone === null ? [] : goneSites(gone);
  }
}
