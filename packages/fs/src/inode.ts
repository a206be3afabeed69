/**
 * The inode of a regular file: its size, its page cache and the buffers of its folios.
 *
 * It ends, with its content, when it has no name and nobody uses it; uses are open files, areas that map it and pages that
 * are being written.
 * Left out: owners and times, extended attributes.
 * Source followed: include/linux/fs.h `struct inode`, fs/inode.c `iput`, fs/ext4/inode.c `ext4_evict_inode` (6.18).
 */
import { AddressSpace, FileBacking, PAGE_SIZE, PG_private, eagerly, settled } from '@pincushion/mm';
import type { CacheHost, FileUses } from '@pincushion/mm';
import { EUCLEAN } from '@pincushion/sim';
import type { MaySleep } from '@pincushion/sim';
import { inodeOperations } from './address-space-operations';
import { BH_Delay, BH_Dirty, BH_Mapped, BH_Unwritten, FolioBuffers } from './buffer-head';
import { MODE_FILE } from './disk-format/inode-record';
import { DiskInode } from './disk-inode';
import { InodeDirectFile } from './inode-direct-io';
import { InodeLock } from './inode-lock';
import { OpenFile } from './open-file';
import type { SuperBlock } from './super-block';

export class Inode extends DiskInode implements CacheHost, FileUses {
  /** `i_size`, bytes. */
  size = 0;
  readonly mapping: AddressSpace;
  readonly backing: FileBacking;
  /** Buffers of the folios that have some, by page index. */
  readonly buffers = new Map<number, FolioBuffers>();
  /** Blocks of a page. */
  readonly blocksPerPage: number;
  /** Held by whoever writes, cuts or allocates (`i_rwsem`). */
  readonly lock: InodeLock;
  /** For direct I/O; null: the store is no disk. */
  readonly direct: InodeDirectFile | null;
  private uses = 0;

  /** `name`: one that it has now, for messages. */
  constructor(
    sb: SuperBlock,
    ino: number,
    readonly name: string,
  ) {
    super(sb, ino, MODE_FILE);
    this.blocksPerPage = PAGE_SIZE / sb.store.blockBytes;
    this.mapping = new AddressSpace(sb.memory, name, this, inodeOperations(this), true);
    this.mapping.flusher = sb.flusher;
    this.mapping.readahead.pages = sb.readaheadPages;
    this.lock = new InodeLock(sb.memory.world, `file ${name}`);
    const { disk } = sb.store;
    this.direct = disk === undefined ? null : new InodeDirectFile(this, disk);
    this.backing = new FileBacking(new OpenFile(this), this.mapping, this);
  }

  override load(): MaySleep {
    return eagerly(this.sb.memory.world, 'reading an inode', this.readIn());
  }

  private *readIn() {
    const loaded = yield* settled(super.load());
    if (loaded < 0) return loaded;
    if (this.mode !== MODE_FILE) return -EUCLEAN;
    this.size = this.diskSize;
    return 0;
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

  /** The buffers of a folio from block `from` on mean nothing any more: their blocks are behind the end. */
  discardBuffers(index: number, from: number): void {
    const buffers = this.buffers.get(index);
    if (buffers === undefined) return;
    for (let i = from; i < this.blocksPerPage; i++) {
      if (buffers.has(i, BH_Delay)) this.sb.allocator.unreserve();
      buffers.clear(i, BH_Mapped | BH_Dirty | BH_Delay | BH_Unwritten);
    }
  }

  /** Writes block `i` of a page as it is now, if it is dirty and has its place. 0 or -errno. Task context, may sleep. */
  writeBlockNow(index: number, i: number): MaySleep {
    const head = this.mapping.pages.get(index) ?? 0;
    const buffers = this.buffers.get(index);
    if (head === 0 || buffers?.has(i, BH_Dirty | BH_Mapped) !== true) return 0;
    if (buffers.has(i, BH_Delay) || buffers.has(i, BH_Unwritten)) return 0;
    return this.sb.store.write(buffers.block[i], head, i * this.sb.store.blockBytes);
  }

  /** Whether a block of the file has a reservation. */
  isDelayed(block: number): boolean {
    const buffers = this.buffers.get(Math.floor(block / this.blocksPerPage));
    return buffers?.has(block % this.blocksPerPage, BH_Delay) === true;
  }

  /** Whether any of blocks [first, end) is on disk or has a reservation. */
  hasBlocks(first: number, end: number): boolean {
    for (let block = first; block < end; block++) if (this.extents.seek(block) || this.isDelayed(block)) return true;
    return false;
  }

  // ---- uses ------------------------------------------------------------------------------------------------------------

  /** Nobody has it open or maps it, and no page is being written. */
  get isUnused(): boolean {
    return this.uses === 0;
  }

  get(): undefined {
    this.uses++;
    return undefined;
  }

  put(): undefined {
    this.uses--;
    this.evictIfUnused();
    return undefined;
  }

  /** A name of it is gone. */
  evictIfUnused(): void {
    if (this.links === 0 && this.uses === 0) this.sb.evict(this);
  }
}
