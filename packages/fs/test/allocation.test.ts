import {
  FALLOC_FL_COLLAPSE_RANGE,
  FALLOC_FL_INSERT_RANGE,
  FALLOC_FL_KEEP_SIZE,
  FALLOC_FL_PUNCH_HOLE,
  FALLOC_FL_ZERO_RANGE,
  PAGE_SIZE,
} from '@pincushion/mm';
import type { MappableFile } from '@pincushion/mm';
import { EFBIG, EINVAL, ENOSPC, EOPNOTSUPP } from '@pincushion/sim';
import { checkFileSystem } from '../src/index';
import { blockOf, byteOf, filled, load, map, mount, opened, plain, store, writePage } from './mounted';

function allocate(file: MappableFile, mode: number, start: number, length: number): number {
  return plain(file.fallocate?.(mode, start, length) ?? -EOPNOTSUPP);
}

/** The first byte of each page. */
function pages(file: MappableFile): number[] {
  return Array.from({ length: Math.ceil(file.size / PAGE_SIZE) }, (_, k) => byteOf(file, k * PAGE_SIZE));
}

/** As `pages`, from disk. */
function reread(file: MappableFile): number[] {
  plain(file.fsync());
  plain(file.fadviseDontneed());
  return pages(file);
}

describe.each([4096, 1024])('fallocate, with blocks of %i bytes', (blockBytes) => {
  it('gives blocks before there is content, which read as zeros whatever lies there', () => {
    const { fs, file, disk, memory } = filled(1, { blockBytes });
    const garbage = memory.allocFolio(0);
    memory.bytes.fill(garbage, 0, 99, PAGE_SIZE);
    for (let block = blockOf(fs, 'data', 0) + 4; block < 400; block++) plain(disk.write(block, garbage, 0));
    const free = fs.allocator.blocksFree;
    expect(allocate(file, 0, PAGE_SIZE, 3 * PAGE_SIZE)).toBe(0);
    expect([free - fs.allocator.blocksFree, file.size]).toEqual([(3 * PAGE_SIZE) / blockBytes, 4 * PAGE_SIZE]);
    expect(reread(file)).toEqual([1, 0, 0, 0]);
    writePage(file, 2, 8);
    plain(file.write(PAGE_SIZE + 10, Uint8Array.of(5), 0, 1));
    expect(reread(file)).toEqual([1, 0, 8, 0]);
    expect([byteOf(file, PAGE_SIZE + 10), byteOf(file, PAGE_SIZE + 11), byteOf(file, 2 * PAGE_SIZE - 1)]).toEqual([
      5, 0, 0,
    ]);
    expect(free - fs.allocator.blocksFree).toBe((3 * PAGE_SIZE) / blockBytes);
  });

  it('keeps the size when told to', () => {
    const { file, fs } = filled(1, { blockBytes });
    expect(allocate(file, FALLOC_FL_KEEP_SIZE, 0, 4 * PAGE_SIZE)).toBe(0);
    const free = fs.allocator.blocksFree;
    expect(file.size).toBe(PAGE_SIZE);
    for (let k = 1; k < 4; k++) writePage(file, k, k + 1);
    expect([reread(file), fs.allocator.blocksFree]).toEqual([[1, 2, 3, 4], free]);
  });

  it('takes a range out and moves what is behind it (collapse)', () => {
    const { file, mm, world, memory, disk, fs } = filled(6, { blockBytes });
    const address = map(mm, file, 6);
    store(mm, address + 5 * PAGE_SIZE, 66);
    expect(allocate(file, FALLOC_FL_COLLAPSE_RANGE, PAGE_SIZE, 2 * PAGE_SIZE)).toBe(0);
    expect([file.size, pages(file), load(mm, address + PAGE_SIZE)]).toEqual([4 * PAGE_SIZE, [1, 4, 5, 66], 4]);
    expect(reread(file)).toEqual([1, 4, 5, 66]);
    plain(mm.munmap(address, 6 * PAGE_SIZE));
    file.close();
    expect(plain(fs.unmount())).toBe(0);
    expect(world.complete(checkFileSystem(memory, disk))).toEqual([]);
  });

  it('puts a hole before what is there (insert)', () => {
    const { file } = filled(3, { blockBytes });
    writePage(file, 2, 9);
    expect(allocate(file, FALLOC_FL_INSERT_RANGE, PAGE_SIZE, 2 * PAGE_SIZE)).toBe(0);
    expect([pages(file), reread(file)]).toEqual([
      [1, 0, 0, 2, 9],
      [1, 0, 0, 2, 9],
    ]);
    expect(allocate(file, FALLOC_FL_COLLAPSE_RANGE, PAGE_SIZE, 2 * PAGE_SIZE)).toBe(0);
    expect(reread(file)).toEqual([1, 2, 9]);
  });

  it('makes zeros, with blocks, of a range that may reach past the end', () => {
    const { file, fs } = filled(3, { blockBytes });
    const free = fs.allocator.blocksFree;
    expect(allocate(file, FALLOC_FL_ZERO_RANGE, PAGE_SIZE / 2, 3 * PAGE_SIZE)).toBe(0);
    expect([file.size, byteOf(file, PAGE_SIZE / 2 - 1), byteOf(file, PAGE_SIZE / 2)]).toEqual([3.5 * PAGE_SIZE, 1, 0]);
    expect([reread(file), byteOf(file, PAGE_SIZE / 2)]).toEqual([[1, 0, 0, 0], 0]);
    expect(free - fs.allocator.blocksFree).toBe(PAGE_SIZE / 2 / blockBytes < 1 ? 1 : PAGE_SIZE / 2 / blockBytes);
  });

  it('moves whole blocks only, and not the end of the file', () => {
    const { file } = filled(3, { blockBytes });
    const refused = [
      allocate(file, FALLOC_FL_COLLAPSE_RANGE, 100, PAGE_SIZE),
      allocate(file, FALLOC_FL_COLLAPSE_RANGE, PAGE_SIZE, 2 * PAGE_SIZE),
      allocate(file, FALLOC_FL_INSERT_RANGE, PAGE_SIZE, 100),
      allocate(file, FALLOC_FL_INSERT_RANGE, 3 * PAGE_SIZE, PAGE_SIZE),
      allocate(file, FALLOC_FL_PUNCH_HOLE, 0, PAGE_SIZE),
      allocate(file, FALLOC_FL_COLLAPSE_RANGE | FALLOC_FL_KEEP_SIZE, 0, PAGE_SIZE),
      allocate(file, 0x40, 0, PAGE_SIZE),
      allocate(file, 0, 0, 2 ** 50),
      allocate(file, 0, -1, 10),
      allocate(file, 0, 0, 0),
    ];
    const [wrong, none, big] = [-EINVAL, -EOPNOTSUPP, -EFBIG];
    expect(refused).toEqual([wrong, wrong, wrong, wrong, none, none, none, big, wrong, wrong]);
    expect(pages(file)).toEqual([1, 2, 3]);
  });

  it('stops with -ENOSPC where there is no room', () => {
    const { fs } = mount({ blockBytes, blocksFree: 4 });
    const file = opened(fs.create('data'));
    expect(allocate(file, 0, 0, 8 * PAGE_SIZE)).toBe(-ENOSPC);
    expect([file.size, fs.allocator.blocksFree]).toEqual([0, 0]);
  });
});

describe('a file in many pieces', () => {
  it('has a tree of extents, which is read again after a mount, and shrinks with the file', () => {
    const machine = mount({ blockBytes: 1024, blocks: 16384 });
    const { fs, world, memory, disk } = machine;
    const file = opened(fs.create('data'));
    const other = opened(fs.create('other'));
    const free = fs.allocator.blocksFree;
    // Two files in turn, so that neither has two blocks in a row.
    for (let k = 0; k < 400; k++) {
      for (const one of [file, other]) {
        plain(one.write(k * 2048, new Uint8Array(1024).fill(1 + (k % 250)), 0, 1024));
        plain(one.syncFileRange());
      }
    }
    expect(plain(fs.sync())).toBe(0);
    expect(free - fs.allocator.blocksFree).toBeGreaterThan(800); // the trees take blocks, too
    plain(file.fadviseDontneed());
    expect([0, 1, 199, 399].map((k) => byteOf(file, k * 2048))).toEqual([1, 2, 200, 150]);
    expect(plain(file.truncate(3 * 2048))).toBe(0);
    for (const one of [file, other]) one.close();
    expect(plain(fs.unmount())).toBe(0);
    expect(world.complete(checkFileSystem(memory, disk))).toEqual([]);
  });
});

describe('a write that finds no room', () => {
  it('is short, then -ENOSPC, and everything stays sound', () => {
    const { fs, world, memory, disk } = mount({ blockBytes: 1024, blocksFree: 5 });
    const file = opened(fs.create('data'));
    const bytes = new Uint8Array(3 * PAGE_SIZE).fill(7);
    expect(plain(file.write(0, bytes, 0, bytes.length))).toBe(PAGE_SIZE);
    expect(plain(file.write(PAGE_SIZE, bytes, 0, 1024))).toBe(1024);
    expect(plain(file.write(PAGE_SIZE + 1024, bytes, 0, 1))).toBe(-ENOSPC);
    expect([file.size, plain(file.fsync())]).toEqual([PAGE_SIZE + 1024, 0]);
    // What another file frees can be had at once, if only after a commit.
    expect(plain(fs.unlink('ballast'))).toBe(0);
    expect(plain(file.write(PAGE_SIZE + 1024, bytes, 0, 2 * PAGE_SIZE))).toBe(2 * PAGE_SIZE);
    expect(plain(file.fsync())).toBe(0);
    file.close();
    expect(plain(fs.unmount())).toBe(0);
    expect(world.complete(checkFileSystem(memory, disk))).toEqual([]);
  });
});
