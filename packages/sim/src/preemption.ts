/**
 * Preemption points: places in synchronous code where hardware could run something else.
 *
 * A point stands at each race window: between a read of shared state and the act that relies on it, and after each
 * publication. It may run, right there, an interrupt, a device's DMA or another CPU's code (`World.nest`,
 * `World.nestEvent`, `World.nestThread`), and the interrupted code goes on afterwards.
 *
 * Form of a point, because anything else costs on the hot path:
 *
 *     const P = point;                                          // at module level
 *     if (P.armed && --P.left === 0) P.fire(GUP_FAST_PTE_READ); // at the site
 *
 * `point` is the one mutable object of the process that is shared by all worlds; who explores schedules arms it for one
 * world at a time. Does not model: nesting cannot express the interleaving A1 B1 A2 B2.
 */

/** A race window with its name. Each package keeps its own frozen table; ids are unique over all packages. */
export interface PreemptionSite {
  readonly id: number;
  readonly name: string;
  /** What may happen here on hardware, in a sentence. */
  readonly meaning: string;
}

/** Called at the site whose turn has come; it may arm the point again. */
export type PointHandler = (site: number) => undefined;

export interface PreemptionPoint {
  armed: boolean;
  /** Sites still to pass until one fires. */
  left: number;
  fire(site: number): void;
}

export const point: PreemptionPoint = { armed: false, left: 0, fire: ignore };

/** Lets the `countdown`-th site that is passed from now on call `onFire`; the point is disarmed while that runs. */
export function armPoint(options: { countdown: number; onFire: PointHandler }): void {
  const { countdown, onFire } = options;
  point.left = countdown;
  point.armed = countdown > 0;
  point.fire = (site) => {
    disarmPoint();
    onFire(site);
  };
}

export function disarmPoint(): void {
  point.armed = false;
  point.left = 0;
  point.fire = ignore;
}

function ignore(): void {
  return undefined;
}
