import { CharDevices, DmaMapper, Driver, Gup, driver, driverMeta } from '@pincushion/driver';
import type { Task } from '@pincushion/driver';
import { z } from 'zod';

const META = { name: 'typed', api: 1, match: [], config: z.strictObject({}) } as const;

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
});
