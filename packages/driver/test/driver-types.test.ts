import {
  CharDevices,
  DeviceWork,
  DmaMapper,
  Driver,
  Gup,
  Interrupts,
  PincushionError,
  callHook,
  definePlugin,
  driver,
  driverMeta,
  newGottenPages,
  newPinnedPages,
} from '@pincushion/driver';
import type { Bio, ExampleProgram, Plugin, Task, World } from '@pincushion/driver';
import type { DeviceBed } from '@pincushion/testing';
import { failEach, fake, testDevice } from '@pincushion/testing';
import { z } from 'zod';
import { MATCH, Widget } from './widget';

const META = { name: 'typed', api: 1, match: MATCH, config: z.strictObject({}) } as const;

abstract class Base extends Driver {
  override *probe(): Task {
    // Nothing to bring up.
  }

  override *remove(): Task {
    // Nothing to stop.
  }
}

class TwoServices extends Base {
  constructor(
    readonly gup: Gup,
    readonly dma: DmaMapper,
  ) {
    super();
  }
}

class Sleeper extends Base {
  // @ts-expect-error what the type test is about: a hook is a task, and a promise is none
  override async suspend(): Promise<void> {
    // Never called.
  }
}

const Settings = z.strictObject({ depth: z.int().default(8), mode: z.enum(['fast', 'safe']).default('fast') });

@driver({ ...META, config: Settings })
class Configured extends Driver<typeof Settings> {
  constructor(
    readonly gup: Gup,
    readonly dma: DmaMapper,
    readonly interrupts: Interrupts,
    readonly work: DeviceWork,
  ) {
    super();
  }

  override *probe(): Task {
    const depth: number = this.config.depth;
    // @ts-expect-error what the type test is about: the configuration is as its schema says
    const mode: 'quick' = this.config.mode;
    yield* this.device.world.sleep(depth > 0 && mode.length > 0 ? 1 : 2);
    // @ts-expect-error what the type test is about: what is owned can be released
    if (depth < 0) this.own({ what: 'nothing that could be given back' });
  }

  override *remove(): Task {
    // Nothing to stop.
  }
}

type Bed = DeviceBed<Configured, Widget>;

type Handler = Parameters<Interrupts['request']>[2];
type Timeout = Parameters<DeviceWork['timer']>[1];
type Work = Parameters<DeviceWork['work']>[1];
type Event = Parameters<World['after']>[2];
type Completion = Bio['endIo'];

/** Never called: what stands in there is for the compiler alone. */
function compiled(_cases: (bed: Bed) => unknown): void {
  expect(driverMeta(Configured)?.name).toBe('typed');
}

// These are tests of types: tsc fails when a line marked with ts-expect-error compiles.
describe('the types of the contract', () => {
  it('accept deps in the order of the constructor', () => {
    driver({ ...META, deps: [Gup, DmaMapper] })(TwoServices);
    expect(driverMeta(TwoServices)?.deps).toEqual([Gup, DmaMapper]);
  });

  it('refuse deps that miss a service, swap two, or name another', () => {
    class Missing extends TwoServices {}
    class Swapped extends TwoServices {}
    class Other extends TwoServices {}
    // @ts-expect-error what the type test is about: the second service is missing
    driver({ ...META, deps: [Gup] })(Missing);
    // @ts-expect-error what the type test is about: the order is wrong
    driver({ ...META, deps: [DmaMapper, Gup] })(Swapped);
    // @ts-expect-error what the type test is about: CharDevices is no DmaMapper
    driver({ ...META, deps: [Gup, CharDevices] })(Other);
    expect(driverMeta(Missing)?.deps).toHaveLength(1);
  });

  it('refuse a hook that is no task', () => {
    expect(Sleeper.name).toBe('Sleeper');
  });

  it('keep pages that were pinned from those that were gotten, and from plain numbers', () => {
    compiled(({ driver: { gup, dma }, process: { mm } }) => {
      const pinned = newPinnedPages(1);
      const gotten = newGottenPages(1);
      gup.unpinUserPages(pinned, 0, 1);
      gup.putPages(gotten, 0, 1);
      // @ts-expect-error what the type test is about: these pages were gotten; unpinning them takes a pin they never had
      gup.unpinUserPages(gotten, 0, 1);
      // @ts-expect-error what the type test is about: numbers of ordinary pages, which nobody pinned
      gup.unpinUserPages(new Int32Array([17]), 0, 1);
      // @ts-expect-error what the type test is about: pinned pages are given back by unpin
      gup.putPages(pinned, 0, 1);
      return [
        // @ts-expect-error what the type test is about: the same for the call that marks them dirty
        gup.unpinUserPagesDirtyLock(gotten, 0, 1, true),
        // @ts-expect-error what the type test is about: a call that pins fills an array of pins
        gup.pinUserPagesFast(mm, 0, 1, 0, gotten, 0),
        // @ts-expect-error what the type test is about: mapRange needs a range that is pinned and can be given back
        dma.mapRange(pinned, 0),
      ];
    });
  });

  it('refuse a generator or a promise as a callback that runs in an interrupt, a timer or a completion', () => {
    compiled(({ world }) => {
      const plain = (): undefined => undefined;
      const sleeps = function* (): Task {
        yield* world.sleep(1);
      };
      const drops = () => world.sleep(1);
      const promises = () => Promise.resolve(undefined);
      const right: [Handler, Timeout, Event, Completion, Work] = [plain, plain, plain, plain, sleeps];
      // @ts-expect-error what the type test is about: a handler runs in hardirq, and a generator would never run
      const handler: Handler = sleeps;
      // @ts-expect-error what the type test is about: a handler that returns a task drops it
      const dropping: Handler = drops;
      // @ts-expect-error what the type test is about: a promise would end after the interrupt
      const promising: Handler = promises;
      // @ts-expect-error what the type test is about: a timer fires in softirq
      const timeout: Timeout = sleeps;
      // @ts-expect-error what the type test is about: an event is no task
      const event: Event = sleeps;
      // @ts-expect-error what the type test is about: a bio is completed in hardirq
      const completion: Completion = sleeps;
      return [right, handler, dropping, promising, timeout, event, completion];
    });
  });

  it('know the configuration of a driver from its schema', () => {
    compiled(() => [
      testDevice(Configured, { hardware: Widget, config: { depth: 4, mode: 'safe' } }),
      testDevice(Configured, { hardware: Widget, config: {} }),
      // @ts-expect-error what the type test is about: depth is a number
      testDevice(Configured, { hardware: Widget, config: { depth: '4' } }),
      // @ts-expect-error what the type test is about: there is no such mode
      testDevice(Configured, { hardware: Widget, config: { mode: 'quick' } }),
      // @ts-expect-error what the type test is about: there is no such field
      testDevice(Configured, { hardware: Widget, config: { deph: 4 } }),
    ]);
  });

  it('know the names of hooks, reasons, events, codes, fault sites and methods', () => {
    compiled(({ device, world, ...bed }) => {
      world.trace.subscribe(() => undefined, ['irq:entry']);
      bed.expectFinding('PIN_LEAK');
      // @ts-expect-error what the type test is about: an event is named subsystem:event
      world.trace.subscribe(() => undefined, ['irqentry']);
      // @ts-expect-error what the type test is about: there is no such code
      bed.expectFinding('PIN_LEEK');
      return [
        // @ts-expect-error what the type test is about: the hook is called suspend
        callHook(device, 'suspnd'),
        // @ts-expect-error what the type test is about: there is no such reason for a removal
        device.remove('unplugged'),
        // @ts-expect-error what the type test is about: the site is called alloc
        failEach('allocate', () => undefined),
        // @ts-expect-error what the type test is about: the method is called pinRange
        fake(Gup, { pinRnage: () => -1 }),
        // @ts-expect-error what the type test is about: there is no such code
        new PincushionError('DEVICE_GON', 'gone'),
      ];
    });
  });

  it('know what a plugin is made of', () => {
    const plugin: Plugin = { name: 'typed', api: 1, drivers: [Configured], hardware: [Widget] };
    compiled(() => {
      // @ts-expect-error what the type test is about: the contract has version 1
      definePlugin({ ...plugin, api: 2 });
      // @ts-expect-error what the type test is about: hardware is no driver
      definePlugin({ ...plugin, drivers: [Widget] });
      // @ts-expect-error what the type test is about: an example is a task that gives a number
      const example: ExampleProgram = () => 0;
      return example;
    });
    expect(definePlugin(plugin)).toBe(plugin);
  });
});
