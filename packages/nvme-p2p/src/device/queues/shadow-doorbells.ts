/**
 * Shadow doorbells: doorbells of I/O queues in host memory, so that a host in a virtual machine need not leave it for each.
 *
 *   buffer 1   what the host would write into the doorbells, in their order         host writes, controller reads
 *   buffer 2   event indices: the value behind which the host rings the real one    controller writes, host reads
 *
 * The controller takes the value in memory for the doorbell's when it is rung, and looks again before it rests. Doorbells of the admin
 * queues are written through to memory. An address that the bus refuses leaves the doorbell as it is.
 * Source: NVM Express Base Specification 1.4, sections 5.7 and 7.13.
 */
import type { BusMaster } from '../data/bus-master';
import type { CompletionQueue, SubmissionQueue } from './queues';

/** CAP.DSTRD is 0. */
const PAIR_BYTES = 8;
const HEAD_OFFSET = 4;

export class ShadowDoorbells {
  enabled = false;
  private values = 0;
  private events = 0;
  private readonly word = new Int32Array(1);

  constructor(
    private readonly bus: BusMaster,
    private readonly submissionQueues: readonly (SubmissionQueue | null)[],
    private readonly completionQueues: readonly (CompletionQueue | null)[],
  ) {}

  /** The host has given both buffers; the present values of all doorbells go there. False when the bus refuses. */
  use(values: number, events: number): boolean {
    this.values = values;
    this.events = events;
    for (const queue of this.submissionQueues) {
      if (queue !== null && !this.put(values + PAIR_BYTES * queue.id, queue.tail)) return false;
    }
    for (const queue of this.completionQueues) {
      if (queue !== null && !this.put(values + PAIR_BYTES * queue.id + HEAD_OFFSET, queue.head)) return false;
    }
    this.enabled = true;
    return true;
  }

  reset(): void {
    this.enabled = false;
  }

  /** The tail in memory, or -1 when there is none: the admin queue's, or an address that is refused. */
  tailOf(queue: SubmissionQueue): number {
    return queue.id === 0 ? -1 : this.get(this.values + PAIR_BYTES * queue.id);
  }

  headOf(queue: CompletionQueue): number {
    return queue.id === 0 ? -1 : this.get(this.values + PAIR_BYTES * queue.id + HEAD_OFFSET);
  }

  /** The controller has seen the tail: the host rings when it moves on from there. */
  tailSeen(queue: SubmissionQueue): void {
    if (queue.id === 0) this.put(this.values, queue.tail);
    else this.put(this.events + PAIR_BYTES * queue.id, queue.tail);
  }

  headSeen(queue: CompletionQueue): void {
    if (queue.id !== 0) this.put(this.events + PAIR_BYTES * queue.id + HEAD_OFFSET, queue.head);
  }

  /** The real doorbell was written: the admin queue's goes to memory, too. */
  headRung(queue: CompletionQueue): void {
    if (queue.id === 0) this.put(this.values + HEAD_OFFSET, queue.head);
  }

  private get(address: number): number {
    return this.bus.dmaReadWords(address, this.word, 0, 1) === 0 ? this.word[0] >>> 0 : -1;
  }

  private put(address: number, value: number): boolean {
    this.word[0] = value;
    return this.bus.dmaWriteWords(address, this.word, 0, 1) === 0;
  }
}
