/**
 * The numbers of outstanding events (slots), what is known of each, and the ids made from them.
 *
 * A slot is taken in a circle, and the arrays are at least twice as long as there are events, so that slots taken one
 * after the other lie side by side. With a million events the misses of the cache decide (benchmark queue.depth1m): a
 * push then writes in order, and a pop, which comes in another order, only touches one byte, the state.
 */
const FREE = 0;
const PENDING = 1;
const CANCELLED = 2;

const CAPACITY_FIRST = 256;
/** What `words` holds of a slot. */
const HANDLER = 0;
const ARG = 1;
/** Upper half of the time; only where the wheel has put it. */
const HIGH = 2;
/** Number of the round in which the slot was taken. */
const LAP = 3;
/** log2 of the words of a slot. */
const SHIFT = 2;

/** An event id is lap * SLOTS_MAX + slot: no id comes again within 2^28 rounds, which are 2^36 events or more. */
const SLOTS_MAX = 33_554_432;
const LAP_MAX = 0xfffffff;

export class EventSlots {
  private words = new Int32Array(CAPACITY_FIRST << SHIFT);
  private states = new Uint8Array(CAPACITY_FIRST);
  private taken = 0;
  private last = 0;
  private lap = 1;

  /** Takes a slot for an event. */
  take(handler: number, arg: number): number {
    if (2 * this.taken >= this.states.length) this.grow();
    const { states, words } = this;
    let slot = this.last;
    do {
      if (++slot === states.length) {
        slot = 0;
        this.lap = this.lap === LAP_MAX ? 1 : this.lap + 1;
      }
    } while (states[slot] !== FREE);
    states[slot] = PENDING;
    const at = slot << SHIFT;
    words[at | HANDLER] = handler;
    words[at | ARG] = arg;
    words[at | LAP] = this.lap;
    this.last = slot;
    this.taken++;
    return slot;
  }

  /** Gives a slot back. */
  release(slot: number): void {
    this.states[slot] = FREE;
    this.taken--;
  }

  handlerOf(slot: number): number {
    return this.words[(slot << SHIFT) | HANDLER];
  }

  argOf(slot: number): number {
    return this.words[(slot << SHIFT) | ARG];
  }

  /** Upper half of the time of an event that the wheel has put far away. */
  highOf(slot: number): number {
    return this.words[(slot << SHIFT) | HIGH];
  }

  setHigh(slot: number, high: number): void {
    this.words[(slot << SHIFT) | HIGH] = high;
  }

  /** The id of the event that took a slot just now. */
  get lastId(): number {
    return this.lap * SLOTS_MAX + this.last;
  }

  /** The slot of a pending event; -1 when the event ran, was cancelled, or never was. */
  find(id: number): number {
    if (!(id >= SLOTS_MAX)) return -1;
    const slot = id % SLOTS_MAX;
    if (slot >= this.states.length || this.states[slot] !== PENDING) return -1;
    return this.words[(slot << SHIFT) | LAP] === (id - slot) / SLOTS_MAX ? slot : -1;
  }

  /** Marks an event, whose slot stays taken until the event is met. */
  markCancelled(slot: number): void {
    this.states[slot] = CANCELLED;
  }

  isCancelled(slot: number): boolean {
    return this.states[slot] === CANCELLED;
  }

  private grow(): void {
    const capacity = 2 * this.states.length;
    if (capacity > SLOTS_MAX) throw new RangeError(`more than ${SLOTS_MAX / 2} events are outstanding`);
    const words = new Int32Array(capacity << SHIFT);
    words.set(this.words);
    this.words = words;
    const states = new Uint8Array(capacity);
    states.set(this.states);
    this.states = states;
  }
}
