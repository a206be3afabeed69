/**
 * The list of orphans: inodes that have no name and are still in use, or that are being cut. Who mounts the file system after
 * the machine has stopped ends what is on the list.
 *
 * On disk the list begins in the state block and goes on from inode to inode.
 * Source followed: fs/ext4/orphan.c `ext4_orphan_add`, `ext4_orphan_del` (6.18).
 */
import type { DiskInode } from './disk-inode';
import { STATE_BLOCK, setFirstOrphan } from './disk-format/superblock';
import type { Journal } from './journal/journal';
import type { MetadataCache } from './metadata-cache';

export class OrphanList {
  /** Blocks that a change of the list may write. */
  readonly credits = 3;
  /** In the order of the disk: the newest first. */
  private readonly inodes: DiskInode[] = [];

  constructor(
    private readonly cache: MetadataCache,
    private readonly journal: Journal,
  ) {}

  /** In the order of the disk. */
  all(): readonly DiskInode[] {
    return this.inodes;
  }

  /** Inside of a change. */
  add(inode: DiskInode): void {
    if (this.inodes.includes(inode)) return;
    inode.nextOrphan = this.inodes.length === 0 ? 0 : this.inodes[0].ino;
    this.inodes.unshift(inode);
    inode.changed();
    this.writeFirst();
  }

  /** Inside of a change. */
  remove(inode: DiskInode): void {
    const at = this.inodes.indexOf(inode);
    if (at < 0) return;
    this.inodes.splice(at, 1);
    if (at === 0) {
      this.writeFirst();
    } else {
      this.inodes[at - 1].nextOrphan = inode.nextOrphan;
      this.inodes[at - 1].changed();
    }
    inode.nextOrphan = 0;
    inode.changed();
  }

  /** As read from disk, behind all others. */
  append(inode: DiskInode): void {
    this.inodes.push(inode);
  }

  private writeFirst(): void {
    const state = this.cache.get(STATE_BLOCK);
    setFirstOrphan(state.bytes, this.inodes.length === 0 ? 0 : this.inodes[0].ino);
    this.journal.transaction.add(state);
  }
}
