/**
 * Wait queues: threads that wait until somebody wakes them.
 *
 * After the kernel's `wait_event` and `wake_up` (include/linux/wait.h): first come, first woken. The world is
 * synchronous, so nothing happens between the test of a condition and the sleep, and no wake-up is lost.
 */
import { Context } from './context';
import type { Thread } from './scheduler';
import { sleeping } from './task';
import type { Blocker, Task } from './task';
import type { World } from './world';

export class WaitQueue {
  private readonly waiters: Thread[] = [];
  private readonly blocker: Blocker;

  constructor(
    private readonly world: World,
    readonly name: string,
  ) {
    const waiters = this.waiters;
    this.blocker = {
      waitingFor: name,
      block: (thread) => {
        waiters.push(thread);
        return true;
      },
    };
  }

  /** Number of threads that wait. */
  get waiting(): number {
    return this.waiters.length;
  }

  /** Waits for the next wake-up. Task context. */
  wait(): Task {
    return sleeping(this.world, `wait for ${this.name}`, () => this.waitOnce());
  }

  /** Waits until `condition()` holds; it is asked at once and after each wake-up. Task context. */
  waitUntil(condition: () => boolean): Task {
    return sleeping(this.world, `wait for ${this.name}`, () => this.waitWhileNot(condition));
  }

  /** Like `waitUntil`, but for at most `ns`; gives whether the condition holds (`wait_event_timeout`). Task context. */
  waitUntilTimeout(condition: () => boolean, ns: number): Task<boolean> {
    return sleeping(this.world, `wait for ${this.name}`, () => this.waitWhileNotTimeout(condition, ns));
  }

  /** Wakes who has waited longest. Any context. */
  wakeOne(): void {
    const thread = this.waiters.shift();
    if (thread !== undefined) this.world.wake(thread);
  }

  /** Wakes all who wait now. Any context. */
  wakeAll(): void {
    const waiters = this.waiters;
    if (waiters.length === 0) return;
    for (const thread of waiters.splice(0)) this.world.wake(thread);
  }

  private *waitOnce(): Generator<Blocker, void, undefined> {
    yield this.blocker;
  }

  private *waitWhileNot(condition: () => boolean): Generator<Blocker, void, undefined> {
    while (!condition()) yield this.blocker;
  }

  private *waitWhileNotTimeout(condition: () => boolean, ns: number): Generator<Blocker, boolean, undefined> {
    if (condition()) return true;
    const state: { expired: boolean; waiting: Thread | null } = { expired: false, waiting: null };
    const alarm = this.world.after(ns, Context.softirq, () => {
      state.expired = true;
      if (state.waiting !== null) this.expire(state.waiting);
      return undefined;
    });
    const blocker: Blocker = {
      waitingFor: this.name,
      block: (thread) => {
        state.waiting = thread;
        return this.blocker.block(thread);
      },
    };
    try {
      while (!condition()) {
        if (state.expired) return false;
        yield blocker;
      }
      return true;
    } finally {
      this.world.cancel(alarm);
    }
  }

  private expire(thread: Thread): void {
    const at = this.waiters.indexOf(thread);
    if (at < 0) return;
    this.waiters.splice(at, 1);
    this.world.wake(thread);
  }
}
