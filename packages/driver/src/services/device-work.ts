/**
 * Work items and timers for a driver.
 *
 * A work item runs later in task context and may sleep; a timer fires in softirq context and may not. Both belong to the
 * device: releasing a work item takes it back or waits for its end, releasing a timer stops it.
 * Source followed: `cancel_work_sync` (`kernel/workqueue.c`), `timer_delete_sync` (`kernel/time/timer.c`).
 */
import type { Task, World } from '@pincushion/sim';
import { Context, Timer, WorkItem } from '@pincushion/sim';
import type { Managed } from '../managed';

export interface DeviceWorkItem extends Managed {
  /** Runs the item once in task context. Any context. False when it is queued already. */
  queue(): boolean;
}

export interface DeviceTimer extends Managed {
  readonly pending: boolean;
  /** Fires after `ns` nanoseconds; restarts when it is pending. Any context. */
  start(ns: number): void;
  /** Whether it was pending. Any context. */
  cancel(): boolean;
}

export abstract class DeviceWork {
  abstract work(name: string, run: () => Task | undefined): DeviceWorkItem;
  abstract timer(name: string, fire: () => undefined): DeviceTimer;
}

/** The service as bound to one device. */
export class BoundDeviceWork extends DeviceWork {
  private readonly timers: OwnTimer[] = [];

  constructor(
    private readonly world: World,
    private readonly devicePath: string,
  ) {
    super();
  }

  override work(name: string, run: () => Task | undefined): DeviceWorkItem {
    return new OwnWorkItem(this.world, `${this.devicePath}: ${name}`, run);
  }

  override timer(name: string, fire: () => undefined): DeviceTimer {
    const timer = new OwnTimer(this.world, `${this.devicePath}: ${name}`, fire);
    this.timers.push(timer);
    return timer;
  }

  /** Timers that would still fire. */
  pendingTimers(): readonly string[] {
    return this.timers.filter((timer) => timer.pending).map((timer) => timer.what);
  }

  /** Stops what is left, so that nothing of a removed driver runs. */
  stopAll(): void {
    for (const timer of this.timers) timer.cancel();
  }
}

class OwnWorkItem implements DeviceWorkItem {
  readonly what: string;
  private readonly item: WorkItem;
  private closed = false;

  constructor(
    private readonly world: World,
    name: string,
    run: () => Task | undefined,
  ) {
    this.what = `work item ${name}`;
    this.item = new WorkItem(name, run);
  }

  queue(): boolean {
    return !this.closed && this.world.work.queue(this.item);
  }

  release(): Task {
    this.closed = true;
    return this.world.work.cancelSync(this.item);
  }
}

class OwnTimer implements DeviceTimer {
  readonly what: string;
  private readonly timer: Timer;
  private closed = false;

  constructor(world: World, name: string, fire: () => undefined) {
    this.what = `timer ${name}`;
    this.timer = new Timer(world, name, Context.softirq, fire);
  }

  get pending(): boolean {
    return this.timer.pending;
  }

  start(ns: number): void {
    if (!this.closed) this.timer.start(ns);
  }

  cancel(): boolean {
    return this.timer.cancel();
  }

  release(): undefined {
    this.closed = true;
    this.timer.cancel();
  }
}
