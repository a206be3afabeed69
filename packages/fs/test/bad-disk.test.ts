/** Disks with something wrong on them: every one is refused with a code or an errno, none hangs or throws anything else. */
import { EUCLEAN, PincushionError, World } from '@pincushion/sim';
import { Gfp, Memory, PAGE_SIZE } from '@pincushion/mm';
import { MemoryBlockStore, checkFileSystem, makeFileSystem, mountFileSystem } from '../src/index';
import type { BlockStore, FileSystem } from '../src/index';
import { HEADER_BYTES, Magic, isSealed, sealBlock, wordAt } from '../src/disk-format/block-header';
import { chance } from './chance';
import { mount, opened, plain, writePage } from './mounted';

/** A file system with some of everything on it, unmounted or not. */
function populated(isUnmounted: boolean) {
  const machine = mount({ blocks: 512, blockBytes: 1024 });
  const { fs } = machine;
  for (const path of ['/a', '/a/b', '/c']) expect(plain(fs.mkdir(path))).toBe(0);
  for (const path of ['/a/one', '/a/b/two', '/three']) {
    const file = opened(fs.create(path));
    for (let k = 0; k < 6; k += 2) writePage(file, k, k + 1);
    expect(plain(file.fsync())).toBe(0);
    file.close();
  }
  if (isUnmounted) expect(plain(fs.unmount())).toBe(0);
  return machine;
}

/** Changes the content of a block. */
function change(memory: Memory, disk: BlockStore, block: number, edit: (bytes: Uint8Array) => undefined): void {
  const frame = memory.allocFolio(0, Gfp.kernel);
  plain(disk.read(block, frame, 0));
  edit(memory.bytes.view(frame, disk.blockBytes));
  plain(disk.write(block, frame, 0));
  memory.putFolio(frame);
}

function mounting(memory: Memory, disk: BlockStore): FileSystem {
  return memory.world.complete(mountFileSystem(memory, disk)).fs;
}

describe('mkfs', () => {
  it('refuses a disk that is too small, and blocks of impossible sizes', () => {
    const memory = new Memory(new World(), { ramBytes: 16 << 20 });
    expect(() => makeFileSystem(memory, new MemoryBlockStore(memory, 60))).toThrow(/FS_TOO_SMALL.*at least 77 blocks/);
    expect(() => makeFileSystem(memory, new MemoryBlockStore(memory, 1000, 512))).toThrow(/FS_SUPERBLOCK_INVALID.*512/);
  });
});

describe('mount', () => {
  it('refuses what is no file system', () => {
    const memory = new Memory(new World(), { ramBytes: 16 << 20 });
    const empty = new MemoryBlockStore(memory, 256);
    expect(() => mounting(memory, empty)).toThrow(/FS_SUPERBLOCK_INVALID.*magic/);
  });

  it('refuses a superblock with a bit changed, and a store of other blocks', () => {
    const { memory, disk } = populated(true);
    change(memory, disk, 0, (bytes) => {
      bytes[20] ^= 1;
      return undefined;
    });
    expect(() => mounting(memory, disk)).toThrow(/FS_SUPERBLOCK_INVALID.*checksum/);
  });

  it('refuses a file system that is larger than its disk', () => {
    const { memory, disk } = populated(true);
    const smaller: BlockStore = {
      blocks: 300,
      blockBytes: 1024,
      stableWrites: false,
      read: (block, pfn, offset) => disk.read(block, pfn, offset),
      write: (block, pfn, offset) => disk.write(block, pfn, offset),
      flush: () => 0,
    };
    expect(() => mounting(memory, smaller)).toThrow(/FS_TOO_SMALL.*512 blocks/);
  });

  it('refuses a bitmap or a root directory that is not whole, and gives its memory back', () => {
    for (const part of ['blockBitmap', 'inodeTable', 'dataStart', 'journal'] as const) {
      const { memory, disk, fs } = populated(true);
      change(memory, disk, fs.layout[part], (bytes) => {
        bytes[100] ^= 4;
        return undefined;
      });
      const free = memory.framesFree;
      expect(() => mounting(memory, disk)).toThrow(/FS_MOUNT_FAILED.*contradicts itself.*EUCLEAN/);
      expect(memory.framesFree).toBe(free);
    }
  });

  it('stops before a torn transaction at the end of the journal, and says so', () => {
    const { memory, disk, fs, world } = populated(false);
    const { journal, journalBlocks } = fs.layout;
    let last = 0;
    for (let block = journal + 1; block < journal + journalBlocks; block++)
      if (disk.peek(block).some((byte) => byte !== 0)) last = block;
    // The commit is the last block; the one before it is torn.
    change(memory, disk, last - 1, (bytes) => {
      bytes.fill(0, 512);
      return undefined;
    });
    const { fs: after, recovery } = world.complete(mountFileSystem(memory, disk));
    expect(recovery.ended).toMatch(/^transaction \d+ with a torn block$/);
    expect(recovery.transactions).toBeGreaterThan(0);
    expect(plain(after.unmount())).toBe(0);
    expect(world.complete(checkFileSystem(memory, disk))).toEqual([]);
  });
});

describe('fsck', () => {
  it('names each block of which the bitmap says something else than the files, wherever its bit stands', () => {
    // 509 blocks: the last byte of the bitmap is not full.
    const machine = mount({ blocks: 509, blockBytes: 1024 });
    const { memory, disk, fs, world } = machine;
    const file = opened(fs.create('/one'));
    writePage(file, 0, 1);
    expect(plain(file.fsync())).toBe(0);
    file.close();
    expect(plain(fs.unmount())).toBe(0);
    const byte = fs.layout.dataStart >> 3;
    const used: number[] = [];
    change(memory, disk, fs.layout.blockBitmap, (bytes) => {
      for (let bit = 0; bit < 8; bit++) if (((bytes[HEADER_BYTES + byte] >> bit) & 1) !== 0) used.push(8 * byte + bit);
      bytes[HEADER_BYTES + byte] = 0;
      for (const block of [400, 508]) bytes[HEADER_BYTES + (block >> 3)] ^= 1 << (block & 7);
      sealBlock(bytes, Magic.bitmap, 1, fs.layout.blockBitmap);
      return undefined;
    });
    expect(used).toContain(fs.layout.dataStart);
    expect(world.complete(checkFileSystem(memory, disk)).map(({ code, subject }) => [code, subject])).toEqual([
      ...used.map((block) => ['block-free-but-used', `block ${block}`]),
      ['block-taken-but-unused', 'block 400'],
      ['block-taken-but-unused', 'block 508'],
    ]);
  });
});

describe('a directory that is broken on disk', () => {
  it('gives -EUCLEAN to who comes to it, and nothing is changed any more (errors=remount-ro)', () => {
    const { memory, disk, fs } = populated(true);
    const inner = mounting(memory, disk);
    plain(inner.readdir('/a', []));
    const broken = inner.table.all().find((inode) => inode.ino === 2);
    broken?.extents.seek(0);
    const block = broken?.extents.foundStart ?? 0;
    expect(plain(inner.unmount())).toBe(0);
    change(memory, disk, block, (bytes) => {
      bytes[40] ^= 1;
      return undefined;
    });
    const again = mounting(memory, disk);
    expect([plain(again.readdir('/a', [])), again.isReadOnly, fs.layout.blocks]).toEqual([-EUCLEAN, true, 512]);
    expect(plain(again.unmount())).toBe(0);
  });
});

describe('a disk with random changes', () => {
  /** Walks everything and writes something; whatever it says, it ends. */
  function use(fs: FileSystem): void {
    const walk = (path: string, depth: number): void => {
      const names: string[] = [];
      if (plain(fs.readdir(path, names)) < 0 || depth > 8) return;
      for (const name of names.slice(0, 100)) {
        const file = fs.open(`${path}${name}`);
        if (typeof file === 'number') {
          walk(`${path}${name}/`, depth + 1);
          continue;
        }
        plain(opened(file).read(0, new Uint8Array(PAGE_SIZE), 0, PAGE_SIZE));
        plain(opened(file).write(PAGE_SIZE, Uint8Array.of(1), 0, 1));
        plain(opened(file).truncate(10));
        opened(file).close();
        plain(fs.rename(`${path}${name}`, `${path}x${depth}`));
      }
    };
    walk('/', 0);
    expect(fs.create('/new')).toBeDefined();
    plain(fs.unlink('/three'));
    plain(fs.sync());
    plain(fs.unmount());
  }

  /** Changes some bytes of one block of a kind, with the checksum made good again or not. */
  it.each([
    ['superblock', 0, 1],
    ['state', 1, 2],
    ['bitmaps', 2, 4],
    ['inode table', 4, 12],
    ['journal', 12, 76],
    ['directories, extents', 76, 110],
  ])('does not crash or hang whoever uses it: %s', (_kind, from, end) => {
    const pick = chance(from + 1);
    const { disk } = populated(from === 12);
    const unclean = populated(false).disk;
    for (let round = 0; round < 60; round++) {
      const memory = new Memory(new World(), { ramBytes: 16 << 20 });
      const copy = new MemoryBlockStore(memory, 512, 1024);
      const source = round % 2 === 0 ? disk : unclean;
      const frame = memory.allocFolio(0, Gfp.kernel);
      for (let block = 0; block < 512; block++) {
        memory.bytes.write(frame, 0, source.peek(block), 0, 1024);
        plain(copy.write(block, frame, 0));
      }
      const target = from + pick(end - from);
      change(memory, copy, target, (bytes) => {
        const magic = wordAt(bytes, 0);
        const seed = target === 0 ? 0xffffffff : 1;
        const wasSealed = isSealed(bytes, magic, seed, target);
        for (let n = 1 + pick(4); n > 0; n--) bytes[8 + pick(pick(2) === 0 ? 60 : 1016)] = pick(256);
        if (wasSealed && pick(4) !== 0) sealBlock(bytes, magic, seed, target);
        return undefined;
      });
      try {
        use(mounting(memory, copy));
      } catch (error) {
        if (!(error instanceof PincushionError) || !/^FS_/.test(error.code)) throw error;
      }
    }
  });
});
