/**
 * A probe that does not end is given up and named, with what it waits for.
 *
 * The time is virtual: a probe that waits for an interrupt nobody will raise, and one that polls a register for ever, end
 * alike. Its task is ended where it waits, so that its `finally` blocks run.
 * Source followed: `check_hung_uninterruptible_tasks` (`kernel/hung_task.c`), which warns after `hung_task_timeout_secs`.
 */
import type { Blocker, Task } from '@pincushion/sim';
import { Context, ETIMEDOUT, PincushionError, formatNs } from '@pincushion/sim';
import type { Device } from './device';

/** Default of `hung_task_timeout_secs`. */
export const PROBE_LIMIT_NS = 120e9;

/** Runs a probe to its end. Task context. Throws DRIVER_PROBE_STUCK after `limitNs`, and whatever the probe throws. */
export function* probeWithin(device: Device, probe: Task, limitNs: number): Task {
  const { world } = device;
  const thread = world.current;
  const steps = probe[Symbol.iterator]();
  const watch: { gaveUp: PincushionError | null } = { gaveUp: null };
  const alarm = world.after(limitNs, Context.softirq, () => {
    watch.gaveUp = stuck(device, limitNs, thread?.waitingFor ?? '');
    if (thread !== null) world.wake(thread);
    return undefined;
  });
  try {
    for (;;) {
      const step = steps.next();
      if (step.done === true) return;
      yield step.value;
      if (watch.gaveUp === null) continue;
      yield* ended(steps);
      throw watch.gaveUp;
    }
  } finally {
    world.cancel(alarm);
  }
}

/** Ends a task where it waits; what its `finally` blocks wait for is waited for. */
function* ended(steps: Iterator<Blocker, void, undefined>): Task {
  let step = steps.return?.();
  while (step?.done === false) {
    yield step.value;
    step = steps.next();
  }
}

function stuck(device: Device, limitNs: number, waitingFor: string): PincushionError {
  const { world, driverName, path } = device;
  const why = waitingFor === '' ? 'is still busy' : `waits for ${waitingFor}`;
  const rest = world.eventsPending === 0 ? ', and nothing is left to happen' : '';
  return new PincushionError('DRIVER_PROBE_STUCK', `${driverName} ${why} after ${formatNs(limitNs)}${rest}`, {
    device: path,
    hook: 'probe',
    errno: ETIMEDOUT,
    expected: 'a probe that ends',
    hint: 'a timeout around what the hardware may never do, and an interrupt requested before the command it belongs to',
  });
}
