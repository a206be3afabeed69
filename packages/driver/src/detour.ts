/**
 * Where the messages of a device pass on their way to its driver, and may be lost, delayed, repeated or overtaken.
 *
 * A message is a closure that delivers it. Used while a fault plan is armed or a test holds messages back, and never
 * otherwise: on a normal run nothing passes here.
 */
import type { FaultEffect, World } from '@pincushion/sim';
import { Context } from '@pincushion/sim';

type Message = () => undefined;

export class Detour {
  /** Whether messages wait for `next` instead of passing. */
  private holding = false;
  private held: Message[] = [];
  /** To be overtaken by the next one. */
  private overtaken: Message[] = [];

  constructor(
    private readonly world: World,
    private readonly site: 'completion' | 'irq',
    /** Whether what is delivered later still has somebody to go to. */
    private readonly isAlive: () => boolean,
  ) {}

  /** A message, that by itself needs `owedNs` longer. Any context. */
  pass(message: Message, owedNs = 0): void {
    const effect = this.world.faults.effect(this.site);
    if (this.holding) this.held.push(message);
    else if (owedNs > 0) this.later(owedNs, message);
    else this.deliver(message, effect);
  }

  /** From now on messages wait. */
  hold(): void {
    this.holding = true;
  }

  /** Messages that wait. */
  get waiting(): number {
    return this.held.length;
  }

  /** Delivers the oldest that waits; false when none does. */
  next(): boolean {
    const message = this.held.shift();
    if (message === undefined) return false;
    if (this.isAlive()) message();
    return true;
  }

  /** Delivers all that wait, and holds back no more. */
  release(): void {
    this.holding = false;
    while (this.next());
  }

  private deliver(message: Message, effect: FaultEffect | null): void {
    switch (effect?.kind) {
      case 'errno': // A site that is armed by an error number alone.
      case 'lost':
        return;
      case 'late':
        this.later(effect.ns, message);
        return;
      case 'reorder':
        this.overtaken.push(message);
        return;
      case 'twice':
        message();
        this.later(0, message);
        break;
      default:
        message();
    }
    if (this.overtaken.length === 0) return;
    const overtaken = this.overtaken;
    this.overtaken = [];
    for (const earlier of overtaken) this.later(0, earlier);
  }

  private later(ns: number, message: Message): void {
    this.world.after(ns, Context.device, () => {
      if (this.isAlive()) message();
    });
  }
}
