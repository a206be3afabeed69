import { Context, Driver, Interrupts, PincushionError, Registers, driver } from '@pincushion/driver';
import type { Interrupt, Task } from '@pincushion/driver';
import type { DeviceBed } from '@pincushion/testing';
import { testDevice } from '@pincushion/testing';
import { z } from 'zod';
import { MATCH, Offset, Widget } from './widget';

/** Calls what makes a task, and does nothing with it. */
function forget(call: () => unknown): void {
  call();
}

const Config = z.strictObject({});

@driver({ name: 'listener', api: 1, match: MATCH, config: Config })
class Listener extends Driver<typeof Config> {
  readonly log: string[] = [];
  onInterrupt: (vector: number) => undefined = () => undefined;
  readonly handles: Interrupt[] = [];

  constructor(
    readonly registers: Registers,
    private readonly interrupts: Interrupts,
  ) {
    super();
  }

  override *probe(): Task {
    for (const [vector, cpu] of [0, 0, 1].entries()) {
      const handler = (): undefined => {
        const { current, cpu: at } = this.device.world.contexts;
        this.log.push(`${vector} on cpu ${at}${current === Context.hardirq ? '' : ', not in hardirq'}`);
        this.onInterrupt(vector);
        this.log.push(`${vector} ends`);
      };
      this.handles.push(this.own(this.interrupts.request(vector, `vector ${vector}`, handler, cpu)));
    }
  }

  override *remove(): Task {
    // Nothing in flight.
  }

  again(): void {
    this.interrupts.request(0, 'again', () => undefined);
  }

  beyond(): void {
    this.interrupts.request(4, 'beyond', () => undefined);
  }

  sleepNow(): void {
    forget(() => this.device.world.sleep(1));
  }
}

describe('interrupts', () => {
  let bed: DeviceBed<Listener, Widget>;
  beforeEach(() => {
    bed = testDevice(Listener, { hardware: Widget });
  });
  const raise = (vector: number): void => {
    bed.driver.registers.write32(Offset.raise, vector);
  };

  it('run inside what they interrupt, in hardirq context on their cpu, and are counted', () => {
    raise(2);
    expect(bed.driver.log).toEqual(['2 on cpu 1', '2 ends']);
    expect(bed.world.contexts.current).toBe(Context.task);
    expect(bed.machine.interrupts).toBe(1);
    bed.close();
  });

  it('stay pending while their cpu is in a hardirq, once however often they are raised, and run right after', () => {
    bed.driver.onInterrupt = (vector) => {
      if (vector !== 0) return;
      raise(1);
      raise(1);
    };
    raise(0);
    expect(bed.driver.log).toEqual(['0 on cpu 0', '0 ends', '1 on cpu 0', '1 ends']);
    expect(bed.machine.interrupts).toBe(2);
    bed.close();
  });

  it('nest on another cpu', () => {
    bed.driver.onInterrupt = (vector) => {
      if (vector === 0) raise(2);
    };
    raise(0);
    expect(bed.driver.log).toEqual(['0 on cpu 0', '2 on cpu 1', '2 ends', '0 ends']);
    bed.close();
  });

  it('stay pending while their cpu is in a hardirq below one of another cpu', () => {
    bed.driver.onInterrupt = (vector) => {
      if (vector === 0) raise(2);
      if (vector === 2) raise(1);
    };
    raise(0);
    expect(bed.driver.log).toEqual(['0 on cpu 0', '2 on cpu 1', '2 ends', '0 ends', '1 on cpu 0', '1 ends']);
    bed.close();
  });

  it('wait for the end of a hardirq that the controller did not deliver', () => {
    bed.world.after(5, Context.hardirq, () => {
      raise(0);
      bed.driver.log.push('event ends');
      return undefined;
    });
    bed.advance(10);
    expect(bed.driver.log).toEqual(['event ends', '0 on cpu 0', '0 ends']);
    bed.close();
  });

  it('stay pending while masked', () => {
    const [first] = bed.driver.handles;
    first.mask();
    raise(0);
    raise(0);
    expect(bed.driver.log).toEqual([]);
    first.unmask();
    expect(bed.driver.log).toEqual(['0 on cpu 0', '0 ends']);
    first.unmask();
    expect(bed.driver.log).toHaveLength(2);
    bed.close();
  });

  it('are shown to tracepoints with cpu, vector and device', () => {
    const seen: string[] = [];
    const end = bed.world.trace.subscribe(
      (point, cpu, vector, device) => {
        seen.push(`${point.name} ${cpu} ${vector} ${device}`);
        return undefined;
      },
      ['irq:entry', 'irq:exit'],
    );
    raise(2);
    expect(seen).toEqual(['irq:entry 1 2 0', 'irq:exit 1 2 0']);
    end();
    bed.close();
  });

  it('can be lost by a fault plan', () => {
    bed.world.faults.arm('irq', { nth: 1, errno: -5 });
    raise(0);
    bed.world.faults.disarm();
    expect(bed.driver.log).toEqual([]);
    raise(0);
    expect(bed.driver.log).toHaveLength(2);
    bed.close();
  });

  it('whose handler calls what may sleep fail at the call, and leave the context as it was', () => {
    bed.driver.onInterrupt = () => {
      bed.driver.sleepNow();
      return undefined;
    };
    expect(() => {
      raise(0);
    }).toThrow(/^SLEEP_IN_ATOMIC: sleep may sleep and was called in hardirq context on cpu 0/);
    expect(bed.world.contexts.current).toBe(Context.task);
    bed.driver.onInterrupt = () => undefined;
    raise(0);
    expect(bed.machine.interrupts).toBe(2);
    bed.close();
  });

  it('cannot be requested twice, nor beyond the vectors of the hardware', () => {
    expect(() => {
      bed.driver.again();
    }).toThrow(/DEVICE_INVALID: vector 0 .*in use by vector 0/);
    expect(() => {
      bed.driver.beyond();
    }).toThrow(PincushionError);
    bed.close();
  });
});
