/**
 * Mounting: from a store to a file system that can be used.
 *
 * The superblock says where things are; the journal is recovered; bitmaps and the root directory are read; what was left without
 * a name, or half cut, is ended. Directories and files are read when somebody comes to them.
 * Source followed: fs/ext4/super.c `ext4_fill_super`, fs/ext4/orphan.c `ext4_orphan_cleanup` (6.18).
 */
import { RamDisk } from '@pincushion/block';
import { Gfp, PAGE_SIZE, eagerly, settled } from '@pincushion/mm';
import type { Memory } from '@pincushion/mm';
import { ENOMEM, EUCLEAN, PincushionError, errnoName, sleeping } from '@pincushion/sim';
import type { Blocker, Task } from '@pincushion/sim';
import type { BlockStore } from './block-store';
import { DiskBlockStore } from './disk-block-store';
import { Magic } from './disk-format/block-header';
import { TYPE_DIRECTORY } from './disk-format/directory-block';
import { MODE_FILE, ROOT_INO } from './disk-format/inode-record';
import { STATE_BLOCK, SUPERBLOCK, decodeSuperblock, firstOrphan, isBlockSize } from './disk-format/superblock';
import type { Superblock } from './disk-format/superblock';
import { DiskInode } from './disk-inode';
import { FileSystem } from './file-system';
import type { FileSystemOptions } from './file-system';
import { releaseBlocks } from './release-blocks';
import { Recovery } from './journal/recovery';
import { makeFileSystem } from './make-file-system';
import type { MakeOptions } from './make-file-system';

/** What the journal had to bring home when the file system was mounted. */
export interface RecoveryFacts {
  readonly transactions: number;
  readonly blocksReplayed: number;
  readonly blocksRevoked: number;
  /** Where the journal ended: after its last transaction, or because of what. */
  readonly ended: string;
}

export interface Mounted {
  readonly fs: FileSystem;
  readonly recovery: RecoveryFacts;
}

/**
 * Mounts what is on a store. Throws FS_SUPERBLOCK_INVALID when that is no file system, FS_TOO_SMALL when the store has fewer
 * blocks than it, FS_MOUNT_FAILED (with the errno) when it cannot be read. The caller owes an `unmount`. Task context.
 */
export function mountFileSystem(memory: Memory, store: BlockStore, options: FileSystemOptions = {}): Task<Mounted> {
  return sleeping(memory.world, 'mount', () => mounting(memory, store, options));
}

/** Writes a new file system to a store and mounts it. Throws as `makeFileSystem` and `mountFileSystem`. Task context. */
export function newFileSystem(
  memory: Memory,
  store: BlockStore,
  options: FileSystemOptions & MakeOptions = {},
): Task<FileSystem> {
  return sleeping(memory.world, 'mkfs', () => makeAndMount(memory, store, options));
}

function* makeAndMount(
  memory: Memory,
  store: BlockStore,
  options: FileSystemOptions & MakeOptions,
): Generator<Blocker, FileSystem, undefined> {
  const made = yield* settled(makeFileSystem(memory, store, options));
  if (made < 0) throw failed(options.name ?? 'file system', made);
  return (yield* mounting(memory, store, options)).fs;
}

/**
 * A new file system on a RAM disk of its own, 256 MiB unless the options say otherwise, mounted. What is done with it never
 * waits for the disk. Throws as `makeFileSystem`. Task context. The caller owes an `unmount`.
 */
export function newMemoryFileSystem(
  memory: Memory,
  options: FileSystemOptions & MakeOptions & { blocks?: number; blockBytes?: number } = {},
): FileSystem {
  const { blocks = DEFAULT_BLOCKS, blockBytes = PAGE_SIZE } = options;
  const store = new DiskBlockStore(memory, new RamDisk(memory, blocks * blockBytes), blockBytes);
  const step = makeAndMount(memory, store, options).next();
  if (step.done !== true) throw new PincushionError('INTERNAL', 'a RAM disk was waited for');
  return step.value;
}

const DEFAULT_BLOCKS = 1 << 16;

function* mounting(
  memory: Memory,
  store: BlockStore,
  options: FileSystemOptions,
): Generator<Blocker, Mounted, undefined> {
  const name = options.name ?? 'file system';
  const frames = [memory.allocFolio(0, Gfp.kernel), memory.allocFolio(0, Gfp.kernel)];
  try {
    if (frames.some((pfn) => pfn < 0)) throw failed(name, -ENOMEM);
    const superblock = yield* readSuperblock(memory, store, frames[0], name);
    const recovery = new Recovery(memory, store, superblock.layout, superblock.seed, frames[0], frames[1]);
    const recovered = yield* settled(recovery.run());
    if (recovered < 0) throw failed(`the journal of ${name}`, recovered);
    const fs = new FileSystem(memory, store, superblock, recovery.nextTid, options);
    const error = yield* settled(eagerly(memory.world, 'mount', readAtMount(fs)));
    if (error < 0) {
      fs.discard();
      throw failed(name, error);
    }
    return {
      fs,
      recovery: {
        transactions: recovery.transactions,
        blocksReplayed: recovery.replayed,
        blocksRevoked: recovery.revoked,
        ended: recovery.ended,
      },
    };
  } finally {
    for (const pfn of frames) if (pfn >= 0) memory.putFolio(pfn);
  }
}

function* readSuperblock(
  memory: Memory,
  store: BlockStore,
  frame: number,
  name: string,
): Generator<Blocker, Superblock, undefined> {
  if (!isBlockSize(store.blockBytes) || store.blocks < 1) {
    throw invalid(name, `a store of ${store.blocks} blocks of ${store.blockBytes} bytes has none`);
  }
  const error = yield* settled(store.read(SUPERBLOCK, frame, 0));
  if (error < 0) throw failed(name, error);
  const superblock = decodeSuperblock(memory.bytes.view(frame, store.blockBytes));
  if (typeof superblock === 'string') throw invalid(name, superblock);
  if (superblock.layout.blocks > store.blocks) {
    throw new PincushionError('FS_TOO_SMALL', `${name} is larger than what it lies on`, {
      errno: EUCLEAN,
      expected: `${superblock.layout.blocks} blocks`,
      actual: `${store.blocks}`,
    });
  }
  return superblock;
}

/** What has to be in memory, and the orphans. 0 or -errno. */
function* readAtMount(fs: FileSystem): Generator<Blocker, number, undefined> {
  let error = yield* settled(fs.cache.read(STATE_BLOCK, Magic.state));
  if (error >= 0) error = yield* settled(fs.blockBitmap.load());
  if (error >= 0) error = yield* settled(fs.inodeBitmap.load());
  if (error >= 0) error = yield* settled(fs.table.read(ROOT_INO, TYPE_DIRECTORY, '/'));
  if (error >= 0) error = yield* readOrphans(fs);
  return error < 0 || fs.isReadOnly ? error : yield* endOrphans(fs);
}

/** The list of orphans. 0 or -errno. */
function* readOrphans(fs: FileSystem): Generator<Blocker, number, undefined> {
  const orphans = fs.orphans.all();
  for (let ino = firstOrphan(fs.cache.get(STATE_BLOCK).bytes); ino !== 0;) {
    if (ino > fs.layout.inodes || orphans.length > fs.layout.inodes || !fs.inodeBitmap.has(ino - 1)) return -EUCLEAN;
    const orphan = new DiskInode(fs, ino, MODE_FILE);
    const error = yield* settled(orphan.load());
    if (error < 0) return error;
    fs.orphans.append(orphan);
    ino = orphan.nextOrphan;
  }
  return 0;
}

/** Ends what has no name, and finishes what was being cut. */
function* endOrphans(fs: FileSystem): Generator<Blocker, number, undefined> {
  const orphans = [...fs.orphans.all()];
  for (const orphan of orphans) {
    const error = yield* settled(orphan.links === 0 ? fs.table.delete(orphan) : finishCut(fs, orphan));
    if (error < 0) return error;
  }
  return orphans.length === 0 ? 0 : yield* settled(fs.journal.commit());
}

function finishCut(fs: FileSystem, inode: DiskInode) {
  return eagerly(fs.memory.world, 'the end of a truncate', cutToSize(fs, inode));
}

function* cutToSize(fs: FileSystem, inode: DiskInode) {
  const error = yield* settled(releaseBlocks(inode, Math.ceil(inode.diskSize / fs.store.blockBytes)));
  if (error < 0) return error;
  const started = yield* settled(fs.journal.start(inode.credits + fs.orphans.credits));
  if (started < 0) return started;
  fs.orphans.remove(inode);
  return 0;
}

function invalid(name: string, why: string): PincushionError {
  return new PincushionError('FS_SUPERBLOCK_INVALID', `${name} cannot be mounted: ${why}`, {
    errno: EUCLEAN,
    hint: 'mkfs, or the disk that has it',
  });
}

function failed(name: string, errno: number): PincushionError {
  const why = errno === -EUCLEAN ? 'what is on disk contradicts itself' : `reading it failed with ${errnoName(errno)}`;
  return new PincushionError('FS_MOUNT_FAILED', `${name} cannot be mounted: ${why}`, { errno: -errno });
}
