/**
 * A driver's own tasks, watched like those of the services: `this.stop();` without `yield*` runs nothing of `stop`, and
 * no compiler says so. With the full ledger each generator method of a driver notes that it was called, until somebody
 * starts what it gave; what nobody started is the finding TASK_NEVER_STARTED, with the call site.
 *
 * Left out: generators outside of the driver class, and private methods (`#name`); the lint rule sees those.
 */
import type { Blocker, Task, UnstartedTask, World } from '@pincushion/sim';
import { CallTrace } from '@pincushion/sim';
import { Driver } from './driver';

type TaskBody = Generator<Blocker, unknown, undefined>;

/** What generator functions have in common. */
const GeneratorFunctionPrototype: unknown = Object.getPrototypeOf(
  Object.getOwnPropertyDescriptor(Driver.prototype, 'suspend')?.value,
);

/** Watches the generator methods of a driver: those of its class and the classes between it and `Driver`. */
export function watchOwnTasks(driver: Driver, world: World): void {
  const seen = new Set<string>();
  for (let at: object = driver; at !== Driver.prototype; at = Object.getPrototypeOf(at) as object) {
    for (const [name, { value }] of Object.entries(Object.getOwnPropertyDescriptors(at))) {
      // What a derived class has under the name counts, whatever it is.
      const isHidden = seen.has(name);
      seen.add(name);
      if (isHidden || typeof value !== 'function') continue;
      if (Object.getPrototypeOf(value) !== GeneratorFunctionPrototype) continue;
      const method = value as (...given: unknown[]) => TaskBody;
      const what = `${driver.constructor.name}.${name}`;
      Object.defineProperty(driver, name, {
        value: (...given: unknown[]) => new OwnTask(world, what, method.apply(driver, given)),
        configurable: true,
        writable: true,
      });
    }
  }
}

/** A generator that counts as unstarted until it is first asked for anything. */
class OwnTask implements Task<unknown>, UnstartedTask {
  readonly calledAtNs: number;
  private readonly trace = new CallTrace();

  constructor(
    private readonly world: World,
    readonly what: string,
    private readonly body: TaskBody,
  ) {
    this.calledAtNs = world.now;
    world.unstarted.add(this);
  }

  /** Hands out the generator itself, so that `yield*` costs no second level. */
  [Symbol.iterator](): TaskBody {
    this.world.unstarted.delete(this);
    return this.body;
  }

  next(): IteratorResult<Blocker, unknown> {
    return this[Symbol.iterator]().next();
  }

  return(value: unknown): IteratorResult<Blocker, unknown> {
    return this[Symbol.iterator]().return(value);
  }

  throw(error: unknown): IteratorResult<Blocker, unknown> {
    return this[Symbol.iterator]().throw(error);
  }

  site(): string {
    return this.trace.site();
  }
}
