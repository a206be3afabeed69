/**
 * Between the sockets and the machine: requests come from events of the host at any time, and go into the machine between two
 * slices; while nothing is in flight, neither the machine nor the host does anything.
 */
import { FaultPlan } from '@pincushion/sim';
import type { ServedReply, ServedRequest } from './request';
import type { ServedMachine } from './served-machine';

interface Waiting {
  readonly request: ServedRequest;
  readonly answer: (reply: ServedReply) => void;
}

export class RequestPump {
  /** Requests answered so far. */
  answered = 0;
  private waiting: Waiting[] = [];
  private readonly answers = new Map<number, Waiting['answer']>();
  private wakeUp: (() => void) | null = null;
  private stopping = false;

  constructor(private readonly served: ServedMachine) {}

  /** From events of the host. `answer` is called once, from one as well. Throws `UsageError` FAULT_PLAN_INVALID. */
  submit(request: ServedRequest, answer: (reply: ServedReply) => void): void {
    if (request.kind === 'plan' && request.plan !== null) FaultPlan.parse(request.plan);
    this.waiting.push({ request, answer });
    this.wake();
  }

  /** Ends `run` after the slice that runs. */
  stop(): void {
    this.stopping = true;
    this.wake();
  }

  /** Serves until it is stopped. */
  async run(): Promise<void> {
    const { served } = this;
    while (!this.isStopping()) {
      this.injectAll();
      for (const { id, reply } of served.advance()) this.answer(id, reply);
      if (served.inFlight > 0 || this.waiting.length > 0) await nextTurn();
      else await this.sleep();
    }
  }

  private isStopping(): boolean {
    return this.stopping;
  }

  private injectAll(): void {
    const { waiting } = this;
    this.waiting = [];
    for (const { request, answer } of waiting) this.answers.set(this.served.inject(request), answer);
  }

  private answer(id: number, reply: ServedReply): void {
    this.answered++;
    const answer = this.answers.get(id);
    this.answers.delete(id);
    answer?.(reply);
  }

  private sleep(): Promise<void> {
    return new Promise((go) => {
      this.wakeUp = go;
      if (this.stopping || this.waiting.length > 0) this.wake();
    });
  }

  private wake(): void {
    this.wakeUp?.();
    this.wakeUp = null;
  }
}

/** Lets the host deliver what came for its sockets. */
function nextTurn(): Promise<void> {
  return new Promise((go) => setImmediate(go));
}
