/**
 * Create and delete I/O queues.
 *
 *   create completion queue   id -> size -> PRP1 -> vector -> contiguous          which refusal wins, from left to right
 *   create submission queue   completion queue -> id -> size -> PRP1 -> contiguous
 *   delete                    id; a completion queue with submission queues stays
 *
 * A submission queue may lie in the controller memory buffer, a completion queue may not (CMBSZ.CQS is 0).
 * Source: NVM Express Base Specification 1.4, sections 5.3 to 5.6.
 */
import { QUEUE_CONTIGUOUS, QUEUE_INTERRUPTS } from '../../spec/opcodes';
import { NvmeStatus } from '../../spec/status';
import type { ControllerConfig } from '../controller-config';
import type { ControllerMemory } from '../controller-memory';
import { CompletionQueue, SubmissionQueue } from '../queues/queues';

const HIGH_WORD = 0x1_0000_0000;

/** What these commands act on: the queues and the commands in them. */
export interface CommandUnit {
  /** By queue id; 0 are the admin queues. */
  readonly submissionQueues: (SubmissionQueue | null)[];
  readonly completionQueues: (CompletionQueue | null)[];
  /** Completes every command of a queue that is still being worked on. */
  abortQueue(queueId: number, status: number): void;
  /** Completes one such command; false when it is not there (any more). */
  abortCommand(queueId: number, cid: number, status: number): boolean;
  /** Drops completions that wait for room in a queue that goes away. */
  dropWaiting(queue: CompletionQueue): void;
}

export class QueueCommands {
  /** Page size of the host (CC.MPS), set at enable. */
  pageBytes = 4096;
  /** I/O queues were created since the enable. */
  queuesMade = false;

  constructor(
    private readonly unit: CommandUnit,
    private readonly memory: ControllerMemory,
    private readonly config: ControllerConfig,
    private readonly vectors: number,
  ) {}

  createCq(words: Int32Array, at: number): number {
    const id = words[at + 10] & 0xffff;
    const size = (words[at + 10] >>> 16) + 1;
    const flags = words[at + 11];
    const { completionQueues } = this.unit;
    if (id === 0 || id > this.config.queuePairs || completionQueues[id] !== null) return NvmeStatus.invalidQueueId;
    if (size < 2 || size > this.config.queueEntries) return NvmeStatus.invalidQueueSize;
    if ((words[at + 6] & (this.pageBytes - 1)) !== 0) return NvmeStatus.invalidPrpOffset;
    const vector = flags >>> 16;
    if (vector >= this.vectors) return NvmeStatus.invalidInterruptVector;
    if ((flags & QUEUE_CONTIGUOUS) === 0) return NvmeStatus.invalidField;
    const base = addressAt(words, at + 6);
    if (this.memory.find(base) !== null) return NvmeStatus.invalidCmbUse;
    const interrupts = (flags & QUEUE_INTERRUPTS) !== 0;
    completionQueues[id] = new CompletionQueue(id, base, size, vector, interrupts);
    this.queuesMade = true;
    return NvmeStatus.success;
  }

  createSq(words: Int32Array, at: number): number {
    const id = words[at + 10] & 0xffff;
    const size = (words[at + 10] >>> 16) + 1;
    const completionsId = words[at + 11] >>> 16;
    const { submissionQueues, completionQueues } = this.unit;
    const completions = completionsId > this.config.queuePairs ? null : completionQueues[completionsId];
    if (completionsId === 0 || completions === null) return NvmeStatus.invalidCompletionQueue;
    if (id === 0 || id > this.config.queuePairs || submissionQueues[id] !== null) return NvmeStatus.invalidQueueId;
    if (size < 2 || size > this.config.queueEntries) return NvmeStatus.invalidQueueSize;
    if ((words[at + 6] & (this.pageBytes - 1)) !== 0) return NvmeStatus.invalidPrpOffset;
    if ((words[at + 11] & QUEUE_CONTIGUOUS) === 0) return NvmeStatus.invalidField;
    submissionQueues[id] = new SubmissionQueue(id, addressAt(words, at + 6), size, completions);
    completions.users++;
    this.queuesMade = true;
    return NvmeStatus.success;
  }

  deleteSq(id: number): number {
    const { submissionQueues } = this.unit;
    const queue = id === 0 || id > this.config.queuePairs ? null : submissionQueues[id];
    if (queue === null) return NvmeStatus.invalidQueueId;
    this.unit.abortQueue(id, NvmeStatus.abortedSqDeletion);
    submissionQueues[id] = null;
    queue.completions.users--;
    return NvmeStatus.success;
  }

  deleteCq(id: number): number {
    const { completionQueues } = this.unit;
    const queue = id === 0 || id > this.config.queuePairs ? null : completionQueues[id];
    if (queue === null) return NvmeStatus.invalidCompletionQueue;
    if (queue.users > 0) return NvmeStatus.invalidQueueDeletion;
    this.unit.dropWaiting(queue);
    completionQueues[id] = null;
    return NvmeStatus.success;
  }
}

function addressAt(words: Int32Array, at: number): number {
  return (words[at + 1] >>> 0) * HIGH_WORD + (words[at] >>> 0);
}
