/**
 * A world: one virtual clock and everything that shares it.
 *
 * All machines of a run live in one world. It is synchronous: whoever owns it pumps it by `run` or `complete`, in slices
 * as long as it likes, and nothing happens between two slices. Time is a whole number of virtual nanoseconds and moves
 * only from event to event. What is runnable goes first, then the next event.
 */
import { ChoiceSource } from './choices';
import type { ForcedChoice } from './choices';
import { Context, ContextStack } from './context';
import { PincushionError } from './errors';
import { DeferredRing } from './deferred';
import { EventQueue } from './event-queue';
import { FaultSites } from './fault-sites';
import { Findings } from './findings';
import { LockOrder } from './lock-order';
import { Port } from './port';
import type { RecordedInput } from './port';
import { Scheduler } from './scheduler';
import type { ScheduleOrder, Thread, ThreadOptions } from './scheduler';
import { sleeping } from './task';
import type { Blocker, MaySleep, Task, UnstartedTask } from './task';
import { Tracepoints } from './tracepoints';
import { WorkQueue } from './work-queue';

export interface WorldOptions {
  /** Seed of all choices, from 0 to 2^53 - 1; 1 unless given. */
  seed?: number;
  /** Decisions that do not follow the seed. */
  forced?: readonly ForcedChoice[];
  /** Order of runnable threads: as they became runnable (the default), or drawn from the stream `sched.next`. */
  schedule?: ScheduleOrder;
  /**
   * Whether tasks remember where they were made: some microseconds for each, for better findings. Unless given they do until
   * there is a machine, and then when a machine has the full ledger.
   */
  callSites?: boolean;
}

export interface RunLimit {
  /** Runs what is due up to this time, which becomes the present time. */
  untilNs?: number;
  /** Number of events and thread steps to run at most. */
  events?: number;
  /** Asked before each event and thread step; true stops. */
  until?: () => boolean;
}

/** `idle`: nothing is left to happen; `limit`: time or events used up; `stopped`: by `until` or `stop()`. */
export type RunResult = 'idle' | 'limit' | 'stopped';

type EventHandler = (arg: number) => undefined;

/** An imported binding is a getter once compiled; the loop reads a constant of the module. */
const TASK = Context.task;

export class World {
  /** Present virtual time in nanoseconds. Read only outside of this package. */
  now = 0;
  readonly seed: number;
  /** Whether tasks remember where they were made. */
  callSites: boolean;
  readonly choices: ChoiceSource;
  readonly contexts = new ContextStack();
  readonly trace = new Tracepoints(this);
  readonly findings = new Findings(this);
  readonly faults = new FaultSites();
  /** Kept with the full ledger; off otherwise. */
  readonly lockOrder = new LockOrder(this.contexts, this.findings, this);
  /** Tasks of services that were called and are not yet consumed. */
  readonly unstarted = new Set<UnstartedTask>();
  readonly work: WorkQueue;

  private readonly queue = new EventQueue();
  private readonly deferred = new DeferredRing();
  private readonly scheduler: Scheduler;
  private readonly handlerRuns: EventHandler[] = [];
  private readonly handlerContexts: Context[] = [];
  /** Closures of `after`, by the argument of their event; freed places are reused. */
  private readonly closures: (() => undefined)[] = [];
  private readonly closuresFree: number[] = [];
  /** Handler of `after` per context. */
  private readonly afterHandlers: readonly number[];
  private readonly wakeHandler: number;
  private readonly checks: (() => undefined)[] = [];
  private readonly ports = new Map<string, (message: unknown) => undefined>();
  private readonly recorded: RecordedInput[] = [];
  /** Who decides about call sites: nobody yet, the options, or the machines. */
  private callSitesBy: 'nobody' | 'options' | 'machines';
  private running = false;
  private stopping = false;
  private events = 0;

  constructor(options: WorldOptions = {}) {
    this.seed = options.seed ?? 1;
    this.callSites = options.callSites ?? true;
    this.callSitesBy = options.callSites === undefined ? 'nobody' : 'options';
    this.choices = new ChoiceSource(this.seed, options.forced);
    this.scheduler = new Scheduler(this.contexts, this.choices, options.schedule ?? 'fifo');
    const runClosure: EventHandler = (arg) => {
      const run = this.closures[arg];
      this.freeClosure(arg);
      run();
      return undefined;
    };
    this.afterHandlers = Object.entries(Context).map(([name, context]) =>
      this.handler(`after/${name}`, context, runClosure),
    );
    this.wakeHandler = this.handler('wake', Context.hardirq, (id) => {
      const thread = this.scheduler.alive.get(id);
      if (thread !== undefined) this.wake(thread);
      return undefined;
    });
    this.work = new WorkQueue(this, 'events');
  }

  /** A machine is made; `full`: its ledger wants to say where everything was called. Any context. */
  machineJoins(full: boolean): void {
    if (this.callSitesBy === 'options') return;
    this.callSites = full || (this.callSitesBy === 'machines' && this.callSites);
    this.callSitesBy = 'machines';
  }

  // --- events -------------------------------------------------------------------------------------------------------

  /** Registers what events run, at set-up time; the result is the id for `schedule`. `context` is what it runs in. */
  handler(name: string, context: Context, run: EventHandler): number {
    if (typeof run !== 'function') throw new PincushionError('SCHEDULE_INVALID', `handler '${name}' is no function`);
    this.handlerContexts.push(context);
    return this.handlerRuns.push(run) - 1;
  }

  /** Runs a handler `delayNs` from now (a whole number from 0 up). The result is the id for `cancel`. Any context. */
  schedule(delayNs: number, handler: number, arg: number): number {
    if (!(delayNs >= 0) || !(handler < this.handlerRuns.length)) this.refuseSchedule(delayNs, handler);
    return this.queue.push(this.now + delayNs, handler, arg);
  }

  /** Takes an event back; false when it is not pending any more. Any context. */
  cancel(eventId: number): boolean {
    const handler = this.queue.handlerOf(eventId);
    if (handler < 0) return false;
    if (handler <= this.afterHandlers[this.afterHandlers.length - 1]) this.freeClosure(this.queue.argOf(eventId));
    return this.queue.cancel(eventId);
  }

  /** Like `schedule` with a closure, for what is not hot. Any context. */
  after(delayNs: number, context: Context, run: () => undefined): number {
    if (!(delayNs >= 0)) this.refuseSchedule(delayNs, this.afterHandlers[context]);
    const place = this.closuresFree.pop() ?? this.closures.length;
    this.closures[place] = run;
    return this.schedule(delayNs, this.afterHandlers[context], place);
  }

  /**
   * Runs a handler as soon as what runs now has ended: at the same time, before any thread or event, in the order of the
   * calls. For what an interrupt leaves to a softirq or to the program it completes for. Any context.
   */
  defer(handler: number, arg: number): void {
    if (!(handler >= 0 && handler < this.handlerRuns.length)) this.refuseSchedule(0, handler);
    this.deferred.add(handler, arg);
  }

  /** From now on events of this handler do nothing, also those that are pending: its device is gone. Any context. */
  retireHandler(handler: number): void {
    this.handlerRuns[handler] = () => undefined;
  }

  // --- threads ------------------------------------------------------------------------------------------------------

  /** The thread whose code runs or was interrupted; null in events and outside of the machine. */
  get current(): Thread | null {
    return this.contexts.thread as Thread | null;
  }

  /** Starts a thread that runs a task; it begins when the world next looks for something runnable. Any context. */
  spawn<T>(task: Task<T>, options: ThreadOptions): Thread<T> {
    return this.scheduler.spawn(task, options);
  }

  /** Makes a blocked thread runnable; for blockers. Any context. */
  wake(thread: Thread): void {
    this.scheduler.wake(thread);
  }

  /** Sleeps for `ns` of virtual time. Task context. */
  sleep(ns: number): Task {
    return sleeping(this, 'sleep', () => this.sleepSteps(ns));
  }

  /**
   * Runs one task to its end, pumping the world, and gives its result or throws its error. From outside of the machine
   * only. Throws TASK_STUCK, naming every waiter, when nothing is left to happen before the task has ended, or it has not
   * ended at the time `untilNs`.
   */
  complete<T>(task: Task<T>, name = 'main', untilNs = Infinity): T {
    if (this.running) throw busy(`complete of '${name}'`, '`yield*` inside of the machine');
    const thread = this.scheduler.spawn(task, { name });
    thread.observed = true;
    this.begin();
    try {
      this.pump(untilNs, Infinity, null, thread);
    } finally {
      this.end();
    }
    if (thread.state === 'failed') throw thread.error;
    if (thread.state !== 'done') throw this.stuck(thread);
    return thread.result as T;
  }

  /** The result of a may-sleep call, from outside of the machine only: plain at once, or of its task run to its end. */
  settle<T extends number>(result: MaySleep<T>, name?: string): T {
    return typeof result === 'number' ? result : this.complete(result, name);
  }

  /** All threads that wait, and for what, in order of their creation. */
  waiters(): readonly { thread: Thread; waitingFor: string }[] {
    return [...this.scheduler.alive.values()]
      .filter((thread) => thread.state === 'blocked')
      .map((thread) => ({ thread, waitingFor: thread.waitingFor }));
  }

  // --- running ------------------------------------------------------------------------------------------------------

  /** Pumps events and threads until nothing is left to happen or the limit is met. From outside of the machine only. */
  run(limit: RunLimit = {}): RunResult {
    if (this.running) throw busy('run', 'letting the world that runs already go on');
    this.begin();
    try {
      return this.pump(limit.untilNs ?? Infinity, limit.events ?? Infinity, limit.until ?? null, null);
    } finally {
      this.end();
    }
  }

  /** Lets the present `run` stop after the event or thread step that runs. */
  stop(): void {
    this.stopping = true;
  }

  /** Events that ran so far. */
  get eventsRun(): number {
    return this.events;
  }

  get eventsPending(): number {
    return this.queue.size;
  }

  // --- preemption ---------------------------------------------------------------------------------------------------

  /** At a preemption point: runs plain code in a context of its own, inside what is interrupted. */
  nest(context: Context, cpu: number, run: () => undefined): void {
    const interrupted = this.contexts.thread;
    this.contexts.enter(context, cpu);
    if (context === Context.task) this.contexts.thread = null;
    try {
      run();
    } finally {
      this.contexts.leave();
      this.contexts.thread = interrupted;
    }
  }

  /** At a preemption point: runs the next event right there if it is due by `limitNs`; its time becomes the present. */
  nestEvent(limitNs = Infinity): boolean {
    if (!this.queue.popUntil(limitNs)) return false;
    this.now = Math.max(this.now, this.queue.now);
    this.events++;
    const { handlerId, arg } = this.queue;
    this.contexts.enter(this.handlerContexts[handlerId], this.contexts.cpu);
    try {
      this.handlerRuns[handlerId](arg);
    } finally {
      this.contexts.leave();
    }
    return true;
  }

  /** At a preemption point: another CPU runs a runnable thread up to where it blocks or ends; false if it is not. */
  nestThread(thread: Thread): boolean {
    if (!this.scheduler.take(thread)) return false;
    this.scheduler.runThread(thread);
    return true;
  }

  // --- input from outside -------------------------------------------------------------------------------------------

  /**
   * Who keeps what comes in from outside, in place of `inputs`: for runs in which it is too much for memory. Called at the
   * injection.
   */
  inputListener: ((input: RecordedInput) => undefined) | null = null;

  /** Opens a port; messages injected into it are recorded and delivered as events in device context. */
  port<T>(name: string, deliver: (message: T) => undefined): Port<T> {
    if (this.ports.has(name)) throw new PincushionError('PORT_INVALID', `port '${name}' exists already`);
    const accept = (message: unknown): undefined => {
      const input: RecordedInput = { atNs: this.now, port: name, message };
      if (this.inputListener === null) this.recorded.push(input);
      else this.inputListener(input);
      this.after(0, Context.device, () => {
        deliver(message as T);
        return undefined;
      });
      return undefined;
    };
    this.ports.set(name, accept);
    return new Port<T>(name, (message) => {
      if (this.running) {
        throw new PincushionError('PORT_INVALID', `a message for port '${name}' comes from inside of the machine`, {
          expected: 'an injection between two slices of a run',
        });
      }
      accept(message);
    });
  }

  /** What came in from outside so far. */
  get inputs(): readonly RecordedInput[] {
    return this.recorded;
  }

  /** Lets what came into another run come in again, at the same times. Call it when the ports are open. */
  replayInputs(inputs: readonly RecordedInput[]): void {
    for (const { atNs, port, message } of inputs) {
      const accept = this.ports.get(port);
      if (accept === undefined) {
        throw new PincushionError('PORT_INVALID', `a recorded message is for port '${port}'`, {
          expected: `a port of ${[...this.ports.keys()].join(', ')}`,
        });
      }
      this.after(atNs - this.now, Context.device, () => {
        accept(message);
        return undefined;
      });
    }
  }

  // --- the end ------------------------------------------------------------------------------------------------------

  /** Registers a check for the end of a run (pins, mappings); the result takes it back. */
  atEnd(check: () => undefined): () => undefined {
    this.checks.push(check);
    return () => {
      const at = this.checks.indexOf(check);
      if (at >= 0) this.checks.splice(at, 1);
      return undefined;
    };
  }

  /**
   * The end of a run: reports as findings the tasks that were never started, the threads that failed unseen and, when
   * nothing is left to happen, those that wait for ever; then runs the checks that were registered. What was reported
   * once is not reported again by this function.
   */
  checkAtEnd(): void {
    for (const task of this.unstarted) {
      this.findings.report({
        code: 'TASK_NEVER_STARTED',
        summary: `the task of ${task.what} was never started: it needs 'yield*', or 'spawn'`,
        sites: [{ what: `${task.what} called`, site: task.site(), atNs: task.calledAtNs }],
        details: [],
      });
    }
    this.unstarted.clear();
    for (const thread of this.scheduler.failed.splice(0)) {
      if (!thread.observed) this.reportFailure(thread);
    }
    if (this.queue.size === 0 && this.deferred.empty && this.scheduler.runnable === 0) this.reportStuck();
    for (const check of [...this.checks]) check();
  }

  // --- private ------------------------------------------------------------------------------------------------------

  private pump(untilNs: number, eventsMax: number, until: (() => boolean) | null, awaited: Thread | null): RunResult {
    const { queue, deferred, contexts, scheduler, handlerRuns, handlerContexts } = this;
    // Counted up from 0, not down from the limit: the limit may be Infinity, and V8 would box that at each event.
    let used = 0;
    for (;;) {
      if (this.stopping || (awaited !== null && awaited.ended) || (until !== null && until())) return 'stopped';
      let handler: number;
      let arg: number;
      if (!deferred.empty) {
        if (used >= eventsMax) return 'limit';
        deferred.take();
        handler = deferred.handler;
        arg = deferred.arg;
      } else if (scheduler.runnable > 0) {
        if (used++ >= eventsMax) return 'limit';
        scheduler.step();
        continue;
      } else {
        if (used >= eventsMax) return queue.size === 0 ? 'idle' : 'limit';
        if (!queue.popUntil(untilNs)) {
          if (untilNs !== Infinity && untilNs > this.now) this.now = untilNs;
          return queue.size === 0 ? 'idle' : 'limit';
        }
        this.now = queue.now;
        handler = queue.handlerId;
        arg = queue.arg;
      }
      used++;
      this.events++;
      // Written out instead of enter and leave: one event, one context, and `end` repairs it after an exception.
      contexts.current = handlerContexts[handler];
      contexts.depth = 1;
      handlerRuns[handler](arg);
      contexts.current = TASK;
      contexts.depth = 0;
    }
  }

  private begin(): void {
    this.running = true;
    this.stopping = false;
    this.contexts.reset();
  }

  private end(): void {
    this.running = false;
    this.contexts.reset();
  }

  private *sleepSteps(ns: number): Generator<Blocker, void, undefined> {
    const untilNs = this.now + ns;
    yield {
      waitingFor: `${untilNs} ns on the clock`,
      block: (thread) => {
        this.schedule(ns, this.wakeHandler, thread.id);
        return true;
      },
    };
  }

  private freeClosure(place: number): void {
    this.closures[place] = nothing;
    this.closuresFree.push(place);
  }

  private stuck(thread: Thread): PincushionError {
    const waiting = this.waiters().map((w) => `thread '${w.thread.name}' waits for ${w.waitingFor}`);
    const failures = this.scheduler.failed
      .filter((failed) => !failed.observed)
      .map((failed) => `thread '${failed.name}' failed: ${wordError(failed.error)}`);
    return new PincushionError(
      'TASK_STUCK',
      this.queue.size === 0
        ? `task '${thread.name}' cannot go on at ${this.now} ns, nothing is left to happen`
        : `task '${thread.name}' has not ended at ${this.now} ns`,
      { actual: [...waiting, ...failures].join('; ') || 'a stopped world' },
    );
  }

  private reportStuck(): void {
    for (const thread of this.scheduler.alive.values()) {
      if (thread.state !== 'blocked' || thread.daemon || thread.observedStuck) continue;
      thread.observedStuck = true;
      this.findings.report({
        code: 'TASK_STUCK',
        summary: `thread '${thread.name}' waits for ever for ${thread.waitingFor}`,
        sites: [],
        details: [],
      });
    }
  }

  private reportFailure(thread: Thread): void {
    const error = thread.error;
    this.findings.report({
      code: 'TASK_FAILED',
      summary: `thread '${thread.name}' failed: ${wordError(error)}`,
      sites: [],
      details: error instanceof Error && error.stack !== undefined ? error.stack.split('\n').slice(1) : [],
    });
  }

  private refuseSchedule(delayNs: number, handler: number): never {
    throw new PincushionError('SCHEDULE_INVALID', `handler ${handler} cannot be scheduled in ${delayNs} ns`, {
      expected: 'a whole number of nanoseconds from 0 up, and a handler that was registered',
    });
  }
}

function nothing(): undefined {
  return undefined;
}

function wordError(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function busy(what: string, hint: string): PincushionError {
  return new PincushionError('WORLD_BUSY', `${what} is called from inside of the world`, { hint });
}
