import { BioOp } from '@pincushion/block';
import { Memory, PAGE_SIZE } from '@pincushion/mm';
import { World } from '@pincushion/sim';
import { DiskBlockStore, checkFileSystem, mountFileSystem, newFileSystem } from '../src/index';
import type { FileSystem } from '../src/index';
import { byteOf, mount, opened, plain, writePage } from './mounted';
import { IO_NS, SlowDisk } from './slow-disk';

function touch(fs: FileSystem, path: string, pages = 1): void {
  const file = opened(fs.create(path));
  for (let k = 0; k < pages; k++) writePage(file, k, 1);
  file.close();
}

function names(fs: FileSystem): string[] {
  const into: string[] = [];
  plain(fs.readdir('/', into));
  return into;
}

describe('recovery', () => {
  it('brings home what was committed, in order, and nothing of what was not', () => {
    const { fs, world, memory, disk } = mount();
    touch(fs, '/a');
    plain(fs.sync());
    plain(fs.rename('/a', '/b'));
    plain(fs.sync());
    touch(fs, '/c');
    const { fs: after, recovery } = world.complete(mountFileSystem(memory, disk));
    expect([names(after), recovery.transactions, recovery.ended]).toEqual([['b'], 2, 'nothing more']);
    expect(plain(after.unmount())).toBe(0);
    const { recovery: again } = world.complete(mountFileSystem(memory, disk));
    expect([again.transactions, again.ended]).toEqual([0, 'nothing more']);
  });

  it('can itself be stopped and begun again', () => {
    const { fs, world, memory, disk } = mount({ blockBytes: 1024 });
    for (let i = 0; i < 5; i++) touch(fs, `/file${i}`);
    plain(fs.sync());
    for (let stopAfter = 0; stopAfter < 12; stopAfter++) {
      let writes = 0;
      const dying = {
        blocks: disk.blocks,
        blockBytes: 1024,
        stableWrites: false,
        read: (block: number, pfn: number, offset: number) => disk.read(block, pfn, offset),
        write: (block: number, pfn: number, offset: number) =>
          writes++ < stopAfter ? disk.write(block, pfn, offset) : -5,
        flush: () => 0,
      };
      try {
        world.complete(mountFileSystem(memory, dying)).fs.discard();
      } catch (error) {
        expect(String(error)).toMatch(/FS_MOUNT_FAILED.*EIO/);
      }
    }
    const { fs: after } = world.complete(mountFileSystem(memory, disk));
    expect(names(after)).toHaveLength(5);
    expect(plain(after.unmount())).toBe(0);
    expect(world.complete(checkFileSystem(memory, disk))).toEqual([]);
  });

  it('leaves content alone that lies where a directory was that has been freed since (revoke)', () => {
    const { fs, world, memory, disk } = mount({ blockBytes: 1024, blocks: 400 });
    plain(fs.mkdir('/dir'));
    touch(fs, '/dir/inner', 5);
    touch(fs, '/behind', 5);
    plain(fs.sync()); // the block of the directory is in the journal now
    fs.table.directory(2)?.extents.seek(0);
    const block = fs.table.directory(2)?.extents.foundStart ?? 0;
    plain(fs.unlink('/dir/inner'));
    plain(fs.rmdir('/dir'));
    plain(fs.sync());
    // Fill the disk, so that some content gets that block.
    const file = opened(fs.create('/content'));
    const bytes = new Uint8Array(fs.allocator.blocksFree * 1024).fill(77);
    expect(plain(file.write(0, bytes, 0, bytes.length))).toBe(bytes.length);
    expect(plain(file.fsync())).toBe(0);
    expect(disk.peek(block).every((byte) => byte === 77)).toBe(true);
    const { fs: after, recovery } = world.complete(mountFileSystem(memory, disk));
    expect(recovery.blocksRevoked).toBeGreaterThan(0);
    expect(disk.peek(block).every((byte) => byte === 77)).toBe(true);
    expect(plain(after.unmount())).toBe(0);
  });
});

describe('the ring', () => {
  it('is used round and round, and is empty after a checkpoint', () => {
    const { fs, world, memory, disk } = mount({ blockBytes: 1024 });
    for (let i = 0; i < 300; i++) {
      touch(fs, `/file${i % 10}`);
      plain(fs.sync());
    }
    expect(fs.journal.committedTid).toBeGreaterThan(250);
    expect(plain(fs.journal.checkpoint())).toBe(0);
    const { fs: after, recovery } = world.complete(mountFileSystem(memory, disk));
    expect([names(after).length, recovery.transactions]).toEqual([10, 0]);
    expect(plain(after.unmount())).toBe(0);
    expect(world.complete(checkFileSystem(memory, disk))).toEqual([]);
  });
});

describe('a commit', () => {
  it('comes by itself when a change is old enough, and not again while nothing is changed (commit=)', () => {
    const { fs, world, memory, disk } = mount({ commitIntervalNs: 5e9 });
    plain(fs.mkdir('/a'));
    const tid = fs.journal.committedTid;
    world.run({ untilNs: world.now + 4.9e9 });
    expect(fs.journal.committedTid).toBe(tid);
    expect(world.run()).toBe('idle');
    expect([fs.journal.committedTid, fs.journal.isIdle]).toEqual([tid + 1, true]);
    const { fs: after } = world.complete(mountFileSystem(memory, disk));
    expect(names(after)).toEqual(['a']);
  });

  it.each([4096, 1024])(
    'takes the zeros behind the end of a file that was cut with it (blocks of %i bytes)',
    (blockBytes) => {
      const { fs, world, memory, disk } = mount({ blockBytes });
      const file = opened(fs.create('/a'));
      writePage(file, 0, 9);
      plain(file.fsync());
      plain(file.truncate(100));
      plain(file.truncate(PAGE_SIZE));
      plain(fs.journal.commit()); // nobody has synced the file
      const { fs: after } = world.complete(mountFileSystem(memory, disk));
      const found = opened(after.open('/a'));
      expect([found.size, byteOf(found, 99), byteOf(found, 100), byteOf(found, 2000)]).toEqual([PAGE_SIZE, 9, 0, 0]);
    },
  );

  it('waits for content on its way to blocks that it gives to a file (data=ordered)', () => {
    const world = new World();
    const memory = new Memory(world, { ramBytes: 32 << 20 });
    const disk = new SlowDisk(memory, new Uint8Array(1024 * PAGE_SIZE), { volatileCache: true, fua: true });
    const fs = world.complete(newFileSystem(memory, new DiskBlockStore(memory, disk)));
    const file = opened(fs.create('/a'));
    world.settle(file.write(0, new Uint8Array(PAGE_SIZE).fill(9), 0, PAGE_SIZE));
    const start = disk.ios.length;
    const writing = file.syncFileRange();
    if (typeof writing !== 'number') world.spawn(writing, { name: 'writeback' });
    // The change that gives the block is made, its content is not there yet.
    const committing = fs.journal.commit();
    if (typeof committing !== 'number') world.spawn(committing, { name: 'commit' });
    world.run({ untilNs: world.now + IO_NS / 2 });
    expect(disk.ios.slice(start).map(({ sector }) => sector >= fs.layout.dataStart * 8)).toEqual([true]);
    world.run();
    expect(disk.ios.slice(start).map(({ op }) => op)).toContain(BioOp.flush);
    expect(fs.journal.isIdle).toBe(true);
    file.close();
    expect(world.settle(fs.unmount())).toBe(0);
  });
});
