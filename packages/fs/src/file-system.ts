/**
 * A mounted file system: files and directories by their paths, over a store of blocks.
 *
 * Files behave like those of ext4 with data=ordered and delayed allocation towards memory management: their page cache,
 * buffers, dirty tracking and writeback. On disk there are extents, bitmaps, directories and a journal of metadata in a format
 * of its own (disk-format). An error of the journal, or something on disk that contradicts itself, makes it read-only.
 * Left out: permissions, quotas, symbolic links, times, remounting.
 * Source followed: fs/ext4/super.c `ext4_put_super`, `ext4_sync_fs`, fs/ext4/inode.c `ext4_evict_inode` (6.18).
 */
import { Flusher, PAGE_SIZE, eagerly, settled, truncateFolios, writeAndWaitRange } from '@pincushion/mm';
import type { MappableFile, Memory } from '@pincushion/mm';
import {
  Context,
  EBUSY,
  EISDIR,
  ENOTDIR,
  EROFS,
  PincushionError,
  WaitQueue,
  WorkItem,
  sleeping,
} from '@pincushion/sim';
import type { MaySleep, Task, Tracepoint } from '@pincushion/sim';
import { Bitmap } from './bitmap';
import { BlockAllocator } from './block-allocator';
import type { BlockStore } from './block-store';
import type { DiskInode } from './disk-inode';
import type { Layout, Superblock } from './disk-format/superblock';
import type { Inode } from './inode';
import { InodeTable } from './inode-table';
import { Journal } from './journal/journal';
import { MetadataCache } from './metadata-cache';
import { Namespace } from './namespace';
import { OpenFile } from './open-file';
import { OrphanList } from './orphan-list';
import type { SuperBlock } from './super-block';

export interface FileSystemOptions {
  /** The largest window that is read ahead (`read_ahead_kb`), bytes; 128 KiB unless given. */
  readaheadBytes?: number;
  /** A change is committed after so long at most (`commit=`), virtual nanoseconds; 0, the default: when somebody asks. */
  commitIntervalNs?: number;
  /** Nothing is changed, except that the journal is recovered. */
  readOnly?: boolean;
  /** For messages. */
  name?: string;
}

/** An open file, or -errno; a task of it when the store had to be waited for. */
export type Opened = MappableFile | number | Task<MappableFile | number>;

/** The file of a store that never waits, such as a RAM disk: an open file or -errno. Throws INTERNAL when it did wait. */
export function openedAtOnce(opened: Opened): MappableFile | number {
  if (typeof opened === 'number' || 'mapping' in opened) return opened;
  throw new PincushionError('INTERNAL', 'a store that never waits was waited for');
}

const DEFAULT_READAHEAD_BYTES = 128 << 10;

export class FileSystem implements SuperBlock {
  readonly name: string;
  readonly layout: Layout;
  readonly cache: MetadataCache;
  readonly journal: Journal;
  readonly allocator: BlockAllocator;
  readonly inodeBitmap: Bitmap;
  readonly blockBitmap: Bitmap;
  readonly orphans: OrphanList;
  readonly table: InodeTable;
  readonly flusher: Flusher;
  readonly readaheadPages: number;
  /** Times writeback met a dirty page without buffers and left it out (W-03). */
  lostWrites = 0;
  private readonly namespace: Namespace;
  private readonly lostTrace: Tracepoint;
  private refusesChanges: boolean;
  /** Inodes that end behind the back of whoever used them last. */
  private ending = 0;
  private readonly ended: WaitQueue;

  /** Made by `mountFileSystem` and `newMemoryFileSystem`. `nextTid`: the next transaction of the journal. */
  constructor(
    readonly memory: Memory,
    readonly store: BlockStore,
    { layout, seed }: Superblock,
    nextTid: number,
    options: FileSystemOptions,
  ) {
    this.name = options.name ?? 'file system';
    this.layout = layout;
    this.refusesChanges = options.readOnly ?? false;
    this.readaheadPages = Math.floor((options.readaheadBytes ?? DEFAULT_READAHEAD_BYTES) / PAGE_SIZE);
    this.flusher = new Flusher(memory, this.name);
    this.cache = new MetadataCache(memory, store, seed);
    this.blockBitmap = new Bitmap(this.cache, layout.blockBitmap, layout.blocks, layout.bitsPerBlock);
    this.inodeBitmap = new Bitmap(this.cache, layout.inodeBitmap, layout.inodes, layout.bitsPerBlock);
    this.allocator = new BlockAllocator(this.blockBitmap, layout.dataStart);
    this.journal = new Journal(store, this.cache, this, layout, nextTid, options.commitIntervalNs ?? 0);
    this.orphans = new OrphanList(this.cache, this.journal);
    this.table = new InodeTable(this);
    this.namespace = new Namespace(this, this.table);
    this.lostTrace = memory.world.trace.point('fs:lost-write', ['page']);
    this.ended = new WaitQueue(memory.world, `inodes of ${this.name} that end`);
  }

  get isReadOnly(): boolean {
    return this.refusesChanges || this.journal.aborted !== 0;
  }

  // ---- files by their paths --------------------------------------------------------------------------------------------------

  /** Opens a file, which is empty then: a new one, or an old one cut to nothing, as creat(2). The caller owes a `close`. */
  create(path: string): Opened {
    return this.opened(eagerly(this.memory.world, 'creat', this.createEmpty(path)));
  }

  private *createEmpty(path: string) {
    const ino = yield* settled(this.namespace.create(path, false));
    const inode = ino < 0 ? undefined : this.table.file(ino);
    if (inode === undefined || inode.size === 0) return ino;
    const error = yield* settled(new OpenFile(inode).truncate(0));
    return error < 0 ? error : ino;
  }

  /** Opens a new file; -EEXIST when there is one of this name (O_CREAT | O_EXCL). The caller owes a `close`. */
  createNew(path: string): Opened {
    return this.opened(this.namespace.create(path, true));
  }

  /** Opens a file; -ENOENT, -EISDIR. The caller owes a `close`. */
  open(path: string): Opened {
    return this.opened(this.namespace.lookup(path));
  }

  private opened(found: MaySleep): Opened {
    if (typeof found === 'number') return this.fileOf(found);
    return sleeping(this.memory.world, 'open', () => this.openFound(found));
  }

  private *openFound(found: Task<number>) {
    return this.fileOf(yield* found);
  }

  private fileOf(ino: number): MappableFile | number {
    if (ino < 0) return ino;
    const inode = this.table.file(ino);
    if (inode === undefined) return -EISDIR;
    inode.get();
    return new OpenFile(inode);
  }

  /** The name goes at once, the content with the last name and the last user. 0 or -errno. Task context, may sleep. */
  unlink(path: string): MaySleep {
    return this.namespace.unlink(path);
  }

  /** rename(2). 0 or -errno. Task context, may sleep. */
  rename(from: string, to: string): MaySleep {
    return this.namespace.rename(from, to);
  }

  /** Another name for a file. 0 or -errno. Task context, may sleep. */
  link(from: string, to: string): MaySleep {
    return this.namespace.link(from, to);
  }

  /** 0 or -errno. Task context, may sleep. */
  mkdir(path: string): MaySleep {
    return this.namespace.mkdir(path);
  }

  /** An empty directory goes. 0 or -errno. Task context, may sleep. */
  rmdir(path: string): MaySleep {
    return this.namespace.rmdir(path);
  }

  /** The names in a directory, added to `into`: how many, or -errno. Task context, may sleep. */
  readdir(path: string, into: string[]): MaySleep {
    return eagerly(this.memory.world, 'readdir', this.list(path, into));
  }

  private *list(path: string, into: string[]) {
    const ino = yield* settled(this.namespace.lookup(path));
    if (ino < 0) return ino;
    const names = this.table.directory(ino)?.names();
    if (names === undefined) return -ENOTDIR;
    into.push(...names);
    return names.length;
  }

  // ---- to the disk -----------------------------------------------------------------------------------------------------------

  /** Writes everything that is dirty (syncfs(2)). 0 or the first error. Task context, may sleep. */
  sync(): MaySleep {
    return eagerly(this.memory.world, 'sync', this.syncAll());
  }

  private *syncAll() {
    if (this.journal.aborted !== 0) return -EROFS; // `ext4_sync_fs`
    let result = 0;
    for (const inode of this.table.files()) {
      const error = yield* settled(writeAndWaitRange(inode.mapping));
      if (result === 0) result = error;
    }
    const committed = yield* settled(this.journal.commit());
    const flushed = yield* settled(this.store.flush());
    if (result === 0) result = committed;
    return result === 0 ? flushed : result;
  }

  syncInode(inode: DiskInode, dataOnly: boolean): MaySleep {
    // What the transaction that failed has changed is lost, whoever asks (`ext4_emergency_state`).
    if (this.journal.aborted !== 0) return -EROFS;
    const tid = dataOnly ? inode.dataTid : inode.syncTid;
    // The commit flushes the device, and with it the content that was written before.
    return tid > this.journal.committedTid ? this.journal.commitUpTo(tid) : this.store.flush();
  }

  /**
   * Writes everything, brings the journal home and gives the memory back. 0, -EBUSY while files are open or mapped, or the
   * first error: it is unmounted then all the same. Task context, may sleep.
   */
  unmount(): MaySleep {
    return eagerly(this.memory.world, 'umount', this.end());
  }

  private *end() {
    if (this.table.files().some((inode) => !inode.isUnused)) return -EBUSY;
    if (this.ending > 0) yield* this.ended.waitUntil(() => this.ending === 0);
    let result = this.isReadOnly ? 0 : yield* settled(this.sync());
    if (result === 0 && !this.isReadOnly) result = yield* settled(this.journal.checkpoint());
    for (const { mapping } of this.table.files()) truncateFolios(mapping, 0, Infinity);
    this.discard();
    return result;
  }

  /** Names of files that are open, mapped or being written, as they were when the files came into memory. */
  filesInUse(): string[] {
    const used = this.table.files().filter((inode) => !inode.isUnused);
    return used.map((inode) => inode.name);
  }

  /** Gives the memory of its metadata back, whatever is in it: the file system cannot be used any more. */
  discard(): void {
    this.refusesChanges = true;
    this.journal.release();
    this.cache.release();
  }

  // ---- for its inodes ----------------------------------------------------------------------------------------------------------

  /** Throws KERNEL_BUG where the kernel of the profile stops. */
  lostWrite(inode: Inode, index: number): undefined {
    if (this.memory.profile.dirtyWithoutBuffers === 'bug') {
      throw new PincushionError('KERNEL_BUG', `page ${index} of ${inode.name} is dirty and has no buffers`, {
        hook: 'ext4_writepages',
        expected: 'a page that the file system was asked about before it became dirty',
        actual: 'one that was marked dirty after its buffers were dropped',
      });
    }
    this.lostWrites++;
    if (this.lostTrace.on) this.lostTrace.emit(index, 0, 0, 0);
    return undefined;
  }

  sawCorruption(): undefined {
    this.refusesChanges = true;
    return undefined;
  }

  blocksReleased(start: number, count: number): undefined {
    this.allocator.released(start, count);
    return undefined;
  }

  evict(inode: Inode): undefined {
    truncateFolios(inode.mapping, 0, Infinity);
    const { world } = this.memory;
    if (world.contexts.current !== Context.task || world.contexts.spinLocks > 0) {
      this.ending++;
      world.work.queue(new WorkItem(`end of ${inode.name}`, () => this.evictLater(this.table.delete(inode))));
      return undefined;
    }
    const deleted = this.table.delete(inode);
    if (typeof deleted === 'number') return undefined;
    this.ending++;
    world.spawn(this.evictLater(deleted), { name: `end of ${inode.name}` });
    return undefined;
  }

  private *evictLater(deleted: MaySleep): Task {
    if (typeof deleted !== 'number') yield* deleted;
    this.ending--;
    this.ended.wakeAll();
  }
}
