/**
 * The I/O page table of one domain and, in the same words, what dma-debug remembers of every live mapping.
 *
 * Two levels: a directory of leaves, each for 1024 pages (4 MiB) of IOVA with four words a page, so that mapping a page
 * touches one place. An entry is a frame number with the permission bits of direction.ts on top; 0 is "not mapped". In
 * lazy mode an unmapped page keeps its frame, loses its permissions and has them in `stale` until the flush: the device's
 * fast test fails for it as for any other page, and only the slow path looks further.
 *
 * ```
 * iova  =  directory index | 10 bits of page | 12 bits of offset
 * words of a page:
 *   ENTRY  W R | 30 bits of frame
 *   HEAD   offset of the first byte << 5 | kind << 3 | direction << 1 | 1     at the first page of a mapping, else 0
 *   BYTES  bytes of the mapping         valid while HEAD is not 0
 *   PAGES  pages of the mapping         valid while HEAD is not 0
 * ```
 * Source: Linux 6.18 drivers/iommu/io-pgtable.c, kernel/dma/debug.c (struct dma_debug_entry).
 */
import { PAGE_SIZE } from '@pincushion/mm';

export const LEAF_SHIFT = 10;
export const LEAF_PAGES = 1 << LEAF_SHIFT;
export const LEAF_MASK = LEAF_PAGES - 1;

/** Words of a page in its leaf, as a shift, and their places. */
export const WORDS_SHIFT = 2;
export const ENTRY = 0;
export const HEAD = 1;
export const BYTES = 2;
export const PAGES = 3;
const STEP = 1 << WORDS_SHIFT;
const LEAF_WORDS = LEAF_PAGES << WORDS_SHIFT;

/** Addresses from here on do not fit an int32: they are looked up by page number. */
const NEAR_END = 0x7fffffff;

/**
 * By which function a mapping was made; unmapping by another one is an error (DM-06). `peer`: as `pages`, with memory of peers in it,
 * which is undone with more care.
 */
export const MappingKind = { pages: 0, sg: 1, coherent: 2, peer: 3 } as const;

/** The HEAD of a mapping. */
export function headOf(offset: number, kind: number, direction: number): number {
  return (offset << 5) | (kind << 3) | (direction << 1) | 1;
}

/** A live mapping, as reports read it. */
export interface MappingRecord {
  readonly page: number;
  readonly pages: number;
  readonly iova: number;
  readonly bytes: number;
  readonly direction: number;
  readonly kind: number;
}

export class IoPageTable {
  /** The leaves: Int32Array of four words a page. Only the table adds to them; readers may keep the reference. */
  readonly leaves: Int32Array[] = [];
  /** Permissions (bits 30 and 31 shifted to 0 and 1) that the IOTLB may still hold. */
  readonly stale: Uint8Array[] = [];
  /**
   * Pages of the memory of peers, which the device reaches through the host bridge: the permission of each, in place (bits 30
   * and 31). Their entries have none, so that every access takes the slow path, which asks whether the peer is still there.
   */
  readonly peers = new Map<number, number>();
  /** First page beyond the leaves. */
  coveredPages = 0;
  /** Addresses below this one have a leaf and fit an int32. */
  nearEnd = 0;

  /** Makes leaves for all pages below `endPage`. */
  cover(endPage: number): void {
    while (this.coveredPages < endPage) {
      this.leaves.push(new Int32Array(LEAF_WORDS));
      this.stale.push(new Uint8Array(LEAF_PAGES));
      this.coveredPages += LEAF_PAGES;
    }
    this.nearEnd = Math.min(this.coveredPages * PAGE_SIZE, NEAR_END);
  }

  /** Notes a mapping at its first page. */
  setHead(page: number, pages: number, bytes: number, offset: number, kind: number, direction: number): void {
    const words = this.leaves[page >>> LEAF_SHIFT];
    const at = (page & LEAF_MASK) << WORDS_SHIFT;
    words[at + HEAD] = headOf(offset, kind, direction);
    words[at + BYTES] = bytes;
    words[at + PAGES] = pages;
  }

  setEntry(page: number, entry: number): void {
    this.leaves[page >>> LEAF_SHIFT][((page & LEAF_MASK) << WORDS_SHIFT) + ENTRY] = entry;
  }

  /** Maps a page of a peer's memory. */
  setPeerEntry(page: number, frame: number, permission: number): void {
    this.setEntry(page, frame);
    this.peers.set(page, permission);
  }

  /** The permission of a page of a peer's memory; 0 for every other page. */
  peerPermission(page: number): number {
    return this.peers.get(page) ?? 0;
  }

  /** The entry of a page; 0 when it is not mapped, or outside. */
  entryAt(page: number): number {
    return page >= 0 && page < this.coveredPages ? this.word(page, ENTRY) : 0;
  }

  /** The head word at a page; 0 when no mapping starts there, or the page is outside. */
  headAt(page: number): number {
    return page >= 0 && page < this.coveredPages ? this.word(page, HEAD) : 0;
  }

  /** Ends a mapping in strict mode: its entries are gone at once. */
  clear(page: number, pages: number): void {
    let leaf = page >>> LEAF_SHIFT;
    let at = (page & LEAF_MASK) << WORDS_SHIFT;
    let words = this.leaves[leaf];
    words[at + HEAD] = 0;
    if (this.peers.size > 0) for (let p = page; p < page + pages; p++) this.peers.delete(p);
    for (let left = pages; left > 0; left--) {
      words[at + ENTRY] = 0;
      at += STEP;
      if (at === LEAF_WORDS && left > 1) {
        at = 0;
        words = this.leaves[++leaf];
      }
    }
  }

  /** Ends a mapping in lazy mode: the IOTLB may go on using the entries until `dropStale`. */
  makeStale(page: number, pages: number): void {
    this.leaves[page >>> LEAF_SHIFT][((page & LEAF_MASK) << WORDS_SHIFT) + HEAD] = 0;
    for (let p = page; p < page + pages; p++) {
      const entry = this.word(p, ENTRY);
      this.stale[p >>> LEAF_SHIFT][p & LEAF_MASK] = (entry | this.peerPermission(p)) >>> 30;
      this.peers.delete(p);
      this.setEntry(p, entry & 0x3fffffff);
    }
  }

  /** The flush reached these pages. */
  dropStale(page: number, pages: number): void {
    for (let p = page; p < page + pages; p++) {
      this.setEntry(p, 0);
      this.stale[p >>> LEAF_SHIFT][p & LEAF_MASK] = 0;
    }
  }

  /** Permission bits that a stale entry still grants, in place (bits 30 and 31); 0 when the page has none. */
  stalePermission(page: number): number {
    return page >= 0 && page < this.coveredPages ? this.stale[page >>> LEAF_SHIFT][page & LEAF_MASK] << 30 : 0;
  }

  /** The mapping that starts at `page`; its head must be there. */
  record(page: number): MappingRecord {
    const head = this.word(page, HEAD);
    return {
      page,
      pages: this.word(page, PAGES),
      iova: page * PAGE_SIZE + (head >>> 5),
      bytes: this.word(page, BYTES),
      direction: (head >>> 1) & 3,
      kind: (head >>> 3) & 3,
    };
  }

  /** All live mappings by address. For reports. */
  records(): MappingRecord[] {
    const found: MappingRecord[] = [];
    for (let page = 0; page < this.coveredPages; page++) {
      if (this.word(page, HEAD) !== 0) found.push(this.record(page));
    }
    return found;
  }

  private word(page: number, which: number): number {
    return this.leaves[page >>> LEAF_SHIFT][((page & LEAF_MASK) << WORDS_SHIFT) + which];
  }
}
