import type { UserProgram } from '@pincushion/driver';
import { EINVAL, EIO, ENODATA, ENODEV, ETIMEDOUT } from '@pincushion/driver';
import { MAP_ANONYMOUS, MAP_PRIVATE, PROT_READ, PROT_WRITE } from '@pincushion/driver';
import { testDevice, verifyDriver } from '@pincushion/testing';
import { CONTENT_BYTES, MyDeviceDriver, MyDeviceHardware, RecordDisk, plugin } from '../src';

const LENGTH = 64 * 4096;
const options = { hardware: MyDeviceHardware, name: 'my-device0' };

/** A program that has opened the disk, with memory for its I/O. */
function* open(program: UserProgram) {
  const mapped = program.mmap(LENGTH, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS);
  const address = typeof mapped === 'number' ? mapped : yield* mapped;
  const fd = yield* program.open('/dev/my-device0');
  if (fd < 0) throw new Error(`not opened: ${fd}`);
  return { fd, address };
}

describe('my-device', () => {
  it.each([512, 4096, 8192, 14_336, LENGTH - 4096])('gives back %i bytes as they were written', (bytes) => {
    using bed = testDevice(MyDeviceDriver, options);
    const { process, world } = bed;
    const { fd, address } = bed.run(open(process));
    const written = Uint8Array.from({ length: bytes }, (_, i) => (i * 7) % 251);
    world.settle(process.write(address + 512, written));
    expect(bed.run(process.pwrite(fd, address + 512, bytes, 4096))).toBe(bytes);
    world.settle(process.write(address + 512, new Uint8Array(bytes)));
    expect(bed.run(process.pread(fd, address + 512, bytes, 4096))).toBe(bytes);
    const read = new Uint8Array(bytes);
    world.settle(process.read(address + 512, read));
    expect(read.findIndex((byte, i) => byte !== written[i])).toBe(-1);
  });

  it('keeps a page pinned and mapped only while an I/O is under way', () => {
    using bed = testDevice(MyDeviceDriver, options);
    const { fd, address } = bed.run(open(bed.process));
    const before = bed.device.domain.liveMappings;
    const reading = bed.world.spawn(bed.process.pread(fd, address, 4096, 0), { name: 'read' });
    bed.advance('5us');
    expect(bed.page(address).pins).toBe(1);
    expect(bed.device.domain.liveMappings).toBe(before + 1);
    bed.run(reading.join());
    expect(bed.page(address).pins).toBe(0);
    expect(bed.device.domain.liveMappings).toBe(before);
  });

  it('takes more I/Os at a time than it has tags', () => {
    using bed = testDevice(MyDeviceDriver, options);
    const { fd, address } = bed.run(open(bed.process));
    const reads = Array.from({ length: 60 }, (_, i) =>
      bed.world.spawn(bed.process.pread(fd, address + i * 4096, 4096, i * 4096), { name: `read ${i}` }),
    );
    expect(reads.map((read) => bed.run(read.join()))).toEqual(reads.map(() => 4096));
  });

  it('refuses what is not in whole sectors', () => {
    using bed = testDevice(MyDeviceDriver, options);
    const { fd, address } = bed.run(open(bed.process));
    expect(bed.run(bed.process.pread(fd, address, 100, 0))).toBe(-EINVAL);
  });

  it('keeps the last version of a record', () => {
    using bed = testDevice(MyDeviceDriver, options);
    const { address } = bed.run(open(bed.process));
    const disk = bed.run(RecordDisk.open(bed.process, address));
    if (typeof disk === 'number') throw new Error(`not opened: ${disk}`);
    expect(bed.run(disk.get(7))).toBe(-ENODATA);
    expect(bed.run(disk.put(7, Uint8Array.of(1)))).toBe(1);
    expect(bed.run(disk.put(7, Uint8Array.of(2)))).toBe(2);
    expect(bed.run(disk.get(7))).toEqual(Uint8Array.from({ length: CONTENT_BYTES }, (_, i) => (i === 0 ? 2 : 0)));
  });

  it('takes a lost interrupt for no more than that, and starts anew after a lost completion', () => {
    using bed = testDevice(MyDeviceDriver, options);
    const { fd, address } = bed.run(open(bed.process));
    bed.arm('irq@1=lost');
    expect(bed.run(bed.process.pread(fd, address, 4096, 0))).toBe(4096);
    bed.arm('completion@1=lost');
    expect(bed.run(bed.process.pread(fd, address, 4096, 0))).toBe(-ETIMEDOUT);
    expect(bed.run(bed.process.pread(fd, address, 4096, 0))).toBe(4096);
  });

  it('does not end the next command with a completion that comes twice', () => {
    using bed = testDevice(MyDeviceDriver, options);
    const { fd, address } = bed.run(open(bed.process));
    const pages = 60;
    const content = Uint8Array.from({ length: pages * 4096 }, (_, i) => 1 + (i >> 12));
    bed.world.settle(bed.process.write(address, content));
    expect(bed.run(bed.process.pwrite(fd, address, content.length, 0))).toBe(content.length);
    bed.world.settle(bed.process.write(address, new Uint8Array(content.length)));
    bed.arm('completion@*=twice');
    const reads = Array.from({ length: pages }, (_, i) =>
      bed.world.spawn(bed.process.pread(fd, address + i * 4096, 4096, i * 4096), { name: `read ${i}` }),
    );
    for (const read of reads) expect(bed.run(read.join())).toBe(4096);
    const read = new Uint8Array(content.length);
    bed.world.settle(bed.process.read(address, read));
    expect(read.findIndex((byte, i) => byte !== content[i])).toBe(-1);
  });

  it('says EIO when the bus fails the hardware', () => {
    using bed = testDevice(MyDeviceDriver, options);
    const { fd, address } = bed.run(open(bed.process));
    bed.arm('dma.write@1=EIO');
    expect(bed.run(bed.process.pread(fd, address, 4096, 0))).toBe(-EIO);
  });

  it('ends every I/O with ENODEV when it is pulled out', () => {
    using bed = testDevice(MyDeviceDriver, options);
    const { fd, address } = bed.run(open(bed.process));
    const reading = bed.world.spawn(bed.process.pread(fd, address, 8192, 0), { name: 'read' });
    bed.advance('5us');
    bed.unplug();
    expect(bed.run(reading.join())).toBe(-ENODEV);
    expect(bed.run(bed.process.pread(fd, address, 4096, 0))).toBe(-ENODEV);
  });

  it('passes the suite that every driver must pass', () => {
    const { example } = plugin;
    if (example === undefined) throw new Error('the plugin has no example');
    expect(verifyDriver(MyDeviceDriver, { hardware: MyDeviceHardware, example, limit: 10 }).problems).toEqual([]);
  });
});
