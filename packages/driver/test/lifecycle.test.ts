import {
  CharDevices,
  DeviceWork,
  DmaDirection,
  DmaMapper,
  Driver,
  ENODEV,
  FOLL_LONGTERM,
  FOLL_WRITE,
  Gup,
  Interrupts,
  MAP_ANONYMOUS,
  MAP_PRIVATE,
  PROT_READ,
  PROT_WRITE,
  Registers,
  UsageError,
  callHook,
  driver,
} from '@pincushion/driver';
import type { Managed, RemoveReason, Task, Transfer } from '@pincushion/driver';
import { testDevice } from '@pincushion/testing';
import { z } from 'zod';
import { Doorbell, MATCH, Offset, Widget } from './widget';

const Config = z.strictObject({
  failAfter: z.int().default(-1),
  failRelease: z.string().default(''),
  failRemove: z.boolean().default(false),
});

/** Writes down what happens to it, in order. */
@driver({ name: 'recorder', api: 1, match: MATCH, config: Config })
class Recorder extends Driver<typeof Config> {
  static log: string[] = [];

  override *probe(): Task {
    for (const [index, what] of ['first', 'second', 'third'].entries()) {
      if (this.config.failAfter === index) throw new Error(`no ${what}`);
      this.own(this.resource(what));
      yield* this.device.world.sleep(10);
    }
  }

  override *remove(why: RemoveReason): Task {
    Recorder.log.push(`remove ${why}`);
    if (this.config.failRemove) throw new Error('no way');
    yield* this.device.world.sleep(10);
  }

  override *suspend(): Task {
    Recorder.log.push('suspend');
  }

  override *reset(): Task {
    throw new Error('cannot');
  }

  private resource(what: string): Managed {
    const { world } = this.device;
    const fails = this.config.failRelease === what;
    return {
      what,
      *release(): Task {
        yield* world.sleep(5);
        Recorder.log.push(`release ${what}`);
        if (fails) throw new Error('stuck');
      },
    };
  }
}

/** Uses everything, and forgets whatever its config says. */
const Forgetful = z.strictObject({ forget: z.enum(['nothing', 'transfer', 'timer', 'interrupt']).default('nothing') });

@driver({ name: 'user', api: 1, match: MATCH, config: Forgetful })
class UserOfAll extends Driver<typeof Forgetful> {
  interrupts = 0;
  status = -1;
  removed: string[] = [];
  whileRemoving: () => void = () => undefined;

  constructor(
    readonly gup: Gup,
    readonly dma: DmaMapper,
    readonly registers: Registers,
    private readonly lines: Interrupts,
    private readonly work: DeviceWork,
    private readonly chars: CharDevices,
  ) {
    super();
  }

  override *probe(): Task {
    const interrupt = this.lines.request(0, 'done', () => {
      this.interrupts++;
      this.status = this.registers.read32(Offset.status);
      return undefined;
    });
    if (this.config.forget !== 'interrupt') this.own(interrupt);
    const timer = this.work.timer('watchdog', () => undefined);
    timer.start(1_000_000);
    if (this.config.forget !== 'timer') this.own(timer);
    this.own(this.chars.register('widget', { ioctl: (_file, command, arg) => this.ioctl(command, arg as number) }));
  }

  private *ioctl(command: number, ns: number): Task<number> {
    yield* this.device.world.sleep(ns);
    return command;
  }

  begin(): Transfer {
    return this.track('a write');
  }

  override *suspend(): Task {
    yield* this.device.world.sleep(1000);
  }

  adoptNow(resource: Managed): void {
    this.own(resource);
  }

  override *remove(why: RemoveReason): Task {
    this.removed.push(why);
    this.removed.push(`status ${this.registers.read32(Offset.status)}`);
    this.registers.write32(Offset.length, 1);
    this.whileRemoving();
    if (this.config.forget !== 'transfer') yield* this.idle();
  }
}

beforeEach(() => {
  Recorder.log = [];
});

describe('probe', () => {
  it('that throws halfway gives back what it owned, newest first, and leaves the device unbound', () => {
    const bed = testDevice(Recorder, { hardware: Widget });
    const second = bed.machine.bus.plugIn({ name: 'dev1', hardware: Widget });
    let thrown: unknown;
    try {
      bed.run(bed.machine.bus.probe(second, { failAfter: 2 }));
    } catch (error) {
      thrown = error;
    }
    expect((thrown as Error).message).toBe(
      'DRIVER_PROBE_FAILED: recorder could not be brought up: no third (device dev1, in probe, EIO).',
    );
    expect((thrown as Error).cause).toEqual(new Error('no third'));
    expect(thrown).not.toBeInstanceOf(UsageError);
    expect(Recorder.log).toEqual(['release second', 'release first']);
    expect(second.state).toBe('unbound');
    expect(second.owned.count).toBe(0);
    bed.run(bed.machine.bus.probe(second, {}));
    expect(second.state).toBe('bound');
    bed.close();
  });

  it('that fails for bad input stays bad input of the user', () => {
    const bed = testDevice(Recorder, { hardware: Widget });
    const second = bed.machine.bus.plugIn({ name: 'dev1', hardware: Widget });
    expect(() => {
      bed.run(bed.machine.bus.probe(second, { failAfter: 'never' }));
    }).toThrow(UsageError);
    bed.close();
  });
});

describe('removal', () => {
  it('calls remove with the reason, then releases newest first', () => {
    const bed = testDevice(Recorder, { hardware: Widget });
    bed.run(bed.device.remove('driver-unbind'));
    expect(Recorder.log).toEqual(['remove driver-unbind', 'release third', 'release second', 'release first']);
    expect(bed.device.state).toBe('unbound');
    bed.close();
  });

  it('goes on when a release fails, and reports it', () => {
    const bed = testDevice(Recorder, { hardware: Widget, config: { failRelease: 'second' } });
    bed.expectFinding('RESOURCE_RELEASE_FAILED');
    bed.unplug();
    expect(Recorder.log).toEqual(['remove surprise', 'release third', 'release second', 'release first']);
    expect(bed.findings[0].summary).toBe('dev0: release of second failed: stuck');
    bed.close();
  });

  it('goes on when remove itself fails, and reports it', () => {
    const bed = testDevice(Recorder, { hardware: Widget, config: { failRemove: true } });
    bed.expectFinding('DRIVER_REMOVE_FAILED');
    bed.close();
    expect(bed.findings[0].summary).toBe('dev0: remove of recorder failed: no way');
    expect(Recorder.log).toHaveLength(4);
  });

  it('of a device that is pulled out while it is probed comes after the probe', () => {
    const bed = testDevice(Recorder, { hardware: Widget });
    const { bus } = bed.machine;
    const second = bus.plugIn({ name: 'dev1', hardware: Widget });
    const probing = bed.world.spawn(bus.probe(second, {}), { name: 'probe' });
    bed.advance(15);
    expect(second.state).toBe('probing');
    bed.run(second.remove('surprise'));
    expect(probing.state).toBe('done');
    expect(Recorder.log).toEqual(['remove surprise', 'release third', 'release second', 'release first']);
    expect(second.state).toBe('gone');

    const third = bus.plugIn({ name: 'dev2', hardware: Widget });
    const failing = bed.world.spawn(bus.probe(third, { failAfter: 2 }), { name: 'probe' });
    bed.advance(15);
    bed.run(third.remove('surprise'));
    expect(() => {
      bed.run(failing.join());
    }).toThrow('DRIVER_PROBE_FAILED');
    expect(third.state).toBe('gone');
    bed.close();
  });

  it('happens once when two ask for it', () => {
    const bed = testDevice(Recorder, { hardware: Widget });
    bed.world.spawn(bed.device.remove('driver-unbind'), { name: 'one' });
    bed.unplug();
    expect(Recorder.log.filter((line) => line.startsWith('remove'))).toHaveLength(1);
    expect(bed.device.state).toBe('gone');
    bed.close();
  });

  it('lets a driver be bound again', () => {
    const bed = testDevice(Recorder, { hardware: Widget });
    bed.run(bed.device.remove('driver-unbind'));
    bed.run(bed.machine.bus.probe(bed.device, {}));
    expect(bed.device.state).toBe('bound');
    expect(bed.device.driver).not.toBe(bed.driver);
    bed.close();
  });

  it('refuses to bind a device that is gone', () => {
    const bed = testDevice(Recorder, { hardware: Widget });
    bed.unplug();
    expect(() => {
      bed.run(bed.machine.bus.probe(bed.device, {}));
    }).toThrow('DEVICE_GONE');
    bed.close();
  });

  it('reports a transfer that is still in flight', () => {
    const bed = testDevice(UserOfAll, { hardware: Widget, config: { forget: 'transfer' } });
    bed.driver.begin();
    bed.expectFinding('DEVICE_TRANSFER_LEAK');
    bed.close();
    expect(bed.findings[0].summary).toBe('dev0: a write is still in flight');
    expect(bed.findings[0].device).toBe('dev0');
  });

  it('reports a timer that still runs, and stops it', () => {
    const bed = testDevice(UserOfAll, { hardware: Widget, config: { forget: 'timer' } });
    bed.expectFinding('DEVICE_TIMER_LEAK');
    bed.close();
    expect(bed.findings[0].summary).toContain('timer dev0: watchdog');
  });

  it('reports an interrupt that is still requested', () => {
    const bed = testDevice(UserOfAll, { hardware: Widget, config: { forget: 'interrupt' } });
    bed.expectFinding('DEVICE_INTERRUPT_LEAK');
    bed.close();
    expect(bed.findings[0].summary).toContain('interrupt 0 (done)');
  });

  it('releases at once what a driver acquires after it was removed', () => {
    const bed = testDevice(UserOfAll, { hardware: Widget });
    bed.unplug();
    let released = 0;
    const late: Managed = {
      what: 'late pin',
      *release(): Task {
        released++;
      },
    };
    expect(() => {
      bed.driver.adoptNow(late);
    }).toThrow('DEVICE_GONE: late pin came too late');
    bed.close();
    expect(released).toBe(1);
  });
});

describe('surprise removal', () => {
  it('stops the handlers of the hardware, what is scheduled already too', () => {
    const bed = testDevice(Recorder, { hardware: Widget });
    bed.hardware.tickAfter(10, 1);
    bed.hardware.tickAfter(1000, 2);
    bed.advance(20);
    bed.unplug();
    bed.hardware.tickAfter(10, 3);
    bed.advance(5000);
    expect(bed.hardware.ticks).toEqual([1]);
    bed.close();
  });

  it('makes the device unreachable before remove runs', () => {
    const bed = testDevice(UserOfAll, { hardware: Widget });
    const before = bed.hardware.seen.length;
    bed.unplug();
    expect(bed.driver.removed).toEqual(['surprise', 'status 4294967295']);
    expect(bed.hardware.seen).toHaveLength(before);
    bed.close();
  });

  it('refuses DMA and interrupts of the hardware from the start of remove', () => {
    const bed = testDevice(UserOfAll, { hardware: Widget });
    const { driver, hardware } = bed;
    const buffer = driver.dma.coherent(4096, 'ring');
    if (buffer === null) throw new Error('no memory');
    expect(hardware.writeAt(buffer.iova, 1)).toBe(0);
    hardware.fire(0);
    expect(driver.interrupts).toBe(1);
    let written = 0;
    driver.whileRemoving = () => {
      written = hardware.writeAt(buffer.iova, 1);
      hardware.fire(0);
      buffer.release();
    };
    bed.unplug();
    expect([written, driver.interrupts]).toEqual([-ENODEV, 1]);
    bed.close();
  });

  it('leaves the registers alive for remove otherwise', () => {
    const bed = testDevice(UserOfAll, { hardware: Widget });
    bed.run(bed.device.remove('driver-unbind'));
    expect(bed.driver.removed).toEqual(['driver-unbind', 'status 0']);
    expect(bed.hardware.seen).toContain(Offset.length);
    bed.close();
  });

  it('stops the events of the hardware, its DMA and its interrupts', () => {
    const bed = testDevice(UserOfAll, { hardware: Widget });
    const { driver, hardware, process } = bed;
    const address = bed.world.settle(process.mmap(4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS));
    const pinned = bed.run(driver.gup.pinRange({ mm: process.mm, address, length: 64 }, FOLL_WRITE | FOLL_LONGTERM));
    if (typeof pinned === 'number') throw new Error('not pinned');
    const mapped = driver.dma.mapRange(pinned, DmaDirection.fromDevice);
    if (typeof mapped === 'number') throw new Error('not mapped');
    driver.adoptNow(pinned);
    driver.adoptNow(mapped);
    driver.registers.write64lohi(Offset.address, mapped.iova);
    driver.registers.write32(Offset.length, 64);
    driver.registers.write32(Offset.doorbell, Doorbell.write);
    bed.advance(1000);
    expect([hardware.eventsRun, driver.interrupts, driver.status]).toEqual([1, 1, 0]);

    driver.registers.write32(Offset.doorbell, Doorbell.write);
    bed.unplug();
    bed.advance('1ms');
    expect(hardware.writeAt(mapped.iova, 1)).toBe(-ENODEV);
    expect([hardware.eventsRun, driver.interrupts]).toEqual([1, 1]);
    bed.close();
  });

  it('answers ENODEV to programs that hold the device open, also to a call that began before', () => {
    const bed = testDevice(UserOfAll, { hardware: Widget });
    const { process, world } = bed;
    const fd = bed.run(process.open('/dev/widget'));
    expect(fd).toBe(3);
    expect(bed.run(process.ioctl(fd, 42, 1))).toBe(42);
    const during = world.spawn(process.ioctl(fd, 43, 5000), { name: 'ioctl' });
    bed.advance(1000);
    bed.unplug();
    expect(bed.run(process.ioctl(fd, 42, 1))).toBe(-ENODEV);
    expect(bed.run(process.open('/dev/widget'))).toBeLessThan(0);
    expect(bed.run(during.join())).toBe(43);
    expect(bed.run(process.close(fd))).toBe(0);
    bed.close();
  });
});

describe('programs', () => {
  it('are refused with ENODEV while remove waits for what is in flight', () => {
    const bed = testDevice(UserOfAll, { hardware: Widget });
    const { process, world } = bed;
    const fd = bed.run(process.open('/dev/widget'));
    const transfer = bed.driver.begin();
    const removal = world.spawn(bed.device.remove('driver-unbind'), { name: 'removal' });
    bed.advance(100);
    expect(bed.device.state).toBe('removing');
    expect(bed.run(process.ioctl(fd, 42, 1))).toBe(-ENODEV);
    expect(bed.run(process.open('/dev/widget'))).toBe(-ENODEV);
    transfer.done();
    bed.run(removal.join());
    expect(bed.device.state).toBe('unbound');
    bed.close();
  });

  it('are refused with ENODEV although the removal still waits for another hook', () => {
    const bed = testDevice(UserOfAll, { hardware: Widget });
    const fd = bed.run(bed.process.open('/dev/widget'));
    bed.world.spawn(callHook(bed.device, 'suspend'), { name: 'suspend' });
    bed.world.spawn(bed.device.remove('surprise'), { name: 'removal' });
    bed.advance(100);
    expect(bed.device.state).toBe('bound');
    expect(bed.run(bed.process.ioctl(fd, 42, 1))).toBe(-ENODEV);
    bed.close();
  });
});

describe('a transfer', () => {
  it('ends once, with the first result', () => {
    const bed = testDevice(UserOfAll, { hardware: Widget });
    const transfer = bed.driver.begin();
    transfer.done(7);
    transfer.done(8);
    expect(bed.run(transfer.ended())).toBe(7);
    bed.close();
  });
});

describe('hooks', () => {
  it('run as tasks under the lock of the device', () => {
    const bed = testDevice(Recorder, { hardware: Widget });
    bed.run(callHook(bed.device, 'suspend'));
    expect(Recorder.log).toEqual(['suspend']);
    expect(() => {
      bed.run(callHook(bed.device, 'reset'));
    }).toThrow('DRIVER_HOOK_FAILED: recorder failed: cannot (device dev0, in reset)');
    expect(bed.device.lock.locked).toBe(false);
    bed.close();
  });
});
