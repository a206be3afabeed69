/**
 * A directory: names and the inodes they mean, in blocks that are metadata.
 *
 * All entries are in memory once the directory was looked at; a name is found by a map. A new entry goes where there is room,
 * else to a new block at the end. Blocks are never given back before the directory goes.
 * Left out: trees of hashes, giving blocks back.
 * Source followed: fs/ext4/namei.c `ext4_add_entry`, `ext4_delete_entry`, `ext4_init_new_dir` (6.18).
 */
import { eagerly, settled } from '@pincushion/mm';
import { EUCLEAN } from '@pincushion/sim';
import type { MaySleep } from '@pincushion/sim';
import { Magic } from './disk-format/block-header';
import {
  TYPE_DIRECTORY,
  TYPE_FILE,
  addEntry,
  clearDirectoryBlock,
  removeEntry,
  replaceEntry,
  visitEntries,
} from './disk-format/directory-block';
import { MODE_DIRECTORY } from './disk-format/inode-record';
import { DiskInode } from './disk-inode';
import type { SuperBlock } from './super-block';

/** What a name means. */
export interface DirectoryEntry {
  readonly ino: number;
  /** `TYPE_*`. */
  readonly type: number;
  /** Block on disk and place in it. */
  readonly block: number;
  readonly at: number;
}

export class Directory extends DiskInode {
  /** By name, `.` and `..` among them. */
  private readonly entries = new Map<string, DirectoryEntry>();
  /** Block of the directory that had room last. */
  private hint = 0;

  constructor(sb: SuperBlock, ino: number) {
    super(sb, ino, MODE_DIRECTORY);
  }

  /** How many names there are besides `.` and `..`. */
  get count(): number {
    return Math.max(0, this.entries.size - 2);
  }

  /** The directory that it is in. */
  get parent(): number {
    return this.entries.get('..')?.ino ?? 0;
  }

  find(name: string): DirectoryEntry | undefined {
    return this.entries.get(name);
  }

  /** Names in the order in which they were found or made, without `.` and `..`. */
  names(): string[] {
    return [...this.entries.keys()].filter((name) => name !== '.' && name !== '..');
  }

  // ---- reading ---------------------------------------------------------------------------------------------------------------

  /** Reads everything. 0, -EUCLEAN, or -errno. Task context, may sleep. */
  override load(): MaySleep {
    return eagerly(this.sb.memory.world, 'reading a directory', this.readAll());
  }

  private *readAll() {
    const loaded = yield* settled(super.load());
    if (loaded < 0) return loaded;
    const { cache, layout } = this.sb;
    const blocks = this.diskSize / layout.blockBytes;
    if (this.mode !== MODE_DIRECTORY || !Number.isInteger(blocks) || blocks !== this.extents.blockCount())
      return -EUCLEAN;
    for (let i = 0; i < blocks; i++) {
      if (!this.extents.seek(i) || this.extents.foundUnwritten) return -EUCLEAN;
      const block = this.extents.foundStart;
      const error = yield* settled(cache.read(block, Magic.directory));
      if (error < 0) return error;
      if (!this.readBlock(block)) return -EUCLEAN;
    }
    return this.find('.')?.ino === this.ino && this.parent !== 0 ? 0 : -EUCLEAN;
  }

  private readBlock(block: number): boolean {
    let isGood = true;
    const words = new TextDecoder();
    const { inodes } = this.sb.layout;
    const isWhole = visitEntries(this.sb.cache.get(block).bytes, (ino, type, bytes, at) => {
      const name = words.decode(bytes);
      const isKnownType = type === TYPE_FILE || type === TYPE_DIRECTORY;
      if (ino > inodes || !isKnownType || this.entries.has(name) || /[/\0]/.test(name)) isGood = false;
      this.entries.set(name, { ino, type, block, at });
      return undefined;
    });
    return isWhole && isGood;
  }

  // ---- changing --------------------------------------------------------------------------------------------------------------

  /** Blocks that a change of an entry may write, the inode among them. */
  override get credits(): number {
    return super.credits + 2;
  }

  /** Names an inode. 0, -ENOSPC, -EFBIG. Inside of a change. */
  add(name: string, ino: number, type: number): number {
    const bytes = new TextEncoder().encode(name);
    const { cache, layout, journal } = this.sb;
    const blocks = this.diskSize / layout.blockBytes;
    for (let n = 0; n < blocks; n++) {
      const i = (this.hint + n) % blocks;
      this.extents.seek(i);
      const at = addEntry(cache.get(this.extents.foundStart).bytes, ino, type, bytes);
      if (at < 0) continue;
      this.hint = i;
      return this.added(name, { ino, type, block: this.extents.foundStart, at });
    }
    const got = this.allocate(blocks, 1, false, false);
    if (got < 0) return got;
    this.extents.seek(blocks);
    const block = this.extents.foundStart;
    const made = cache.create(block, Magic.directory);
    clearDirectoryBlock(made.bytes);
    journal.transaction.add(made);
    this.diskSize += layout.blockBytes;
    this.hint = blocks;
    return this.added(name, { ino, type, block, at: addEntry(made.bytes, ino, type, bytes) });
  }

  private added(name: string, entry: DirectoryEntry): number {
    this.entries.set(name, entry);
    this.touch(entry);
    return 0;
  }

  /** The name means nothing any more. Inside of a change. */
  remove(name: string): void {
    const entry = this.entries.get(name);
    if (entry === undefined) return;
    removeEntry(this.sb.cache.get(entry.block).bytes, entry.at);
    this.entries.delete(name);
    this.touch(entry);
  }

  /** The name means another inode. Inside of a change. */
  replace(name: string, ino: number, type: number): void {
    const entry = this.entries.get(name);
    if (entry === undefined) return;
    replaceEntry(this.sb.cache.get(entry.block).bytes, entry.at, ino, type);
    this.entries.set(name, { ...entry, ino, type });
    this.touch(entry);
  }

  /** Its blocks are freed: it is not in use any more. Inside of a change. */
  clear(): void {
    const { cache, journal } = this.sb;
    for (let i = 0; this.extents.seek(i); i++) journal.transaction.forget(cache.get(this.extents.foundStart));
    this.entries.clear();
  }

  private touch(entry: DirectoryEntry): void {
    const { cache, journal } = this.sb;
    journal.transaction.add(cache.get(entry.block));
    this.changed();
  }
}
