import {
  EBUSY,
  EEXIST,
  EINVAL,
  EISDIR,
  ENAMETOOLONG,
  ENOENT,
  ENOSPC,
  ENOTDIR,
  ENOTEMPTY,
  EPERM,
  EROFS,
} from '@pincushion/sim';
import { PAGE_SIZE } from '@pincushion/mm';
import type { FileSystem } from '../src/index';
import { checkFileSystem, mountFileSystem } from '../src/index';
import { byteOf, mount, opened, plain, writePage } from './mounted';

function names(fs: FileSystem, path: string): string[] {
  const into: string[] = [];
  expect(plain(fs.readdir(path, into))).toBe(into.length);
  return into;
}

function touch(fs: FileSystem, path: string, byte = 1): void {
  const file = opened(fs.create(path));
  writePage(file, 0, byte);
  file.close();
}

function firstByte(fs: FileSystem, path: string): number {
  const file = opened(fs.open(path));
  const byte = byteOf(file, 0);
  file.close();
  return byte;
}

/** Everything is on disk, agrees with itself, and is the same when it is mounted again. */
function expectSound({ world, memory, disk, fs }: ReturnType<typeof mount>): void {
  expect(plain(fs.unmount())).toBe(0);
  expect(world.complete(checkFileSystem(memory, disk))).toEqual([]);
}

describe('directories', () => {
  it('hold files and directories, which are found again after a mount', () => {
    const machine = mount();
    const { fs, world, memory, disk } = machine;
    const free = memory.framesFree;
    expect(plain(fs.mkdir('/a'))).toBe(0);
    expect(plain(fs.mkdir('/a/b/'))).toBe(0);
    touch(fs, '/a/b/file', 7);
    touch(fs, 'a//other', 8);
    expect([names(fs, '/'), names(fs, '/a'), names(fs, '/a/b')]).toEqual([['a'], ['b', 'other'], ['file']]);
    expect(firstByte(fs, '/a/./b/../b/file')).toBe(7);
    expectSound(machine);
    const { fs: again } = world.complete(mountFileSystem(memory, disk));
    expect([names(again, '/a'), firstByte(again, '/a/b/file'), firstByte(again, '/a/other')]).toEqual([
      ['b', 'other'],
      7,
      8,
    ]);
    expect(plain(again.unmount())).toBe(0);
    expect(memory.framesFree).toBeGreaterThanOrEqual(free);
  });

  it('grow over many blocks, and reuse the room of names that went', () => {
    const machine = mount({ blockBytes: 1024 });
    const { fs } = machine;
    const name = (i: number): string => `/${'n'.repeat(60)}${i}`;
    for (let i = 0; i < 60; i++) opened(fs.create(name(i))).close();
    for (let i = 0; i < 60; i += 2) expect(plain(fs.unlink(name(i)))).toBe(0);
    const free = fs.allocator.blocksFree;
    for (let i = 100; i < 120; i++) opened(fs.create(name(i))).close();
    expect(fs.allocator.blocksFree).toBe(free);
    expect(names(fs, '/')).toHaveLength(50);
    expectSound(machine);
  });

  it('refuse what cannot be', () => {
    const { fs } = mount();
    touch(fs, '/file');
    expect(plain(fs.mkdir('/dir'))).toBe(0);
    touch(fs, '/dir/inner');
    const long = 'x'.repeat(256);
    const results = {
      'lookup below a file': fs.open('/file/x'),
      'a file with a slash behind it': fs.open('/file/'),
      'no such directory': fs.open('/none/x'),
      'no such file': fs.open('/none'),
      'an empty path': fs.open(''),
      'a directory as a file': fs.open('/dir'),
      'create a directory': fs.create('/dir'),
      'create with a slash': fs.create('/new/'),
      'create again': fs.createNew('/file'),
      'mkdir again': fs.mkdir('/file'),
      'a name of 256 bytes': fs.create(`/${long}`),
      'a long name on the way': fs.open(`/${long}/x`),
      'a name of 255 bytes in 510': fs.create(`/${'ü'.repeat(128)}`),
      'a path of 4096 bytes': fs.open('/dir/..'.repeat(586)),
      'rmdir of a full one': fs.rmdir('/dir'),
      'rmdir of a file': fs.rmdir('/file'),
      'rmdir of the root': fs.rmdir('/'),
      'rmdir of its parent': fs.rmdir('/dir/..'),
      'rmdir of nothing': fs.rmdir('/none'),
      'unlink a directory': fs.unlink('/dir'),
      'unlink nothing': fs.unlink('/none'),
      'readdir of a file': fs.readdir('/file', []),
      'link to a directory': fs.link('/dir', '/link'),
      'link over a file': fs.link('/file', '/dir/inner'),
      'rename of nothing': fs.rename('/none', '/x'),
      'rename into itself': fs.rename('/dir', '/dir/x'),
      'rename of dots': fs.rename('/dir/.', '/x'),
      'a file over a directory': fs.rename('/file', '/dir'),
      'a directory over a file': fs.rename('/dir', '/file'),
    };
    expect(results).toEqual({
      'lookup below a file': -ENOTDIR,
      'a file with a slash behind it': -ENOTDIR,
      'no such directory': -ENOENT,
      'no such file': -ENOENT,
      'an empty path': -ENOENT,
      'a directory as a file': -EISDIR,
      'create a directory': -EISDIR,
      'create with a slash': -EISDIR,
      'create again': -EEXIST,
      'mkdir again': -EEXIST,
      'a name of 256 bytes': -ENAMETOOLONG,
      'a long name on the way': -ENAMETOOLONG,
      'a name of 255 bytes in 510': -ENAMETOOLONG,
      'a path of 4096 bytes': -ENAMETOOLONG,
      'rmdir of a full one': -ENOTEMPTY,
      'rmdir of a file': -ENOTDIR,
      'rmdir of the root': -EINVAL,
      'rmdir of its parent': -ENOTEMPTY,
      'rmdir of nothing': -ENOENT,
      'unlink a directory': -EISDIR,
      'unlink nothing': -ENOENT,
      'readdir of a file': -ENOTDIR,
      'link to a directory': -EPERM,
      'link over a file': -EEXIST,
      'rename of nothing': -ENOENT,
      'rename into itself': -EINVAL,
      'rename of dots': -EBUSY,
      'a file over a directory': -EISDIR,
      'a directory over a file': -ENOTDIR,
    });
    expect(opened(fs.create(`/${'x'.repeat(255)}`)).size).toBe(0);
  });

  it('say -ENOSPC when there is no inode, or no room for a block more, and are as they were', () => {
    const machine = mount({ blocks: 256 });
    const { fs } = machine;
    let made = 0;
    while (typeof fs.createNew(`/f${made}`) !== 'number') made++;
    expect(made).toBe(15); // 16 inodes, and the root has one
    expect(fs.createNew('/more')).toBe(-ENOSPC);
    expect(plain(fs.unlink('/f3'))).toBe(0);
    expect(names(fs, '/')).toHaveLength(14);
    const crowded = mount({ blocksFree: 0 });
    expect(plain(crowded.fs.mkdir('/dir'))).toBe(-ENOSPC);
    expect(names(crowded.fs, '/')).toEqual(['ballast']);
    expectSound(crowded);
  });
});

describe('rename', () => {
  it('moves files and directories, and .. follows', () => {
    const machine = mount();
    const { fs } = machine;
    for (const path of ['/a', '/b', '/a/c']) expect(plain(fs.mkdir(path))).toBe(0);
    touch(fs, '/a/c/file', 5);
    expect(plain(fs.rename('/a/c', '/b/d'))).toBe(0);
    expect([names(fs, '/a'), names(fs, '/b'), firstByte(fs, '/b/d/../d/file')]).toEqual([[], ['d'], 5]);
    expect(plain(fs.rmdir('/a'))).toBe(0);
    expect(plain(fs.rename('/b/d/file', '/file'))).toBe(0);
    expect(names(fs, '/')).toEqual(['b', 'file']);
    expectSound(machine);
  });

  it('replaces a file, whose content lives as long as somebody has it open, and an empty directory', () => {
    const machine = mount();
    const { fs } = machine;
    touch(fs, '/old', 1);
    touch(fs, '/new', 2);
    const free = fs.allocator.blocksFree;
    plain(fs.sync());
    const old = opened(fs.open('/old'));
    expect(plain(fs.rename('/new', '/old'))).toBe(0);
    expect([byteOf(old, 0), firstByte(fs, '/old'), names(fs, '/')]).toEqual([1, 2, ['old']]);
    old.close();
    expect(fs.allocator.blocksFree).toBe(free + 1);
    for (const path of ['/x', '/y']) expect(plain(fs.mkdir(path))).toBe(0);
    expect(plain(fs.rename('/x', '/y'))).toBe(0);
    expect(names(fs, '/')).toEqual(['old', 'y']);
    expectSound(machine);
  });
});

describe('links', () => {
  it('are names of one file, which ends with the last of them', () => {
    const machine = mount();
    const { fs } = machine;
    const free = fs.allocator.blocksFree;
    touch(fs, '/a', 3);
    plain(fs.sync());
    expect(plain(fs.link('/a', '/b'))).toBe(0);
    expect(plain(fs.rename('/a', '/b'))).toBe(0); // two names of one file: nothing is done
    expect(names(fs, '/')).toEqual(['a', 'b']);
    expect(plain(fs.unlink('/a'))).toBe(0);
    expect(firstByte(fs, '/b')).toBe(3);
    expect(plain(fs.unlink('/b'))).toBe(0);
    expect(fs.allocator.blocksFree).toBe(free);
    expectSound(machine);
  });
});

describe('a file that lost its name while it was open', () => {
  it('is ended by who mounts the file system after the machine stopped (orphan list)', () => {
    const { fs, world, memory, disk } = mount();
    const free = fs.allocator.blocksFree;
    for (const name of ['/one', '/two', '/three']) {
      const file = opened(fs.create(name));
      for (let k = 0; k < 20; k += 2) writePage(file, k, 1);
      expect(plain(file.fsync())).toBe(0);
      expect(plain(fs.unlink(name))).toBe(0);
    }
    expect(plain(fs.journal.commit())).toBe(0);
    expect(fs.allocator.blocksFree).toBe(free - 30);
    const { fs: after } = world.complete(mountFileSystem(memory, disk)); // nobody unmounted
    expect([names(after, '/'), after.allocator.blocksFree]).toEqual([[], free]);
    expect(plain(after.unmount())).toBe(0);
    expect(world.complete(checkFileSystem(memory, disk))).toEqual([]);
  });
});

describe('a file system that is mounted read-only', () => {
  it('is read, and changes nothing', () => {
    const { fs, world, memory, disk } = mount();
    touch(fs, '/a', 3);
    expect(plain(fs.unmount())).toBe(0);
    const { fs: frozen } = world.complete(mountFileSystem(memory, disk, { readOnly: true }));
    const file = opened(frozen.open('/a'));
    const page = new Uint8Array(PAGE_SIZE);
    expect([
      byteOf(file, 0),
      plain(file.write(0, page, 0, 1)),
      plain(file.truncate(0)),
      plain(file.punchHole(0, 1)),
      frozen.create('/b'),
      plain(frozen.unlink('/a')),
      plain(frozen.mkdir('/d')),
      plain(frozen.rename('/a', '/b')),
      plain(file.fsync()),
    ]).toEqual([3, -EROFS, -EROFS, -EROFS, -EROFS, -EROFS, -EROFS, -EROFS, 0]);
    file.close();
    expect(plain(frozen.unmount())).toBe(0);
  });
});

describe('unmount', () => {
  it('is refused while a file is open, and gives all memory of metadata back', () => {
    const machine = mount();
    const { fs, memory } = machine;
    const file = opened(fs.create('/a'));
    expect(plain(fs.unmount())).toBe(-EBUSY);
    file.close();
    const free = memory.framesFree + fs.cache.frames;
    expect(plain(fs.unmount())).toBe(0);
    expect(memory.framesFree).toBeGreaterThanOrEqual(free);
  });
});
