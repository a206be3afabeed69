import type { UserProgram } from '@pincushion/driver';
import { EFAULT, EINVAL, EIO, ENODEV, ETIMEDOUT } from '@pincushion/driver';
import { MAP_ANONYMOUS, MAP_PRIVATE, PROT_READ, PROT_WRITE } from '@pincushion/driver';
import { testDevice, verifyDriver } from '@pincushion/testing';
import { MyDevice, MyDeviceDriver, MyDeviceHardware, plugin } from '../src';

const LENGTH = 2 * 4096;
const options = { hardware: MyDeviceHardware, name: 'my-device0' };

/** A program with two pages of memory that has opened the device. */
function* open(program: UserProgram) {
  const mapped = program.mmap(LENGTH, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS);
  const address = typeof mapped === 'number' ? mapped : yield* mapped;
  const device = yield* MyDevice.open(program);
  if (typeof device === 'number') throw new Error(`not opened: ${device}`);
  return { device, address };
}

describe('my-device', () => {
  it('fills what it was asked to fill', () => {
    using bed = testDevice(MyDeviceDriver, options);
    const { device, address } = bed.run(open(bed.process));
    expect(bed.run(device.fill(address + 100, 5000, 7))).toBe(5000);
    const memory = new Uint8Array(5102);
    bed.world.settle(bed.process.read(address + 99, memory));
    expect(memory.findIndex((byte) => byte === 7)).toBe(1);
    expect(memory.findLastIndex((byte) => byte === 7)).toBe(5000);
  });

  it('holds the pages only as long as the hardware writes to them', () => {
    using bed = testDevice(MyDeviceDriver, options);
    const { device, address } = bed.run(open(bed.process));
    const filling = bed.world.spawn(device.fill(address, LENGTH, 7), { name: 'fill' });
    bed.advance('2us');
    expect(bed.page(address).pins).toBe(1);
    bed.run(filling.join());
    expect(bed.page(address).pins).toBe(0);
  });

  it('refuses what is empty, too long or not mapped', () => {
    using bed = testDevice(MyDeviceDriver, options);
    const { device, address } = bed.run(open(bed.process));
    expect(bed.run(device.fill(address, 0, 7))).toBe(-EINVAL);
    expect(bed.run(device.fill(address, 2 ** 30, 7))).toBe(-EINVAL);
    expect(bed.run(device.fill(4096, 10, 7))).toBe(-EFAULT);
  });

  it('ends a fill with ENODEV when it is pulled out in the middle', () => {
    using bed = testDevice(MyDeviceDriver, options);
    const { device, address } = bed.run(open(bed.process));
    const filling = bed.world.spawn(device.fill(address, LENGTH, 7), { name: 'fill' });
    bed.advance('2us');
    bed.unplug();
    expect(bed.run(filling.join())).toBe(-ENODEV);
  });

  it('gives a fill up whose interrupt was lost, and goes on', () => {
    using bed = testDevice(MyDeviceDriver, options);
    const { device, address } = bed.run(open(bed.process));
    bed.arm('irq@1=lost');
    expect(bed.run(device.fill(address, 10, 7))).toBe(-ETIMEDOUT);
    expect(bed.run(device.fill(address, 10, 7))).toBe(10);
  });

  it('does not take an interrupt that was late for that of the next fill', () => {
    using bed = testDevice(MyDeviceDriver, { ...options, model: { nsPerByte: 1000 }, config: { timeoutMs: 1 } });
    const { device, address } = bed.run(open(bed.process));
    bed.arm('irq@1=late:2ms');
    expect(bed.run(device.fill(address, 10, 7))).toBe(-ETIMEDOUT);
    expect(bed.run(device.fill(address, 900, 7))).toBe(900);
    expect(bed.run(device.fill(address, 900, 7))).toBe(900);
  });

  it('says EIO when the bus fails the hardware', () => {
    using bed = testDevice(MyDeviceDriver, options);
    const { device, address } = bed.run(open(bed.process));
    bed.arm('dma@1=EIO');
    expect(bed.run(device.fill(address, 10, 7))).toBe(-EIO);
  });

  it('passes the suite that every driver must pass', () => {
    const { example } = plugin;
    if (example === undefined) throw new Error('the plugin has no example');
    expect(verifyDriver(MyDeviceDriver, { hardware: MyDeviceHardware, example, limit: 10 }).problems).toEqual([]);
  });
});
