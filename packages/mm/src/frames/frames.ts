/**
 * The frame table: what the kernel keeps in `struct page` and `struct folio`, as dense parallel arrays over all frame
 * numbers. Untouched parts of a large array take no host memory, so a table for 2 TiB costs nothing until frames are used.
 *
 * A folio is its head frame and an order. All frames of an allocated folio carry the order, and folios are aligned to
 * their size, so the head of a tail is arithmetic. The counts of the whole folio live in the head; `mapcount` is per page.
 * Frame 0 is never handed out, so 0 can mean "none". `mapping` and `index` of a free block link it into the allocator's
 * list, as the kernel's union of `page->mapping` and `page->buddy_list` does.
 * Left out: per-node numbering, memory hot-plug. The order of the LRU lists is in lru-lists.ts: a folio only knows whether it
 * is on one.
 * Source followed: include/linux/mm_types.h, include/linux/page-flags.h (6.18).
 */
import { FRAME_MASK } from '../gup/user-page';

/** Page flags. Named after the kernel; bit numbers are our own. */
/** First frame of a folio of order >= 1. */
export const PG_head = 1 << 0;
/** Anonymous memory. In the kernel bit 0 of `folio->mapping`. */
export const PG_anon = 1 << 1;
/** The anonymous page belongs to one process alone. Per page, also in the tails of a large folio. */
export const PG_anonExclusive = 1 << 2;
export const PG_dirty = 1 << 3;
export const PG_referenced = 1 << 4;
export const PG_swapbacked = 1 << 5;
/** Not managed by the allocator: firmware, the zero page. */
export const PG_reserved = 1 << 6;
export const PG_locked = 1 << 7;
export const PG_uptodate = 1 << 8;
/** Head of a free block on a buddy list; `order` is the order of the block. */
export const PG_buddy = 1 << 9;
export const PG_hwpoison = 1 << 10;
/** The small shared zero page. */
export const PG_zero = 1 << 11;
/** Memory of a PCI device. */
export const PG_p2pdma = 1 << 12;
/** Removed from the direct map for the process that owns it. */
export const PG_secretmem = 1 << 13;
/** Ours: the frame has content in `PageBytes`; without it the frame reads as zeros. Per page. */
export const PG_hasBytes = 1 << 14;
/** On an LRU list: reclaim can find it. */
export const PG_lru = 1 << 15;
export const PG_writeback = 1 << 16;
/** In the swap cache: one more reference, and a copy in swap that is still good while the folio is clean. */
export const PG_swapcache = 1 << 17;
/** On the unevictable list: mlocked. */
export const PG_unevictable = 1 << 18;
export const PG_mlocked = 1 << 19;
/** Has private data of its file system (buffer heads), which holds one reference. */
export const PG_private = 1 << 20;
export const PG_hugetlb = 1 << 21;
/** Merged by KSM; read-only for everybody. Also `PG_anon`. */
export const PG_ksm = 1 << 22;
/** Lies in a page block that is reserved for CMA or isolated: no place for a long-term pin (section 12.1). */
export const PG_cma = 1 << 23;
/**
 * The reader who comes to this page of a file starts reading the next ones ahead. Also `PG_reclaim`: the folio is to be
 * freed as soon as it has been written. The kernel has one bit for both, so each is taken for the other.
 */
export const PG_readahead = 1 << 24;
/** On an active list: used more than once. Kept only while the order of the lists is (lru-lists.ts). */
export const PG_active = 1 << 25;
/** Where the zone number lies in the flags, as in the kernel (`ZONES_PGSHIFT`). Written when a folio is allocated. */
export const ZONES_SHIFT = 28;
/** Set for the zones whose memory must stay movable or is not plain RAM: movable (2) and device (3). */
export const PG_zoneUnpinnable = 1 << (ZONES_SHIFT + 1);

/** What a frame table needs from the memory it belongs to. */
export interface FrameOwner {
  /** The last reference of the folio at `head` is gone. */
  folioFreed(head: number): undefined;
  /** A release of `pages` references that nobody can owe. */
  badRelease(pfn: number, pages: number): undefined;
}

export class FrameTable {
  /** Number of frames, also those that no zone has. Valid frame numbers are 1…count-1. */
  readonly count: number;
  /** References: mappings, gets, pins, caches. Signed 32-bit as in the kernel. 0: free. Head only. */
  readonly refcount: Int32Array;
  /** `PG_*` bits and the zone number. */
  readonly flags: Int32Array;
  /** Page-table entries that map this very page. Per page; 0 means none. `page->_mapcount + 1`. */
  readonly mapcount: Int32Array;
  /** Mappings of a large folio: page-table entries of all its pages, and huge mappings. Head only, order >= 1 only. */
  readonly largeMapcount: Int32Array;
  /** Huge mappings of a large folio. Head only, order >= 1 only. `folio->_entire_mapcount + 1`. */
  readonly entireMapcount: Int32Array;
  /** Pins of a large folio. Head only, order >= 1 only. */
  readonly pincount: Int32Array;
  /** Who the content belongs to: an id of `Memory.owner`. 0: nobody. Head only. */
  readonly mapping: Int32Array;
  /** Which page of its owner the folio begins with, modulo 2^32 (`folio->index`). Head only. */
  readonly index: Int32Array;
  /** Order of the folio, in all its frames; of the block, in the head of a free one. */
  readonly order: Uint8Array;

  /** `count` < 2^30; `owner` is told about folios whose last reference goes. */
  constructor(
    count: number,
    private readonly owner: FrameOwner,
  ) {
    this.count = count;
    this.refcount = new Int32Array(count);
    this.flags = new Int32Array(count);
    this.mapcount = new Int32Array(count);
    this.largeMapcount = new Int32Array(count);
    this.entireMapcount = new Int32Array(count);
    this.pincount = new Int32Array(count);
    this.mapping = new Int32Array(count);
    this.index = new Int32Array(count);
    this.order = new Uint8Array(count);
  }

  /** The first frame of the folio that `pfn` belongs to. */
  headOf(pfn: number): number {
    return pfn & -(1 << this.order[pfn]);
  }

  /** Mappings of the folio at `head`, of whatever size. `folio_mapcount`. */
  folioMapcount(head: number): number {
    return this.order[head] === 0 ? this.mapcount[head] : this.largeMapcount[head];
  }

  /** How often this very page is mapped, huge mappings included. `folio_precise_page_mapcount`. */
  preciseMapcount(pfn: number): number {
    if (this.order[pfn] === 0) return this.mapcount[pfn];
    return this.mapcount[pfn] + this.entireMapcount[this.headOf(pfn)];
  }

  /** `zone_idx` of an allocated frame. */
  zoneOf(pfn: number): number {
    return (this.flags[this.headOf(pfn)] >>> ZONES_SHIFT) & 3;
  }

  /**
   * Ends the life of a folio whose reference count has just become zero. For pin schemes and `put`; any context.
   * `head` must be the head frame.
   */
  free(head: number): void {
    this.owner.folioFreed(head);
  }

  /** Reports a release nobody can owe; the caller leaves the count as it is. Any context. */
  badRelease(pfn: number, pages: number): void {
    this.owner.badRelease(pfn & FRAME_MASK, pages);
  }

  /** Adds `n` references to a folio that has at least one. Any context. */
  get(head: number, n: number): void {
    this.refcount[head] += n;
  }

  /** Drops `n` references of the folio at `head` and frees it with the last. Any context. */
  put(head: number, n: number): void {
    const count = this.refcount[head];
    const left = (count - n) | 0;
    if (count >= 0 && left < 0) {
      this.owner.badRelease(head, n);
      return;
    }
    this.refcount[head] = left;
    if (left === 0) this.owner.folioFreed(head);
  }
}
