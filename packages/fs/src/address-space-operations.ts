/**
 * What the page cache asks of the file system: reading, preparing writes, writing, dirtying and releasing folios.
 *
 * The life of a page of a file:
 *
 *   read fault, read(2)      folio without buffers, uptodate; holes are zeros
 *   write(2)                 `writeBegin` makes buffers and gives each block of the range a place (a reservation at first),
 *                            `writeEnd` makes them dirty
 *   first write by mapping   `pageMkwrite` does both for the whole page, before the entry becomes writable
 *   writeback                `writepage` takes disk blocks for reservations, writes the dirty buffers, and with the change
 *                            that gave the blocks the size on disk grows; the journal commits that only after the content
 *   release                  clean buffers go when reclaim, fadvise or drop_caches wants the folio
 *
 * Who marks a folio dirty in another way (a device's driver at the end of its transfer) comes to `dirtyFolio`, which can
 * only do something about it while the folio has buffers (W-03).
 * Left out: journalling of data, inline data.
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
import { EFAULT, ENOSPC, EROFS } from '@pincushion/sim';
import type { MaySleep } from '@pincushion/sim';
import { BH_Delay, BH_Dirty, BH_Mapped, BH_Unwritten, BH_Uptodate } from './buffer-head';
import type { FolioBuffers } from './buffer-head';
import type { Inode } from './inode';
import type { Transaction } from './journal/transaction';

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
    const isOnDisk = inode.extents.seek(block) && !inode.extents.foundUnwritten;
    if (isOnDisk && block * store.blockBytes < inode.size) {
      return store.read(inode.extents.foundStart, head, i * store.blockBytes);
    }
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
    if (this.inode.sb.isReadOnly) return -EROFS;
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
    let reserved = 0;
    let result = 0;
    for (let i = 0; i < inode.blocksPerPage && result === 0; i++) {
      const start = i * blockBytes;
      const end = start + blockBytes;
      if (isUptodate) buffers.set(i, BH_Uptodate);
      if (end <= from || start >= to) continue;
      if (!buffers.has(i, BH_Mapped)) reserved |= 1 << i;
      result = this.mapBlock(buffers, index, i);
      if (result !== 0 || buffers.has(i, BH_Uptodate) || (from <= start && to >= end)) continue;
      result = Math.min(0, yield* settled(this.readBlock(head, index, i)));
      if (result === 0) buffers.set(i, BH_Uptodate);
    }
    if (result < 0) this.zeroReserved(mapping, head, buffers, reserved);
    return result;
  }

  /**
   * Blocks (a bit each) of a write that failed have a reservation and no content: zeros, else whoever writes the page gives
   * them a place on disk and leaves there what lies there. `folio_zero_new_buffers`.
   */
  private zeroReserved(mapping: AddressSpace, head: number, buffers: FolioBuffers, reserved: number): void {
    const { blockBytes } = this.inode.sb.store;
    for (let i = 0; i < this.inode.blocksPerPage; i++) {
      if ((reserved & (1 << i)) === 0 || !buffers.has(i, BH_Delay)) continue;
      if (!buffers.has(i, BH_Uptodate)) mapping.memory.bytes.fill(head, i * blockBytes, 0, blockBytes);
      buffers.set(i, BH_Uptodate | BH_Dirty);
      filemapDirtyFolio(mapping, head);
    }
  }

  /** Gives a block of the folio its place on disk, or a reservation. 0 or -ENOSPC. `ext4_da_get_block_prep`. */
  private mapBlock(buffers: FolioBuffers, index: number, i: number): number {
    if (buffers.has(i, BH_Mapped)) return 0;
    const { inode } = this;
    const { extents } = inode;
    if (extents.seek(index * inode.blocksPerPage + i)) {
      buffers.set(i, extents.foundUnwritten ? BH_Mapped | BH_Unwritten : BH_Mapped);
      buffers.block[i] = extents.foundStart;
      return 0;
    }
    const error = inode.sb.allocator.reserve();
    if (error !== 0) return error;
    buffers.set(i, BH_Mapped | BH_Delay);
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
    if (this.inode.sb.isReadOnly) return -EROFS;
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

  writepage(mapping: AddressSpace, head: number, index: number, data: number): MaySleep {
    const buffers = this.inode.buffers.get(index);
    if (buffers === undefined) {
      // `mpage_prepare_extent_to_map` warns and forgets that the page was dirty.
      this.inode.sb.lostWrite(this.inode, index);
      return 0;
    }
    return eagerly(mapping.memory.world, 'writing a page', this.write(mapping, data, index, buffers));
  }

  /** The inode is in use until its page has arrived, even when nobody else uses it any more. */
  private *write(mapping: AddressSpace, data: number, index: number, buffers: FolioBuffers) {
    this.inode.get();
    const result = yield* this.writeBuffers(mapping, data, index, buffers);
    this.inode.put();
    return result;
  }

  /** `ext4_do_writepages` of one folio. The bytes are those of frame `data`. */
  private *writeBuffers(mapping: AddressSpace, data: number, index: number, buffers: FolioBuffers) {
    const { inode } = this;
    const { store, journal } = inode.sb;
    const size = inode.size;
    const used = Math.max(0, Math.min(PAGE_SIZE, size - index * PAGE_SIZE));
    if (used < PAGE_SIZE) {
      mapping.memory.bytes.fill(data, used, 0, PAGE_SIZE - used);
      // A write that found no room may have left reservations behind the end.
      inode.discardBuffers(index, Math.ceil(used / store.blockBytes));
    }
    const newSize = index * PAGE_SIZE + used;
    let transaction: Transaction | null = null;
    let given = 0;
    for (let i = 0; i < inode.blocksPerPage; i++) if (buffers.has(i, BH_Delay)) given |= 1 << i;
    if (newSize > inode.diskSize || buffers.any(BH_Delay)) {
      const error = yield* this.giveBlocks(index, buffers, newSize);
      if (error < 0) return error;
      // From here to the end of the writes the transaction waits for them.
      transaction = journal.transaction;
      journal.dataBegins(transaction);
    }
    const end = Math.ceil(used / store.blockBytes);
    let toConvert = 0;
    for (let i = 0; i < end; i++) if (buffers.has(i, BH_Unwritten | BH_Dirty)) toConvert |= 1 << i;
    const written = yield* this.writeDirty(data, buffers, end);
    if (transaction !== null) journal.dataEnds(transaction);
    const marked = yield* this.markWritten(index, buffers, toConvert & ~written.failed, given & written.failed);
    return written.result === 0 ? marked : written.result;
  }

  /**
   * Blocks on disk for those that are reserved, and the size that the file has then (`mpage_map_and_submit_extent`). When all
   * that is free was freed by a transaction that is not committed, it is (`ext4_should_retry_alloc`). Inside of a change from
   * its end on.
   */
  private *giveBlocks(index: number, buffers: FolioBuffers, newSize: number) {
    const { inode } = this;
    const { journal } = inode.sb;
    for (let isRetry = false; ; isRetry = true) {
      const started = yield* settled(journal.start(inode.credits + inode.blocksPerPage));
      if (started < 0) return started;
      const error = this.giveBlocksNow(index, buffers);
      if (error < 0 && (error !== -ENOSPC || isRetry)) return error;
      if (error === 0) break;
      const committed = yield* settled(journal.commit());
      if (committed < 0) return committed;
    }
    if (newSize > inode.diskSize) {
      inode.diskSize = newSize;
      inode.contentChanged();
    }
    return 0;
  }

  private giveBlocksNow(index: number, buffers: FolioBuffers): number {
    const { inode } = this;
    for (let i = 0; i < inode.blocksPerPage;) {
      if (!buffers.has(i, BH_Delay)) {
        i++;
        continue;
      }
      let wanted = 1;
      while (i + wanted < inode.blocksPerPage && buffers.has(i + wanted, BH_Delay)) wanted++;
      const got = inode.allocate(index * inode.blocksPerPage + i, wanted, false, true);
      if (got < 0) return got;
      const { runStart } = inode.sb.allocator;
      for (let k = 0; k < got; k++, i++) {
        buffers.clear(i, BH_Delay);
        buffers.block[i] = runStart + k;
        inode.sb.allocator.unreserve();
      }
    }
    return 0;
  }

  /**
   * Writes the dirty ones of the first `end` blocks; those behind the end of the file are clean. 0 or an error, and the blocks
   * that did not arrive (a bit each). `ext4_bio_write_folio`.
   */
  private *writeDirty(data: number, buffers: FolioBuffers, end: number) {
    const { store } = this.inode.sb;
    let result = 0;
    let failed = 0;
    for (let i = 0; i < this.inode.blocksPerPage; i++) {
      if (!buffers.has(i, BH_Dirty)) continue;
      buffers.clear(i, BH_Dirty);
      if (i >= end || !buffers.has(i, BH_Mapped)) continue;
      const error = yield* settled(store.write(buffers.block[i], data, i * store.blockBytes));
      if (error === 0) continue;
      result = error;
      failed |= 1 << i;
    }
    return { result, failed };
  }

  /**
   * The content of some unwritten blocks (a bit each) has arrived: what is there counts now
   * (`ext4_convert_unwritten_extents`). That of some new ones has not: they are unwritten, so that nobody sees what the disk
   * had there before. ext4 gives unwritten blocks from the beginning (dioread_nolock); here a machine that stops in between
   * may find old content in a block that could not be written.
   */
  private *markWritten(index: number, buffers: FolioBuffers, arrived: number, lost: number) {
    const { inode } = this;
    for (let i = 0; i < inode.blocksPerPage; i++) {
      const isLost = (lost & (1 << i)) !== 0;
      if (!isLost && (arrived & (1 << i)) === 0) continue;
      const started = yield* settled(inode.sb.journal.start(inode.credits));
      if (started < 0) return started;
      const block = index * inode.blocksPerPage + i;
      const error = inode.mark(block, block + 1, isLost);
      if (error < 0) return error;
      if (isLost) buffers.set(i, BH_Unwritten);
      else buffers.clear(i, BH_Unwritten);
    }
    return 0;
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
