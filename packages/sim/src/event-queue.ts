/**
 * The event queue: what happens later, in exact (time, sequence) order.
 *
 * A sorted list while few events are outstanding, a timing wheel while many are, with hysteresis between the two. A
 * cancelled event stays where it is until it is met, or until the cancelled ones are the majority and are swept out, so
 * that cancelling costs no search. Benchmarks: queue.depth32, queue.depth1m.
 */
import { PincushionError } from './errors';
import { EventList } from './event-list';
import { EventSlots } from './event-slots';
import { EventWheel } from './wheel';

/** Outstanding events above which the wheel is faster (the list has room for some more), and below which it is left again. */
const WHEEL_ABOVE = 128;
const LIST_BELOW = 48;
const SWEEP_ABOVE = 64;
const TIME_MAX = Number.MAX_SAFE_INTEGER;

export class EventQueue {
  /** Time of the event popped last, in nanoseconds. */
  now = 0;
  /** Handler and argument of the event popped last. */
  handlerId = 0;
  arg = 0;

  private live = 0;
  private cancelled = 0;
  private readonly slots = new EventSlots();
  private readonly list = new EventList(this.slots);
  /** Holds every event while `wheelMode`; the list does otherwise. */
  private readonly wheel = new EventWheel(this.slots);
  private wheelMode = false;

  /** Number of events outstanding. */
  get size(): number {
    return this.live;
  }

  /** Whether the wheel is in use; for tests and reports. */
  get usesWheel(): boolean {
    return this.wheelMode;
  }

  /**
   * Adds an event; the result is its id. The time is a whole number of nanoseconds, not before the last one popped;
   * the handler is an int from 0 up, the argument an int32.
   */
  push(timeNs: number, handler: number, arg: number): number {
    if (!(timeNs >= this.now && timeNs <= TIME_MAX && Math.floor(timeNs) === timeNs && handler >= 0)) {
      this.refuse(timeNs, handler);
    }
    const slot = this.slots.take(handler, arg);
    this.live++;
    if (this.wheelMode) {
      this.pushWheel(timeNs, slot, handler, arg);
    } else {
      this.list.add(timeNs, slot);
      if (this.list.size > WHEEL_ABOVE) this.toWheel();
    }
    return this.slots.lastId;
  }

  /** Takes the first event if it is due by `limitNs` and sets `now`, `handlerId` and `arg`; false otherwise. */
  popUntil(limitNs: number): boolean {
    const slots = this.slots;
    while (this.live > 0) {
      let slot: number;
      let timeNs: number;
      let handler: number;
      let arg: number;
      if (this.wheelMode) {
        const wheel = this.wheel;
        slot = wheel.take(limitNs);
        if (slot < 0) return false;
        timeNs = wheel.nowNs;
        handler = wheel.handlerId;
        arg = wheel.arg;
      } else {
        timeNs = this.list.firstNs;
        if (timeNs > limitNs) return false;
        slot = this.list.take();
        handler = slots.handlerOf(slot);
        arg = slots.argOf(slot);
      }
      const isCancelled = this.cancelled > 0 && slots.isCancelled(slot);
      slots.release(slot);
      if (isCancelled) {
        this.cancelled--;
        continue;
      }
      this.now = timeNs;
      this.handlerId = handler;
      this.arg = arg;
      this.live--;
      if (this.wheelMode && this.live < LIST_BELOW) this.toList();
      return true;
    }
    return false;
  }

  /** Takes an event back; false when it ran, was cancelled, or never was: an id is never used again. */
  cancel(id: number): boolean {
    const slot = this.slots.find(id);
    if (slot < 0) return false;
    this.slots.markCancelled(slot);
    this.live--;
    this.cancelled++;
    if (this.cancelled > SWEEP_ABOVE && this.cancelled > this.live) {
      this.cancelled -= this.wheelMode ? this.wheel.sweep() : this.list.sweep();
    }
    return true;
  }

  /** Handler of a pending event; -1 when it is not pending. */
  handlerOf(id: number): number {
    const slot = this.slots.find(id);
    return slot < 0 ? -1 : this.slots.handlerOf(slot);
  }

  /** Argument of a pending event; 0 when it is not pending. */
  argOf(id: number): number {
    const slot = this.slots.find(id);
    return slot < 0 ? 0 : this.slots.argOf(slot);
  }

  private pushWheel(timeNs: number, slot: number, handler: number, arg: number): void {
    const wheel = this.wheel;
    if (timeNs < wheel.nowNs) this.turnBack();
    wheel.add(timeNs, slot, handler, arg);
  }

  /** A pop looked ahead up to its limit and found nothing, and the caller goes on from an earlier time. */
  private turnBack(): void {
    const { wheel, slots } = this;
    const times: number[] = [];
    const order: number[] = [];
    for (let slot = wheel.take(Infinity); slot >= 0; slot = wheel.take(Infinity)) {
      times.push(wheel.nowNs);
      order.push(slot);
    }
    wheel.moveTo(this.now);
    order.forEach((slot, i) => {
      wheel.add(times[i], slot, slots.handlerOf(slot), slots.argOf(slot));
    });
  }

  private toWheel(): void {
    this.wheelMode = true;
    const { list, wheel, slots } = this;
    wheel.moveTo(this.now);
    while (list.size > 0) {
      const timeNs = list.firstNs;
      const slot = list.take();
      wheel.add(timeNs, slot, slots.handlerOf(slot), slots.argOf(slot));
    }
  }

  private toList(): void {
    this.wheelMode = false;
    const wheel = this.wheel;
    // The list has room for those that are live: cancelled ones may be many more.
    if (this.cancelled > 0) this.cancelled -= wheel.sweep();
    for (let slot = wheel.take(Infinity); slot >= 0; slot = wheel.take(Infinity)) this.list.add(wheel.nowNs, slot);
  }

  private refuse(timeNs: number, handler: number): never {
    throw new PincushionError('SCHEDULE_INVALID', `an event cannot be scheduled at ${timeNs} ns`, {
      expected: `a whole number of nanoseconds from ${this.now} up, and a handler from 0 up`,
      actual: `time ${timeNs}, handler ${handler}`,
    });
  }
}
