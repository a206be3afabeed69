import { Context, DeviceModel, DeviceWork, Driver, Mutex, driver, hardware } from '@pincushion/driver';
import type { Task } from '@pincushion/driver';
import { World } from '@pincushion/sim';
import { FindingsError, describeFinding, leakCheck, testDevice } from '@pincushion/testing';
import { z } from 'zod';

@hardware({ name: 'lamp', vendor: 1, device: 1, bars: [{ bytes: 4 }], vectors: 0, config: z.strictObject({}) })
class Lamp extends DeviceModel {
  on = false;

  override powerOn(): void {
    this.on = false;
  }

  override mmioRead(): number {
    return Number(this.on);
  }

  override mmioWrite(_bar: number, _offset: number, value: number): void {
    this.on = value !== 0;
  }
}

const Config = z.strictObject({ stopTimer: z.boolean().default(true) });

@driver({ name: 'lamp', api: 1, match: [{ vendor: 1, device: 1 }], config: Config })
class LampDriver extends Driver<typeof Config> {
  blinks = 0;
  readonly hooks: string[] = [];

  constructor(private readonly work: DeviceWork) {
    super();
  }

  override *probe(): Task {
    const timer = this.work.timer('blink', () => {
      this.blinks++;
      timer.start(1000);
    });
    timer.start(1000);
    if (this.config.stopTimer) this.own(timer);
  }

  override *remove(): Task {
    yield* this.device.world.sleep(10_000); // takes its time
  }

  override *suspend(): Task {
    this.hooks.push('suspend');
  }

  override *resume(): Task {
    this.hooks.push('resume');
  }

  override *reset(): Task {
    this.hooks.push('reset');
  }

  *slowly(): Task<string> {
    yield* this.device.world.sleep(5000);
    return 'done';
  }
}

function* listening({ trace }: World): Task {
  trace.subscribe(() => undefined);
}

function failure(run: () => void): Error {
  try {
    run();
  } catch (error) {
    return error as Error;
  }
  throw new Error('nothing was thrown');
}

describe('testDevice', () => {
  it('gives driver, hardware and a process on a machine of their own', () => {
    using bed = testDevice(LampDriver, { hardware: Lamp, name: 'lamp0' });
    expect(bed.driver).toBeInstanceOf(LampDriver);
    expect(bed.hardware).toBeInstanceOf(Lamp);
    expect(bed.device.path).toBe('lamp0');
    expect(bed.process.machine).toBe(bed.machine);
    expect(bed.machine.memory.ledger.mode).toBe('full');
  });

  it('runs tasks in virtual time, and lets time pass', () => {
    using bed = testDevice(LampDriver, { hardware: Lamp });
    expect(bed.run(bed.driver.slowly())).toBe('done');
    expect(bed.world.now).toBe(5000);
    bed.advance('2us');
    bed.advance(500);
    expect([bed.world.now, bed.driver.blinks]).toEqual([7500, 7]);
    expect(() => {
      bed.advance('soon');
    }).toThrow('ARGUMENT_INVALID');
  });

  it('lets a removal run to its end when the block is left', () => {
    const bed = testDevice(LampDriver, { hardware: Lamp });
    bed.close();
    expect(bed.device.state).toBe('gone');
    expect(bed.world.now).toBeGreaterThanOrEqual(10_000);
    bed.close(); // a second time does nothing
  });

  it('throws for what was left behind, with its code', () => {
    const bed = testDevice(LampDriver, { hardware: Lamp, config: { stopTimer: false } });
    const error = failure(() => {
      bed.close();
    });
    expect(error).toBeInstanceOf(FindingsError);
    expect(error.message).toMatch(/^DEVICE_TIMER_LEAK: dev0: timer dev0: blink is still running \(at 10 µs\)/);
  });

  it('accepts what was planted, and wants it to be found', () => {
    const planted = testDevice(LampDriver, { hardware: Lamp, config: { stopTimer: false } });
    planted.expectFinding('DEVICE_TIMER_LEAK');
    planted.close();

    const clean = testDevice(LampDriver, { hardware: Lamp });
    clean.expectFinding('PIN_LEAK');
    expect(
      failure(() => {
        clean.close();
      }).message,
    ).toBe('Expected findings that were not made: PIN_LEAK');
  });

  it('does not run for ever when something starts itself again and again', () => {
    const bed = testDevice(LampDriver, { hardware: Lamp });
    const again = (): undefined => {
      bed.world.after(10, Context.softirq, again);
    };
    again();
    expect(
      failure(() => {
        bed.close();
      }).message,
    ).toContain('does not come to rest');
  });

  it('has the memory, the kernel and the world that a test wants', () => {
    const world = new World({ seed: 7 });
    const memory = { swap: '16MiB', movable: '16MiB', hugetlb: { '2MiB': 2 } };
    using bed = testDevice(LampDriver, { hardware: Lamp, world, memory, kernel: '6.1' });
    expect([bed.world.seed, bed.machine.memory.profile.name]).toEqual([7, '6.1']);
    expect(bed.machine.description.memory).toMatchObject({ swap: 1 << 24, movable: 1 << 24, hugetlb: { '2MiB': 2 } });
  });

  it('calls the hooks of the lifecycle', () => {
    using bed = testDevice(LampDriver, { hardware: Lamp });
    bed.suspend();
    bed.resume();
    bed.reset();
    expect(bed.driver.hooks).toEqual(['suspend', 'resume', 'reset']);
  });

  it('explains a wrong configuration', () => {
    const config = { stopTimre: true } as object;
    expect(() => testDevice(LampDriver, { hardware: Lamp, config })).toThrow(/config\.stopTimre .*Try stopTimer/);
  });
});

describe('leakCheck', () => {
  it('throws for a task that waits for ever, and says for what', () => {
    const world = new World();
    const mutex = new Mutex(world, 'door');
    world.complete(mutex.lock(), 'first');
    world.spawn(mutex.lock(), { name: 'second' });
    world.run();
    const error = failure(() => {
      leakCheck(world);
    });
    expect(error.message).toMatch(/TASK_STUCK.*second/);
    expect(error.message).toContain("mutex 'door'");
  });

  it('names who still listens to tracepoints, where that began and since when, once', () => {
    const bed = testDevice(LampDriver, { hardware: Lamp });
    const { world } = bed;
    bed.advance('2us');
    world.trace.subscribe(() => undefined, ['irq:entry']);
    world.complete(listening(world), 'watcher');
    const ended = world.trace.subscribe(() => undefined);
    ended();
    const { message } = failure(() => {
      bed.close();
    });
    expect(message).toMatch(
      /^LISTENER_LEAK: code outside of the machine still listens to irq:entry .*\n {2}subscribed at 2 µs: .*test-device\.test\.ts:\d+.*\n {2}since 2 µs, for 10 µs\nLISTENER_LEAK: thread 'watcher' still listens to all tracepoints/,
    );
    expect(world.trace.endAll()).toEqual([]);
    leakCheck(world, ['LISTENER_LEAK']);
    expect(world.findings.all).toHaveLength(2);
  });

  it('is silent when there is nothing', () => {
    expect(() => {
      leakCheck(new World());
    }).not.toThrow();
  });
});

describe('describeFinding', () => {
  it('shows code, summary, sites and times', () => {
    const text = describeFinding({
      code: 'PIN_LEAK',
      summary: '1 page',
      atNs: 2000,
      sites: [{ what: 'pinned', site: 'nic.ts:3:1 (Nic.probe)', atNs: 1000 }],
      details: ['a detail'],
    });
    expect(text).toBe('PIN_LEAK: 1 page (at 2 µs)\n  pinned at 1 µs: nic.ts:3:1 (Nic.probe)\n  a detail');
  });
});
