/**
 * What the page cache asks of the file system: reading, preparing writes, writing, dirtying and releasing folios.
 *
 * The life of a page of a file:
 *
 *   read fault, read(2)      folio without buffers, uptodate; holes are zeros
 *   write(2)                 `writeBegin` makes buffers and gives each block of the range a place (a reservation at first),
 *                            `writeEnd` makes them dirty
 *   first write by mapping   `pageMkwrite` does both for the whole page, before the entry becomes writable
 *   writeback                `writepage` takes disk blocks for reservations and writes the dirty buffers
 *   release                  clean buffers go when reclaim, fadvise or drop_caches wants the folio
 *
 * Who marks a folio dirty in another way (a device's driver at the end of its transfer) comes to `dirtyFolio`, which can
 * only do something about it while the folio has buffers (W-03).
 * Left out: journalling of data, extents, unwritten extents, inline data, writing several folios in one request.
 * Source followed: fs/buffer.c, fs/ext4/inode.c `ext4_da_write_begin`, `ext4_page_mkwrite`, `ext4_bio_write_folio` (6.18).
 */
import {
  Gfp,
  PAGE_SIZE,
  PG_dirty,
  PG_locked,
  PG_uptodate,
  addNewFolio,
  eagerly,
  filemapDirtyFolio,
  findFolio,
  folioCancelDirty,
  folioWaitBit,
  folioWaitWriteback,
  settled,
  truncateFolios,
} from '@pincushion/mm';
import type { AddressSpace, AddressSpaceOps } from '@pincushion/mm';
import { EFAULT } from '@pincushion/sim';
import type { MaySleep } from '@pincushion/sim';
import { BH_Delay, BH_Dirty, BH_Mapped, BH_Uptodate } from './buffer-head';
import type { FolioBuffers } from './buffer-head';
import type { Inode } from './inode';

/** The operations of one inode's page cache. */
export function inodeOperations(inode: Inode): AddressSpaceOps {
  return new InodeOperations(inode);
}

class InodeOperations implements AddressSpaceOps {
  constructor(private readonly inode: Inode) {}

  /** `ext4_read_folio`; with buffers only what they miss (`block_read_full_folio`). */
  readFolio(mapping: AddressSpace, head: number, index: number): MaySleep {
    return eagerly(mapping.memory.world, 'reading a page', this.read(mapping, head, index));
  }

  private *read(mapping: AddressSpace, head: number, index: number) {
    const { inode } = this;
    const buffers = inode.buffers.get(index);
    let result = 1;
    for (let i = 0; i < inode.blocksPerPage; i++) {
      if (buffers?.has(i, BH_Uptodate) === true) continue;
      const got = yield* settled(this.readBlock(head, index, i));
      if (got < 0) return got;
      if (got === 0) result = 0;
      buffers?.set(i, BH_Uptodate);
    }
    mapping.memory.frames.flags[head] |= PG_uptodate;
    return result;
  }

  /** A block from disk, or zeros where the file has a hole or ends, and 1. */
  private readBlock(head: number, index: number, i: number): MaySleep {
    const { inode } = this;
    const { store, memory } = inode.sb;
    const block = index * inode.blocksPerPage + i;
    const disk = inode.blocks.get(block);
    if (disk !== undefined && block * store.blockBytes < inode.size)
      return store.read(disk, head, i * store.blockBytes);
    memory.bytes.fill(head, i * store.blockBytes, 0, store.blockBytes);
    return 1;
  }

  // ---- writing to a page -------------------------------------------------------------------------------------------------

  writeBegin(mapping: AddressSpace, index: number, from: number, to: number): MaySleep {
    return eagerly(mapping.memory.world, 'writing to a page', this.begin(mapping, index, from, to));
  }

  /** `ext4_da_write_begin`. */
  private *begin(mapping: AddressSpace, index: number, from: number, to: number) {
    const { frames } = mapping.memory;
    let head = findFolio(mapping, index);
    if (head === 0) head = addNewFolio(mapping, index, Gfp.movable);
    if (head < 0) return head;
    yield* settled(folioWaitBit(mapping, head, PG_locked));
    if (this.inode.sb.store.stableWrites) yield* settled(folioWaitWriteback(mapping, head));
    if (frames.mapping[head] !== mapping.id) return head; // truncated meanwhile; the caller sees it and starts again
    const error = yield* this.prepareBlocks(mapping, head, index, from, to);
    if (error === 0) return head;
    truncateFolios(mapping, Math.ceil(this.inode.size / PAGE_SIZE), Infinity); // `ext4_truncate_failed_write`
    return error;
  }

  /** Bytes [from, to) of the folio get blocks, and the rest of those blocks its content. `ext4_block_write_begin`. */
  private *prepareBlocks(mapping: AddressSpace, head: number, index: number, from: number, to: number) {
    const { inode } = this;
    const { blockBytes } = inode.sb.store;
    const buffers = this.buffersOf(head, index);
    const isUptodate = (mapping.memory.frames.flags[head] & PG_uptodate) !== 0;
    for (let i = 0; i < inode.blocksPerPage; i++) {
      const start = i * blockBytes;
      const end = start + blockBytes;
      if (isUptodate) buffers.set(i, BH_Uptodate);
      if (end <= from || start >= to) continue;
      const error = this.mapBlock(buffers, index, i);
      if (error !== 0) return error;
      if (buffers.has(i, BH_Uptodate) || (from <= start && to >= end)) continue;
      const failed = yield* settled(this.readBlock(head, index, i));
      if (failed < 0) return failed;
      buffers.set(i, BH_Uptodate);
    }
    return 0;
  }

  /** Gives a block of the folio its place on disk, or a reservation. 0 or -ENOSPC. `ext4_da_get_block_prep`. */
  private mapBlock(buffers: FolioBuffers, index: number, i: number): number {
    if (buffers.has(i, BH_Mapped)) return 0;
    const { inode } = this;
    const disk = inode.blocks.get(index * inode.blocksPerPage + i);
    if (disk === undefined) {
      const error = inode.sb.allocator.reserve();
      if (error !== 0) return error;
      buffers.set(i, BH_Mapped | BH_Delay);
    } else {
      buffers.set(i, BH_Mapped);
      buffers.block[i] = disk;
    }
    return 0;
  }

  /** `block_commit_write`. */
  writeEnd(mapping: AddressSpace, head: number, from: number, to: number): undefined {
    const { inode } = this;
    const { frames } = mapping.memory;
    const { blockBytes } = inode.sb.store;
    const buffers = this.buffersOf(head, frames.index[head] >>> 0);
    for (let i = 0; i < inode.blocksPerPage; i++) {
      if ((i + 1) * blockBytes > from && i * blockBytes < to) buffers.set(i, BH_Uptodate | BH_Dirty);
    }
    if (buffers.all(BH_Uptodate)) frames.flags[head] |= PG_uptodate;
    filemapDirtyFolio(mapping, head);
    return undefined;
  }

  pageMkwrite(mapping: AddressSpace, head: number, index: number): MaySleep {
    return eagerly(mapping.memory.world, 'page_mkwrite', this.mkwrite(mapping, head, index));
  }

  /** `block_page_mkwrite`; -EFAULT when the page was truncated, and the access is tried again. */
  private *mkwrite(mapping: AddressSpace, head: number, index: number) {
    const { frames } = mapping.memory;
    const to = Math.min(PAGE_SIZE, this.inode.size - index * PAGE_SIZE);
    if (frames.mapping[head] !== mapping.id || to <= 0) return -EFAULT;
    const error = yield* this.prepareBlocks(mapping, head, index, 0, to);
    if (error !== 0) return error;
    this.writeEnd(mapping, head, 0, to);
    if (this.inode.sb.store.stableWrites) yield* settled(folioWaitWriteback(mapping, head));
    return 0;
  }

  /** `ext4_dirty_folio`, `block_dirty_folio`. */
  dirtyFolio(mapping: AddressSpace, head: number): boolean {
    const buffers = this.inode.buffers.get(mapping.memory.frames.index[head] >>> 0);
    if (buffers !== undefined) for (let i = 0; i < this.inode.blocksPerPage; i++) buffers.set(i, BH_Dirty);
    return filemapDirtyFolio(mapping, head);
  }

  // ---- writing a page to the store -----------------------------------------------------------------------------------------

  writepage(mapping: AddressSpace, head: number, index: number): MaySleep {
    const buffers = this.inode.buffers.get(index);
    if (buffers === undefined) {
      // `mpage_prepare_extent_to_map` warns and forgets that the page was dirty.
      this.inode.sb.lostWrite(this.inode, index);
      return 0;
    }
    return eagerly(mapping.memory.world, 'writing a page', this.write(mapping, head, index, buffers));
  }

  /** The inode is in use until its page has arrived, even when nobody else uses it any more. */
  private *write(mapping: AddressSpace, head: number, index: number, buffers: FolioBuffers) {
    this.inode.get();
    const result = yield* this.writeBuffers(mapping, head, index, buffers);
    this.inode.put();
    return result;
  }

  /** `mpage_map_and_submit_extent`, `ext4_bio_write_folio`. */
  private *writeBuffers(mapping: AddressSpace, head: number, index: number, buffers: FolioBuffers) {
    const { inode } = this;
    const { store, allocator } = inode.sb;
    const used = Math.min(PAGE_SIZE, inode.size - index * PAGE_SIZE);
    if (used < PAGE_SIZE) mapping.memory.bytes.fill(head, Math.max(0, used), 0, PAGE_SIZE - Math.max(0, used));
    let result = 0;
    for (let i = 0; i < inode.blocksPerPage; i++) {
      if (!buffers.has(i, BH_Dirty)) continue;
      buffers.clear(i, BH_Dirty);
      if (i * store.blockBytes >= used || !buffers.has(i, BH_Mapped)) continue;
      if (buffers.has(i, BH_Delay)) {
        buffers.clear(i, BH_Delay);
        buffers.block[i] = allocator.takeReserved();
        inode.blocks.set(index * inode.blocksPerPage + i, buffers.block[i]);
      }
      const error = yield* settled(store.write(buffers.block[i], head, i * store.blockBytes));
      if (error < 0) result = error;
    }
    return result;
  }

  // ---- releasing -----------------------------------------------------------------------------------------------------------

  /** `ext4_release_folio`, `try_to_free_buffers`. */
  releaseFolio(mapping: AddressSpace, head: number): boolean {
    const index = mapping.memory.frames.index[head] >>> 0;
    if (this.inode.buffers.get(index)?.any(BH_Dirty) === true) return false;
    this.inode.dropBuffers(head, index);
    folioCancelDirty(mapping.memory, head);
    return true;
  }

  /** `block_invalidate_folio`. */
  invalidateFolio(mapping: AddressSpace, head: number): undefined {
    this.inode.dropBuffers(head, mapping.memory.frames.index[head] >>> 0);
    return undefined;
  }

  private buffersOf(head: number, index: number): FolioBuffers {
    const flags = this.inode.sb.memory.frames.flags[head];
    return this.inode.ensureBuffers(head, index, (flags & PG_uptodate) !== 0, (flags & PG_dirty) !== 0);
  }
}
