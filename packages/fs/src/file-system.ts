/**
 * A file system with one directory: files by name, over a store of blocks.
 *
 * Files behave like those of ext4 with data=ordered and delayed allocation towards memory management: their page cache,
 * buffers, dirty tracking and writeback. How they lie on disk is not ext4's: a block goes where there is room, and nothing
 * but the content is kept there.
 * Left out: a format on disk, a journal, directories, permissions, quotas.
 */
import type { MappableFile, Memory } from '@pincushion/mm';
import { PAGE_SIZE, eagerly, settled } from '@pincushion/mm';
import { ENOENT } from '@pincushion/sim';
import type { MaySleep, Tracepoint } from '@pincushion/sim';
import { BlockAllocator } from './block-allocator';
import { MemoryBlockStore } from './block-store';
import type { BlockStore } from './block-store';
import { Inode } from './inode';
import type { SuperBlock } from './inode';
import { OpenFile } from './open-file';

export interface FileSystemOptions {
  /** Where the blocks are kept; in memory, 4 GiB of blocks of 4 KiB, unless given. */
  store?: BlockStore;
  /** The largest window that is read ahead (`read_ahead_kb`), bytes; 128 KiB unless given. */
  readaheadBytes?: number;
  /** For messages. */
  name?: string;
}

const DEFAULT_BLOCKS = 1 << 20;
const DEFAULT_READAHEAD_BYTES = 128 << 10;

export class FileSystem implements SuperBlock {
  readonly name: string;
  readonly store: BlockStore;
  readonly allocator: BlockAllocator;
  /** Times writeback met a dirty page without buffers and left it out (W-03). */
  lostWrites = 0;
  private readonly readaheadPages: number;
  private readonly inodes = new Map<string, Inode>();
  private readonly lostTrace: Tracepoint;

  constructor(
    readonly memory: Memory,
    options: FileSystemOptions = {},
  ) {
    this.name = options.name ?? 'file system';
    this.store = options.store ?? new MemoryBlockStore(memory, DEFAULT_BLOCKS);
    this.allocator = new BlockAllocator(this.store.blocks);
    this.readaheadPages = Math.floor((options.readaheadBytes ?? DEFAULT_READAHEAD_BYTES) / PAGE_SIZE);
    this.lostTrace = memory.world.trace.point('fs:lost-write', ['page']);
  }

  /** Opens a file, which is empty then: a new one, or an old one cut to nothing, as creat(2). The caller owes a `close`. */
  create(name: string): MappableFile {
    const known = this.inodes.get(name);
    known?.truncateToNothing();
    const inode = known ?? this.newInode(name);
    this.inodes.set(name, inode);
    return this.opened(inode);
  }

  /** Opens a file; -ENOENT. The caller owes a `close`. */
  open(name: string): MappableFile | number {
    const inode = this.inodes.get(name);
    return inode === undefined ? -ENOENT : this.opened(inode);
  }

  /** The name goes; the content with the last user. 0 or -ENOENT. */
  unlink(name: string): number {
    const inode = this.inodes.get(name);
    if (inode === undefined) return -ENOENT;
    this.inodes.delete(name);
    inode.unlinked();
    return 0;
  }

  /** Writes everything that is dirty. 0 or the first error. Task context, may sleep. */
  sync(): MaySleep {
    return eagerly(this.memory.world, 'sync', this.syncAll());
  }

  lostWrite(_inode: Inode, index: number): undefined {
    this.lostWrites++;
    if (this.lostTrace.on) this.lostTrace.emit(index, 0, 0, 0);
    return undefined;
  }

  private *syncAll() {
    let result = 0;
    for (const inode of this.inodes.values()) {
      const error = yield* settled(new OpenFile(inode).fsync());
      if (result === 0) result = error;
    }
    return result;
  }

  private newInode(name: string): Inode {
    const inode = new Inode(this, name);
    inode.mapping.readahead.pages = this.readaheadPages;
    return inode;
  }

  private opened(inode: Inode): MappableFile {
    inode.get();
    return new OpenFile(inode);
  }
}
