/**
 * The commands inside the controller, from fetch to completion entry.
 *
 * A slot holds the 64 bytes of the command as fetched and how far it is. Slots are numbers, their contents parallel typed
 * arrays that double when all are in use: a controller fetches whatever the host rings for.
 *
 *   free -> busy -> (event fires) -> free            the usual way
 *           busy -> aborted -> (event fires) -> free  completed or dropped early; its event is still on its way
 *           busy -> held -> free                     no event will come: an asynchronous event request, a stalled command
 *           busy -> posting -> free                  done, waits for room in its completion queue
 *
 * A slot is given back only when nothing on the event queue names it any more: events are never taken back.
 */
import { SQE_WORDS } from '../spec/registers';

const SLOT_FREE = 0;
export const SLOT_BUSY = 1;
export const SLOT_ABORTED = 2;
export const SLOT_HELD = 3;
export const SLOT_POSTING = 4;

const SLOTS_FIRST = 256;

export class CommandSlots {
  /** The command dwords: slot `s` has `words[16 s … 16 s + 15]`. */
  words = new Int32Array(SLOTS_FIRST * SQE_WORDS);
  /** Submission queue a command came from. */
  queueId = new Int32Array(SLOTS_FIRST);
  state = new Uint8Array(SLOTS_FIRST);
  /** Status found at the fetch, or to be posted. */
  status = new Int32Array(SLOTS_FIRST);
  /** Dword 0 of the completion. */
  result = new Int32Array(SLOTS_FIRST);
  /** Next slot in a list of waiting completions; -1 ends it. */
  next = new Int32Array(SLOTS_FIRST);
  private free = new Int32Array(SLOTS_FIRST);
  private freeCount = 0;
  private made = 0;

  /** A slot in state busy. */
  alloc(queueId: number): number {
    const slot = this.freeCount > 0 ? this.free[--this.freeCount] : this.make();
    this.queueId[slot] = queueId;
    this.state[slot] = SLOT_BUSY;
    this.status[slot] = 0;
    this.result[slot] = 0;
    return slot;
  }

  release(slot: number): void {
    this.state[slot] = SLOT_FREE;
    this.free[this.freeCount++] = slot;
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
      const live = this.state[slot] === SLOT_BUSY || this.state[slot] === SLOT_HELD;
      if (live && this.queueId[slot] === queueId && this.cid(slot) === cid) return slot;
    }
    return -1;
  }

  cid(slot: number): number {
    return this.words[slot * SQE_WORDS] >>> 16;
  }

  private make(): number {
    if (this.made === this.state.length) this.grow(2 * this.made);
    return this.made++;
  }

  private grow(size: number): void {
    this.words = grown(this.words, size * SQE_WORDS);
    this.queueId = grown(this.queueId, size);
    this.status = grown(this.status, size);
    this.result = grown(this.result, size);
    this.next = grown(this.next, size);
    this.free = grown(this.free, size);
    const state = new Uint8Array(size);
    state.set(this.state);
    this.state = state;
  }
}

function grown(from: Int32Array, length: number): Int32Array<ArrayBuffer> {
  const to = new Int32Array(length);
  to.set(from);
  return to;
}
