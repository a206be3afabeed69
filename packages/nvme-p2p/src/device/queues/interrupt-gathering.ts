/**
 * Interrupt coalescing: one interrupt for several completions, in virtual time.
 *
 *   completion -> gathering on this vector?   no  -> interrupt at once
 *                                             yes -> the threshold is reached, or the time since the first is over -> interrupt
 *
 * Feature 08h has threshold (0's based) and time (100 µs) for all vectors, feature 09h takes a vector out. Either value 0 means that
 * nothing is gathered. Completions of admin commands are never gathered.
 * Source: NVM Express Base Specification 1.4, sections 5.21.1.8 and 7.5.
 */
import type { Features } from '../commands/features';

const TIME_UNIT_NS = 100_000;

/** What raises interrupts, and lets time pass. */
export interface InterruptPort {
  raise(vector: number): void;
  /** Calls `expired(vector)` later. Returns an event for `cancel`. */
  scheduleExpiry(ns: number, vector: number): number;
  cancel(event: number): boolean;
}

export class InterruptGathering {
  /** Anything is gathered at all. */
  on = false;
  private threshold = 0;
  private timeNs = 0;
  /** By vector: completions gathered, and the event that ends the wait. */
  private readonly gathered: Int32Array;
  private readonly expiries: Float64Array;

  constructor(
    private readonly port: InterruptPort,
    private readonly features: Features,
    vectors: number,
  ) {
    this.gathered = new Int32Array(vectors);
    this.expiries = new Float64Array(vectors);
  }

  /** The features have changed: what was gathered so far goes out. */
  configure(): void {
    const { coalescing } = this.features;
    this.flush();
    this.threshold = (coalescing & 0xff) + 1;
    this.timeNs = (coalescing >>> 8) * TIME_UNIT_NS;
    this.on = (coalescing & 0xff) !== 0 && this.timeNs !== 0;
  }

  /** An I/O queue has a completion more. */
  completed(vector: number): void {
    if (!this.on || this.features.uncoalesced[vector] !== 0) {
      this.port.raise(vector);
    } else if (++this.gathered[vector] >= this.threshold) {
      this.send(vector);
    } else if (this.gathered[vector] === 1) {
      this.expiries[vector] = this.port.scheduleExpiry(this.timeNs, vector);
    }
  }

  /** The time of a vector is over. */
  expired(vector: number): void {
    if (this.gathered[vector] === 0) return;
    this.gathered[vector] = 0;
    this.port.raise(vector);
  }

  /** A reset: nothing is gathered, nothing goes out. */
  reset(): void {
    for (let vector = 0; vector < this.gathered.length; vector++) this.forget(vector);
    this.on = false;
  }

  private flush(): void {
    for (let vector = 0; vector < this.gathered.length; vector++) if (this.gathered[vector] !== 0) this.send(vector);
  }

  private send(vector: number): void {
    this.forget(vector);
    this.port.raise(vector);
  }

  private forget(vector: number): void {
    if (this.gathered[vector] !== 0) this.port.cancel(this.expiries[vector]);
    this.gathered[vector] = 0;
  }
}
