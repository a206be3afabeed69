/**
 * The page cache of one file: which folio holds which page, who maps it, and what its file system does about it.
 *
 * A folio in the cache has one reference per page from it, `FrameTable.mapping` names the cache and `index` the page. What
 * the file system must do is behind `AddressSpaceOps`; the cache itself (look-up, read, write, map, truncate) is in
 * page-cache.ts and truncate.ts.
 * Source followed: include/linux/fs.h `struct address_space`, `struct address_space_operations` (6.18).
 */
import { WaitQueue } from '@pincushion/sim';
import type { MaySleep } from '@pincushion/sim';
import { PG_hugetlb } from '../frames/frames';
import type { Memory } from '../memory';
import { PAGE_SIZE } from '../frames/page-size';
import { ErrSeq } from './errseq';
import { FileReadahead } from './file-readahead';
import type { Flusher } from './flusher';
import type { Vma } from '../process/vma';

/** The part of an inode that the cache needs. */
export interface CacheHost {
  /** `i_size`, in bytes. */
  size: number;
}

/** What a file system does for the cache. `head` is the folio, which holds pages from `index` on. */
export interface AddressSpaceOps {
  /**
   * Fills a new folio with the content of the file and marks it uptodate. 0, or 1 when nothing had to be read for it (a
   * hole), or -errno. May sleep.
   */
  readFolio(mapping: AddressSpace, head: number, index: number): MaySleep;
  /**
   * The folio of page `index`, put into the cache when it is not there, ready for bytes [from, to) of it to be written:
   * blocks, buffers, and the content around those bytes. Its head, or -errno. May sleep. `write_begin`.
   */
  writeBegin?(mapping: AddressSpace, index: number, from: number, to: number): MaySleep;
  /** Bytes [from, to) have been written: the folio is dirty, and uptodate if it was not. Any context. `write_end`. */
  writeEnd?(mapping: AddressSpace, head: number, from: number, to: number): undefined;
  /**
   * Writes a dirty folio whose dirty bit has been cleared by `folioClearDirtyForIo`, with the content of frame `data`: the
   * folio itself, or a copy of it. 0 or -errno. May sleep.
   */
  writepage?(mapping: AddressSpace, head: number, index: number, data: number): MaySleep;
  /**
   * A shared mapping is about to write to the folio: blocks and buffers are made ready, and the folio is dirty. 0 or -errno
   * (SIGBUS, or -ENOMEM). A file system without it needs no dirty tracking of mappings. May sleep. `page_mkwrite`.
   */
  pageMkwrite?(mapping: AddressSpace, head: number, index: number): MaySleep;
  /** Marks the folio dirty and what hangs on it; true when it was clean. Without it only the folio is marked. Any context. */
  dirtyFolio?(mapping: AddressSpace, head: number): boolean;
  /** Drops the private data of a clean folio; false when it cannot. `try_to_free_buffers`. */
  releaseFolio?(mapping: AddressSpace, head: number): boolean;
  /** The folio leaves the cache by truncation: its private data goes, dirty or not. */
  invalidateFolio?(mapping: AddressSpace, head: number): undefined;
}

export class AddressSpace {
  /** What `FrameTable.mapping` of its folios says. */
  readonly id: number;
  /** Head of the folio that holds a page, by page index. A large folio has an entry for each of its pages, hugetlb one. */
  readonly pages = new Map<number, number>();
  /** Swap slots of pages that are not in `pages` because they were swapped out, by page index: shared memory only. */
  readonly swapped = new Map<number, number>();
  /** Indices of folios that have to be written (`PAGECACHE_TAG_DIRTY`); only where `canWriteback`. */
  readonly dirty: ReadonlySet<number> = new Set<number>();
  /** Folios on their way to the store, and the pages they hold, or held when that began (`PAGECACHE_TAG_WRITEBACK`). */
  readonly underWriteback = new Map<number, number>();
  /** Errors of writeback that those who have the file open have to be told (`wb_err`). */
  readonly wbErr = new ErrSeq();
  /** Who writes its dirty pages in the background; null: nobody does. */
  flusher: Flusher | null = null;
  /** Woken when a read or write of a folio has ended (`folio_wait_table`). */
  readonly folioWaiters: WaitQueue;
  /** Its pages are kept from reclaim (`AS_UNEVICTABLE`). */
  unevictable = false;
  /** How the file is read ahead. */
  readonly readahead = new FileReadahead();
  /** Areas that map the file, shared and private (`i_mmap`). */
  readonly vmas = new Set<Vma>();

  /** `canWriteback`: dirty pages are written to a store (`mapping_can_writeback`); not for tmpfs. */
  constructor(
    readonly memory: Memory,
    readonly name: string,
    readonly host: CacheHost,
    readonly ops: AddressSpaceOps,
    readonly canWriteback: boolean,
  ) {
    this.id = memory.addOwner(this);
    this.folioWaiters = new WaitQueue(memory.world, `a page of ${name}`);
  }

  /** Pages of the file, the last perhaps in part. */
  get pageCount(): number {
    return Math.ceil(this.host.size / PAGE_SIZE);
  }

  /** The folio of page `index` has to be written. Any context. */
  tagDirty(index: number): void {
    const dirty = this.dirty as Set<number>;
    const before = dirty.size;
    dirty.add(index);
    if (this.flusher === null || dirty.size === before) return;
    this.memory.writeback.dirtyPages++;
    this.flusher.pageDirtied(this);
  }

  /** It need not be written any more. Any context. */
  tagClean(index: number): void {
    if ((this.dirty as Set<number>).delete(index) && this.flusher !== null) this.memory.writeback.dirtyPages--;
  }

  /** A folio of the cache has been moved to other frames. */
  moved(from: number, to: number): undefined {
    const { frames } = this.memory;
    const first = frames.index[from] >>> 0;
    const entries = (frames.flags[from] & PG_hugetlb) !== 0 ? 1 : 1 << frames.order[from];
    for (let i = 0; i < entries; i++) this.pages.set(first + i, to);
    return undefined;
  }
}
