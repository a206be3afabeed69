/**
 * In which order locks are taken, over a whole run: two orders that contradict each other are a deadlock that has not
 * happened yet.
 *
 * After the kernel's lock validator (kernel/locking/lockdep.c): locks of one name are a class, taking B while holding A is
 * an edge A -> B, and a cycle of edges is reported when its last edge appears, also when one thread alone took them all.
 * Two locks of one name are told apart from each other and ordered among themselves. A lock that is only tried waits for
 * nobody: it gives no edge to itself, but is held for what comes after it. An interrupt begins a chain of its own.
 * Left out: interrupt-safety (a spin lock of a task that its interrupt takes too), reader-writer forms.
 *
 *     if (order.on) order.wanted(this);                          // at the lock, one field test when off
 */
import { CallTrace } from './call-site';
import type { ContextStack } from './context';
import { Context } from './context';
import type { Findings } from './findings';

/** What is ordered. */
export interface OrderedLock {
  readonly name: string;
  /** `mutex 'queue'`. */
  readonly what: string;
}

/** A lock that is held, by whom, and where it was taken. */
interface Held {
  readonly lock: OrderedLock;
  readonly by: unknown;
}

/** Once, `inner` was wanted while `outer` was held. */
interface Edge {
  readonly outer: OrderedLock;
  readonly inner: OrderedLock;
  readonly thread: string;
  readonly trace: CallTrace;
  readonly atNs: number;
}

/** What locks are ordered by: their name, or the lock itself where both have the same name. */
type Key = unknown;

export class LockOrder {
  /** Whether anybody looks; test this before anything else here. */
  on = false;
  private readonly held: Held[] = [];
  private readonly edges = new Map<Key, Map<Key, Edge>>();

  constructor(
    private readonly contexts: ContextStack,
    private readonly findings: Findings,
    private readonly clock: { readonly now: number },
  ) {}

  /** From now on the order is kept. Costs some microseconds for each lock that is taken while another one is held. */
  watch(): void {
    this.on = true;
  }

  /** A lock is about to be taken, and may have to be waited for. Any context. */
  wanted(lock: OrderedLock): void {
    const by = this.holder();
    for (const { lock: outer, by: other } of this.held) {
      if (other === by && outer !== lock) this.note(outer, lock);
    }
  }

  /** It has been taken. */
  taken(lock: OrderedLock): void {
    this.held.push({ lock, by: this.holder() });
  }

  released(lock: OrderedLock): void {
    const at = this.held.findLastIndex((held) => held.lock === lock);
    if (at >= 0) this.held.splice(at, 1);
  }

  private note(outer: OrderedLock, inner: OrderedLock): void {
    const sameName = outer.name === inner.name;
    const from: Key = sameName ? outer : outer.name;
    const to: Key = sameName ? inner : inner.name;
    const known = this.edges.get(from);
    if (known?.has(to) === true) return;
    const { contexts, clock } = this;
    const edge = { outer, inner, thread: contexts.describe(), trace: new CallTrace(), atNs: clock.now };
    if (known === undefined) this.edges.set(from, new Map([[to, edge]]));
    else known.set(to, edge);
    const back = this.path(to, from);
    if (back !== null) this.report(edge, back);
  }

  /** Edges that lead from one class to another, as few as possible; null when none do. */
  private path(from: Key, to: Key): readonly Edge[] | null {
    const reached = new Map<Key, readonly Edge[]>([[from, []]]);
    for (const [key, way] of reached) {
      if (key === to) return way;
      for (const [next, edge] of this.edges.get(key) ?? []) if (!reached.has(next)) reached.set(next, [...way, edge]);
    }
    return null;
  }

  private report(last: Edge, back: readonly Edge[]): void {
    const circle = [last, ...back];
    const steps = circle.map(({ outer, inner }) => `${inner.what} is taken under ${outer.what}`);
    this.findings.report({
      code: 'LOCK_ORDER',
      summary: `${steps.join(', ')}: whoever does so at the same time waits for ever`,
      sites: circle.map(({ inner, outer, trace, atNs }) => ({
        what: `${inner.what} under ${outer.what}`,
        site: trace.site(),
        atNs,
      })),
      details: circle.map(({ inner, outer, thread }) => `${inner.what} under ${outer.what}: in ${thread}`),
    });
  }

  /** Who takes locks now: a thread, also over its sleeps; or what runs at this depth of contexts. */
  private holder(): unknown {
    const { contexts } = this;
    return contexts.current === Context.task && contexts.thread !== null ? contexts.thread : contexts.depth;
  }
}
