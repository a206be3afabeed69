/** What all inodes of a mounted file system share (`struct super_block`). */
import type { Flusher, Memory } from '@pincushion/mm';
import type { MaySleep } from '@pincushion/sim';
import type { Bitmap } from './bitmap';
import type { BlockAllocator } from './block-allocator';
import type { BlockStore } from './block-store';
import type { DiskInode } from './disk-inode';
import type { Layout } from './disk-format/superblock';
import type { Inode } from './inode';
import type { Journal } from './journal/journal';
import type { MetadataCache } from './metadata-cache';
import type { OrphanList } from './orphan-list';

export interface SuperBlock {
  /** For messages. */
  readonly name: string;
  readonly memory: Memory;
  readonly store: BlockStore;
  readonly layout: Layout;
  readonly cache: MetadataCache;
  readonly journal: Journal;
  readonly allocator: BlockAllocator;
  readonly inodeBitmap: Bitmap;
  readonly orphans: OrphanList;
  /** Who writes its dirty pages in the background. */
  readonly flusher: Flusher;
  /** Pages of the largest window that is read ahead. */
  readonly readaheadPages: number;
  /** Nothing may be changed: mounted so, or since an error of the journal. */
  readonly isReadOnly: boolean;
  /** A folio that has to be written has no buffers, so what is in it will not reach the store (W-03). */
  lostWrite(inode: Inode, index: number): undefined;
  /** Something on disk contradicts itself: nothing is changed any more (errors=remount-ro). */
  sawCorruption(): undefined;
  /** The inode has no name and no user any more: it ends with its content. Any context. */
  evict(inode: Inode): undefined;
  /** What was done to the inode before is on disk when this ends; `dataOnly`: as far as its content needs it. May sleep. */
  syncInode(inode: DiskInode, dataOnly: boolean): MaySleep;
}
