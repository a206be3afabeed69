/**
 * Threads, and who of the runnable ones goes on.
 *
 * A thread drives one task. It runs until its task yields a blocker that has something to wait for, and is runnable
 * again after `wake`. The CPU of a thread is a label (per-CPU queues read it); all CPUs share one virtual clock and one
 * run queue, in order of waking, or in an order drawn from the choice stream `sched.next`.
 */
import type { ChoiceSource, ChoiceStream } from './choices';
import { Context } from './context';
import type { ContextStack } from './context';
import { PincushionError } from './errors';
import type { Blocker, Task } from './task';

export type ThreadState = 'runnable' | 'blocked' | 'done' | 'failed';
export type ScheduleOrder = 'fifo' | 'random';

export interface ThreadOptions {
  name: string;
  /** CPU the thread runs on; 0 unless given. */
  cpu?: number;
  /** A thread that may wait for ever (a kernel thread of a device) and is not reported for it. */
  daemon?: boolean;
}

export class Thread<T = unknown> {
  state: ThreadState = 'runnable';
  result: T | undefined = undefined;
  error: unknown = undefined;
  readonly name: string;
  readonly daemon: boolean;
  cpu: number;
  /** What it is blocked by; null while it is runnable or ended. */
  blocker: Blocker | null = null;
  /** Somebody has seen, or will see, how the thread ended; a failure that nobody sees is a finding. */
  observed = false;
  /** That it waits for ever was reported. */
  observedStuck = false;
  private readonly joiners: Thread[] = [];

  constructor(
    readonly id: number,
    options: ThreadOptions,
    private readonly scheduler: Scheduler,
    readonly steps: Iterator<Blocker, T, undefined>,
  ) {
    this.name = options.name;
    this.cpu = options.cpu ?? 0;
    this.daemon = options.daemon ?? false;
  }

  /** What the thread waits for, in words; empty while it is runnable or ended. */
  get waitingFor(): string {
    return this.blocker === null ? '' : this.blocker.waitingFor;
  }

  get ended(): boolean {
    return this.state === 'done' || this.state === 'failed';
  }

  /** Waits until the thread has ended; gives its result or throws its error. Task context. */
  *join(): Task<T> {
    this.observed = true;
    while (!this.ended) yield new JoinBlocker(this, this.joiners);
    if (this.state === 'failed') throw this.error;
    return this.result as T;
  }

  /** Ends the thread and wakes who joined it. Of the scheduler. */
  end(state: 'done' | 'failed'): void {
    this.state = state;
    for (const joiner of this.joiners) this.scheduler.wake(joiner);
    this.joiners.length = 0;
  }
}

class JoinBlocker implements Blocker {
  constructor(
    private readonly target: Thread,
    private readonly joiners: Thread[],
  ) {}

  get waitingFor(): string {
    return `the end of thread '${this.target.name}'`;
  }

  block(thread: Thread): boolean {
    this.joiners.push(thread);
    return true;
  }
}

export class Scheduler {
  /** Threads that have not ended, by id, in order of their creation. */
  readonly alive = new Map<number, Thread>();
  /** Threads that failed; who of them is unobserved is known at the end. */
  readonly failed: Thread[] = [];
  private readonly runQueue: Thread[] = [];
  private runHead = 0;
  private nextId = 1;
  private readonly next: ChoiceStream | null;

  constructor(
    private readonly contexts: ContextStack,
    choices: ChoiceSource,
    order: ScheduleOrder,
  ) {
    this.next = order === 'random' ? choices.stream('sched.next') : null;
  }

  get runnable(): number {
    return this.runQueue.length - this.runHead;
  }

  spawn<T>(task: Task<T>, options: ThreadOptions): Thread<T> {
    const thread = new Thread<T>(this.nextId++, options, this, task[Symbol.iterator]());
    this.alive.set(thread.id, thread);
    this.runQueue.push(thread);
    return thread;
  }

  /** Makes a blocked thread runnable; one that is not blocked stays as it is. Any context. */
  wake(thread: Thread): void {
    if (thread.state !== 'blocked') return;
    thread.state = 'runnable';
    thread.blocker = null;
    this.runQueue.push(thread);
  }

  /** Runs one runnable thread up to where it blocks or ends. */
  step(): void {
    this.runThread(this.takeNext());
  }

  /** Takes a certain thread out of the run queue; false when it is not runnable. */
  take(thread: Thread): boolean {
    const at = this.runQueue.indexOf(thread, this.runHead);
    if (at < 0) return false;
    this.runQueue.splice(at, 1);
    return true;
  }

  /** Runs a thread, already taken out of the run queue, up to where it blocks or ends. */
  runThread(thread: Thread): void {
    const contexts = this.contexts;
    const before = contexts.thread;
    contexts.enter(Context.task, thread.cpu);
    contexts.thread = thread;
    try {
      for (;;) {
        const step = thread.steps.next();
        if (step.done === true) {
          thread.result = step.value;
          this.retire(thread, 'done');
          break;
        }
        const blocker = step.value;
        if (!isBlocker(blocker)) throw badYield(thread);
        thread.blocker = blocker;
        thread.state = 'blocked';
        if (blocker.block(thread)) break;
        thread.blocker = null;
        thread.state = 'runnable';
      }
      if (contexts.spinLocks > 0) {
        throw new PincushionError('SLEEP_IN_ATOMIC', `thread '${thread.name}' stops while it holds a spin lock`, {
          expected: 'every spin lock released before a task yields or ends',
        });
      }
    } catch (error) {
      thread.error = error;
      if (!thread.ended) this.retire(thread, 'failed');
    } finally {
      contexts.leave();
      contexts.thread = before;
    }
  }

  private retire(thread: Thread, state: 'done' | 'failed'): void {
    this.alive.delete(thread.id);
    thread.blocker = null;
    if (state === 'failed') this.failed.push(thread);
    thread.end(state);
  }

  private takeNext(): Thread {
    const queue = this.runQueue;
    if (this.next !== null && this.runnable > 1) {
      const at = this.runHead + this.next.below(this.runnable);
      const [chosen] = queue.splice(at, 1);
      return chosen;
    }
    const thread = queue[this.runHead++];
    if (this.runHead === queue.length) {
      queue.length = 0;
      this.runHead = 0;
    } else if (this.runHead > 1024) {
      queue.splice(0, this.runHead);
      this.runHead = 0;
    }
    return thread;
  }
}

function isBlocker(value: unknown): value is Blocker {
  return typeof value === 'object' && value !== null && typeof (value as Partial<Blocker>).block === 'function';
}

function badYield(thread: Thread): PincushionError {
  return new PincushionError('TASK_BAD_YIELD', `thread '${thread.name}' yielded something that cannot be waited for`, {
    hint: '`yield*` instead of `yield`',
  });
}
