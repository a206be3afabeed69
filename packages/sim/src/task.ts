/**
 * What may sleep: a task is a generator that is driven by the world's scheduler.
 *
 * A task yields a `Blocker` where the kernel would sleep; whoever it waits for makes its thread runnable again. Tasks
 * call tasks with `yield*`. Every may-sleep service is a plain function that enters through `sleeping`, which checks the
 * context at the call, before a generator exists, and remembers the task until somebody starts it.
 */
import { CallTrace } from './call-site';
import { PincushionError } from './errors';
import type { Thread } from './scheduler';
import type { World } from './world';

/** What a task yields: something to wait for. */
export interface Blocker {
  /** What the thread waits for, in words: `mutex 'queue' held by thread 'a'`. */
  readonly waitingFor: string;
  /** Puts the thread among the waiters; false when there is nothing to wait for and the thread goes on at once. */
  block(thread: Thread): boolean;
}

/**
 * Something that may sleep and ends with a `T`. Generators are tasks; consume by `yield*`, `world.complete` or
 * `world.spawn`. A task runs once.
 */
export interface Task<T = void> {
  next(): IteratorResult<Blocker, T>;
  return(value: T): IteratorResult<Blocker, T>;
  throw(error: unknown): IteratorResult<Blocker, T>;
  [Symbol.iterator](): Iterator<Blocker, T, undefined>;
}

/** A plain result when nothing had to wait, else a task: `const n = typeof r === 'number' ? r : yield* r;` */
export type MaySleep<T extends number = number> = T | Task<T>;

/**
 * Entry of a may-sleep service. Task context only: throws SLEEP_IN_ATOMIC at the call otherwise. The result is a task
 * that begins with `body()` when it is consumed; one that never is becomes the finding TASK_NEVER_STARTED, which names
 * the call site outside of the product's packages.
 */
export function sleeping<T>(world: World, what: string, body: () => Iterator<Blocker, T, undefined>): Task<T> {
  world.contexts.mightSleep(what);
  return new ServiceTask(world.unstarted, what, world.now, body, world.callSites ? new CallTrace() : null);
}

/** A service that was called and whose task nobody consumed. */
export interface UnstartedTask {
  readonly what: string;
  readonly calledAtNs: number;
  /** Call site outside of the product's packages. */
  site(): string;
}

class ServiceTask<T> implements Task<T>, UnstartedTask {
  private running: Iterator<Blocker, T, undefined> | null = null;
  constructor(
    private readonly unstarted: Set<UnstartedTask>,
    readonly what: string,
    readonly calledAtNs: number,
    private readonly body: () => Iterator<Blocker, T, undefined>,
    private readonly trace: CallTrace | null,
  ) {
    unstarted.add(this);
  }

  /** Hands out the iterator of the body itself, so that `yield*` costs no second level. */
  [Symbol.iterator](): Iterator<Blocker, T, undefined> {
    if (this.running !== null) {
      throw new PincushionError('TASK_STARTED_TWICE', `the task of ${this.what} is consumed a second time`, {
        hint: 'calling the service again',
      });
    }
    return this.start();
  }

  next(): IteratorResult<Blocker, T> {
    return (this.running ?? this.start()).next();
  }

  return(value: T): IteratorResult<Blocker, T> {
    const running = this.running ?? this.start();
    return running.return?.(value) ?? { done: true, value };
  }

  throw(error: unknown): IteratorResult<Blocker, T> {
    const running = this.running ?? this.start();
    if (running.throw === undefined) throw error;
    return running.throw(error);
  }

  site(): string {
    return this.trace?.site() ?? 'call sites are not recorded in this world';
  }

  private start(): Iterator<Blocker, T, undefined> {
    this.unstarted.delete(this);
    this.running = this.body();
    return this.running;
  }
}
