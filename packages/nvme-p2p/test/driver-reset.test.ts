/** The driver with a controller in trouble under load: aborts, resets, removals in between. */
import { BioOp, hardware, hardwareMeta } from '@pincushion/driver';
import type { HardwareMeta } from '@pincushion/driver';
import { testDevice } from '@pincushion/testing';
import { NvmeController, NvmeDriver, identifyController } from '../src/index';
import { CSTS_CFS, CSTS_RDY, REG_CC, REG_CSTS } from '../src/spec/registers';
import { pattern } from './bare-host';
import { driverBed, driverBedOn } from './driver-bed';
import type { DriverBedOptions } from './driver-bed';

const QUICK = { ioTimeout: '10ms', adminTimeout: '50ms' };
const IOS = 32;

/** Four CPUs with a queue each, and a program that keeps 32 writes in flight. */
function loadedBed(options: DriverBedOptions = {}) {
  const bed = driverBed({ cpus: 4, ...options, config: { ...QUICK, queueDepth: 64, ...options.config } });
  const area = bed.buffer(IOS * 4096);
  bed.store(area, pattern(1, IOS * 4096));
  let io = bed.disk;
  const submitAll = (from = 0): void => {
    for (let i = 0; i < IOS; i++) {
      expect(bed.settle(io.submit(BioOp.write, area + i * 4096, 4096, i * 8, i, from + i))).toBe(0);
    }
  };
  /** The disk of a driver that was bound again. */
  const reopen = (): void => {
    io = Object.assign(bed.process.directIo('nvme0n1'), { onDone: bed.disk.onDone });
  };
  const contentIsWhole = (): boolean => {
    const back = bed.buffer(IOS * 4096);
    expect(bed.read(back, IOS * 4096, 0)).toBe(IOS * 4096);
    return Buffer.compare(bed.load(back, IOS * 4096), pattern(1, IOS * 4096)) === 0;
  };
  return Object.assign(bed, { area, submitAll, reopen, contentIsWhole });
}

/** A controller that can be made to report a fatal status, or never to become ready. */
class AilingController extends NvmeController {
  fatal = false;
  static neverReady = false;

  override mmioRead(bar: number, offset: number, width: 1 | 2 | 4 | 8): number {
    const value = super.mmioRead(bar, offset, width);
    if (bar !== 0 || offset !== REG_CSTS) return value;
    if (AilingController.neverReady) return value & ~CSTS_RDY;
    return this.fatal ? value | CSTS_CFS : value;
  }

  override mmioWrite(bar: number, offset: number, value: number, width: 1 | 2 | 4 | 8): void {
    super.mmioWrite(bar, offset, value, width);
    if (bar === 0 && offset === REG_CC && (value & 1) === 0) this.fatal = false;
  }
}
hardware({ ...hardwareMeta(NvmeController), name: 'ailing' } as HardwareMeta)(AilingController);

describe('32 I/Os on four queues', () => {
  it.each([
    ['lost', 'completion@1=lost,completion@9=lost,completion@17=lost'],
    ['late beyond the timeout', 'completion@1=late:25ms,completion@12=late:35ms'],
    ['twice', 'completion@3=twice,completion@30=twice'],
  ])('with completions that are %s: nothing is lost, nothing ends twice, retries are counted', (_what, plan) => {
    const bed = loadedBed();
    bed.arm(plan);
    bed.submitAll();
    bed.world.run();
    expect([...bed.results.values()]).toEqual(new Array(IOS).fill([4096]));
    bed.world.faults.disarm();
    expect(bed.contentIsWhole()).toBe(true);
    bed.close();
  });

  it('survive resets at every moment of their way, and several in a row', () => {
    const bed = loadedBed();
    for (let us = 0; us < 90; us += 6) {
      bed.results.clear();
      bed.submitAll();
      bed.advance(`${us}us`);
      bed.world.spawn(bed.driver.reset(), { name: 'first reset' });
      bed.advance('40us');
      bed.world.spawn(bed.driver.reset(), { name: 'second reset' });
      bed.submitAll(100);
      bed.run(bed.driver.reset());
      bed.run(bed.driver.reset());
      bed.world.run();
      expect([bed.driver.failed, bed.driver.aborts]).toEqual([false, 0]);
      expect([...bed.results.values()]).toEqual(new Array(2 * IOS).fill([4096]));
    }
    expect(bed.contentIsWhole()).toBe(true);
    bed.close();
  });

  it('are tried as often as allowed and no more (nvme_max_retries), though the controller is reset again and again', () => {
    const bed = loadedBed({ config: { retries: 2 } });
    bed.submitAll();
    bed.advance('1us');
    for (let i = 0; i < 3; i++) {
      expect(bed.results.size).toBe(0);
      bed.hardware.faults.stall = 1000;
      bed.run(bed.driver.reset());
    }
    bed.hardware.faults.stall = 0;
    bed.world.run();
    // A reset deletes the queues, and the controller aborts what is in them: an I/O error when tried too often.
    expect([...bed.results.values()]).toEqual(new Array(IOS).fill([-5]));
    expect(bed.contentIsWhole()).toBe(false);
    bed.close();
  });

  /** Submits, begins a reset, and removes the driver some time after that: every I/O ends once. */
  function removeDuringReset(
    bed: ReturnType<typeof loadedBed>,
    why: 'driver-unbind' | 'surprise',
    us: number,
  ): number[] {
    bed.results.clear();
    bed.submitAll();
    bed.advance('5us');
    bed.world.spawn((bed.device.driver as NvmeDriver).reset(), { name: 'reset' });
    bed.advance(`${us}us`);
    bed.run(bed.device.remove(why));
    bed.world.run();
    const ended = [...bed.results.values()];
    expect(ended).toHaveLength(IOS);
    for (const all of ended) expect(all).toHaveLength(1);
    return ended.flat();
  }

  it('end well when the driver is unbound in the middle of a reset, at every moment', () => {
    const bed = loadedBed();
    for (let us = 0; us < 1500; us += 60) {
      expect(removeDuringReset(bed, 'driver-unbind', us)).toEqual(new Array(IOS).fill(4096));
      bed.run(bed.machine.bus.probe(bed.device, QUICK));
      bed.reopen();
    }
    bed.close();
  });

  it.each([0, 20, 60, 130, 300, 450, 800, 1200])('end when it is pulled out %i µs into a reset', (us) => {
    const bed = loadedBed();
    removeDuringReset(bed, 'surprise', us);
    bed.close();
  });

  it('send no more aborts at a time than the controller takes (ACL); the others wait for the next timeout', () => {
    const bed = loadedBed();
    bed.hardware.faults.stall = IOS;
    bed.submitAll();
    bed.advance('10001us');
    expect(bed.driver.aborts).toBe(4);
    bed.world.run();
    expect([...bed.results.values()]).toEqual(new Array(IOS).fill([4096]));
    expect(bed.driver.resets).toBe(0);
    bed.close();
  });
});

describe('a controller in trouble', () => {
  it('with a fatal status is reset at the first timeout, without an abort (nvme_should_reset)', () => {
    const bed = driverBedOn(AilingController, { config: QUICK });
    const area = bed.buffer(4096);
    bed.hardware.faults.stall = 1;
    bed.hardware.fatal = true;
    const from = bed.world.now;
    expect(bed.write(area, 4096, 0)).toBe(4096);
    expect([bed.driver.aborts, bed.driver.resets]).toEqual([0, 1]);
    expect(bed.world.now - from).toBeLessThan(15_000_000);
    bed.close();
  });

  it('that leaves an admin command unanswered is reset, and the next one works', () => {
    const bed = driverBed({ config: QUICK });
    bed.hardware.faults.stallAdmin = 1;
    expect(bed.run(identifyController(bed.process, '/dev/nvme0'))).toBeLessThan(0);
    expect(bed.run(identifyController(bed.process, '/dev/nvme0'))).toMatchObject({ serial: 'PIN0001' });
    expect(bed.driver.resets).toBe(1);
    expect(bed.driver.failed).toBe(false);
    bed.close();
  });

  it('that does not become ready within CAP.TO makes the probe fail with a coded error, after that time', () => {
    AilingController.neverReady = true;
    try {
      expect(() => testDevice(NvmeDriver, { hardware: AilingController, name: 'nvme0' })).toThrow(
        /DRIVER_PROBE_FAILED.*ETIMEDOUT/s,
      );
    } finally {
      AilingController.neverReady = false;
    }
  });

  it('that takes its time to come back has commands of programs wait for it', () => {
    const bed = driverBedOn(AilingController, { config: QUICK });
    AilingController.neverReady = true;
    try {
      bed.world.spawn(bed.driver.reset(), { name: 'reset' });
      bed.advance('2ms');
    } finally {
      AilingController.neverReady = false;
    }
    expect(bed.run(identifyController(bed.process, '/dev/nvme0'))).toMatchObject({ serial: 'PIN0001' });
    expect([bed.driver.resets, bed.driver.failed]).toEqual([1, false]);
    bed.close();
  });

  it('that does not become ready again after a reset is given up, and every I/O ends', () => {
    const bed = driverBedOn(AilingController, { config: QUICK });
    const area = bed.buffer(4096);
    for (let i = 0; i < 8; i++) expect(bed.submit(BioOp.write, area, 4096, i * 8, 0, i)).toBe(0);
    AilingController.neverReady = true;
    try {
      bed.run(bed.driver.reset());
      bed.world.run();
    } finally {
      AilingController.neverReady = false;
    }
    expect(bed.driver.failed).toBe(true);
    for (const all of bed.results.values()) expect(all).toHaveLength(1);
    expect(bed.results.size).toBe(8);
    bed.close();
  });

  it.each([0, 30, 90, 140, 190, 240, 280, 310])('pulled out %i µs into its probe leaves nothing behind', (us) => {
    const bed = driverBed({ config: QUICK });
    bed.run(bed.device.remove('driver-unbind'));
    let error: unknown = null;
    bed.world.spawn(
      (function* () {
        try {
          yield* bed.machine.bus.probe(bed.device, QUICK);
        } catch (thrown) {
          error = thrown;
        }
      })(),
      { name: 'probe' },
    );
    bed.advance(`${us}us`);
    expect(bed.device.state).toBe('probing');
    bed.run(bed.device.remove('surprise'));
    expect(String(error)).toMatch(/DRIVER_PROBE_FAILED/);
    expect(bed.device.state).toBe('gone');
    bed.close();
  });
});
