/** The commands inside the flash model, by the controller's slots: words of one typed array that grows with them. */

/** Nothing of the model's is in this slot. */
export const IDLE = 0;
export const READ = 1;
export const WRITE = 2;
export const FLUSH = 3;

/** No event of the command is under way, and no operation: it waits in a list or for others' programs. */
export const WAITING = 0;
/** An event of the command is under way. */
export const TIMED = 1;
/** Operations of the command are. */
export const WORKING = 2;

/** log2 of the words of a command. */
const SHIFT = 4;
const KIND = 0;
const STATE = 1;
const FIRST = 2;
const UNITS = 3;
const OFFSET = 4;
const BYTES = 5;
const LEFT = 6;
const NEXT = 7;
const DURABLE = 8;
const DROPPED = 9;

const SLOTS_FIRST = 256;

export class CommandTable {
  private words = new Int32Array(SLOTS_FIRST << SHIFT);
  /** Slots are below this. */
  count = SLOTS_FIRST;

  /** @param first unit @param offset bytes into it */
  enter(slot: number, kind: number, first: number, offset: number, bytes: number): void {
    while (slot >= this.count) this.grow();
    const { words } = this;
    const at = slot << SHIFT;
    words[at + KIND] = kind;
    words[at + STATE] = TIMED;
    words[at + FIRST] = first;
    words[at + UNITS] = (offset + bytes + 4095) >>> 12;
    words[at + OFFSET] = offset;
    words[at + BYTES] = bytes;
    words[at + LEFT] = 0;
    words[at + DURABLE] = 0;
    words[at + DROPPED] = 0;
  }

  leave(slot: number): void {
    this.words[(slot << SHIFT) + KIND] = IDLE;
  }

  kindOf(slot: number): number {
    return this.words[(slot << SHIFT) + KIND];
  }

  stateOf(slot: number): number {
    return this.words[(slot << SHIFT) + STATE];
  }

  setState(slot: number, state: number): void {
    this.words[(slot << SHIFT) + STATE] = state;
  }

  /** First unit, of the drive. */
  firstOf(slot: number): number {
    return this.words[(slot << SHIFT) + FIRST] >>> 0;
  }

  unitsOf(slot: number): number {
    return this.words[(slot << SHIFT) + UNITS];
  }

  /** Bytes into the first unit. */
  offsetOf(slot: number): number {
    return this.words[(slot << SHIFT) + OFFSET];
  }

  bytesOf(slot: number): number {
    return this.words[(slot << SHIFT) + BYTES];
  }

  /** Operations that the command waits for. */
  leftOf(slot: number): number {
    return this.words[(slot << SHIFT) + LEFT];
  }

  /** More operations to wait for, or fewer. Returns how many then. */
  addLeft(slot: number, count: number): number {
    return (this.words[(slot << SHIFT) + LEFT] += count);
  }

  isDurable(slot: number): boolean {
    return this.words[(slot << SHIFT) + DURABLE] !== 0;
  }

  setDurable(slot: number): void {
    this.words[(slot << SHIFT) + DURABLE] = 1;
  }

  /** A reset has come while an event of the command was under way. */
  isDropped(slot: number): boolean {
    return this.words[(slot << SHIFT) + DROPPED] !== 0;
  }

  setDropped(slot: number): void {
    this.words[(slot << SHIFT) + DROPPED] = 1;
  }

  /** Next in a list of waiting writes. */
  nextOf(slot: number): number {
    return this.words[(slot << SHIFT) + NEXT];
  }

  setNext(slot: number, next: number): void {
    this.words[(slot << SHIFT) + NEXT] = next;
  }

  private grow(): void {
    const words = new Int32Array(2 * this.words.length);
    words.set(this.words);
    this.words = words;
    this.count *= 2;
  }
}
