/**
 * Services that seldom have to wait, written once.
 *
 * A service is written as the body of a task and run at once as far as it goes without waiting. Most end there, with a
 * plain result; only one that met something to wait for becomes a task, which goes on where the body stopped.
 */
import { sleeping } from '@pincushion/sim';
import type { Blocker, MaySleep, World } from '@pincushion/sim';

/** The result of `body`, or a task of what is left of it. Task context. */
export function eagerly(world: World, what: string, body: Iterator<Blocker, number, undefined>): MaySleep {
  const step = body.next();
  return step.done === true ? step.value : sleeping(world, what, () => goOn(step.value, body));
}

function* goOn(first: Blocker, body: Iterator<Blocker, number, undefined>) {
  yield first;
  return yield* { [Symbol.iterator]: () => body };
}

/** Inside such a body: the number behind a `MaySleep`. */
export function* settled(result: MaySleep) {
  return typeof result === 'number' ? result : yield* result;
}
