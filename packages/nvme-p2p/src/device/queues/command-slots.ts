/**
 * The commands inside the controller, from fetch to completion entry.
 *
 * A slot holds the 64 bytes of the command as fetched and how far it is: 32 words of one typed array, which doubles when
 * all slots are in use, as a controller fetches whatever the host rings for.
 *
 *   word   0 … 15    the command
 *          16        submission queue it came from
 *          17        state
 *          18        status found at the fetch, or to be posted
 *          19        dword 0 of the completion
 *          20        next slot in a list of waiting completions; -1 ends it
 *
 *   free -> busy -> (event fires) -> free            the usual way
 *           busy -> aborted -> (event fires) -> free  completed or dropped early; its event is still on its way
 *           busy -> held -> free                     no event will come: an asynchronous event request, a stalled command
 *           busy -> posting -> free                  done, waits for room in its completion queue
 *
 * A slot is given back only when nothing on the event queue names it any more: events are never taken back.
 */
const SLOT_FREE = 0;
export const SLOT_BUSY = 1;
export const SLOT_ABORTED = 2;
export const SLOT_HELD = 3;
export const SLOT_POSTING = 4;

/** log2 of the words of a slot. */
const SHIFT = 5;
const QUEUE = 16;
const STATE = 17;
const STATUS = 18;
const RESULT = 19;
const NEXT = 20;

const SLOTS_FIRST = 256;

export class CommandSlots {
  /** The words of all slots: the command of slot `s` begins at `at(s)`. */
  words = new Int32Array(SLOTS_FIRST << SHIFT);
  private free = new Int32Array(SLOTS_FIRST);
  private freeCount = 0;
  private made = 0;

  /** A slot in state busy. */
  alloc(queueId: number): number {
    const slot = this.freeCount > 0 ? this.free[--this.freeCount] : this.make();
    const { words } = this;
    const at = slot << SHIFT;
    words[at + QUEUE] = queueId;
    words[at + STATE] = SLOT_BUSY;
    words[at + STATUS] = 0;
    words[at + RESULT] = 0;
    return slot;
  }

  release(slot: number): void {
    this.words[(slot << SHIFT) + STATE] = SLOT_FREE;
    this.free[this.freeCount++] = slot;
  }

  /** Index in `words` of the command of a slot. */
  at(slot: number): number {
    return slot << SHIFT;
  }

  /** Submission queue that the command came from. */
  queueOf(slot: number): number {
    return this.words[(slot << SHIFT) + QUEUE];
  }

  stateOf(slot: number): number {
    return this.words[(slot << SHIFT) + STATE];
  }

  setState(slot: number, state: number): void {
    this.words[(slot << SHIFT) + STATE] = state;
  }

  /** Status found at the fetch, or to be posted. */
  statusOf(slot: number): number {
    return this.words[(slot << SHIFT) + STATUS];
  }

  setStatus(slot: number, status: number): void {
    this.words[(slot << SHIFT) + STATUS] = status;
  }

  /** Dword 0 of the completion. */
  resultOf(slot: number): number {
    return this.words[(slot << SHIFT) + RESULT];
  }

  setResult(slot: number, result: number): void {
    this.words[(slot << SHIFT) + RESULT] = result;
  }

  /** Next slot in a list of waiting completions; -1 ends it. */
  nextOf(slot: number): number {
    return this.words[(slot << SHIFT) + NEXT];
  }

  setNext(slot: number, next: number): void {
    this.words[(slot << SHIFT) + NEXT] = next;
  }

  cid(slot: number): number {
    return this.words[slot << SHIFT] >>> 16;
  }

  /** Slots that were ever in use: all others are free. */
  get count(): number {
    return this.made;
  }

  get inUse(): number {
    return this.made - this.freeCount;
  }

  /** The busy or held slot of a command, or -1. For Abort; looks at every slot. */
  find(queueId: number, cid: number): number {
    for (let slot = 0; slot < this.made; slot++) {
      const state = this.stateOf(slot);
      const live = state === SLOT_BUSY || state === SLOT_HELD;
      if (live && this.queueOf(slot) === queueId && this.cid(slot) === cid) return slot;
    }
    return -1;
  }

  /** I/O commands inside on a namespace that has changed under them: those that are not refused yet get this status at their end. */
  refuseInside(nsid: number, status: number, concerns: (at: number) => boolean): void {
    for (let slot = 0; slot < this.made; slot++) {
      const at = slot << SHIFT;
      const { words } = this;
      const isInside = words[at + STATE] === SLOT_BUSY && words[at + QUEUE] !== 0 && words[at + 1] === nsid;
      if (isInside && words[at + STATUS] === 0 && concerns(at)) words[at + STATUS] = status;
    }
  }

  /** Whether an admin command with this opcode is being worked on. Looks at every slot. */
  hasAdmin(opcode: number): boolean {
    for (let slot = 0; slot < this.made; slot++) {
      const isAdmin = this.stateOf(slot) === SLOT_BUSY && this.queueOf(slot) === 0;
      if (isAdmin && (this.words[slot << SHIFT] & 0xff) === opcode) return true;
    }
    return false;
  }

  private make(): number {
    if (this.made === this.free.length) {
      this.words = doubled(this.words);
      this.free = doubled(this.free);
    }
    return this.made++;
  }
}

function doubled(from: Int32Array): Int32Array<ArrayBuffer> {
  const to = new Int32Array(2 * from.length);
  to.set(from);
  return to;
}
