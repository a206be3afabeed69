/**
 * An inode: a file's size, its blocks on disk, its page cache and the buffers of its folios.
 *
 * It ends, with its content, when it has no name and nobody uses it; uses are open files and areas that map it.
 * Left out: directories, links, owners and times, extended attributes.
 * Source followed: include/linux/fs.h `struct inode`, fs/inode.c `iput`, fs/ext4/inode.c `ext4_evict_inode` (6.18).
 */
import { AddressSpace, FileBacking, PAGE_SIZE, PG_private, truncateFolios, truncatePagecache } from '@pincushion/mm';
import type { CacheHost, FileUses, Memory } from '@pincushion/mm';
import { inodeOperations } from './address-space-operations';
import type { BlockAllocator } from './block-allocator';
import type { BlockStore } from './block-store';
import { BH_Delay, FolioBuffers } from './buffer-head';
import { OpenFile } from './open-file';

/** What all inodes of a file system share. */
export interface SuperBlock {
  readonly memory: Memory;
  readonly store: BlockStore;
  readonly allocator: BlockAllocator;
  /** A folio that has to be written has no buffers, so what is in it will not reach the store (W-03). */
  lostWrite(inode: Inode, index: number): undefined;
}

export class Inode implements CacheHost, FileUses {
  /** `i_size`, bytes. */
  size = 0;
  readonly mapping: AddressSpace;
  readonly backing: FileBacking;
  /** Disk block by block of the file; holes have none. */
  readonly blocks = new Map<number, number>();
  /** Buffers of the folios that have some, by page index. */
  readonly buffers = new Map<number, FolioBuffers>();
  /** Blocks of a page. */
  readonly blocksPerPage: number;
  /** Whether a directory names it. */
  hasName = true;
  private uses = 0;

  constructor(
    readonly sb: SuperBlock,
    readonly name: string,
  ) {
    this.blocksPerPage = PAGE_SIZE / sb.store.blockBytes;
    this.mapping = new AddressSpace(sb.memory, name, this, inodeOperations(this), true);
    this.backing = new FileBacking(new OpenFile(this), this.mapping, this);
  }

  // ---- buffers ---------------------------------------------------------------------------------------------------------

  /** The buffers of a folio of the cache, made when it has none; the folio is private to the file system from then on. */
  ensureBuffers(head: number, index: number, isUptodate: boolean, isDirty: boolean): FolioBuffers {
    const known = this.buffers.get(index);
    if (known !== undefined) return known;
    const buffers = new FolioBuffers(this.blocksPerPage, isUptodate, isDirty);
    this.buffers.set(index, buffers);
    const { frames } = this.sb.memory;
    frames.flags[head] |= PG_private;
    frames.get(head, 1);
    return buffers;
  }

  /** The buffers go, with what they have reserved. `drop_buffers`, `ext4_da_page_release_reservation`. */
  dropBuffers(head: number, index: number): void {
    const buffers = this.buffers.get(index);
    if (buffers === undefined) return;
    for (let i = 0; i < this.blocksPerPage; i++) if (buffers.has(i, BH_Delay)) this.sb.allocator.unreserve();
    this.buffers.delete(index);
    const { frames } = this.sb.memory;
    frames.flags[head] &= ~PG_private;
    frames.put(head, 1);
  }

  /** Blocks [first, end) of the file are a hole from now on; their buffers are gone already. */
  freeBlocks(first: number, end: number): void {
    for (const [block, disk] of this.blocks) {
      if (block < first || block >= end) continue;
      this.blocks.delete(block);
      this.sb.allocator.free(disk);
    }
  }

  /** Whether any of blocks [first, end) is on disk or has a reservation. */
  hasBlocks(first: number, end: number): boolean {
    for (let block = first; block < end; block++) {
      if (this.blocks.has(block)) return true;
      const buffers = this.buffers.get(Math.floor(block / this.blocksPerPage));
      if (buffers?.has(block % this.blocksPerPage, BH_Delay) === true) return true;
    }
    return false;
  }

  /** O_TRUNC of a file that is not being written out. Any context. */
  truncateToNothing(): void {
    this.size = 0;
    truncatePagecache(this.mapping, 0);
    this.freeBlocks(0, Infinity);
  }

  // ---- uses ------------------------------------------------------------------------------------------------------------

  get(): undefined {
    this.uses++;
    return undefined;
  }

  put(): undefined {
    this.uses--;
    this.evictIfUnused();
    return undefined;
  }

  /** The directory forgets it. */
  unlinked(): undefined {
    this.hasName = false;
    this.evictIfUnused();
    return undefined;
  }

  private evictIfUnused(): void {
    if (this.hasName || this.uses > 0) return;
    truncateFolios(this.mapping, 0, Infinity);
    this.freeBlocks(0, Infinity);
  }
}
