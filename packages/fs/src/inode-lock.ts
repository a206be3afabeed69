/**
 * A lock that is waited for by sleeping and has no owner: a service may take it in the thread that called and give it back
 * in the one that goes on when it had to wait (`eagerly`). For the order of writers to a file or a directory.
 *
 * Left out: shared holders. Readers take no lock; the page cache keeps them apart from writers, page by page.
 * Source followed: include/linux/fs.h `inode_lock` (6.18).
 */
import { eagerly } from '@pincushion/mm';
import { WaitQueue } from '@pincushion/sim';
import type { MaySleep, World } from '@pincushion/sim';

export class InodeLock {
  private held = false;
  private readonly waiters: WaitQueue;

  /** `name`: what it guards, for the report of who waits for what. */
  constructor(
    private readonly world: World,
    name: string,
  ) {
    this.waiters = new WaitQueue(world, `the lock of ${name}`);
  }

  get isHeld(): boolean {
    return this.held;
  }

  /** 0, with the lock taken; the caller owes a `release`. Task context, may sleep. */
  acquire(): MaySleep {
    if (!this.held) {
      this.held = true;
      return 0;
    }
    return eagerly(this.world, 'the lock of an inode', this.wait());
  }

  /** Whoever has waited longest may try next. Any context. */
  release(): undefined {
    this.held = false;
    this.waiters.wakeOne();
    return undefined;
  }

  private *wait() {
    yield* this.waiters.waitUntil(() => !this.held);
    this.held = true;
    return 0;
  }
}
