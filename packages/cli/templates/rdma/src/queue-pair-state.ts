/** One queue pair as the adapter knows it: where its queues are, how far it is, and the request it works on. */

/** Entries of the queue of work requests; one less are outstanding at most. */
export const REQUEST_ENTRIES = 16;
export const REQUEST_WORDS = 16;
/** Entries of the queue of completions. */
export const COMPLETION_ENTRIES = 64;
export const COMPLETION_WORDS = 4;

export class QueuePairState {
  /** Written by the doorbell: the entry behind the last request. */
  tail = 0;
  /** The event that carries the request on. */
  event = 0;
  busy = false;
  /** Bytes of the request that have been moved. */
  done = 0;
  readonly request = new Int32Array(REQUEST_WORDS);
  private readonly entry = new Int32Array(COMPLETION_WORDS);
  private running = false;
  private requests = 0;
  private completions = 0;
  private head = 0;
  private completed = 0;

  restart(running: boolean, requests: number, completions: number): void {
    this.running = running;
    this.requests = requests;
    this.completions = completions;
    this.busy = false;
    this.head = 0;
    this.tail = 0;
    this.completed = 0;
  }

  /** Whether there is a request to work on; from now on it is worked on. */
  takeNext(): boolean {
    if (!this.running || this.head === this.tail % REQUEST_ENTRIES) return false;
    this.busy = true;
    this.done = 0;
    return true;
  }

  /** Where the request lies. */
  requestIova(): number {
    return this.requests + this.head * REQUEST_WORDS * 4;
  }

  /** Where its completion goes. */
  completionIova(): number {
    return this.completions + (this.completed % COMPLETION_ENTRIES) * COMPLETION_WORDS * 4;
  }

  /** Its completion. */
  completion(status: number): Int32Array {
    this.entry[0] = this.request[8];
    this.entry[1] = status;
    this.entry[2] = this.done;
    this.entry[3] = this.completed + 1;
    return this.entry;
  }

  finish(): void {
    this.completed++;
    this.head = (this.head + 1) % REQUEST_ENTRIES;
    this.busy = false;
  }

  get operation(): number {
    return this.request[0];
  }

  get bytes(): number {
    return this.request[1] >>> 0;
  }

  get localKey(): number {
    return this.request[2];
  }

  get remoteKey(): number {
    return this.request[3];
  }

  get localOffset(): number {
    return wide(this.request[4], this.request[5]);
  }

  get remoteOffset(): number {
    return wide(this.request[6], this.request[7]);
  }
}

function wide(low: number, high: number): number {
  return (low >>> 0) + (high >>> 0) * 0x1_0000_0000;
}
