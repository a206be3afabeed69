/**
 * The controller's half of a queue: where the ring lies in host memory and how far the controller has come.
 *
 *   submission   host writes entries and moves the tail (doorbell); controller fetches at the head
 *   completion   controller writes entries at the tail, with the phase bit of its round; host moves the head (doorbell)
 *
 * A ring of n entries holds n - 1: it is full when the tail stands just before the head. A completion that finds its ring
 * full waits in a list of slots until the host has moved the head.
 * Source: NVM Express Base Specification 1.4, section 4.1.
 */

export class SubmissionQueue {
  /** Next entry to fetch. */
  head = 0;
  /** One past the last entry the host has rung for. */
  tail = 0;
  /** One bit for each command identifier that is inside. */
  private readonly identifiers = new Int32Array(0x10000 / 32);

  constructor(
    readonly id: number,
    /** Bus address of the ring. */
    readonly base: number,
    /** Entries. */
    readonly size: number,
    readonly completions: CompletionQueue,
  ) {}

  /** A command with this identifier comes in; false when one is inside already. */
  take(command: number): boolean {
    const { identifiers } = this;
    const word = command >>> 5;
    const bit = 1 << (command & 31);
    if ((identifiers[word] & bit) !== 0) return false;
    identifiers[word] |= bit;
    return true;
  }

  /** The command is over. */
  give(command: number): void {
    this.identifiers[command >>> 5] &= ~(1 << (command & 31));
  }
}

export class CompletionQueue {
  /** Next entry the host will look at. */
  head = 0;
  /** Next entry to write. */
  tail = 0;
  /** Phase bit of this round: 1 in the first, as the host has zeroed the ring. */
  phase = 1;
  /** Submission queues that complete here; a queue with any cannot be deleted. */
  users = 0;
  /** First and last slot whose completion waits for room; -1: none. */
  waitingFirst = -1;
  waitingLast = -1;

  constructor(
    readonly id: number,
    readonly base: number,
    readonly size: number,
    readonly vector: number,
    readonly interrupts: boolean,
  ) {}

  get full(): boolean {
    const next = this.tail + 1 === this.size ? 0 : this.tail + 1;
    return next === this.head;
  }

  advanceTail(): void {
    if (++this.tail === this.size) {
      this.tail = 0;
      this.phase ^= 1;
    }
  }
}
