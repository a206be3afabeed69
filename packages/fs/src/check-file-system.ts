/**
 * fsck: whether what is on a store is a file system that agrees with itself. Nothing is changed.
 *
 * Every directory is walked from the root, every inode of the bitmap is read, and what they say is compared: blocks with the
 * bitmap and with each other, names with link counts, sizes with extents, parents with children. The journal must be empty:
 * mount and unmount first. What is on the list of orphans may have no name.
 * Source followed: e2fsck(8), for what it asks in its five passes.
 */
import { eagerly, settled } from '@pincushion/mm';
import type { Memory } from '@pincushion/mm';
import { sleeping } from '@pincushion/sim';
import type { Blocker, Task } from '@pincushion/sim';
import type { BlockStore } from './block-store';
import { Directory } from './directory';
import { TYPE_DIRECTORY } from './disk-format/directory-block';
import { ROOT_INO } from './disk-format/inode-record';
import type { DiskInode } from './disk-inode';
import type { FileSystem } from './file-system';
import { mountFileSystem } from './mount';

/** What can be wrong. */
export type ProblemCode =
  | 'inode-unreadable'
  | 'block-taken-twice'
  | 'block-free-but-used'
  | 'block-taken-but-unused'
  | 'inode-free-but-named'
  | 'inode-without-name'
  | 'link-count-wrong'
  | 'parent-wrong'
  | 'directory-named-twice'
  | 'extent-behind-end';

export interface Problem {
  readonly code: ProblemCode;
  /** What it is about: an inode or a block. */
  readonly subject: string;
  readonly detail: string;
}

/** The problems that there are, none at best. Throws what `mountFileSystem` throws when it cannot even be mounted. Task context. */
export function checkFileSystem(memory: Memory, store: BlockStore): Task<Problem[]> {
  return sleeping(memory.world, 'fsck', () => checking(memory, store));
}

function* checking(memory: Memory, store: BlockStore): Generator<Blocker, Problem[], undefined> {
  const { fs } = yield* mountFileSystem(memory, store, { readOnly: true });
  const check = new Check(fs);
  yield* settled(eagerly(memory.world, 'fsck', check.run()));
  yield* settled(fs.unmount());
  return check.problems;
}

class Check {
  readonly problems: Problem[] = [];
  /** Who has a block, by block; what mkfs has taken belongs to inode 0. */
  private readonly owners = new Map<number, number>();
  /** A bit for each block that has an owner, as the bitmap should have it. */
  private readonly owned: Uint8Array;
  /** Names of each inode that were found. */
  private readonly names = new Map<number, number>();
  private readonly directories = new Map<number, Directory>();

  constructor(private readonly fs: FileSystem) {
    this.owned = new Uint8Array(Math.ceil(fs.layout.blocks / 8));
  }

  *run() {
    for (let block = 0; block < this.fs.layout.dataStart; block++) this.setOwner(block, 0);
    yield* this.walk();
    yield* this.visitInodes();
    this.compareBitmap();
    return 0;
  }

  /** All directories from the root on. */
  private *walk() {
    const waiting = [{ ino: ROOT_INO, parent: ROOT_INO }];
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      if (this.directories.has(next.ino)) {
        this.report('directory-named-twice', next.ino, `another name is in inode ${next.parent}`);
        continue;
      }
      const error = yield* settled(this.fs.table.read(next.ino, TYPE_DIRECTORY, ''));
      const directory = this.fs.table.directory(next.ino);
      if (error < 0 || directory === undefined) {
        this.report('inode-unreadable', next.ino, `reading the directory gives ${error}`);
        continue;
      }
      this.directories.set(next.ino, directory);
      if (directory.parent !== next.parent) {
        this.report('parent-wrong', next.ino, `it is in ${next.parent}, and says ${directory.parent}`);
      }
      for (const name of directory.names()) {
        const entry = directory.find(name);
        if (entry === undefined) continue;
        this.names.set(entry.ino, (this.names.get(entry.ino) ?? 0) + 1);
        if (!this.fs.inodeBitmap.has(entry.ino - 1)) this.report('inode-free-but-named', entry.ino, `by ${name}`);
        else if (entry.type === TYPE_DIRECTORY) waiting.push({ ino: entry.ino, parent: next.ino });
      }
    }
  }

  /** Every inode that the bitmap has. */
  private *visitInodes() {
    const orphans = new Map(this.fs.orphans.all().map((orphan) => [orphan.ino, orphan]));
    for (let ino = 1; ino <= this.fs.layout.inodes; ino++) {
      if (!this.fs.inodeBitmap.has(ino - 1)) continue;
      const inode = this.directories.get(ino) ?? orphans.get(ino) ?? (yield* this.readFile(ino));
      if (inode === undefined) continue;
      this.visitBlocks(inode);
      if (!orphans.has(ino)) this.compareLinks(inode);
    }
  }

  private *readFile(ino: number) {
    const error = yield* settled(this.fs.table.read(ino, 0, `inode ${ino}`));
    if (error < 0) this.report('inode-unreadable', ino, `reading it gives ${error}`);
    return this.fs.table.file(ino);
  }

  private visitBlocks(inode: DiskInode): void {
    for (const block of inode.tree.blocks()) this.own(block, inode.ino);
    const { blockBytes } = this.fs.layout;
    for (const { logical, length, start, unwritten } of inode.extents.all()) {
      for (let block = start; block < start + length; block++) this.own(block, inode.ino);
      if (!unwritten && (logical + length - 1) * blockBytes >= inode.diskSize) {
        this.report(
          'extent-behind-end',
          inode.ino,
          `block ${logical + length - 1} of a file of ${inode.diskSize} bytes`,
        );
      }
    }
  }

  private own(block: number, ino: number): void {
    const before = this.owners.get(block);
    if (before !== undefined) this.report('block-taken-twice', ino, `block ${block} belongs to inode ${before}, too`);
    this.setOwner(block, ino);
  }

  private setOwner(block: number, ino: number): void {
    this.owners.set(block, ino);
    this.owned[block >> 3] |= 1 << (block & 7);
  }

  /** A directory has its name, its own `.`, and the `..` of each one in it. */
  private compareLinks(inode: DiskInode): void {
    const names = this.names.get(inode.ino) ?? 0;
    let expected = names;
    if (inode instanceof Directory) {
      expected = 2;
      for (const name of inode.names()) if (inode.find(name)?.type === TYPE_DIRECTORY) expected++;
    }
    if (names === 0 && inode.ino !== ROOT_INO)
      this.report('inode-without-name', inode.ino, `it has ${inode.links} links`);
    else if (inode.links !== expected) {
      this.report('link-count-wrong', inode.ino, `it says ${inode.links}, and there are ${expected}`);
    }
  }

  private compareBitmap(): void {
    const { blockBitmap, layout } = this.fs;
    for (let block = 0; block < layout.blocks; block++) {
      // Eight at a time: nearly all of a large disk is free, and nobody has it.
      if ((block & 7) === 0 && blockBitmap.byteAt(block) === this.owned[block >> 3]) {
        block |= 7;
        continue;
      }
      const isTaken = blockBitmap.has(block);
      const owner = this.owners.get(block);
      if (isTaken && owner === undefined) this.add('block-taken-but-unused', `block ${block}`, 'nobody has it');
      if (!isTaken && owner !== undefined) this.add('block-free-but-used', `block ${block}`, `inode ${owner} has it`);
    }
  }

  private report(code: ProblemCode, ino: number, detail: string): void {
    this.add(code, `inode ${ino}`, detail);
  }

  private add(code: ProblemCode, subject: string, detail: string): void {
    this.problems.push({ code, subject, detail });
  }
}
