import { DeviceClock, Driver, Interrupts, PincushionError, Registers, WaitQueue, driver } from '@pincushion/driver';
import type { Task } from '@pincushion/driver';
import { testDevice } from '@pincushion/testing';
import { z } from 'zod';
import { MATCH, Offset, Widget } from './widget';

const Config = z.strictObject({ how: z.enum(['interrupt', 'poll', 'slow']).default('interrupt') });

/** Never comes up: its hardware does nothing at all. */
@driver({ name: 'patient', api: 1, match: MATCH, config: Config })
class Patient extends Driver<typeof Config> {
  static log: string[] = [];

  constructor(
    private readonly registers: Registers,
    private readonly interrupts: Interrupts,
    private readonly clock: DeviceClock,
  ) {
    super();
  }

  override *probe(): Task {
    const { world } = this.device;
    this.own({ what: 'buffer', release: () => void Patient.log.push('buffer released') });
    const ready = new WaitQueue(world, 'the ready interrupt of patient');
    this.own(
      this.interrupts.request(0, 'ready', () => {
        ready.wakeAll();
        return undefined;
      }),
    );
    try {
      if (this.config.how === 'poll') while (this.registers.read32(Offset.status) === 0) yield* this.clock.sleep(1e6);
      else if (this.config.how === 'slow') yield* this.clock.sleep(100e9);
      else yield* ready.wait();
    } finally {
      yield* this.clock.sleep(10);
      Patient.log.push('cleaned up');
    }
  }

  override *remove(): Task {
    Patient.log.push('removed');
  }
}

function booting(how: z.input<typeof Config>['how'], probeLimit?: string): PincushionError {
  try {
    testDevice(Patient, {
      hardware: Widget,
      config: { how },
      ...(probeLimit === undefined ? {} : { probeLimit }),
    });
  } catch (error) {
    if (error instanceof PincushionError) return error;
    throw error;
  }
  throw new Error('it came up');
}

beforeEach(() => {
  Patient.log = [];
});

describe('a probe that does not end', () => {
  it('is named with what it waits for, also when nothing is left to happen (hung_task)', () => {
    const error = booting('interrupt');
    expect(error.message).toContain(
      'DRIVER_PROBE_STUCK: patient waits for the ready interrupt of patient after 120 s, and nothing is left to happen' +
        ' (device dev0, in probe, ETIMEDOUT)',
    );
  });

  it('is named when it polls for ever', () => {
    expect(booting('poll', '20ms').message).toMatch(
      /DRIVER_PROBE_STUCK: patient waits for \d+ ns on the clock after 20 ms \(/,
    );
  });

  it('is ended where it waits: its finally blocks run, what it owned is released, and it is not removed', () => {
    booting('interrupt');
    expect(Patient.log).toEqual(['cleaned up', 'buffer released']);
  });

  it('may take as long as the test says', () => {
    expect(booting('slow', '5ms').message).toMatch(/on the clock after 5 ms \(device dev0, in probe/);
    const bed = testDevice(Patient, { hardware: Widget, config: { how: 'slow' } });
    expect(bed.world.now).toBeGreaterThan(100e9);
    bed.close();
  });
});
