/** Small services: the CPUs of the machine, the virtual clock, and a log with times. */
import type { Task, World } from '@pincushion/sim';

export abstract class Cpus {
  /** How many CPUs the machine has. */
  abstract readonly count: number;
  /** The CPU that runs now. */
  abstract readonly current: number;
}

export abstract class DeviceClock {
  /** Virtual nanoseconds. */
  abstract readonly now: number;
  /** Task context. */
  abstract sleep(ns: number): Task;
}

export abstract class Log {
  /** Writes a line to the device's log. Any context; not for hot paths. */
  abstract note(text: string): void;
}

export class MachineCpus extends Cpus {
  constructor(
    private readonly world: World,
    readonly count: number,
  ) {
    super();
  }

  get current(): number {
    return this.world.contexts.cpu;
  }
}

export class WorldClock extends DeviceClock {
  constructor(private readonly world: World) {
    super();
  }

  get now(): number {
    return this.world.now;
  }

  override sleep(ns: number): Task {
    return this.world.sleep(ns);
  }
}

/** The newest lines of a device. */
export class DeviceLog extends Log {
  private readonly kept: { readonly atNs: number; readonly text: string }[] = [];

  constructor(private readonly world: World) {
    super();
  }

  override note(text: string): void {
    if (this.kept.length === 1000) this.kept.shift();
    this.kept.push({ atNs: this.world.now, text });
  }

  lines(): readonly { readonly atNs: number; readonly text: string }[] {
    return this.kept;
  }
}
