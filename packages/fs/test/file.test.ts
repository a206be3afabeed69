import { EFAULT, EINVAL, ENOENT, ENOSPC } from '@pincushion/sim';
import { MAP_PRIVATE, PAGE_SIZE, PG_dirty, PG_private, assertMemorySane, newPinnedPages } from '@pincushion/mm';
import type { MappableFile } from '@pincushion/mm';
import { blockOf, byteOf, filled, frameAt, load, map, mount, plain, store, writePage, opened } from './mounted';

/** Forgets the page cache of a file, so that the next read asks the store. */
function dropCache(file: MappableFile): void {
  plain(file.fsync());
  plain(file.fadviseDontneed());
  expect(file.mapping.pages.size).toBe(0);
}

describe.each([4096, 1024])('a file on blocks of %i bytes', (blockBytes) => {
  it('reads back from the store what was written', () => {
    const { file } = filled(5, { blockBytes });
    dropCache(file);
    expect([0, 1, 4].map((k) => byteOf(file, k * PAGE_SIZE + 17))).toEqual([1, 2, 5]);
    expect(file.size).toBe(5 * PAGE_SIZE);
  });

  it('keeps what stands around bytes that are written into a page', () => {
    const { file } = filled(2, { blockBytes });
    dropCache(file);
    expect(plain(file.write(PAGE_SIZE - 2, Uint8Array.of(70, 71, 72), 0, 3))).toBe(3);
    dropCache(file);
    const into = new Uint8Array(6);
    plain(file.read(PAGE_SIZE - 4, into, 0, 6));
    expect([...into]).toEqual([1, 1, 70, 71, 72, 2]);
  });

  it('has zeros in holes and takes no blocks for them', () => {
    const { fs } = mount({ blockBytes });
    const file = opened(fs.create('sparse'));
    const free = fs.allocator.blocksFree;
    expect(plain(file.write(10 * PAGE_SIZE + 100, Uint8Array.of(5), 0, 1))).toBe(1);
    expect(file.size).toBe(10 * PAGE_SIZE + 101);
    dropCache(file);
    expect([byteOf(file, 3 * PAGE_SIZE), byteOf(file, 10 * PAGE_SIZE), byteOf(file, file.size - 1)]).toEqual([0, 0, 5]);
    expect(free - fs.allocator.blocksFree).toBe(1);
  });

  it('zeroes what is behind the end, in the cache and on disk', () => {
    const { file } = filled(2, { blockBytes });
    expect(plain(file.truncate(PAGE_SIZE + 10))).toBe(0);
    dropCache(file);
    expect(plain(file.truncate(2 * PAGE_SIZE))).toBe(0);
    expect([byteOf(file, PAGE_SIZE + 9), byteOf(file, PAGE_SIZE + 10), byteOf(file, 2 * PAGE_SIZE - 1)]).toEqual([
      2, 0, 0,
    ]);
  });

  it('does not show what a mapping wrote behind the end when the file grows', () => {
    const { mm, file } = filled(1, { blockBytes });
    plain(file.truncate(100));
    const address = map(mm, file, 1);
    store(mm, address + 2000, 66);
    expect(plain(file.truncate(PAGE_SIZE))).toBe(0);
    expect(byteOf(file, 2000)).toBe(0);
    dropCacheMapped();
    expect(byteOf(file, 2000)).toBe(0);

    function dropCacheMapped(): void {
      plain(mm.munmap(address, PAGE_SIZE));
      dropCache(file);
    }
  });

  it('punches holes of whole and of parts of pages, in the cache and on disk', () => {
    const { file, fs } = filled(4, { blockBytes });
    const free = fs.allocator.blocksFree;
    expect(plain(file.punchHole(PAGE_SIZE / 2, 2 * PAGE_SIZE))).toBe(0);
    for (let round = 0; round < 2; round++) {
      const at = [PAGE_SIZE / 2 - 1, PAGE_SIZE / 2, PAGE_SIZE, 2.5 * PAGE_SIZE - 1, 2.5 * PAGE_SIZE];
      expect(at.map((position) => byteOf(file, position))).toEqual([1, 0, 0, 0, 3]);
      dropCache(file);
    }
    expect(fs.allocator.blocksFree - free).toBe(PAGE_SIZE / blockBytes);
    expect(file.size).toBe(4 * PAGE_SIZE);
  });

  it('gives its blocks back when the last user of an unlinked file is gone', () => {
    const { mm, memory, file, fs } = filled(3, { blockBytes });
    const free = fs.allocator.blocksFree;
    const address = map(mm, file, 3);
    expect(fs.unlink('data')).toBe(0);
    file.close();
    expect(load(mm, address)).toBe(1);
    plain(mm.munmap(address, 3 * PAGE_SIZE));
    expect(fs.allocator.blocksFree - free).toBe((3 * PAGE_SIZE) / blockBytes);
    expect(file.mapping.pages.size).toBe(0);
    assertMemorySane(memory);
  });
});

describe('a full file system', () => {
  it('tells the writer, who keeps what fitted, and not writeback', () => {
    const { fs } = mount({ blocksFree: 2 });
    const file = opened(fs.create('big'));
    expect(plain(file.write(0, new Uint8Array(3 * PAGE_SIZE).fill(1), 0, 3 * PAGE_SIZE))).toBe(2 * PAGE_SIZE);
    expect(plain(file.write(2 * PAGE_SIZE, Uint8Array.of(1), 0, 1))).toBe(-ENOSPC);
    expect([...file.mapping.pages.keys()]).toEqual([0, 1]);
    expect(plain(file.fsync())).toBe(0);
    expect(fs.allocator.blocksFree).toBe(0);
  });

  it('sends SIGBUS to who writes to a hole by a mapping', () => {
    const { fs, mm } = mount({ blocksFree: 1 });
    const file = opened(fs.create('hole'));
    plain(file.truncate(2 * PAGE_SIZE));
    const address = map(mm, file, 2);
    store(mm, address, 1);
    expect(plain(mm.write(address + PAGE_SIZE, Uint8Array.of(1)))).toBe(-EFAULT);
    expect(load(mm, address + PAGE_SIZE)).toBe(0);
  });

  it('gives reservations back for pages that are truncated before they were written', () => {
    const { fs } = mount({ blocksFree: 2 });
    const file = opened(fs.create('a'));
    writePage(file, 0, 1);
    writePage(file, 1, 1);
    expect(fs.allocator.blocksReserved).toBe(2);
    plain(file.truncate(0));
    expect([fs.allocator.blocksReserved, fs.allocator.blocksFree]).toEqual([0, 2]);
  });
});

describe('truncation and pins', () => {
  it('takes the page away from a transfer in flight, clean and without buffers (fact 18)', () => {
    const { mm, memory, frames, gup, owner, file } = filled(2);
    const address = map(mm, file, 2);
    const pages = newPinnedPages(1);
    expect(plain(gup.pinUserPagesFast(mm, address, 1, 1, pages, 0, owner))).toBe(1);
    const pfn = frameAt(mm, address);
    expect(frames.refcount[pfn]).toBe(1027);
    expect(plain(file.truncate(0))).toBe(0);
    expect([frames.refcount[pfn], frames.mapcount[pfn], frames.flags[pfn] & (PG_dirty | PG_private)]).toEqual([
      1024, 0, 0,
    ]);
    expect(plain(gup.unpinUserPagesDirtyLock(pages, 0, 1, true))).toBe(0); // W-10: only a bit of a page without file
    expect(file.mapping.dirty.size).toBe(0);
    assertMemorySane(memory);
  });

  it('removes private copies behind the new end and leaves them in a hole (fact 18)', () => {
    const { mm, file } = filled(3);
    const address = map(mm, file, 3, undefined, MAP_PRIVATE);
    for (let k = 0; k < 3; k++) store(mm, address + k * PAGE_SIZE, 90 + k);
    plain(file.punchHole(0, PAGE_SIZE));
    expect(load(mm, address)).toBe(90);
    plain(file.truncate(2 * PAGE_SIZE));
    expect(plain(mm.read(address + 2 * PAGE_SIZE, new Uint8Array(1)))).toBe(-EFAULT);
    expect(load(mm, address + PAGE_SIZE)).toBe(91);
  });
});

describe('a file system', () => {
  it('finds files by name, and cuts one that is created again', () => {
    const { fs, file } = filled(1);
    expect(fs.open('nothing')).toBe(-ENOENT);
    const again = opened(fs.open('data'));
    expect(byteOf(again, 0)).toBe(1);
    expect(opened(fs.create('data')).size).toBe(0);
    expect(file.size).toBe(0);
    expect(fs.unlink('nothing')).toBe(-ENOENT);
  });

  it('writes all files at sync', () => {
    const { fs, disk } = mount();
    const onDisk = (name: string): number => disk.peek(blockOf(fs, name, 0))[0];
    writePage(opened(fs.create('a')), 0, 3);
    writePage(opened(fs.create('b')), 0, 4);
    expect([blockOf(fs, 'a', 0), blockOf(fs, 'b', 0)]).toEqual([0, 0]);
    expect(plain(fs.sync())).toBe(0);
    expect([onDisk('a'), onDisk('b')]).toEqual([3, 4]);
  });

  it('refuses impossible arguments', () => {
    const { file } = filled(1);
    const byte = new Uint8Array(1);
    expect([file.truncate(-1), file.punchHole(0, 0), file.write(-1, byte, 0, 1)].map(plain)).toEqual([
      -EINVAL,
      -EINVAL,
      -EINVAL,
    ]);
  });
});
