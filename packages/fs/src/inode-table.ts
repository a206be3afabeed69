/**
 * The inodes that are in memory, by number, and the making and ending of inodes.
 *
 * An inode stays in memory, with its pages, until it is deleted or the file system is unmounted.
 * Left out: giving up inodes that nobody uses.
 * Source followed: fs/ext4/ialloc.c `__ext4_new_inode`, `ext4_free_inode`, fs/ext4/inode.c `__ext4_iget` (6.18).
 */
import { eagerly, settled } from '@pincushion/mm';
import { ENOSPC, EUCLEAN } from '@pincushion/sim';
import type { MaySleep } from '@pincushion/sim';
import { Directory } from './directory';
import { Magic } from './disk-format/block-header';
import { TYPE_DIRECTORY } from './disk-format/directory-block';
import { MODE_DIRECTORY } from './disk-format/inode-record';
import { tableBlockOf } from './disk-inode';
import type { DiskInode } from './disk-inode';
import { Inode } from './inode';
import { releaseBlocks } from './release-blocks';
import type { SuperBlock } from './super-block';

export class InodeTable {
  private readonly inodes = new Map<number, Inode | Directory>();

  constructor(private readonly sb: SuperBlock) {}

  /** Those in memory, in the order in which they came. */
  all(): readonly (Inode | Directory)[] {
    return [...this.inodes.values()];
  }

  /** Regular files in memory. */
  files(): Inode[] {
    return this.all().filter((inode) => inode instanceof Inode);
  }

  /** Brings an inode in; `type` is that of its entry in a directory, `name` for messages. 0 or -errno. May sleep. */
  read(ino: number, type: number, name: string): MaySleep {
    const known = this.inodes.get(ino);
    if (known !== undefined) return known instanceof Directory === (type === TYPE_DIRECTORY) ? 0 : -EUCLEAN;
    return eagerly(this.sb.memory.world, 'reading an inode', this.readIn(ino, type, name));
  }

  private *readIn(ino: number, type: number, name: string) {
    const { sb } = this;
    if (!(ino > 0 && ino <= sb.layout.inodes) || !sb.inodeBitmap.has(ino - 1)) return -EUCLEAN;
    const inode = type === TYPE_DIRECTORY ? new Directory(sb, ino) : new Inode(sb, ino, name);
    const error = yield* settled(inode.load());
    if (error === -EUCLEAN) sb.sawCorruption();
    if (error < 0) return error;
    if (!this.inodes.has(ino)) this.inodes.set(ino, inode);
    return 0;
  }

  /** A directory that was read. */
  directory(ino: number): Directory | undefined {
    const inode = this.inodes.get(ino);
    return inode instanceof Directory ? inode : undefined;
  }

  /** A regular file that was read. */
  file(ino: number): Inode | undefined {
    const inode = this.inodes.get(ino);
    return inode instanceof Inode ? inode : undefined;
  }

  // ---- new inodes --------------------------------------------------------------------------------------------------------------

  /** Blocks that `create` may change, without those of the inode itself. */
  readonly credits = 2;

  /**
   * Begins a change that makes an inode: the journal has been asked for `credits` blocks more. The number that the inode will
   * have, or -ENOSPC, -EROFS, -ENOMEM, or -errno. Task context, may sleep; from there on it is inside of the change.
   */
  begin(credits: number): MaySleep {
    return eagerly(this.sb.memory.world, 'a new inode', this.beginChange(credits));
  }

  private *beginChange(credits: number) {
    const { inodeBitmap, cache, journal, layout } = this.sb;
    for (let ready = -1; ;) {
      const bit = inodeBitmap.findRun(0, 1);
      if (bit < 0) return -ENOSPC;
      if (bit === ready) return bit + 1;
      const read = yield* settled(cache.read(tableBlockOf(layout, bit + 1), Magic.inodeTable));
      if (read < 0) return read;
      const started = yield* settled(journal.start(credits + this.credits));
      if (started < 0) return started;
      ready = bit;
    }
  }

  /** Makes the inode that `begin` has found; it has no name yet. Inside of the change. */
  create(ino: number, mode: number, name: string): Inode | Directory {
    const { sb } = this;
    sb.inodeBitmap.take(sb.journal.transaction, ino - 1, 1);
    const inode = mode === MODE_DIRECTORY ? new Directory(sb, ino) : new Inode(sb, ino, name);
    inode.contentChanged();
    this.inodes.set(ino, inode);
    return inode;
  }

  // ---- the end of an inode -----------------------------------------------------------------------------------------------------

  /**
   * Frees an inode, its blocks first, a few extents at a time; it is on the list of orphans, where it stays when that fails.
   * 0 or -errno. Task context, may sleep.
   */
  delete(inode: DiskInode): MaySleep {
    return eagerly(this.sb.memory.world, 'the end of an inode', this.end(inode));
  }

  private *end(inode: DiskInode) {
    const { sb } = this;
    const error = yield* settled(releaseBlocks(inode, 0));
    if (error < 0) return error;
    const started = yield* settled(sb.journal.start(inode.credits + sb.orphans.credits + this.credits));
    if (started < 0) return started;
    sb.orphans.remove(inode);
    this.discard(inode);
    return 0;
  }

  /** The number of an inode without blocks and names is free again. Inside of a change. */
  discard(inode: DiskInode): void {
    const { inodeBitmap, journal } = this.sb;
    inode.mode = 0;
    inode.diskSize = 0;
    inode.changed();
    inodeBitmap.clear(journal.transaction, inode.ino - 1, 1);
    inodeBitmap.release(inode.ino - 1, 1);
    if (this.inodes.get(inode.ino) === inode) this.inodes.delete(inode.ino);
  }
}
