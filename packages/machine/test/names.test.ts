/** Paths: what holds for the memory of /tmp and for a file system with a journal alike, and between the two. */
import { newMemoryFileSystem } from '@pincushion/fs';
import { Machine, O_APPEND, O_CREAT, parseMachine } from '@pincushion/machine';
import {
  FALLOC_FL_KEEP_SIZE,
  FALLOC_FL_PUNCH_HOLE,
  FALLOC_FL_ZERO_RANGE,
  MAP_ANONYMOUS,
  MAP_PRIVATE,
  PROT_READ,
  PROT_WRITE,
} from '@pincushion/mm';
import {
  EBUSY,
  EEXIST,
  EINVAL,
  EISDIR,
  ENAMETOOLONG,
  ENOENT,
  ENOTDIR,
  ENOTEMPTY,
  EOPNOTSUPP,
  EPERM,
  EXDEV,
  World,
} from '@pincushion/sim';
import type { MaySleep, Task } from '@pincushion/sim';

const PAGE = 4096;

function setUp() {
  const world = new World();
  const description = parseMachine({ memory: { ram: '64MiB' } }, 'test');
  const machine = world.complete(Machine.boot(world, description, { plugins: [] }), 'boot');
  expect(machine.files.mount('/data', newMemoryFileSystem(machine.memory))).toBe(0);
  const process = machine.process('program');
  const run = <T>(call: Task<T>): T => world.complete(call, 'program');
  const plain = (result: MaySleep): number => world.settle(result);
  const buffer = plain(process.mmap(16 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS));
  /** A file of one page full of a byte. */
  const make = (path: string, byte: number): void => {
    plain(process.write(buffer, new Uint8Array(PAGE).fill(byte)));
    const fd = run(process.creat(path));
    expect(run(process.pwrite(fd, buffer, PAGE, 0))).toBe(PAGE);
    expect(run(process.close(fd))).toBe(0);
  };
  const byteOf = (path: string, position = 0): number => {
    const fd = run(process.open(path));
    if (fd < 0) return fd;
    const byte = new Uint8Array(1);
    expect(run(process.pread(fd, buffer, 1, position))).toBe(1);
    run(process.close(fd));
    plain(process.read(buffer, byte));
    return byte[0];
  };
  const names = (path: string): string[] => {
    const into: string[] = [];
    expect(plain(process.readdir(path, into))).toBe(into.length);
    return into;
  };
  return { machine, process, run, plain, buffer, make, byteOf, names };
}

describe.each(['/tmp', '/data'])('below %s', (place) => {
  it('there are directories, and files in them', () => {
    const { process, plain, make, byteOf, names } = setUp();
    expect([process.mkdir(`${place}/a`), process.mkdir(`${place}/a/b`)].map(plain)).toEqual([0, 0]);
    make(`${place}/a/b/file`, 7);
    make(`${place}//a/./other`, 8);
    expect([names(place), names(`${place}/a`), names(`${place}/a/b/`)]).toEqual([['a'], ['b', 'other'], ['file']]);
    expect(byteOf(`${place}/a/b/../b/file`)).toBe(7);
    expect(plain(process.rename(`${place}/a/b`, `${place}/c`))).toBe(0);
    expect([byteOf(`${place}/c/file`), byteOf(`${place}/c/../a/other`)]).toEqual([7, 8]);
    expect(plain(process.link(`${place}/c/file`, `${place}/again`))).toBe(0);
    expect([process.unlink(`${place}/c/file`), process.rmdir(`${place}/c`)].map(plain)).toEqual([0, 0]);
    expect([byteOf(`${place}/again`), names(place)]).toEqual([7, ['a', 'again']]);
    make(`${place}/new`, 9);
    expect(plain(process.rename(`${place}/new`, `${place}/again`))).toBe(0);
    expect(byteOf(`${place}/again`)).toBe(9);
  });

  it('what cannot be is refused', () => {
    const { process, run, plain, make } = setUp();
    make(`${place}/file`, 1);
    plain(process.mkdir(`${place}/dir`));
    make(`${place}/dir/inner`, 1);
    const long = 'x'.repeat(256);
    const refused = [
      [run(process.open(`${place}/file/x`)), -ENOTDIR],
      [run(process.open(`${place}/none/x`, O_CREAT)), -ENOENT],
      [run(process.open(`${place}/dir`)), -EISDIR],
      [run(process.open(`${place}/${long}`, O_CREAT)), -ENAMETOOLONG],
      [run(process.open(`${place}${'/x'.repeat(2100)}`)), -ENAMETOOLONG],
      [process.mkdir(`${place}/dir`), -EEXIST],
      [process.mkdir(`${place}/none/x`), -ENOENT],
      [process.rmdir(`${place}/dir`), -ENOTEMPTY],
      [process.rmdir(`${place}/file`), -ENOTDIR],
      [process.rmdir(place), -EBUSY],
      [process.unlink(`${place}/dir`), -EISDIR],
      [process.link(`${place}/dir`, `${place}/x`), -EPERM],
      [process.link(`${place}/file`, `${place}/dir`), -EEXIST],
      [process.rename(`${place}/none`, `${place}/x`), -ENOENT],
      [process.rename(`${place}/dir`, `${place}/dir/x`), -EINVAL],
      [process.rename(`${place}/dir`, `${place}/file`), -ENOTDIR],
      [process.rename(`${place}/file`, `${place}/dir`), -EISDIR],
      [process.readdir(`${place}/file`, []), -ENOTDIR],
    ] as const;
    expect(refused.map(([result]) => plain(result))).toEqual(refused.map(([, expected]) => expected));
  });

  it('O_APPEND writes to the end, whatever position is given', () => {
    const { process, run, plain, buffer, make, byteOf } = setUp();
    make(`${place}/log`, 1);
    const fd = run(process.open(`${place}/log`, O_APPEND));
    plain(process.write(buffer, new Uint8Array(10).fill(2)));
    expect([run(process.pwrite(fd, buffer, 10, 0)), run(process.pwrite(fd, buffer, 10, 5))]).toEqual([10, 10]);
    expect([byteOf(`${place}/log`, 0), byteOf(`${place}/log`, PAGE + 19)]).toEqual([1, 2]);
  });
});

describe('between file systems', () => {
  it('nothing is moved or linked (EXDEV)', () => {
    const { process, plain, make } = setUp();
    make('/tmp/a', 1);
    expect([process.rename('/tmp/a', '/data/a'), process.link('/tmp/a', '/data/a')].map(plain)).toEqual([
      -EXDEV,
      -EXDEV,
    ]);
    expect([process.mkdir('/elsewhere'), process.rename('/none/a', '/tmp/a')].map(plain)).toEqual([-ENOENT, -ENOENT]);
  });

  it('the longest place that a path begins with is asked, until nothing is mounted there any more', () => {
    const { machine, process, plain, names } = setUp();
    expect(machine.files.mount('/data/inner', newMemoryFileSystem(machine.memory))).toBe(0);
    expect(plain(process.mkdir('/data/inner/x'))).toBe(0);
    expect([names('/data'), names('/data/inner')]).toEqual([[], ['x']]);
    expect([machine.files.unmount('/data/inner'), machine.files.unmount('/data/inner')]).toEqual([0, -EINVAL]);
    expect(plain(process.readdir('/data/inner', []))).toBe(-ENOENT);
  });
});

it('fallocate has all its modes where there are blocks, and holes in memory', () => {
  const { process, run, make, byteOf } = setUp();
  for (const place of ['/tmp', '/data']) make(`${place}/file`, 5);
  const memory = run(process.open('/tmp/file'));
  const stored = run(process.open('/data/file'));
  expect([run(process.fallocate(memory, FALLOC_FL_ZERO_RANGE, 0, PAGE)), byteOf('/tmp/file')]).toEqual([
    -EOPNOTSUPP,
    5,
  ]);
  expect([run(process.fallocate(stored, FALLOC_FL_ZERO_RANGE, 0, PAGE)), byteOf('/data/file')]).toEqual([0, 0]);
  expect(run(process.fallocate(memory, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, PAGE))).toBe(0);
  expect([byteOf('/tmp/file'), run(process.fdatasync(stored)), run(process.fdatasync(memory))]).toEqual([0, 0, 0]);
});
