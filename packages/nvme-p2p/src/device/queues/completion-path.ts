/**
 * From a command that is done to its entry in the completion queue, and the interrupt.
 *
 *   publish -> room in the queue?   yes -> entry by DMA, with the phase bit -> interrupt (or gathered)
 *                                   no  -> the slot waits in the queue's list -> drain, when the host has moved the head
 *
 * The driver's handler may run before `raise` returns, and may ring a doorbell: so nothing half-done is in a field when an interrupt is
 * raised. When the bus refuses an entry, the controller fails.
 * Source: NVM Express Base Specification 1.4, sections 4.1 and 4.6.
 */
import { CQE_BYTES, CQE_WORDS } from '../../spec/registers';
import { SLOT_POSTING } from './command-slots';
import type { CommandSlots } from './command-slots';
import type { InterruptGathering } from './interrupt-gathering';
import type { CompletionQueue, SubmissionQueue } from './queues';
import type { ShadowDoorbells } from './shadow-doorbells';

// Imported bindings are getters once compiled; the hot functions read constants of the module.
const COMPLETION_BYTES = CQE_BYTES;
const COMPLETION_WORDS = CQE_WORDS;

/** What the path needs of the controller. */
export interface CompletionPort {
  dmaWriteWords(iova: number, from: Int32Array, at: number, words: number): number;
  raise(vector: number): void;
  /** The bus has refused an entry: the controller has lost the thread. */
  fail(): void;
}

export class CompletionPath {
  private readonly entry = new Int32Array(COMPLETION_WORDS);

  constructor(
    private readonly port: CompletionPort,
    private readonly slots: CommandSlots,
    private readonly submissionQueues: readonly (SubmissionQueue | null)[],
    private readonly gathering: InterruptGathering,
    private readonly shadows: ShadowDoorbells,
  ) {}

  /** Posts the completion of a slot and gives the slot back, or lets it wait for room. */
  publish(queue: SubmissionQueue, slot: number, status: number): void {
    const { slots } = this;
    const { completions } = queue;
    if (completions.waitingFirst >= 0 || (completions.full && !this.shadowRoom(completions))) {
      this.waitForRoom(completions, slot, status);
      return;
    }
    const posted = this.post(completions, queue, slot, status);
    slots.release(slot);
    if (posted && completions.interrupts) this.interrupt(completions);
  }

  /** The host has made room: what waits goes out, with one interrupt for all of it. */
  drain(completions: CompletionQueue): void {
    const { slots } = this;
    let posted = false;
    while (completions.waitingFirst >= 0 && (!completions.full || this.shadowRoom(completions))) {
      const slot = completions.waitingFirst;
      completions.waitingFirst = slots.nextOf(slot);
      const queue = this.submissionQueues[slots.queueOf(slot)];
      if (queue !== null && this.post(completions, queue, slot, slots.statusOf(slot))) posted = true;
      slots.release(slot);
    }
    if (posted && completions.interrupts) this.interrupt(completions);
  }

  /** Drops what waits for room in a queue that goes away. */
  dropWaiting(queue: CompletionQueue): void {
    while (queue.waitingFirst >= 0) {
      const slot = queue.waitingFirst;
      queue.waitingFirst = this.slots.nextOf(slot);
      this.slots.release(slot);
    }
    queue.waitingLast = -1;
  }

  private interrupt(completions: CompletionQueue): void {
    if (this.gathering.on && completions.id !== 0) this.gathering.completed(completions.vector);
    else this.port.raise(completions.vector);
  }

  private waitForRoom(completions: CompletionQueue, slot: number, status: number): void {
    const { slots } = this;
    slots.setState(slot, SLOT_POSTING);
    slots.setStatus(slot, status);
    slots.setNext(slot, -1);
    if (completions.waitingFirst < 0) completions.waitingFirst = slot;
    else slots.setNext(completions.waitingLast, slot);
    completions.waitingLast = slot;
  }

  /** A full queue may have room by its shadow doorbell; if not, the host is told to ring. */
  private shadowRoom(completions: CompletionQueue): boolean {
    if (!this.shadows.enabled) return false;
    this.shadows.headSeen(completions);
    const head = this.shadows.headOf(completions);
    if (head >= 0 && head < completions.size) completions.head = head;
    return !completions.full;
  }

  /** Writes one completion entry: dword 0, reserved, SQID | SQHD, status | phase | CID. */
  private post(completions: CompletionQueue, queue: SubmissionQueue, slot: number, status: number): boolean {
    const { entry, slots } = this;
    entry[0] = slots.resultOf(slot);
    entry[1] = 0;
    entry[2] = queue.head | (queue.id << 16);
    entry[3] = slots.cid(slot) | (completions.phase << 16) | (status << 17);
    const address = completions.base + completions.tail * COMPLETION_BYTES;
    if (this.port.dmaWriteWords(address, entry, 0, COMPLETION_WORDS) !== 0) {
      this.port.fail();
      return false;
    }
    completions.advanceTail();
    return true;
  }
}
