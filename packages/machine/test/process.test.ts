import {
  EACCES,
  EBADF,
  EFAULT,
  EINVAL,
  ENODEV,
  ENOENT,
  ENOMEM,
  ENOTTY,
  MAP_ANONYMOUS,
  MAP_PRIVATE,
  MAP_SHARED,
  PROT_READ,
  PROT_WRITE,
} from '@pincushion/driver';
import type { Process } from '@pincushion/machine';
import type { DeviceBed, TestDeviceOptions } from '@pincushion/testing';
import { PKEY_DISABLE_WRITE } from '@pincushion/mm';
import { testDevice } from '@pincushion/testing';
import { RamDiskDriver, RamDiskHardware } from './ram-disk';

type Bed = DeviceBed<RamDiskDriver, RamDiskHardware>;

function makeBed(options: Partial<TestDeviceOptions> = {}): Bed {
  return testDevice(RamDiskDriver, { ...options, name: 'ram0', hardware: RamDiskHardware });
}

function memory(bed: Bed, bytes: number, process: Process = bed.process): number {
  return bed.world.settle(process.mmap(bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS));
}

describe('a process', () => {
  it('reads and writes a raw disk through its own pages', () => {
    using bed = makeBed();
    const { process, world } = bed;
    const address = memory(bed, 8192);
    const data = Uint8Array.from({ length: 8192 }, (_, i) => i % 253);
    world.settle(process.write(address, data));
    const fd = bed.run(process.open('/dev/ram0n1'));
    expect(bed.run(process.pwrite(fd, address, 8192, 512))).toBe(8192);
    expect(bed.hardware.content.subarray(512, 512 + 8192)).toEqual(data);

    world.settle(process.write(address, new Uint8Array(8192)));
    expect(bed.run(process.pread(fd, address, 8192, 512))).toBe(8192);
    const back = new Uint8Array(8192);
    world.settle(process.read(address, back));
    expect(back).toEqual(data);
    expect(bed.run(process.fsync(fd))).toBe(0);
    const { counters } = bed.machine.memory.ledger;
    expect([counters.pinsAcquired, counters.pinnedNow]).toEqual([4, 0]);
  });

  it('gets EINVAL for direct I/O that is not aligned to the block of the disk', () => {
    using bed = makeBed({ config: { lbaBytes: 4096 } });
    const { process } = bed;
    const address = memory(bed, 8192);
    const fd = bed.run(process.open('/dev/ram0n1'));
    expect(bed.run(process.pread(fd, address, 4096, 512))).toBe(-EINVAL);
    expect(bed.run(process.pread(fd, address, 512, 0))).toBe(-EINVAL);
    expect(bed.run(process.pread(fd, address + 512, 4096, 0))).toBe(-EINVAL);
    expect(bed.run(process.pread(fd, address, 4096, -4096))).toBe(-EINVAL);
    expect(bed.run(process.pread(fd, address, 4096, 4096))).toBe(4096);
  });

  it('gets EFAULT for a buffer that is not mapped', () => {
    using bed = makeBed();
    const fd = bed.run(bed.process.open('/dev/ram0n1'));
    expect(bed.run(bed.process.pread(fd, 0x1000, 512, 0))).toBe(-EFAULT);
  });

  it('gets the lowest free descriptor, and EBADF for one that is not open', () => {
    using bed = makeBed();
    const { process } = bed;
    const open = (): number => bed.run(process.open('/dev/ram0n1'));
    expect([open(), open(), open()]).toEqual([3, 4, 5]);
    expect(bed.run(process.close(4))).toBe(0);
    expect(open()).toBe(4);
    expect(bed.run(process.close(9))).toBe(-EBADF);
    expect(bed.run(process.close(-1))).toBe(-EBADF);
    expect(bed.run(process.close(0))).toBe(-EBADF);
    expect(bed.run(process.ioctl(77, 1))).toBe(-EBADF);
    expect(bed.world.settle(process.mmapFile(77, 4096, PROT_READ, MAP_SHARED))).toBe(-EBADF);
  });

  it('gets ENOENT for what is not there, and what the driver answers to open', () => {
    using bed = makeBed();
    expect(bed.run(bed.process.open('/dev/ram9'))).toBe(-ENOENT);
    expect(bed.run(bed.process.open('ram0n1'))).toBe(-ENOENT);
    const nobody = bed.machine.process('nobody');
    expect(bed.run(nobody.open('/dev/ram0-info'))).toBe(-ENOMEM);
  });

  it('controls and maps a character device', () => {
    using bed = makeBed();
    const { process, world } = bed;
    const fd = bed.run(process.open('/dev/ram0-info'));
    expect(bed.run(process.ioctl(fd, 12))).toBe(12);
    expect(bed.run(process.pread(fd, 0, 1, 0))).toBe(-EINVAL);
    expect(world.settle(process.mmapFile(fd, 4096, PROT_READ | PROT_WRITE, MAP_SHARED))).toBe(-EACCES);
    const address = world.settle(process.mmapFile(fd, 8192, PROT_READ, MAP_SHARED));
    const text = new Uint8Array(8);
    expect(world.settle(process.read(address, text))).toBe(8);
    expect(new TextDecoder().decode(text)).toBe('ram-disk');
    expect(world.settle(process.read(address + 4096, text))).toBe(-EFAULT); // beyond the object
  });

  it('keeps what it has mapped of a device that is gone, and can map no more', () => {
    using bed = makeBed();
    const { process, world } = bed;
    const fd = bed.run(process.open('/dev/ram0-info'));
    const address = world.settle(process.mmapFile(fd, 4096, PROT_READ, MAP_SHARED));
    const untouched = world.settle(process.mmapFile(fd, 4096, PROT_READ, MAP_SHARED));
    const text = new Uint8Array(8);
    world.settle(process.read(address, text));
    bed.unplug();
    expect(world.settle(process.read(address, text))).toBe(8);
    expect(new TextDecoder().decode(text)).toBe('ram-disk');
    expect(world.settle(process.read(untouched, text))).toBe(-EFAULT);
    expect(world.settle(process.mmapFile(fd, 4096, PROT_READ, MAP_SHARED))).toBe(-ENODEV);
  });

  it('gets ENODEV from a disk that was pulled out, and its I/O in flight ends', () => {
    using bed = makeBed();
    const { process } = bed;
    const address = memory(bed, 4096);
    const fd = bed.run(process.open('/dev/ram0n1'));
    const reading = bed.world.spawn(process.pread(fd, address, 4096, 0), { name: 'read' });
    bed.advance(1000);
    bed.unplug();
    expect(bed.run(reading.join())).toBe(-ENODEV);
    expect(bed.run(process.pread(fd, address, 4096, 0))).toBe(-ENODEV);
    expect(bed.run(process.ioctl(fd, 1))).toBe(-ENODEV);
    expect(bed.run(process.open('/dev/ram0n1'))).toBe(-ENOENT);
    expect(bed.run(process.close(fd))).toBe(0);
  });

  it('has no ioctl on a disk', () => {
    using bed = makeBed();
    const fd = bed.run(bed.process.open('/dev/ram0n1'));
    expect(bed.run(bed.process.ioctl(fd, 1))).toBe(-ENOTTY);
  });

  it('closes its files and gives its memory back when it exits, once', () => {
    using bed = makeBed();
    const other = bed.machine.process('other');
    const address = memory(bed, 65536, other);
    bed.world.settle(other.write(address, new Uint8Array(65536).fill(1)));
    const free = bed.machine.memory.framesFree;
    bed.run(other.open('/dev/ram0-info'));
    bed.run(other.exit());
    bed.run(other.exit());
    expect(bed.machine.memory.framesFree - free).toBeGreaterThanOrEqual(16);
    expect(bed.run(other.open('/dev/ram0-info'))).toBe(-EBADF);
  });

  it('has its pages read by a device to the end although it exits', () => {
    using bed = makeBed();
    const other = bed.machine.process('other');
    const address = memory(bed, 4096, other);
    bed.world.settle(other.write(address, new Uint8Array(4096).fill(7)));
    const fd = bed.run(other.open('/dev/ram0n1'));
    const writing = bed.world.spawn(other.pwrite(fd, address, 4096, 0), { name: 'write' });
    bed.advance(1000);
    bed.run(other.exit());
    expect(bed.run(writing.join())).toBe(4096);
    expect(bed.hardware.content[4095]).toBe(7);
  });

  it('after fork reads a disk that its parent opened into memory of its own', () => {
    using bed = makeBed();
    const { process, world } = bed;
    const address = memory(bed, 4096);
    world.settle(process.write(address, new Uint8Array(4096).fill(7)));
    const fd = bed.run(process.open('/dev/ram0n1'));
    expect(bed.run(process.pwrite(fd, address, 4096, 0))).toBe(4096);
    world.settle(process.write(address, new Uint8Array(4096).fill(1)));
    const child = process.fork('child');
    if (typeof child === 'number') throw new Error('fork failed');
    expect(bed.run(child.pread(fd, address, 4096, 0))).toBe(4096);
    const bytes = [child, process].map((reader) => {
      const first = new Uint8Array(1);
      world.settle(reader.read(address, first));
      return first[0];
    });
    expect(bytes).toEqual([7, 1]);
    bed.run(child.exit());
    expect(bed.run(process.pread(fd, address, 4096, 0))).toBe(4096);
  });

  it('after fork maps a device that its parent opened into its own address space', () => {
    using bed = makeBed();
    const { process, world } = bed;
    const fd = bed.run(process.open('/dev/ram0-info'));
    const child = process.fork('child');
    if (typeof child === 'number') throw new Error('fork failed');
    const address = world.settle(child.mmapFile(fd, 4096, PROT_READ, MAP_SHARED));
    const text = new Uint8Array(8);
    expect(world.settle(child.read(address, text))).toBe(8);
    expect(new TextDecoder().decode(text)).toBe('ram-disk');
    expect(process.mm.vmas.lookup(address)).toBeNull();
    bed.run(child.exit());
  });

  it('after fork makes calls of a driver on its own memory; the state of the open is common to both', () => {
    using bed = makeBed();
    const { process } = bed;
    const fd = bed.run(process.open('/dev/ram0-info'));
    const child = process.fork('child');
    if (typeof child === 'number') throw new Error('fork failed');
    const calls = [process, child, process].map((caller, i) => bed.run(caller.ioctl(fd, i)));
    bed.run(process.close(fd));
    expect(bed.driver.lastClosed).toEqual([]);
    bed.run(child.exit());
    const names = [process, child, process].map(({ name, mm }) => `${name} in ${mm.name}`);
    expect([calls, bed.driver.lastClosed]).toEqual([[0, 1, 2], [names]]);
    expect(child.mm).not.toBe(process.mm);
  });

  it('keeps memory from itself by a protection key (V-09), until it opens it again', () => {
    using bed = makeBed();
    const { process, world } = bed;
    const address = memory(bed, 4096);
    const key = process.pkeyAlloc(0, PKEY_DISABLE_WRITE);
    expect(world.settle(process.pkeyMprotect(address, 4096, PROT_READ | PROT_WRITE, key))).toBe(0);
    const fd = bed.run(process.open('/dev/ram0n1'));
    expect(world.settle(process.write(address, new Uint8Array(1)))).toBe(-EFAULT);
    expect(bed.run(process.pread(fd, address, 4096, 0))).toBe(-EFAULT);
    expect(bed.run(process.pwrite(fd, address, 4096, 0))).toBe(4096);
    process.wrpkru(process.rdpkru() & ~(3 << (2 * key)));
    expect(bed.run(process.pread(fd, address, 4096, 0))).toBe(4096);
    expect([process.pkeyFree(key), process.pkeyFree(key)]).toEqual([0, -EINVAL]);
  });

  it('spreads over the cpus unless it is told where to run', () => {
    using bed = makeBed({ cpus: 2 });
    const cpus = ['a', 'b', 'c'].map((name) => bed.machine.process(name).cpu);
    expect(cpus).toEqual([1, 0, 1]);
    expect(bed.machine.process('d', { cpu: 1 }).cpu).toBe(1);
  });
});
