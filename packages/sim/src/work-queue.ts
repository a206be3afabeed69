/**
 * Work queues: what an interrupt may not do itself is done later in task context.
 *
 * After the kernel's workqueues (kernel/workqueue.c): an item is queued at most once, items of a queue run one after
 * the other in order of queueing, and an item that runs may be queued again. The worker is a thread that exists while
 * there is work. Left out: several workers per queue, priorities, delayed work (a `Timer` that queues an item).
 */
import type { Findings } from './findings';
import type { Task } from './task';
import { sleeping } from './task';
import { WaitQueue } from './wait-queue';
import type { World } from './world';

/** A function that runs in task context when its item is queued. Make one per purpose, queue it often. */
export class WorkItem {
  /** Queued and not yet begun. */
  pending = false;

  constructor(
    readonly name: string,
    readonly run: () => Task | undefined,
  ) {}
}

export class WorkQueue {
  private items: WorkItem[] = [];
  private running: WorkItem | null = null;
  private workerAlive = false;
  private queued = 0;
  private finished = 0;
  private readonly progress: WaitQueue;

  constructor(
    private readonly world: World,
    readonly name: string,
    private readonly findings: Findings = world.findings,
  ) {
    this.progress = new WaitQueue(world, `work of queue '${name}'`);
  }

  /** Number of items queued and not yet ended. */
  get outstanding(): number {
    return this.queued - this.finished;
  }

  /** Queues an item; false when it is pending already (`queue_work`). Any context. */
  queue(item: WorkItem): boolean {
    if (item.pending) return false;
    item.pending = true;
    this.items.push(item);
    this.queued++;
    if (!this.workerAlive) {
      this.workerAlive = true;
      this.world.spawn(this.work(), { name: `kworker/${this.name}`, cpu: this.world.contexts.cpu });
    }
    return true;
  }

  /** Whether the item is queued or runs. Any context. */
  isBusy(item: WorkItem): boolean {
    return item.pending || this.running === item;
  }

  /** Takes back an item that has not begun; false when it is not pending (`cancel_work`). Any context. */
  cancel(item: WorkItem): boolean {
    const at = this.items.indexOf(item);
    if (at < 0) return false;
    this.items.splice(at, 1);
    item.pending = false;
    this.finished++;
    this.progress.wakeAll();
    return true;
  }

  /** Takes an item back or waits for its end, so that it does not run afterwards (`cancel_work_sync`). Task context. */
  cancelSync(item: WorkItem): Task {
    return sleeping(this.world, `cancelSync of work '${item.name}'`, () => {
      this.cancel(item);
      return this.progress.waitUntil(() => this.running !== item)[Symbol.iterator]();
    });
  }

  /** Waits until everything queued before the call has ended (`flush_workqueue`). Task context. */
  flush(): Task {
    return sleeping(this.world, `flush of queue '${this.name}'`, () => {
      const upTo = this.queued;
      return this.progress.waitUntil(() => this.finished >= upTo)[Symbol.iterator]();
    });
  }

  private *work(): Task {
    for (;;) {
      const item = this.items.shift();
      if (item === undefined) break;
      item.pending = false;
      this.running = item;
      try {
        const task = item.run();
        if (task !== undefined) yield* task;
      } catch (error) {
        this.reportFailure(item, error);
      }
      this.running = null;
      this.finished++;
      this.progress.wakeAll();
    }
    this.workerAlive = false;
  }

  /** A failing item does not stop the queue, and nobody waits for its result: the failure is a finding. */
  private reportFailure(item: WorkItem, error: unknown): void {
    this.findings.report({
      code: 'TASK_FAILED',
      summary: `work item '${item.name}' failed: ${error instanceof Error ? error.message : String(error)}`,
      sites: [],
      details: error instanceof Error && error.stack !== undefined ? error.stack.split('\n').slice(1) : [],
    });
  }
}
