import { BioOp, hardware, hardwareMeta } from '@pincushion/driver';
import type { HardwareMeta } from '@pincushion/driver';
import { testDevice } from '@pincushion/testing';
import { NvmeController, NvmeDriver, identifyController } from '../src/index';
import { pattern } from './bare-host';
import { driverBed } from './driver-bed';

const QUICK = { ioTimeout: '10ms', adminTimeout: '50ms' };

/** A driver with short timeouts and a written block at sector 0. */
function troubleBed(options: Parameters<typeof driverBed>[0] = {}) {
  const bed = driverBed({ ...options, config: { ...QUICK, ...options.config } });
  const buffer = bed.buffer(64 * 4096);
  bed.store(buffer, pattern(1, 64 * 4096));
  expect(bed.write(buffer, 4096, 0)).toBe(4096);
  return Object.assign(bed, { area: buffer });
}

describe('the driver with a controller in trouble', () => {
  it('aborts a command that never ends, and tries it again', () => {
    const bed = troubleBed();
    bed.hardware.faults.stall = 1;
    const from = bed.world.now;
    expect(bed.read(bed.area, 4096, 0)).toBe(4096);
    expect(bed.world.now - from).toBeGreaterThan(10_000_000);
    expect(bed.world.now - from).toBeLessThan(15_000_000);
    expect([bed.driver.aborts, bed.driver.resets]).toEqual([1, 0]);
    bed.close();
  });

  it('resets the controller when a completion was lost, and issues the command again', () => {
    const bed = troubleBed();
    bed.hardware.faults.loseCompletions = 1;
    bed.store(bed.area, new Uint8Array(4096));
    expect(bed.read(bed.area, 4096, 0)).toBe(4096);
    expect([bed.driver.aborts, bed.driver.resets]).toEqual([1, 1]);
    expect(Buffer.compare(bed.load(bed.area, 4096), pattern(1, 4096))).toBe(0);
    bed.close();
  });

  it('takes a completion whose interrupt was lost when it looks after the timeout', () => {
    const bed = troubleBed();
    const { faults } = bed.world;
    faults.arm('irq', { nth: 1, errno: -5 });
    expect(bed.read(bed.area, 4096, 0)).toBe(4096);
    expect([bed.driver.aborts, bed.driver.resets]).toEqual([0, 0]);
    faults.disarm();
    bed.close();
  });

  it.each(['lost', 'late:30ms', 'twice', 'reorder'])(
    'loses nothing and ends nothing twice when every eleventh completion is %s',
    (effect) => {
      const bed = troubleBed({ config: { queueDepth: 8 } });
      bed.arm(Array.from({ length: 5 }, (_, i) => `completion@${11 * (i + 1)}=${effect}`).join());
      for (let i = 0; i < 64; i++) {
        expect(bed.submit(BioOp.write, bed.area + i * 4096, 4096, i * 8, i, i)).toBe(0);
      }
      bed.world.run();
      expect([...bed.results].sort(([a], [b]) => a - b)).toEqual(Array.from({ length: 64 }, (_, i) => [i, [4096]]));
      bed.world.faults.disarm();
      const written = bed.load(bed.area, 64 * 4096);
      bed.store(bed.area, new Uint8Array(64 * 4096));
      for (let i = 0; i < 64; i++) expect(bed.read(bed.area + i * 4096, 4096, i * 8)).toBe(4096);
      expect(Buffer.compare(bed.load(bed.area, 64 * 4096), written)).toBe(0);
      bed.close();
    },
  );

  it('keeps other I/O going through a reset: nothing is lost, nothing ends twice', () => {
    const bed = troubleBed({ config: { queueDepth: 8 } });
    bed.hardware.faults.loseCompletions = 2;
    for (let i = 0; i < 64; i++) {
      expect(bed.submit(BioOp.write, bed.area + i * 4096, 4096, i * 8, i, i)).toBe(0);
    }
    bed.advance('19ms');
    // The controller is about to be reset; what comes now waits.
    for (let i = 64; i < 80; i++) {
      expect(bed.submit(BioOp.write, bed.area, 4096, i * 8, i, i)).toBe(0);
      bed.advance('200us');
    }
    bed.advance('1s');
    expect(bed.driver.resets).toBe(1);
    expect(bed.results.size).toBe(80);
    expect([...bed.results.values()].every(([bytes, ...more]) => bytes === 4096 && more.length === 0)).toBe(true);
    const back = bed.buffer(64 * 4096);
    expect(bed.read(back, 64 * 4096, 0)).toBe(64 * 4096);
    expect(Buffer.compare(bed.load(back, 64 * 4096), pattern(1, 64 * 4096))).toBe(0);
    bed.close();
  });

  it('fails an I/O whose completion is lost every time, after the allowed retries', () => {
    const bed = troubleBed({ config: { retries: 1 } });
    bed.hardware.faults.loseCompletions = 99;
    expect(bed.read(bed.area, 4096, 0)).toBe(-110);
    expect(bed.driver.resets).toBe(2);
    bed.hardware.faults.loseCompletions = 0;
    expect(bed.read(bed.area, 4096, 0)).toBe(4096);
    bed.close();
  });

  it.each([
    ['an unrecovered read error, after retries', 0x281, -61],
    ['an LBA out of range, at once', 0x4080, -121],
    ['an invalid field, at once', 0x4002, -95],
    ['an internal error, after retries', 0x006, -5],
  ])('gives the program the errno of %s', (_what, status, errno) => {
    const bed = troubleBed({ config: { retries: 3 } });
    bed.hardware.faults.failCommands = (status & 0x4000) === 0 ? 4 : 1;
    bed.hardware.faults.failStatus = status;
    expect(bed.read(bed.area, 4096, 0)).toBe(errno);
    expect(bed.hardware.faults.failCommands).toBe(0);
    expect(bed.read(bed.area, 4096, 0)).toBe(4096);
    bed.close();
  });

  it('succeeds when a retry does', () => {
    const bed = troubleBed();
    bed.hardware.faults.failCommands = 3;
    bed.hardware.faults.failStatus = 0x006;
    expect(bed.read(bed.area, 4096, 0)).toBe(4096);
    bed.close();
  });

  it('ends every bio exactly once when it is pulled out with I/O in flight, and gives all pages back', () => {
    const bed = troubleBed({ config: { queueDepth: 8 } });
    for (let i = 0; i < 64; i++) {
      expect(bed.submit(i % 2, bed.area + i * 4096, 4096, i * 8, i, i)).toBe(0);
    }
    bed.advance('15us');
    const done = bed.results.size;
    expect(done).toBeLessThan(64);
    bed.unplug();
    expect(bed.results.size).toBe(64);
    expect([...bed.results.values()].every((ends) => ends.length === 1)).toBe(true);
    expect([...bed.results.values()].filter(([result]) => result === -5)).toHaveLength(64 - done);
    expect(bed.machine.memory.ledger.counters.pinnedNow).toBe(0);
    expect(bed.submit(BioOp.read, bed.area, 4096, 0, 0, 99)).toBe(-19);
    bed.close();
  });

  it('is pulled out in the middle of a reset, and still ends everything', () => {
    const bed = troubleBed();
    bed.hardware.faults.loseCompletions = 1;
    expect(bed.submit(BioOp.read, bed.area, 4096, 0, 0, 1)).toBe(0);
    bed.world.run({ until: () => bed.driver.resets === 1 });
    bed.unplug();
    expect(bed.results.get(1)).toEqual([-5]);
    bed.close();
  });

  it('gives the controller up when a reset does not help', () => {
    const bed = troubleBed();
    bed.hardware.faults.loseCompletions = 1;
    expect(bed.submit(BioOp.read, bed.area, 4096, 0, 0, 1)).toBe(0);
    bed.advance('15ms');
    bed.hardware.faults.refuseEnable = true;
    bed.advance('20s');
    expect(bed.results.get(1)).toEqual([-5]);
    expect(bed.driver.failed).toBe(true);
    expect(bed.submit(BioOp.read, bed.area, 4096, 0, 0, 2)).toBe(-19);
    bed.close();
  });

  it('lets I/O in flight complete when the driver is unbound', () => {
    const bed = troubleBed();
    for (let i = 0; i < 16; i++) expect(bed.submit(BioOp.write, bed.area, 4096, i * 8, i, i)).toBe(0);
    bed.run(bed.device.remove('driver-unbind'));
    expect([...bed.results.values()]).toEqual(Array.from({ length: 16 }, () => [4096]));
    expect(bed.hardware.submissionQueues.every((queue) => queue === null)).toBe(true);
    bed.close();
  });

  it('gives an admin command up that is never answered, and the next one works', () => {
    const bed = troubleBed();
    bed.hardware.faults.stallAdmin = 1;
    const from = bed.world.now;
    expect(bed.run(identifyController(bed.process, '/dev/nvme0'))).toBe(-5);
    expect(bed.world.now - from).toBeGreaterThanOrEqual(50_000_000);
    expect(bed.run(identifyController(bed.process, '/dev/nvme0'))).toMatchObject({ serial: 'PIN0001' });
    bed.close();
  });

  it('can be bound again after it was unbound, and finds the content it left', () => {
    const bed = troubleBed();
    bed.run(bed.device.remove('driver-unbind'));
    bed.run(bed.machine.bus.probe(bed.device, {}));
    const disk = bed.process.directIo('nvme0n1');
    bed.store(bed.area, new Uint8Array(4096));
    expect(bed.run(disk.read(bed.area, 4096, 0))).toBe(4096);
    expect(Buffer.compare(bed.load(bed.area, 4096), pattern(1, 4096))).toBe(0);
    bed.close();
  });

  it('sends an I/O again that cannot be mapped for lack of addresses, and fails one that cannot be mapped at all', () => {
    const bed = troubleBed();
    const from = bed.world.now;
    bed.world.faults.arm('map', { nth: 1, errno: -12 });
    expect(bed.read(bed.area, 4096, 0)).toBe(4096);
    expect(bed.world.now - from).toBeGreaterThan(3_000_000);
    bed.world.faults.arm('map', { nth: 1, errno: -22 });
    expect(bed.read(bed.area, 4096, 0)).toBe(-5);
    bed.world.faults.disarm();
    expect(bed.read(bed.area, 4096, 0)).toBe(4096);
    bed.close();
  });

  it('gives EIO for an I/O whose pages the controller cannot reach', () => {
    const bed = troubleBed({ config: { retries: 0 } });
    bed.world.faults.arm('dma', { nth: 2, errno: -14 }); // The first access fetches the command.
    expect(bed.read(bed.area, 4096, 0)).toBe(-5);
    bed.world.faults.disarm();
    expect(bed.read(bed.area, 4096, 0)).toBe(4096);
    bed.close();
  });
});

describe('bringing a controller up', () => {
  it('fails with a coded error when it does not become ready, and gives everything back', () => {
    class DeadController extends NvmeController {
      override powerOn(): void {
        super.powerOn();
        this.faults.refuseEnable = true;
      }
    }
    hardware({ ...hardwareMeta(NvmeController), name: 'dead' } as HardwareMeta)(DeadController);
    expect(() => testDevice(NvmeDriver, { hardware: DeadController, name: 'nvme0' })).toThrow(
      /DRIVER_PROBE_FAILED.*nvme0/,
    );
  });

  it('copes with the smallest queues there are', () => {
    const bed = driverBed({ model: { namespaces: [{ capacity: '8MiB' }], queueEntries: 2 } });
    const buffer = bed.buffer(16 * 4096);
    for (let i = 0; i < 16; i++) expect(bed.submit(BioOp.write, buffer + i * 4096, 4096, i * 8, 0, i)).toBe(0);
    bed.advance('10ms');
    expect([...bed.results.values()]).toEqual(Array.from({ length: 16 }, () => [4096]));
    bed.close();
  });

  it('names a wrong setting with the nearest right one', () => {
    expect(() => driverBed({ config: { queueDepht: 5 } })).toThrow(/queueDepht.*queueDepth/s);
    expect(() => driverBed({ model: { latency: { readNanos: 5 } } })).toThrow(/latency\.readNanos/);
    expect(() => driverBed({ model: { namespaces: [{ capacity: 'huge' }] } })).toThrow(/capacity/);
  });

  it('makes as many queue pairs as there are CPUs, vectors and queues', () => {
    const queues = (options: Parameters<typeof driverBed>[0]): number => {
      const bed = driverBed(options);
      const count = bed.hardware.submissionQueues.filter((queue) => queue !== null).length - 1;
      bed.close();
      return count;
    };
    expect(queues({ cpus: 4 })).toBe(4);
    expect(queues({ cpus: 4, config: { queuePairs: 3 } })).toBe(3);
    expect(queues({ cpus: 4, model: { namespaces: [{ capacity: '8MiB' }], queuePairs: 2 } })).toBe(2);
  });
});
