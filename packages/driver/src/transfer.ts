/**
 * What is on its way through a device: transfers that the hardware works on, and that somebody waits for.
 *
 * A transfer is the kernel's `struct completion` with a name and a result, counted by the driver that began it, so that
 * a removal can wait for all and a report can name those that never ended.
 */
import type { Task, World } from '@pincushion/sim';
import { CallTrace, WaitQueue, sleeping } from '@pincushion/sim';

/** One transfer in flight. */
export interface Transfer {
  readonly what: string;
  /** When it began, virtual nanoseconds. */
  readonly sinceNs: number;
  /** Who began it; null when that was not noted. */
  readonly startedBy: CallTrace | null;
  /** The hardware has let go. Any context; a second call does nothing. */
  done(result?: number): undefined;
  /** Waits until it is done, and gives the result. Task context. */
  ended(): Task<number>;
}

export class Transfers {
  private readonly live = new Set<Transfer>();
  private readonly changed: WaitQueue;

  constructor(
    private readonly world: World,
    devicePath: string,
    /** Whether who begins a transfer is noted, for the leak report. */
    private readonly withSites = false,
  ) {
    this.changed = new WaitQueue(world, `transfers of ${devicePath}`);
  }

  get count(): number {
    return this.live.size;
  }

  begin(what: string): Transfer {
    const { world, live, changed } = this;
    let result: number | null = null;
    const transfer: Transfer = {
      what,
      sinceNs: world.now,
      startedBy: this.withSites ? new CallTrace() : null,
      done: (given = 0) => {
        if (!live.delete(transfer)) return undefined;
        result = given;
        changed.wakeAll();
        return undefined;
      },
      ended: () =>
        sleeping(world, `end of ${what}`, function* () {
          yield* changed.waitUntil(() => result !== null);
          return result ?? 0;
        }),
    };
    live.add(transfer);
    return transfer;
  }

  /** Waits until nothing is in flight. Task context. */
  idle(): Task {
    return this.changed.waitUntil(() => this.live.size === 0);
  }

  /** Oldest first. */
  list(): readonly Transfer[] {
    return [...this.live];
  }
}
