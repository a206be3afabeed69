import { BlkStatus, BioOp } from '@pincushion/block';
import { Memory, PAGE_SIZE, assertMemorySane } from '@pincushion/mm';
import type { MappableFile } from '@pincushion/mm';
import { EIO, EROFS, World } from '@pincushion/sim';
import type { MaySleep, Task } from '@pincushion/sim';
import { DiskBlockStore, checkFileSystem, mountFileSystem, newFileSystem } from '../src/index';
import type { FileSystem } from '../src/index';
import { chance } from './chance';
import { FaultyDisk } from './faulty-disk';
import { SlowDisk } from './slow-disk';

const BLOCKS = 1024;

/** A file system on a disk that takes its time for everything. */
function onDisk(blockBytes = 4096) {
  const world = new World();
  const memory = new Memory(world, { ramBytes: 32 << 20, ledger: 'full' });
  const disk = new SlowDisk(memory, new Uint8Array(BLOCKS * blockBytes), { volatileCache: true, fua: true });
  const store = new DiskBlockStore(memory, disk, blockBytes);
  const fs = world.complete(newFileSystem(memory, store));
  return { world, memory, disk, store, fs };
}

type OnDisk = ReturnType<typeof onDisk>;

function* wait(result: MaySleep): Task<number> {
  return typeof result === 'number' ? result : yield* result;
}

function* open(result: ReturnType<FileSystem['open']>): Task<MappableFile | number> {
  return typeof result === 'number' || 'mapping' in result ? result : yield* result;
}

/** Nothing is left over, and what is on the disk agrees with itself. */
function expectSound({ world, memory, disk, store }: OnDisk): void {
  disk.endings.clear();
  disk.gone = false;
  const { fs } = world.complete(mountFileSystem(memory, store));
  expect(world.settle(fs.unmount())).toBe(0);
  expect(world.complete(checkFileSystem(memory, store))).toEqual([]);
  assertMemorySane(memory);
  world.checkAtEnd();
  expect(world.findings.all).toEqual([]);
}

/** One program's life: the errnos it saw, without those that say nothing is wrong. */
function* program({ fs }: OnDisk, name: string, steps: number, pick: (below: number) => number): Task<number[]> {
  const errors: number[] = [];
  const done = function* (result: MaySleep): Task<number> {
    const r = yield* wait(result);
    if (r < 0) errors.push(r);
    return r;
  };
  yield* done(fs.mkdir(`/${name}`));
  const file = yield* open(fs.create(`/${name}/file`));
  if (typeof file === 'number') return [...errors, file];
  const bytes = new Uint8Array(3 * PAGE_SIZE).fill(name.charCodeAt(0));
  for (let i = 0; i < steps; i++) {
    const at = pick(20) * 1000;
    const kind = pick(8);
    if (kind < 4) yield* done(file.write(at, bytes, 0, 1 + pick(bytes.length)));
    else if (kind === 4) yield* done(file.truncate(at));
    else if (kind === 5) yield* done(file.fsync());
    else if (kind === 6) yield* done(file.punchHole(at, 8000));
    else {
      yield* done(fs.rename(`/${name}/file`, `/${name}/other`));
      yield* done(fs.rename(`/${name}/other`, `/${name}/file`));
    }
  }
  yield* done(file.fsync());
  const read = new Uint8Array(file.size);
  yield* done(file.read(0, read, 0, read.length));
  if (read.some((byte) => byte !== 0 && byte !== name.charCodeAt(0)))
    throw new Error(`${name} reads what others wrote`);
  file.close();
  return errors;
}

describe('writeback to a disk with queues', () => {
  it('is one request for neighbouring pages of a file, as the plug around it merges them (blk_start_plug)', () => {
    const world = new World();
    const memory = new Memory(world, { ramBytes: 32 << 20, ledger: 'full' });
    const disk = new FaultyDisk(memory, new Uint8Array(BLOCKS * PAGE_SIZE));
    const fs = world.complete(newFileSystem(memory, new DiskBlockStore(memory, disk)));
    const opened = fs.create('data');
    const file = world.complete(open(opened));
    if (typeof file === 'number') throw new Error('no file');
    const pages = 16;
    expect(world.settle(file.write(0, new Uint8Array(pages * PAGE_SIZE).fill(7), 0, pages * PAGE_SIZE))).toBe(65_536);
    const sizes: number[] = [];
    disk.faultOf = (_request, bio) => {
      if (bio.op === BioOp.write) sizes.push(bio.bytes);
      return 'none';
    };
    expect(world.settle(file.syncFileRange())).toBe(0);
    expect(sizes).toEqual([pages * PAGE_SIZE]);
    file.close();
    expect(world.settle(fs.unmount())).toBe(0);
  });
});

describe('a file system on a disk', () => {
  it.each([4096, 1024])(
    'keeps what is written through its cache and its journal (blocks of %i bytes)',
    (blockBytes) => {
      const machine = onDisk(blockBytes);
      const { world, memory, store, fs } = machine;
      expect(world.complete(program(machine, 'a', 40, chance(1)))).toEqual([]);
      const file = world.complete(open(fs.open('/a/file'))) as MappableFile;
      const before = new Uint8Array(file.size);
      world.settle(file.read(0, before, 0, before.length));
      file.close();
      expect(world.settle(fs.unmount())).toBe(0);
      const { fs: again } = world.complete(mountFileSystem(memory, store));
      const same = world.complete(open(again.open('/a/file'))) as MappableFile;
      const after = new Uint8Array(same.size);
      world.settle(same.read(0, after, 0, after.length));
      same.close();
      expect(after).toEqual(before);
      expect(world.settle(again.unmount())).toBe(0);
      expectSound(machine);
    },
  );

  it('serves programs that run at the same time, whose changes meet in one journal', () => {
    const machine = onDisk();
    const { world, fs } = machine;
    const threads = ['a', 'b', 'c', 'd', 'e'].map((name, i) =>
      world.spawn(program(machine, name, 60, chance(i + 10)), { name }),
    );
    world.run();
    expect(threads.map(({ state, result }) => [state, result])).toEqual(threads.map(() => ['done', []]));
    expect(world.settle(fs.unmount())).toBe(0);
    expectSound(machine);
  });

  it('flushes the cache before the commit block, which goes past it (REQ_FUA)', () => {
    const machine = onDisk();
    const { world, fs, disk } = machine;
    const file = world.complete(open(fs.create('/a'))) as MappableFile;
    world.settle(file.write(0, new Uint8Array(PAGE_SIZE), 0, PAGE_SIZE));
    const start = disk.ios.length;
    expect(world.settle(file.fsync())).toBe(0);
    const ops = disk.ios.slice(start).map(({ op }) => op);
    const flush = ops.indexOf(BioOp.flush);
    expect(flush).toBeGreaterThan(2); // content, descriptor, blocks
    expect(ops.slice(flush + 1)).toEqual([BioOp.write]);
    file.close();
    expect(world.settle(fs.unmount())).toBe(0);
  });
});

describe('an I/O error', () => {
  it('at any request ends with -EIO or -EROFS for who asked, and leaves a disk that can be mounted again', () => {
    const clean = onDisk();
    const first = clean.disk.ios.length;
    clean.world.complete(program(clean, 'a', 40, chance(4)));
    clean.world.settle(clean.fs.unmount());
    const end = clean.disk.ios.length;
    expect(end - first).toBeGreaterThan(40);
    for (let io = first; io < end; io++) {
      const machine = onDisk();
      machine.disk.endings.set(io, BlkStatus.ioerr);
      const errors = machine.world.complete(program(machine, 'a', 40, chance(4)));
      const unmounted = machine.world.settle(machine.fs.unmount());
      expect([...errors, unmounted].filter((errno) => ![0, -EIO, -EROFS].includes(errno))).toEqual([]);
      expectSound(machine);
    }
  });

  it('of the content is told once, by the fsync of who wrote, and changes nothing else', () => {
    const machine = onDisk();
    const { world, fs, disk } = machine;
    const file = world.complete(open(fs.create('/a'))) as MappableFile;
    const other = world.complete(open(fs.create('/b'))) as MappableFile;
    expect(world.settle(fs.sync())).toBe(0);
    for (const one of [file, other]) world.settle(one.write(0, new Uint8Array(PAGE_SIZE).fill(1), 0, PAGE_SIZE));
    disk.endings.set(disk.ios.length, BlkStatus.medium);
    expect([world.settle(file.fsync()), world.settle(other.fsync()), world.settle(file.fsync())]).toEqual([-EIO, 0, 0]);
    expect(fs.isReadOnly).toBe(false);
    for (const one of [file, other]) one.close();
    expect(world.settle(fs.unmount())).toBe(0);
    expectSound(machine);
  });

  it('of the journal makes the file system read-only (errors=remount-ro), and what was committed stays', () => {
    const machine = onDisk();
    const { world, fs, disk, memory, store } = machine;
    expect(world.settle(fs.mkdir('/kept'))).toBe(0);
    expect(world.settle(fs.sync())).toBe(0);
    expect(world.settle(fs.mkdir('/lost'))).toBe(0);
    disk.endings.set(disk.ios.length, BlkStatus.ioerr);
    expect(world.settle(fs.sync())).toBe(-EIO);
    expect([fs.isReadOnly, world.settle(fs.mkdir('/more')), world.complete(open(fs.create('/file')))]).toEqual([
      true,
      -EROFS,
      -EROFS,
    ]);
    expect(world.settle(fs.unmount())).toBe(0);
    const { fs: again } = world.complete(mountFileSystem(memory, store));
    const names: string[] = [];
    world.settle(again.readdir('/', names));
    expect(names).toEqual(['kept']);
    expect(world.settle(again.unmount())).toBe(0);
    expectSound(machine);
  });
});

describe('a disk that is gone while it is mounted', () => {
  it('is -EIO for readers and writers, and can be unmounted', () => {
    const machine = onDisk();
    const { world, fs, disk, memory } = machine;
    const file = world.complete(open(fs.create('/a'))) as MappableFile;
    const page = new Uint8Array(PAGE_SIZE).fill(1);
    world.settle(file.write(0, page, 0, PAGE_SIZE));
    expect(world.settle(file.fsync())).toBe(0);
    world.settle(file.fadviseDontneed());
    const free = memory.framesFree;
    disk.gone = true;
    expect(world.settle(file.read(0, page, 0, PAGE_SIZE))).toBe(-EIO);
    expect(world.settle(file.write(PAGE_SIZE, page, 0, PAGE_SIZE))).toBe(PAGE_SIZE); // the page cache takes it
    expect(world.settle(file.fsync())).toBe(-EIO);
    expect(world.settle(file.write(0, page, 0, 1))).toBe(-EROFS);
    file.close();
    expect(world.settle(fs.unmount())).toBe(0);
    expect(memory.framesFree).toBeGreaterThan(free);
    expectSound(machine);
  });
});

it('a disk with larger blocks than the file system would have is refused', () => {
  const memory = new Memory(new World(), { ramBytes: 16 << 20 });
  const disk = new SlowDisk(memory, new Uint8Array(1 << 20), { logicalBlockBytes: 4096 });
  expect(() => new DiskBlockStore(memory, disk, 1024)).toThrow(/FS_SUPERBLOCK_INVALID.*at least 4096/);
});
