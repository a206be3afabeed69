import { newMemoryFileSystem } from '@pincushion/fs';
import { MFD_HUGETLB, MFD_HUGE_1GB, Machine, O_CREAT, O_EXCL, O_TRUNC, parseMachine } from '@pincushion/machine';
import type { MachineInput, Process } from '@pincushion/machine';
import {
  MADV_DONTNEED,
  MADV_PAGEOUT,
  MAP_ANONYMOUS,
  MAP_PRIVATE,
  MAP_SHARED,
  PROT_READ,
  PROT_WRITE,
  PTE_SWAP,
  assertMemorySane,
  indexOf,
  regionOf,
  FALLOC_FL_KEEP_SIZE,
  FALLOC_FL_PUNCH_HOLE,
} from '@pincushion/mm';
import {
  EBADF,
  EBUSY,
  EEXIST,
  EFAULT,
  EINVAL,
  EISDIR,
  ENOENT,
  ENOMEM,
  ENOTTY,
  EOPNOTSUPP,
  World,
} from '@pincushion/sim';
import type { MaySleep, Task } from '@pincushion/sim';

const PAGE = 4096;
const RW = PROT_READ | PROT_WRITE;

/** A machine without devices, one process, and a page of it that is full of 7. */
function setUp(input: MachineInput = {}) {
  const world = new World();
  const description = parseMachine({ memory: { ram: '64MiB', ...input.memory }, ledger: 'full' }, 'test');
  const machine = world.complete(Machine.boot(world, description, { plugins: [] }), 'boot');
  const process = machine.process('program');
  const run = <T>(call: Task<T>): T => world.complete(call, 'program');
  const plain = (result: MaySleep): number => world.settle(result);
  const buffer = plain(process.mmap(16 * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS));
  const fill = (byte: number, bytes = PAGE): void => {
    expect(plain(process.write(buffer, new Uint8Array(bytes).fill(byte)))).toBe(bytes);
  };
  fill(7);
  const byteAt = (address: number, by: Process = process): number => {
    const byte = new Uint8Array(1);
    expect(plain(by.read(address, byte))).toBe(1);
    return byte[0];
  };
  return { world, machine, process, run, plain, buffer, fill, byteAt };
}

function frameAt({ mm }: Process, address: number): number {
  return mm.pageTable.frameAt(regionOf(address), indexOf(address));
}

describe('files of /tmp', () => {
  it('keep what is written, for whoever opens them by their name', () => {
    const { process, run, buffer, byteAt, fill } = setUp();
    const fd = run(process.creat('/tmp/a'));
    expect(fd).toBe(3);
    expect(run(process.pwrite(fd, buffer, PAGE, 100))).toBe(PAGE);
    fill(0);
    expect(run(process.close(fd))).toBe(0);
    const again = run(process.open('/tmp/a'));
    expect(run(process.pread(again, buffer, 2 * PAGE, 0))).toBe(PAGE + 100); // short at the end of the file
    expect([byteAt(buffer + 99), byteAt(buffer + 100)]).toEqual([0, 7]);
    expect(run(process.pread(again, buffer, PAGE, PAGE + 100))).toBe(0);
    expect(run(process.fsync(again))).toBe(0);
  });

  it('are made, refused or cut as the flags of open say', () => {
    const { process, run, buffer } = setUp();
    expect(run(process.open('/tmp/a'))).toBe(-ENOENT);
    const fd = run(process.open('/tmp/a', O_CREAT | O_EXCL));
    expect(run(process.pwrite(fd, buffer, PAGE, 0))).toBe(PAGE);
    expect(run(process.open('/tmp/a', O_CREAT | O_EXCL))).toBe(-EEXIST);
    const same = run(process.open('/tmp/a', O_CREAT));
    expect(run(process.pread(same, buffer, PAGE, 0))).toBe(PAGE);
    run(process.open('/tmp/a', O_TRUNC));
    expect(run(process.pread(fd, buffer, PAGE, 0))).toBe(0);
    expect(run(process.open('/tmp/a', 0o40000))).toBe(-EINVAL); // O_DIRECT
    expect(run(process.open('/tmp'))).toBe(-EISDIR);
    expect(run(process.open('/elsewhere/a', O_CREAT))).toBe(-ENOENT);
    expect(run(process.open('/tmp/', O_CREAT))).toBe(-EISDIR);
  });

  it('lose their name at unlink and their memory with the last user', () => {
    const { machine, process, run, buffer, plain } = setUp();
    const free = machine.memory.framesFree;
    const fd = run(process.creat('/tmp/a'));
    run(process.pwrite(fd, buffer, PAGE, 0));
    const address = plain(process.mmapFile(fd, PAGE, PROT_READ, MAP_SHARED));
    expect(process.unlink('/tmp/a')).toBe(0);
    expect(process.unlink('/tmp/a')).toBe(-ENOENT);
    expect(run(process.open('/tmp/a'))).toBe(-ENOENT);
    run(process.close(fd));
    expect(machine.memory.framesFree).toBe(free - 1); // the mapping is a use
    expect(plain(process.munmap(address, PAGE))).toBe(0);
    expect(machine.memory.framesFree).toBe(free);
  });

  it('are mapped, cut and punched under those who map them', () => {
    const { process, run, plain, byteAt, buffer } = setUp();
    const fd = run(process.creat('/tmp/a'));
    expect(run(process.ftruncate(fd, 3 * PAGE))).toBe(0);
    const address = plain(process.mmapFile(fd, 2 * PAGE, RW, MAP_SHARED, PAGE));
    expect(plain(process.write(address, Uint8Array.of(5)))).toBe(1);
    expect(run(process.pread(fd, buffer, 1, PAGE))).toBe(1);
    expect(byteAt(buffer)).toBe(5);
    expect(run(process.fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, PAGE, PAGE))).toBe(0);
    expect(byteAt(address)).toBe(0);
    expect(run(process.fallocate(fd, 0, 0, PAGE))).toBe(-EOPNOTSUPP);
    expect(run(process.ftruncate(fd, PAGE))).toBe(0);
    expect(plain(process.read(address, new Uint8Array(1)))).toBe(-EFAULT);
    expect(process.mm.signal).toBe('SIGBUS');
    expect(plain(process.mmapFile(fd, PAGE, PROT_READ, MAP_SHARED, 100))).toBe(-EINVAL);
    expect(run(process.ioctl(fd, 1))).toBe(-ENOTTY);
  });

  it('are read and written as far as the buffer goes', () => {
    const { process, run, plain, buffer } = setUp();
    const fd = run(process.creat('/tmp/a'));
    const end = buffer + 16 * PAGE;
    expect(plain(process.write(end - 2 * PAGE, new Uint8Array(2 * PAGE)))).toBe(2 * PAGE);
    expect(run(process.pwrite(fd, end - PAGE, 2 * PAGE, 0))).toBe(PAGE);
    expect(run(process.pwrite(fd, end, PAGE, 0))).toBe(-EFAULT);
    expect(run(process.ftruncate(fd, 4 * PAGE))).toBe(0);
    expect(run(process.pread(fd, end - PAGE, 2 * PAGE, 0))).toBe(PAGE);
    expect(run(process.pread(fd, 0x1000, PAGE, 0))).toBe(-EFAULT);
    expect(run(process.pread(fd, buffer, PAGE, -1))).toBe(-EINVAL);
  });
});

describe('memfd_create', () => {
  it('gives memory with the shape of a file, which ends with its last user', () => {
    const { machine, process, run, buffer } = setUp();
    const free = machine.memory.framesFree;
    const fd = process.memfdCreate('shared');
    expect(run(process.pwrite(fd, buffer, PAGE, 0))).toBe(PAGE);
    expect(machine.memory.framesFree).toBe(free - 1);
    expect(run(process.close(fd))).toBe(0);
    expect(machine.memory.framesFree).toBe(free);
    expect(process.memfdCreate('sealed', 2)).toBe(-EINVAL);
  });

  it('gives huge pages of the pools', () => {
    const { process, run, plain, byteAt } = setUp({ memory: { hugetlb: { '2MiB': 2 } } });
    const fd = process.memfdCreate('huge', MFD_HUGETLB);
    expect(run(process.ftruncate(fd, PAGE))).toBe(-EINVAL);
    expect(run(process.ftruncate(fd, 4 << 20))).toBe(0);
    const address = plain(process.mmapFile(fd, 4 << 20, RW, MAP_SHARED));
    expect(plain(process.write(address + (3 << 20), Uint8Array.of(9)))).toBe(1);
    expect(frameAt(process, address + (3 << 20)) % 512).toBe(256);
    expect(byteAt(address + (3 << 20))).toBe(9);
    const none = process.memfdCreate('huger', MFD_HUGETLB | MFD_HUGE_1GB);
    run(process.ftruncate(none, 1 << 30));
    expect(plain(process.mmapFile(none, 1 << 30, RW, MAP_SHARED))).toBe(-ENOMEM);
  });
});

describe('a file system', () => {
  it('can be mounted, and its files are written back by fsync', () => {
    const { machine, process, run, plain, buffer } = setUp();
    const fs = newMemoryFileSystem(machine.memory, { name: 'data' });
    expect(machine.files.mount('/data', fs)).toBe(0);
    expect(machine.files.mount('/data', fs)).toBe(-EBUSY);
    expect(machine.files.mount('/dev/x', fs)).toBe(-EINVAL);
    expect(machine.files.mount('data', fs)).toBe(-EINVAL);
    const fd = run(process.creat('/data/log'));
    expect(run(process.pwrite(fd, buffer, PAGE, 0))).toBe(PAGE);
    const address = plain(process.mmapFile(fd, PAGE, RW, MAP_SHARED));
    expect(plain(process.write(address, Uint8Array.of(8)))).toBe(1);
    expect(run(process.fsync(fd))).toBe(0);
    expect(plain(process.msync(address, PAGE))).toBe(0);
    expect(run(process.close(fd))).toBe(0);
    expect(run(process.open('/data/log'))).toBe(fd);
    expect(process.unlink('/data/log')).toBe(0);
    assertMemorySane(machine.memory);
  });
});

describe('what a process says about its memory', () => {
  it('is done: protection, advice, moves and locks', () => {
    const { process, plain, buffer, byteAt } = setUp();
    expect(plain(process.mprotect(buffer, PAGE, PROT_READ))).toBe(0);
    expect(plain(process.write(buffer, Uint8Array.of(1)))).toBe(-EFAULT);
    expect(plain(process.mprotect(buffer, PAGE, RW))).toBe(0);
    expect(plain(process.mlock(buffer, PAGE))).toBe(0);
    expect(process.mm.lockedVm).toBe(1);
    expect(plain(process.madvise(buffer, PAGE, MADV_DONTNEED))).toBe(-EINVAL); // it is locked
    expect(plain(process.munlock(buffer, PAGE))).toBe(0);
    const target = buffer - 0x1000_0000;
    const frame = frameAt(process, buffer);
    expect(plain(process.mremap(buffer, PAGE, target))).toBe(target);
    expect([frameAt(process, target), byteAt(target)]).toEqual([frame, 7]);
    expect(plain(process.madvise(target, PAGE, MADV_DONTNEED))).toBe(0);
    expect(byteAt(target)).toBe(0);
  });

  it('sends pages to the swap of the machine and gets them back', () => {
    const { machine, process, plain, buffer, byteAt } = setUp({ memory: { swap: '8MiB' } });
    expect(plain(process.madvise(buffer, PAGE, MADV_PAGEOUT))).toBe(0);
    expect(process.mm.pageTable.flagsAt(regionOf(buffer), indexOf(buffer)) & PTE_SWAP).toBe(PTE_SWAP);
    expect(byteAt(buffer)).toBe(7);
    assertMemorySane(machine.memory);
  });
});

describe('a child after fork', () => {
  it('shares the open files: what one writes the other reads, each into its own memory', () => {
    const { process, run, plain, buffer, byteAt } = setUp();
    const fd = run(process.creat('/tmp/a'));
    run(process.pwrite(fd, buffer, PAGE, 0));
    const child = process.fork('child');
    if (typeof child === 'number') throw new Error('fork failed');
    expect(plain(child.write(buffer, Uint8Array.of(1)))).toBe(1);
    expect(run(child.pread(fd, buffer, PAGE, 0))).toBe(PAGE);
    expect([byteAt(buffer, child), byteAt(buffer)]).toEqual([7, 7]);
    expect(plain(process.write(buffer, Uint8Array.of(3)))).toBe(1);
    expect(run(process.pwrite(fd, buffer, 1, 0))).toBe(1);
    const address = plain(child.mmapFile(fd, PAGE, PROT_READ, MAP_SHARED));
    expect(byteAt(address, child)).toBe(3);
    expect(process.mm.vmas.lookup(address)).toBeNull();
  });

  it('closes for itself alone; the last close ends the file', () => {
    const { machine, process, run, buffer } = setUp();
    const free = machine.memory.framesFree;
    const fd = process.memfdCreate('shared');
    run(process.pwrite(fd, buffer, PAGE, 0));
    const child = process.fork('child');
    if (typeof child === 'number') throw new Error('fork failed');
    expect(run(process.close(fd))).toBe(0);
    expect(run(process.close(fd))).toBe(-EBADF);
    expect(run(child.pread(fd, buffer, PAGE, 0))).toBe(PAGE);
    run(child.exit());
    expect(machine.memory.framesFree).toBe(free);
    expect(machine.world.findings.all).toEqual([]);
  });

  it('sees nothing of files that are opened later', () => {
    const { process, run } = setUp();
    const child = process.fork('child');
    if (typeof child === 'number') throw new Error('fork failed');
    const fd = run(process.creat('/tmp/a'));
    expect(run(child.close(fd))).toBe(-EBADF);
    expect(run(child.creat('/tmp/b'))).toBe(fd);
  });
});
