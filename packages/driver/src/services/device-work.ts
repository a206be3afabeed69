/**
 * Work items and timers for a driver.
 *
 * A work item runs later in task context and may sleep; a timer fires in softirq context and may not. Both belong to the
 * device: releasing a work item takes it back or waits for its end, releasing a timer stops it.
 * Source followed: `cancel_work_sync` (`kernel/workqueue.c`), `timer_delete_sync` (`kernel/time/timer.c`).
 */
import type { Task, World } from '@pincushion/sim';
import { CallTrace, Context, Timer, WorkItem } from '@pincushion/sim';
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

/** What a removed driver left behind: what it is, and who started it when. */
export interface LeftRunning {
  readonly what: string;
  /** Virtual nanoseconds. */
  readonly sinceNs: number;
  /** Null when it was not noted. */
  readonly startedBy: CallTrace | null;
}

/** The service as bound to one device. */
export class BoundDeviceWork extends DeviceWork {
  private readonly timers: OwnTimer[] = [];
  private readonly items: OwnWorkItem[] = [];

  constructor(
    private readonly world: World,
    private readonly devicePath: string,
    /** Whether who starts a timer or queues an item is noted, for the leak report. */
    private readonly withSites = false,
  ) {
    super();
  }

  override work(name: string, run: () => Task | undefined): DeviceWorkItem {
    const item = new OwnWorkItem(this.world, `${this.devicePath}: ${name}`, run, this.withSites);
    this.items.push(item);
    return item;
  }

  override timer(name: string, fire: () => undefined): DeviceTimer {
    const timer = new OwnTimer(this.world, `${this.devicePath}: ${name}`, fire, this.withSites);
    this.timers.push(timer);
    return timer;
  }

  /** Timers that would still fire. */
  pendingTimers(): readonly LeftRunning[] {
    return this.timers.filter((timer) => timer.pending);
  }

  /** Work items that are queued or run. */
  busyItems(): readonly LeftRunning[] {
    return this.items.filter((item) => item.busy);
  }

  /** Stops what is left, so that nothing of a removed driver begins any more. */
  stopAll(): void {
    for (const timer of this.timers) timer.cancel();
    for (const item of this.items) item.cancel();
  }
}

class OwnWorkItem implements DeviceWorkItem, LeftRunning {
  readonly what: string;
  sinceNs = 0;
  startedBy: CallTrace | null = null;
  private readonly item: WorkItem;
  private closed = false;

  constructor(
    private readonly world: World,
    name: string,
    run: () => Task | undefined,
    private readonly withSites: boolean,
  ) {
    this.what = `work item ${name}`;
    this.item = new WorkItem(name, run);
  }

  queue(): boolean {
    if (this.closed || !this.world.work.queue(this.item)) return false;
    this.sinceNs = this.world.now;
    if (this.withSites) this.startedBy = new CallTrace();
    return true;
  }

  get busy(): boolean {
    return this.world.work.isBusy(this.item);
  }

  cancel(): void {
    this.world.work.cancel(this.item);
  }

  release(): Task {
    this.closed = true;
    return this.world.work.cancelSync(this.item);
  }
}

class OwnTimer implements DeviceTimer, LeftRunning {
  readonly what: string;
  sinceNs = 0;
  startedBy: CallTrace | null = null;
  private readonly timer: Timer;
  private closed = false;

  constructor(
    private readonly world: World,
    name: string,
    fire: () => undefined,
    private readonly withSites: boolean,
  ) {
    this.what = `timer ${name}`;
    this.timer = new Timer(world, name, Context.softirq, fire);
  }

  get pending(): boolean {
    return this.timer.pending;
  }

  start(ns: number): void {
    if (this.closed) return;
    this.timer.start(ns);
    this.sinceNs = this.world.now;
    if (this.withSites) this.startedBy = new CallTrace();
  }

  cancel(): boolean {
    return this.timer.cancel();
  }

  release(): undefined {
    this.closed = true;
    this.timer.cancel();
  }
}
