/**
 * Tracepoints: facts for observers, four numbers each.
 *
 * The call site is `if (tp.on) tp.emit(…)`: one field test when nobody listens. Names are `subsystem:event` as the
 * kernel's; fields are named so that a viewer needs no table. An observer sees and does not steer: it must not change
 * the world. Facts are emitted once per call and not per page.
 */

import { CallTrace } from './call-site';

/** `subsystem:event`, as `gup:pin`. */
export type TracepointName = `${string}:${string}`;

export type TraceListener = (point: Tracepoint, a: number, b: number, c: number, d: number) => undefined;

export class Tracepoint {
  /** Whether anybody listens; test this before `emit`. */
  on = false;
  private listeners: readonly TraceListener[] = [];

  constructor(
    readonly name: TracepointName,
    /** Names of the up to four numbers, for example `['frame', 'pages', 'owner', 'flags']`. */
    readonly fields: readonly string[],
  ) {}

  /** Tells the listeners. Any context. */
  emit(a: number, b: number, c: number, d: number): void {
    const listeners = this.listeners;
    for (let i = 0; i < listeners.length; i++) listeners[i](this, a, b, c, d);
  }

  /** Of `Tracepoints`. */
  listen(listener: TraceListener): void {
    this.listeners = [...this.listeners, listener];
    this.on = true;
  }

  /** Of `Tracepoints`. */
  unlisten(listener: TraceListener): void {
    this.listeners = this.listeners.filter((other) => other !== listener);
    this.on = this.listeners.length > 0;
  }
}

/** A subscription that has not ended. */
export interface Listening {
  /** The tracepoints; null: all. */
  readonly names: readonly TracepointName[] | null;
  /** The thread that subscribed. */
  readonly owner: string;
  /** Virtual nanoseconds. */
  readonly sinceNs: number;
  readonly startedBy: CallTrace;
}

interface Subscription extends Listening {
  readonly listener: TraceListener;
}

/** What a world tells its tracepoints. */
interface Surroundings {
  readonly now: number;
  /** The thread that runs. */
  readonly current: { readonly name: string } | null;
}

/** The tracepoints of a world. */
export class Tracepoints {
  private readonly points = new Map<string, Tracepoint>();
  private readonly subscriptions: Subscription[] = [];

  constructor(private readonly world: Surroundings) {}

  /** The tracepoint of that name, made at the first call. Keep it in a field: looking it up is not for hot paths. */
  point(name: TracepointName, fields: readonly string[]): Tracepoint {
    const known = this.points.get(name);
    if (known !== undefined) return known;
    const point = new Tracepoint(name, fields);
    this.points.set(name, point);
    for (const { listener, names } of this.subscriptions) {
      if (names === null || names.includes(name)) point.listen(listener);
    }
    return point;
  }

  /** Calls `listener` for the tracepoints named, or for all; also for those that are made later. The result ends that. */
  subscribe(listener: TraceListener, names?: readonly TracepointName[]): () => undefined {
    const { now, current } = this.world;
    const subscription: Subscription = {
      listener,
      names: names ?? null,
      owner: current === null ? 'code outside of the machine' : `thread '${current.name}'`,
      sinceNs: now,
      startedBy: new CallTrace(),
    };
    this.subscriptions.push(subscription);
    const wanted = (point: Tracepoint): boolean => subscription.names?.includes(point.name) ?? true;
    for (const point of this.points.values()) if (wanted(point)) point.listen(listener);
    return () => {
      const at = this.subscriptions.indexOf(subscription);
      if (at < 0) return undefined;
      this.subscriptions.splice(at, 1);
      for (const point of this.points.values()) if (wanted(point)) point.unlisten(listener);
      return undefined;
    };
  }

  /** Ends all subscriptions; who had them, in the order in which they began. */
  endAll(): readonly Listening[] {
    for (const point of this.points.values()) {
      for (const { listener } of this.subscriptions) point.unlisten(listener);
    }
    return this.subscriptions.splice(0);
  }

  /** All tracepoints, in the order in which they were made. */
  all(): readonly Tracepoint[] {
    return [...this.points.values()];
  }
}
