import type { UserProgram } from '@pincushion/driver';
import { EINVAL, EIO, ENODEV, ENOENT, MAP_ANONYMOUS, MAP_PRIVATE, PROT_READ, PROT_WRITE } from '@pincushion/driver';
import { testDevice, verifyDriver } from '@pincushion/testing';
import { MyDeviceContext, MyDeviceDriver, MyDeviceHardware, plugin } from '../src';

const LENGTH = 4 * 4096;
const options = { hardware: MyDeviceHardware, name: 'my-device0' };

/** A program that has opened the device and made a buffer of four pages. */
function* openWithBuffer(program: UserProgram) {
  const mapped = program.mmap(LENGTH, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS);
  const address = typeof mapped === 'number' ? mapped : yield* mapped;
  const context = yield* MyDeviceContext.open(program);
  if (typeof context === 'number') throw new Error(`not opened: ${context}`);
  const buffer = yield* context.create(address, LENGTH);
  expect(buffer).toBeGreaterThan(0);
  return { context, buffer, address };
}

describe('my-device', () => {
  it('executes jobs in the order of their fences', () => {
    using bed = testDevice(MyDeviceDriver, options);
    const { context, buffer, address } = bed.run(openWithBuffer(bed.process));
    const fence = bed.run(context.submit({ operation: 'fill', to: buffer, toOffset: 0, length: 100, value: 7 }));
    const copy = { operation: 'copy', from: buffer, fromOffset: 50, to: buffer, toOffset: 8000, length: 100 } as const;
    const next = bed.run(context.submit(copy));
    expect(next).toBe(fence + 1);
    expect(bed.run(context.wait(next))).toBe(0);
    const memory = new Uint8Array(100);
    bed.world.settle(bed.process.read(address + 8000, memory));
    expect(memory.lastIndexOf(7)).toBe(49);
  });

  it('takes more jobs than its ring has room for', () => {
    using bed = testDevice(MyDeviceDriver, options);
    const { context, buffer } = bed.run(openWithBuffer(bed.process));
    let fence = 0;
    for (let i = 0; i < 50; i++) {
      fence = bed.run(context.submit({ operation: 'fill', to: buffer, toOffset: 0, length: 100, value: i }));
    }
    expect(bed.run(context.wait(fence))).toBe(0);
  });

  it('keeps the pages of a buffer until the last job that uses it has ended', () => {
    using bed = testDevice(MyDeviceDriver, options);
    const { context, buffer, address } = bed.run(openWithBuffer(bed.process));
    bed.run(context.submit({ operation: 'fill', to: buffer, toOffset: 0, length: LENGTH, value: 7 }));
    const destroying = bed.world.spawn(context.destroy(buffer), { name: 'destroy' });
    bed.advance('2us');
    expect(bed.page(address).pins).toBe(1);
    expect(bed.run(context.submit({ operation: 'fill', to: buffer, toOffset: 0, length: 1 }))).toBe(-ENOENT);
    bed.run(destroying.join());
    expect(bed.page(address).pins).toBe(0);
  });

  it('refuses what is no whole page, and what is outside of a buffer', () => {
    using bed = testDevice(MyDeviceDriver, options);
    const { context, buffer, address } = bed.run(openWithBuffer(bed.process));
    expect(bed.run(context.create(address + 1, 4096))).toBe(-EINVAL);
    expect(bed.run(context.create(address, 100))).toBe(-EINVAL);
    const beyond = { operation: 'fill', to: buffer, toOffset: LENGTH - 1, length: 2 } as const;
    expect(bed.run(context.submit(beyond))).toBe(-EINVAL);
  });

  it('notices a job whose interrupt was lost', () => {
    using bed = testDevice(MyDeviceDriver, options);
    const { context, buffer } = bed.run(openWithBuffer(bed.process));
    bed.arm('irq@1=lost');
    const fence = bed.run(context.submit({ operation: 'fill', to: buffer, toOffset: 0, length: 100 }));
    expect(bed.run(context.wait(fence))).toBe(0);
  });

  it('says with the fence that the bus failed', () => {
    using bed = testDevice(MyDeviceDriver, options);
    const { context, buffer } = bed.run(openWithBuffer(bed.process));
    bed.arm('dma.write@1=EIO');
    const fence = bed.run(context.submit({ operation: 'fill', to: buffer, toOffset: 0, length: 100 }));
    expect(bed.run(context.wait(fence))).toBe(-EIO);
  });

  it('ends a wait with ENODEV when it is pulled out', () => {
    using bed = testDevice(MyDeviceDriver, options);
    const { context, buffer } = bed.run(openWithBuffer(bed.process));
    const fence = bed.run(context.submit({ operation: 'fill', to: buffer, toOffset: 0, length: LENGTH }));
    const waiting = bed.world.spawn(context.wait(fence), { name: 'wait' });
    bed.advance('2us');
    bed.unplug();
    expect(bed.run(waiting.join())).toBe(-ENODEV);
  });

  it('passes the suite that every driver must pass', () => {
    const { example } = plugin;
    if (example === undefined) throw new Error('the plugin has no example');
    expect(verifyDriver(MyDeviceDriver, { hardware: MyDeviceHardware, example, limit: 10 }).problems).toEqual([]);
  });
});
