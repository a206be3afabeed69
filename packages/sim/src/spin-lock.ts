/**
 * A lock of plain code, held over no sleep.
 *
 * After the kernel's `spinlock_t`. The world runs one piece of code at a time, so a spin lock is only ever found held by
 * code that was interrupted at a preemption point or by an interrupt taken inside. On hardware the nested code would
 * spin until the other CPU goes on, which here it cannot: the choice is infeasible, and no deadlock.
 * Left out: fairness, reader-writer forms, and disabling of interrupts (a point inside a locked region is only placed
 * where interrupts are on).
 */
import { PincushionError } from './errors';
import type { World } from './world';

export class SpinLock {
  private holder: string | null = null;
  private depth = 0;

  constructor(
    private readonly world: World,
    readonly name: string,
  ) {}

  /** Who holds the lock, in words; null when it is free. */
  get owner(): string | null {
    return this.holder;
  }

  /** For reports. */
  get what(): string {
    return `spin lock '${this.name}'`;
  }

  /** Takes the lock if it is free; the caller then owes an `unlock`. Any context. */
  tryLock(): boolean {
    if (this.holder !== null) return false;
    if (this.world.lockOrder.on) this.world.lockOrder.taken(this);
    const contexts = this.world.contexts;
    this.holder = contexts.describe();
    this.depth = contexts.depth;
    contexts.spinLocks++;
    return true;
  }

  /** Takes the lock; the caller owes an `unlock` before it yields. Throws INFEASIBLE_CHOICE when it is held below. */
  lock(): void {
    if (this.world.lockOrder.on) this.world.lockOrder.wanted(this);
    if (this.tryLock()) return;
    const code = this.world.contexts.depth === this.depth ? 'LOCK_RECURSIVE' : 'INFEASIBLE_CHOICE';
    throw new PincushionError(code, `spin lock '${this.name}' is held by ${this.holder ?? 'nobody'}`, {
      hook: this.world.contexts.describe(),
    });
  }

  /** Throws LOCK_NOT_OWNED unless the lock was taken in the present context. */
  unlock(): void {
    const contexts = this.world.contexts;
    if (this.holder === null || contexts.depth !== this.depth) {
      throw new PincushionError('LOCK_NOT_OWNED', `spin lock '${this.name}' is unlocked in ${contexts.describe()}`, {
        expected: 'the owner',
        actual: this.holder === null ? 'a free lock' : `owner ${this.holder}`,
      });
    }
    if (this.world.lockOrder.on) this.world.lockOrder.released(this);
    this.holder = null;
    contexts.spinLocks--;
  }
}
