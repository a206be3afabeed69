/**
 * In what the code runs: a stack of contexts, as on a CPU.
 *
 * An interrupt runs *inside* what it interrupts: `enter` pushes, `leave` pops. Only task context may sleep, and not
 * while a spin lock is held. Outside of `run` and `complete` (a test that calls a service directly) the stack is empty
 * and counts as task context on CPU 0.
 */
import { PincushionError } from './errors';

/** Kinds of contexts, after the kernel's `in_task`, `in_serving_softirq` and `in_hardirq`; device code runs on no CPU. */
export const Context = { task: 0, softirq: 1, hardirq: 2, device: 3 } as const;
export type Context = (typeof Context)[keyof typeof Context];

const CONTEXT_NAMES: readonly string[] = ['task', 'softirq', 'hardirq', 'device'];

/** Deeper nesting than any schedule needs: what goes beyond is an endless recursion. */
const DEPTH_MAX = 64;

export class ContextStack {
  current: Context = Context.task;
  /** CPU that runs the present code; of no meaning in device context. */
  cpu = 0;
  /** Number of contexts entered and not yet left. */
  depth = 0;
  /** Spin locks held by the code of the present context. */
  spinLocks = 0;
  /** The thread whose code runs, or was interrupted; null for events and for code outside of the machine. */
  thread: { readonly name: string } | null = null;

  private readonly kinds = new Uint8Array(DEPTH_MAX);
  private readonly cpus = new Int32Array(DEPTH_MAX);
  private readonly locks = new Int32Array(DEPTH_MAX);

  /** Begins a nested context; pair with `leave`. Any context, no allocation. */
  enter(kind: Context, cpu: number): void {
    const depth = this.depth;
    if (depth === DEPTH_MAX) {
      throw new PincushionError('CONTEXT_UNBALANCED', `${DEPTH_MAX} contexts are nested in one another`);
    }
    this.kinds[depth] = this.current;
    this.cpus[depth] = this.cpu;
    this.locks[depth] = this.spinLocks;
    this.depth = depth + 1;
    this.current = kind;
    this.cpu = cpu;
    this.spinLocks = 0;
  }

  /** Goes back to what was interrupted. */
  leave(): void {
    const depth = this.depth - 1;
    if (depth < 0) throw new PincushionError('CONTEXT_UNBALANCED', 'a context is left that was never entered');
    this.depth = depth;
    this.current = this.kinds[depth] as Context;
    this.cpu = this.cpus[depth];
    this.spinLocks = this.locks[depth];
  }

  /** Forgets every context: the way out of a run, also after an exception. */
  reset(): void {
    this.current = Context.task;
    this.cpu = 0;
    this.depth = 0;
    this.spinLocks = 0;
    this.thread = null;
  }

  /**
   * The entry check of everything that may sleep (the kernel's `might_sleep`).
   * Throws SLEEP_IN_ATOMIC unless the caller is in task context without a spin lock.
   */
  mightSleep(what: string): void {
    if (this.current === Context.task && this.spinLocks === 0) return;
    throw new PincushionError('SLEEP_IN_ATOMIC', `${what} may sleep and was called in ${this.describe()}`, {
      expected: 'task context without a spin lock',
      hint: 'queueing a work item and calling it there',
    });
  }

  /** The present context in words: `hardirq context on cpu 1, inside thread 'fio'`. */
  describe(): string {
    let text = `${CONTEXT_NAMES[this.current]} context`;
    if (this.current !== Context.device) text += ` on cpu ${this.cpu}`;
    if (this.thread !== null) text += `, ${this.depth > 1 ? 'inside' : 'of'} thread '${this.thread.name}'`;
    if (this.spinLocks > 0) text += `, holding ${this.spinLocks} spin lock${this.spinLocks === 1 ? '' : 's'}`;
    return text;
  }
}
