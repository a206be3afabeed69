import type { UserProgram } from '@pincushion/driver';
import { EACCES, EAGAIN, EINVAL, ENODEV, ENOENT, ENOMEM, ENOSPC } from '@pincushion/driver';
import { MAP_ANONYMOUS, MAP_PRIVATE, MAP_SHARED, PROT_READ, PROT_WRITE } from '@pincushion/driver';
import { testDevice, verifyDriver } from '@pincushion/testing';
import type { WorkRequest } from '../src';
import { Access, MyDeviceContext, MyDeviceDriver, MyDeviceHardware, Status, plugin } from '../src';

const LENGTH = 4 * 4096;
const ALL = Access.localWrite | Access.remoteWrite | Access.remoteRead;
const options = { hardware: MyDeviceHardware, name: 'my-device0' };

/** A program that has opened the device and registered two regions of four pages. */
function* openWithRegions(program: UserProgram) {
  const mapped = program.mmap(2 * LENGTH, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS);
  const address = typeof mapped === 'number' ? mapped : yield* mapped;
  const context = yield* MyDeviceContext.open(program);
  if (typeof context === 'number') throw new Error(`not opened: ${context}`);
  const localKey = yield* context.register(address, LENGTH, Access.localWrite);
  const remoteKey = yield* context.register(address + LENGTH, LENGTH, ALL);
  const request: WorkRequest = {
    id: 1,
    operation: 'write',
    localKey,
    localOffset: 0,
    remoteKey,
    remoteOffset: 0,
    length: LENGTH,
  };
  return { context, address, localKey, remoteKey, request };
}

describe('my-device', () => {
  it('moves bytes from one region to another, and says so in memory the program reads', () => {
    using bed = testDevice(MyDeviceDriver, options);
    const { context, address, request } = bed.run(openWithRegions(bed.process));
    bed.world.settle(bed.process.write(address, Uint8Array.of(1, 2, 3)));
    expect(bed.run(context.post({ ...request, id: 42 }))).toBe(0);
    expect(bed.run(context.poll())).toBeNull();
    expect(bed.run(context.next())).toEqual({ id: 42, status: Status.ok, bytes: LENGTH });
    const there = new Uint8Array(3);
    bed.world.settle(bed.process.read(address + LENGTH, there));
    expect([...there]).toEqual([1, 2, 3]);
    expect(bed.run(context.next())).toBe(-EAGAIN);
  });

  it('keeps the pages of a region pinned until it is taken back', () => {
    using bed = testDevice(MyDeviceDriver, options);
    const { context, address, localKey } = bed.run(openWithRegions(bed.process));
    expect(bed.page(address).pins).toBe(1);
    expect(bed.run(context.deregister(localKey))).toBe(0);
    expect(bed.page(address).pins).toBe(0);
    expect(bed.run(context.deregister(localKey))).toBe(-ENOENT);
  });

  it('ends requests on a region that is taken back under them, and touches it no more', () => {
    using bed = testDevice(MyDeviceDriver, options);
    const { context, remoteKey, request } = bed.run(openWithRegions(bed.process));
    bed.run(context.post(request));
    bed.advance('3us');
    expect(bed.run(context.deregister(remoteKey))).toBe(0);
    expect(bed.run(context.next())).toMatchObject({ id: 1, status: Status.remoteAccess });
  });

  it('lets nobody do what a region does not allow', () => {
    using bed = testDevice(MyDeviceDriver, options);
    const { context, request, localKey, remoteKey } = bed.run(openWithRegions(bed.process));
    bed.run(context.post({ ...request, localKey: remoteKey, remoteKey: localKey }));
    expect(bed.run(context.next())).toMatchObject({ status: Status.remoteAccess });
    bed.run(context.post({ ...request, localOffset: 1 }));
    expect(bed.run(context.next())).toMatchObject({ status: Status.localProtection });
  });

  it('pins memory that nobody may write for reading only, and maps it so', () => {
    using bed = testDevice(MyDeviceDriver, options);
    const { context } = bed.run(openWithRegions(bed.process));
    const readOnly = bed.world.settle(bed.process.mmap(4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS));
    expect(bed.run(context.register(readOnly, 4096, Access.remoteRead))).toBeGreaterThan(0);
    const mapping = bed.device.domain.mappings().find(({ bytes }) => bytes === 4096);
    bed.expectFinding('DMA_FAULT');
    expect(bed.bus.dmaWrite(mapping?.iova ?? 0, Uint8Array.of(1))).toBeLessThan(0);
    expect(bed.run(context.register(readOnly, 4096, ALL))).toBeLessThan(0);
    expect(bed.run(context.register(readOnly, 4096, Access.remoteWrite))).toBe(-EINVAL);
  });

  it('counts regions against the limit of locked memory', () => {
    using bed = testDevice(MyDeviceDriver, options);
    const { context, address } = bed.run(openWithRegions(bed.process));
    bed.process.mm.rlimitMemlock = 10 * 4096;
    expect(bed.run(context.register(address, LENGTH, ALL))).toBe(-ENOMEM);
  });

  it('shows its completions for reading, and has eight queue pairs', () => {
    using bed = testDevice(MyDeviceDriver, options);
    const fd = bed.run(bed.process.open('/dev/my-device0'));
    expect(bed.process.mmapFile(fd, 4096, PROT_READ | PROT_WRITE, MAP_SHARED)).toBe(-EACCES);
    for (let i = 1; i < 8; i++) expect(bed.run(bed.process.open('/dev/my-device0'))).toBeGreaterThan(0);
    expect(bed.run(bed.process.open('/dev/my-device0'))).toBe(-ENOSPC);
  });

  it('takes a lost interrupt for no more than that', () => {
    using bed = testDevice(MyDeviceDriver, options);
    const { context, request } = bed.run(openWithRegions(bed.process));
    bed.arm('irq@1=lost');
    bed.run(context.post(request));
    expect(bed.run(context.next())).toMatchObject({ status: Status.ok });
  });

  it('takes more requests than its queue has room for', () => {
    using bed = testDevice(MyDeviceDriver, options);
    const { context, request } = bed.run(openWithRegions(bed.process));
    for (let id = 1; id <= 40; id++) expect(bed.run(context.post({ ...request, id, length: 10 }))).toBe(0);
    for (let id = 1; id <= 40; id++) expect(bed.run(context.next())).toMatchObject({ id, status: Status.ok });
  });

  it('ends a wait with ENODEV when it is pulled out', () => {
    using bed = testDevice(MyDeviceDriver, options);
    const { context, request } = bed.run(openWithRegions(bed.process));
    bed.run(context.post(request));
    const waiting = bed.world.spawn(context.next(), { name: 'wait' });
    bed.advance('3us');
    bed.unplug();
    expect(bed.run(waiting.join())).toBe(-ENODEV);
  });

  it('passes the suite that every driver must pass', () => {
    const { example } = plugin;
    if (example === undefined) throw new Error('the plugin has no example');
    expect(verifyDriver(MyDeviceDriver, { hardware: MyDeviceHardware, example, limit: 10 }).problems).toEqual([]);
  });
});
