/**
 * What reports need beyond the live mappings of a domain: the last unmapped ranges ("was mapped until …") and, with the
 * ledger in mode full, the call sites of mapping and unmapping. Written on the hot path, read by reports only.
 */
import { CallTrace } from '@pincushion/sim';
import type { FindingSite, World } from '@pincushion/sim';
import { PAGE_SIZE } from '@pincushion/mm';

/** A power of two. */
const REMEMBERED = 256;

export interface PastMapping {
  readonly iova: number;
  readonly pages: number;
  readonly untilNs: number;
  readonly sites: readonly FindingSite[];
}

/** A call, not yet in words. */
interface Moment {
  readonly trace: CallTrace;
  readonly atNs: number;
}

interface PastTraces {
  readonly mapped: Moment | null;
  readonly unmapped: Moment;
}

export class MappingHistory {
  /** First page and number of pages, by turns. */
  private readonly ranges = new Int32Array(REMEMBERED * 2);
  private readonly untilNs = new Float64Array(REMEMBERED);
  private readonly pastTraces: PastTraces[] = [];
  private readonly liveTraces = new Map<number, Moment>();
  private next = 0;

  /** @param withSites take call sites: microseconds per mapping, for the ledger's mode full */
  constructor(
    private readonly world: World,
    readonly withSites: boolean,
  ) {}

  /** Notes who mapped. Only with sites. @param trace of the call, if somebody has taken it already */
  mapped(page: number, trace: CallTrace | null): void {
    this.liveTraces.set(page, { trace: trace ?? new CallTrace(), atNs: this.world.now });
  }

  unmapped(page: number, pages: number): void {
    const at = this.next & (REMEMBERED - 1);
    this.next = (this.next + 1) | 0;
    this.ranges[at * 2] = page;
    this.ranges[at * 2 + 1] = pages;
    this.untilNs[at] = this.world.now;
    if (this.withSites) this.rememberTraces(at, page);
  }

  /** Who made the live mapping that starts at `page`; empty without sites. */
  sitesOf(page: number): FindingSite[] {
    const mapped = this.liveTraces.get(page);
    return mapped === undefined ? [] : [siteAt('mapped', mapped)];
  }

  /** The latest mapping that is gone and had `page`, or null when nobody remembers one. */
  lastWith(page: number): PastMapping | null {
    for (let back = 1; back <= REMEMBERED; back++) {
      const at = (this.next - back) & (REMEMBERED - 1);
      const first = this.ranges[at * 2];
      const pages = this.ranges[at * 2 + 1];
      if (pages === 0) return null;
      if (page >= first && page < first + pages) {
        return {
          iova: first * PAGE_SIZE,
          pages,
          untilNs: this.untilNs[at],
          sites: this.withSites ? pastSites(this.pastTraces[at]) : [],
        };
      }
    }
    return null;
  }

  private rememberTraces(at: number, page: number): void {
    const mapped = this.liveTraces.get(page) ?? null;
    this.liveTraces.delete(page);
    this.pastTraces[at] = { mapped, unmapped: { trace: new CallTrace(), atNs: this.world.now } };
  }
}

function siteAt(what: string, { trace, atNs }: Moment): FindingSite {
  return { what, site: trace.site(), atNs };
}

function pastSites({ mapped, unmapped }: PastTraces): FindingSite[] {
  const undone = siteAt('unmapped', unmapped);
  return mapped === null ? [undone] : [siteAt('mapped', mapped), undone];
}
