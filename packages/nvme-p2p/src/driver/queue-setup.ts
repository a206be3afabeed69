/** What a queue pair is made with, and who owns it. */
import type { Tracepoint } from '@pincushion/driver';
import type { QueuePair } from './queue-pair';

/** Memory that queue and controller share. */
export interface SharedMemory {
  readonly iova: number;
  readonly words: Int32Array;
}

/** Who owns the queue hears of commands that take too long. Softirq context. */
export interface QueueOwner {
  /** Whether the controller has reported a fatal status, or is gone: only a reset helps (nvme_should_reset). */
  isDown(): boolean;
  /** Asks the controller to abort; whatever becomes of it, the command itself must end. False: not now. */
  abort(queue: QueuePair, tag: number): boolean;
  /** Aborting has not helped, or cannot. */
  needsReset(queue: QueuePair, tag: number): void;
}

export interface QueueSetup {
  /** Queue id, from 1. */
  readonly id: number;
  /** No interrupt: completions are taken when somebody polls. */
  readonly isPolled: boolean;
  /** Entries of the rings. */
  readonly depth: number;
  readonly submissions: SharedMemory;
  readonly completions: SharedMemory;
  /** The PRP pool: `listBytes` for each tag. */
  readonly lists: SharedMemory;
  /** A power of two, at most a page, so that no list crosses one. */
  readonly listBytes: number;
  /** Bytes of a segment, on average, from which on an SGL is used; Infinity: the controller takes none. */
  readonly sglThreshold: number;
  /** Offsets of the doorbells. */
  readonly tailDoorbell: number;
  readonly headDoorbell: number;
  readonly retriesMax: number;
  readonly timeoutNs: number;
  /** nvme:setup and nvme:complete. */
  readonly traceSetup: Tracepoint;
  readonly traceComplete: Tracepoint;
}
