/**
 * What reports need beyond the live mappings of a domain: the last unmapped ranges ("was mapped until …") and, with the
 * ledger in mode full, the call sites of mapping and unmapping. Written on the hot path, read by reports only.
 */
import { callSite } from '@pincushion/sim';
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

export class MappingHistory {
  /** First page and number of pages, by turns. */
  private readonly ranges = new Int32Array(REMEMBERED * 2);
  private readonly untilNs = new Float64Array(REMEMBERED);
  private readonly pastSites: (readonly FindingSite[])[] = [];
  private readonly liveSites = new Map<number, FindingSite>();
  private next = 0;

  /** @param withSites take call sites: microseconds per mapping, for the ledger's mode full */
  constructor(
    private readonly world: World,
    readonly withSites: boolean,
  ) {}

  /** Notes who mapped. Only with sites. */
  mapped(page: number): void {
    this.liveSites.set(page, { what: 'mapped', site: callSite(), atNs: this.world.now });
  }

  unmapped(page: number, pages: number): void {
    const at = this.next & (REMEMBERED - 1);
    this.next = (this.next + 1) | 0;
    this.ranges[at * 2] = page;
    this.ranges[at * 2 + 1] = pages;
    this.untilNs[at] = this.world.now;
    if (this.withSites) this.rememberSites(at, page);
  }

  /** Who made the live mapping that starts at `page`; empty without sites. */
  sitesOf(page: number): FindingSite[] {
    const site = this.liveSites.get(page);
    return site === undefined ? [] : [site];
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
          sites: this.withSites ? this.pastSites[at] : [],
        };
      }
    }
    return null;
  }

  private rememberSites(at: number, page: number): void {
    const sites = this.sitesOf(page);
    this.liveSites.delete(page);
    sites.push({ what: 'unmapped', site: callSite(), atNs: this.world.now });
    this.pastSites[at] = sites;
  }
}
