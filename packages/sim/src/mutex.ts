/**
 * A lock that is waited for by sleeping, and that knows its owner also when nobody contends.
 *
 * After the kernel's `struct mutex` with lock debugging on (kernel/locking/mutex.c): only the owner unlocks, nobody
 * takes it twice. The lock is handed over to who has waited longest, where the kernel lets waiters and new-comers race;
 * which of them wins is no behaviour that anything may rely on.
 */
import { PincushionError } from './errors';
import type { LockOrder } from './lock-order';
import type { Thread } from './scheduler';
import { sleeping } from './task';
import type { Blocker, Task } from './task';
import type { World } from './world';

/** Owner that stands for the code outside of the machine, for example a test. */
const OUTSIDE = 'code outside of any thread';

export class Mutex {
  /** The owning thread; `OUTSIDE`; null when free. */
  private holder: Thread | typeof OUTSIDE | null = null;
  private readonly waiters: Thread[] = [];
  private readonly blocker: Blocker;
  private readonly order: LockOrder;

  constructor(
    private readonly world: World,
    readonly name: string,
  ) {
    this.order = world.lockOrder;
    const words = (): string => `mutex '${this.name}' held by ${this.owner ?? 'nobody'}`;
    this.blocker = {
      get waitingFor() {
        return words();
      },
      block: (thread) => this.enqueue(thread),
    };
  }

  /** Who holds the lock, in words; null when it is free. */
  get owner(): string | null {
    if (this.holder === null || this.holder === OUTSIDE) return this.holder;
    return `thread '${this.holder.name}'`;
  }

  get locked(): boolean {
    return this.holder !== null;
  }

  /** Whether the running code holds the lock. */
  get mine(): boolean {
    return this.holder === this.self();
  }

  /** For reports. */
  get what(): string {
    return `mutex '${this.name}'`;
  }

  /** Takes the lock if it is free. Task context (`mutex_trylock` is forbidden in interrupts, too). */
  tryLock(): boolean {
    this.world.contexts.mightSleep(`tryLock of mutex '${this.name}'`);
    if (this.holder !== null) return false;
    this.holder = this.self();
    if (this.order.on) this.order.taken(this);
    return true;
  }

  /** Takes the lock, sleeping until it is free. The caller owes an `unlock`. Task context. */
  lock(): Task {
    return sleeping(this.world, `lock of mutex '${this.name}'`, () => this.take());
  }

  /**
   * Takes the lock in plain code that cannot wait: the core of an operation nested at a preemption point.
   * A lock held by somebody else throws INFEASIBLE_CHOICE: on hardware the nested code would have waited, and the
   * schedule that was chosen does not exist.
   */
  lockNested(): void {
    if (this.order.on) this.order.wanted(this);
    if (this.tryLock()) return;
    throw new PincushionError('INFEASIBLE_CHOICE', `mutex '${this.name}' is held by ${this.owner ?? 'nobody'}`);
  }

  /** Releases the lock and hands it to who has waited longest. Throws LOCK_NOT_OWNED unless the caller holds it. */
  unlock(): void {
    if (!this.mine) {
      throw new PincushionError('LOCK_NOT_OWNED', `mutex '${this.name}' is unlocked by ${this.nameSelf()}`, {
        expected: 'the owner',
        actual: this.owner === null ? 'a free lock' : `owner ${this.owner}`,
      });
    }
    if (this.order.on) this.order.released(this);
    const next = this.waiters.shift();
    this.holder = next ?? null;
    if (next !== undefined) this.world.wake(next);
  }

  private *take(): Generator<Blocker, void, undefined> {
    if (this.holder !== null && this.mine) {
      throw new PincushionError('LOCK_RECURSIVE', `mutex '${this.name}' is taken twice by ${this.nameSelf()}`);
    }
    if (this.order.on) this.order.wanted(this);
    yield this.blocker; // does not wait when the lock is free; else the lock is this thread's when it goes on
    if (this.order.on) this.order.taken(this);
  }

  private enqueue(thread: Thread): boolean {
    if (this.holder === null) {
      this.holder = thread;
      return false;
    }
    this.waiters.push(thread);
    return true;
  }

  private self(): Thread | typeof OUTSIDE {
    return this.world.current ?? OUTSIDE;
  }

  private nameSelf(): string {
    const self = this.self();
    return self === OUTSIDE ? OUTSIDE : `thread '${self.name}'`;
  }
}
