/**
 * Doorbells: pairs, one for each queue id: submission tail, completion head.
 *
 *   tail       the entries up to there are fetched          head   completions that wait for room go out
 *   with shadow doorbells the tail is what stands in host memory, until that moves no more
 *
 * A value beyond the queue, or the doorbell of no queue, is not fatal: it is noted in the error log, and told by an asynchronous event.
 * One that is not aligned, or written while the controller is not ready, is dropped.
 * Source: NVM Express Base Specification 1.4, sections 3.1.24, 3.1.25 and 5.2.
 */
import { AsyncErrorInfo, AsyncEventType, LogPage } from '../../spec/opcodes';
import type { AsyncEvents } from '../commands/async-events';
import type { ErrorLog } from '../commands/error-log';
import type { CompletionQueue, SubmissionQueue } from './queues';
import type { RegisterFile } from '../register-file';
import type { ShadowDoorbells } from './shadow-doorbells';

/** What a doorbell sets going. */
export interface DoorbellPort {
  readonly submissionQueues: readonly (SubmissionQueue | null)[];
  readonly completionQueues: readonly (CompletionQueue | null)[];
  fetch(queue: SubmissionQueue): void;
  /** The host has moved the head of a queue in which completions wait. */
  scheduleDrain(queueId: number): void;
}

export class Doorbells {
  constructor(
    private readonly port: DoorbellPort,
    private readonly registers: RegisterFile,
    private readonly shadows: ShadowDoorbells,
    private readonly errors: ErrorLog,
    private readonly events: AsyncEvents,
  ) {}

  /** @param at bytes behind the first doorbell */
  ring(at: number, value: number): void {
    if ((at & 3) !== 0 || !this.registers.ready) return;
    if ((at & 4) === 0) this.ringTail(at >>> 3, value);
    else this.ringHead(at >>> 3, value);
  }

  private ringTail(id: number, value: number): void {
    const { submissionQueues } = this.port;
    const queue = id < submissionQueues.length ? submissionQueues[id] : null;
    if (queue === null || value >= queue.size) {
      this.refuse(queue !== null);
    } else {
      queue.tail = value;
      if (this.shadows.enabled) this.followShadow(queue);
      else this.port.fetch(queue);
    }
  }

  private ringHead(id: number, value: number): void {
    const { completionQueues } = this.port;
    const queue = id < completionQueues.length ? completionQueues[id] : null;
    if (queue === null || value >= queue.size) {
      this.refuse(queue !== null);
    } else {
      queue.head = value;
      if (this.shadows.enabled) this.shadows.headRung(queue);
      if (queue.waitingFirst >= 0) this.port.scheduleDrain(id);
    }
  }

  private refuse(registerExists: boolean): void {
    const info = registerExists ? AsyncErrorInfo.invalidDoorbellValue : AsyncErrorInfo.invalidDoorbellRegister;
    this.errors.controller();
    this.events.report(AsyncEventType.error, info, LogPage.errorInformation);
  }

  private followShadow(queue: SubmissionQueue): void {
    const { shadows, port } = this;
    let seen: number;
    do {
      const tail = shadows.tailOf(queue);
      if (tail >= 0 && tail < queue.size) queue.tail = tail;
      port.fetch(queue);
      shadows.tailSeen(queue);
      seen = shadows.tailOf(queue);
    } while (seen >= 0 && seen < queue.size && seen !== queue.tail && this.registers.ready);
  }
}
