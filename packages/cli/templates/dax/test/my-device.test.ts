import { EINVAL, EIO, ENODEV, ETIMEDOUT, MAP_PRIVATE, PROT_READ } from '@pincushion/driver';
import type { UserProgram } from '@pincushion/driver';
import { testDevice, verifyDriver } from '@pincushion/testing';
import { MyDeviceDriver, MyDeviceHardware, MyDeviceMemory, plugin } from '../src';

const options = { hardware: MyDeviceHardware, name: 'my-device0' };

function* map(program: UserProgram) {
  const memory = yield* MyDeviceMemory.map(program);
  if (typeof memory === 'number') throw new Error(`not mapped: ${memory}`);
  return memory;
}

describe('my-device', () => {
  it('shows its memory to a program, and keeps what was flushed', () => {
    using bed = testDevice(MyDeviceDriver, options);
    const memory = bed.run(map(bed.process));
    expect(memory.size).toBe(8 * 4096);
    bed.world.settle(bed.process.write(memory.address + 100, Uint8Array.of(1, 2, 3)));
    expect(bed.run(memory.flush(0, 4096))).toBe(0);
    expect([...bed.hardware.durable(99, 5)]).toEqual([0, 1, 2, 3, 0]);
  });

  it('keeps no store that was not flushed', () => {
    using bed = testDevice(MyDeviceDriver, options);
    const memory = bed.run(map(bed.process));
    bed.world.settle(bed.process.write(memory.address + 5000, Uint8Array.of(9)));
    expect(bed.run(memory.flush(0, 4096))).toBe(0);
    expect(bed.hardware.durable(5000, 1)[0]).toBe(0);
  });

  it('shows the same memory to every program', () => {
    using bed = testDevice(MyDeviceDriver, options);
    const memory = bed.run(map(bed.process));
    const other = bed.machine.process('other');
    const seen = bed.run(map(other));
    bed.world.settle(bed.process.write(memory.address, Uint8Array.of(42)));
    const byte = new Uint8Array(1);
    bed.world.settle(other.read(seen.address, byte));
    expect(byte[0]).toBe(42);
    bed.run(other.exit());
  });

  it('refuses private mappings, and what is beyond its end', () => {
    using bed = testDevice(MyDeviceDriver, options);
    const memory = bed.run(map(bed.process));
    const fd = bed.run(bed.process.open('/dev/my-device0'));
    expect(bed.process.mmapFile(fd, 4096, PROT_READ, MAP_PRIVATE)).toBe(-EINVAL);
    expect(bed.run(memory.flush(memory.size - 10, 11))).toBe(-EINVAL);
  });

  it('leaves its pages to a program that has them mapped when it is pulled out', () => {
    using bed = testDevice(MyDeviceDriver, options);
    const memory = bed.run(map(bed.process));
    bed.world.settle(bed.process.write(memory.address, Uint8Array.of(42)));
    const flushing = bed.world.spawn(memory.flush(0, memory.size), { name: 'flush' });
    bed.advance('2us');
    bed.unplug();
    expect(bed.run(flushing.join())).toBe(-ENODEV);
    const byte = new Uint8Array(1);
    bed.world.settle(bed.process.read(memory.address, byte));
    expect(byte[0]).toBe(42);
  });

  it('gives a flush up whose interrupt was lost, and says EIO when the bus fails', () => {
    using bed = testDevice(MyDeviceDriver, options);
    const memory = bed.run(map(bed.process));
    bed.arm('irq@1=lost,dma@2=EIO');
    expect(bed.run(memory.flush(0, 10))).toBe(-ETIMEDOUT);
    expect(bed.run(memory.flush(0, 10))).toBe(-EIO);
    expect(bed.run(memory.flush(0, 10))).toBe(0);
  });

  it('passes the suite that every driver must pass', () => {
    const { example } = plugin;
    if (example === undefined) throw new Error('the plugin has no example');
    expect(verifyDriver(MyDeviceDriver, { hardware: MyDeviceHardware, example, limit: 10 }).problems).toEqual([]);
  });
});
