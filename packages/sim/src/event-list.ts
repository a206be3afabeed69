/**
 * A sorted list of few events, in (time, sequence) order.
 *
 * The events lie in a window of two parallel arrays: the first is taken at its lower end, and a new one moves up what is
 * later than it, or moves down what is earlier, whichever side it is nearer to. What a device schedules is mostly among
 * the last (a latency) or among the first (now), so that few move: faster than a heap below a hundred events, and ties
 * need no sequence numbers (benchmark queue.depth32). The arrays never grow: as constants of their object they cost no
 * look at what they are, at each step of a move.
 */
import type { EventSlots } from './event-slots';

const CAPACITY = 1024;
/** Where the window begins, and where it is moved back to when it has come to the end: room for 768 events. */
const START = CAPACITY >> 2;

export class EventList {
  private readonly times = new Float64Array(CAPACITY);
  private readonly slotOf = new Int32Array(CAPACITY);
  private head = START;
  private end = START;

  constructor(private readonly slots: EventSlots) {}

  /** Events in the list, cancelled ones included. */
  get size(): number {
    return this.end - this.head;
  }

  /** Adds an event; of all with the same time it is the last. There must be fewer than 768. */
  add(timeNs: number, slot: number): void {
    if (this.end === CAPACITY) this.moveDown();
    const { times, slotOf, head, end } = this;
    if (head > 0 && head < end && timeNs < times[(head + end) >> 1]) {
      let at = head - 1;
      for (let time = times[head]; time <= timeNs; time = times[at + 1]) {
        times[at] = time;
        slotOf[at] = slotOf[at + 1];
        at++;
      }
      times[at] = timeNs;
      slotOf[at] = slot;
      this.head = head - 1;
    } else {
      let at = end;
      while (at > head) {
        const time = times[at - 1];
        if (time <= timeNs) break;
        times[at] = time;
        slotOf[at] = slotOf[at - 1];
        at--;
      }
      times[at] = timeNs;
      slotOf[at] = slot;
      this.end = end + 1;
    }
  }

  /** Time of the first event; the list must not be empty. */
  get firstNs(): number {
    return this.times[this.head];
  }

  /** Takes the first event; the list must not be empty. */
  take(): number {
    return this.slotOf[this.head++];
  }

  /** Takes out all cancelled events and gives their slots back. Returns how many. */
  sweep(): number {
    const { times, slotOf, slots, end } = this;
    let kept = this.head;
    for (let at = kept; at < end; at++) {
      const slot = slotOf[at];
      if (slots.isCancelled(slot)) {
        slots.release(slot);
        continue;
      }
      times[kept] = times[at];
      slotOf[kept++] = slot;
    }
    this.end = kept;
    return end - kept;
  }

  private moveDown(): void {
    const { head, end, size } = this;
    if (START + size >= CAPACITY) throw new RangeError(`more than ${size} events are in the sorted list`);
    this.times.copyWithin(START, head, end);
    this.slotOf.copyWithin(START, head, end);
    this.head = START;
    this.end = START + size;
  }
}
