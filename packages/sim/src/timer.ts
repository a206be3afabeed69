/**
 * A one-shot timer that can be set again and again.
 *
 * After the kernel's `timer_list` and `hrtimer`: `start` on a running timer moves it (`mod_timer`), the function runs
 * in the context given when the timer was made (softirq or hardirq as a rule), and may start the timer again.
 */
import type { Context } from './context';
import type { World } from './world';

export class Timer {
  private event = -1;
  private readonly expire: () => undefined;

  constructor(
    private readonly world: World,
    readonly name: string,
    private readonly context: Context,
    fire: () => undefined,
  ) {
    this.expire = () => {
      this.event = -1;
      fire();
      return undefined;
    };
  }

  /** Whether the timer runs. */
  get pending(): boolean {
    return this.event !== -1;
  }

  /** Lets the timer fire `ns` from now, instead of when it would have before. Any context. */
  start(ns: number): void {
    this.cancel();
    this.event = this.world.after(ns, this.context, this.expire);
  }

  /** Stops the timer; false when it did not run (`del_timer`). Any context. */
  cancel(): boolean {
    if (this.event === -1) return false;
    this.world.cancel(this.event);
    this.event = -1;
    return true;
  }
}
