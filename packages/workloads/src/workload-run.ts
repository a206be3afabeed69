/**
 * A run: one workload on one booted machine, pumped in slices from outside.
 *
 *     const run = new WorkloadRun(machine, workload, options);   // throws UsageError when the two do not fit
 *     run.start();
 *     while (run.step(20000)) showProgress(run.progress());
 *     const report = run.finish();
 *
 * A thread of the world conducts: it starts the issuers (one for each CPU of a trace, one for each fio job) and waits for
 * them, then reads back everything that was written. `finish` ends the processes, shuts the machine down and looks for
 * what was left behind, so that leaks are in the report; a machine runs one workload.
 */
import type { Machine } from '@pincushion/machine';
import { PincushionError } from '@pincushion/sim';
import type { Task, Thread, World } from '@pincushion/sim';
import type { ContentModel } from './content-model';
import { IoKind } from './io-kind';
import { IoProblemFindings } from './io-problems';
import { IoStatistics } from './io-statistics';
import { REPORT_SCHEMA_VERSION, findingReport, jobReport, perSecond } from './report';
import type { RunReport } from './report';
import { conduct } from './run-conduct';
import type { RunFiles, Through } from './run-files';
import { RunIssuers } from './run-issuers';
import { RunPlace, closeTargets } from './run-place';
import type { Workload } from './workload';

/** Events that may pass while an interrupted run waits for the I/Os in flight. */
const DRAIN_EVENTS_MAX = 5_000_000;
/**
 * Virtual time after which I/Os are given up when none of any disk has ended meanwhile: somebody tries again and again what
 * fails for ever, as drivers do when the mapping of a request finds no memory. Linux' hung_task_timeout_secs.
 */
const HUNG_NS = 120e9;

export interface WorkloadRunOptions {
  /** Name of the disk (`nvme0n1`) or of its device (`nvme0`); the machine's first disk unless given. */
  readonly disk?: string;
  /** What the I/Os go through: the raw disk unless given, or a file on a new file system. */
  readonly through?: Through;
  /** Write content that tells where it belongs, check every read, read everything back. Default true. */
  readonly verify?: boolean;
  /** What sectors hold that the run has not written: `any` for a disk backed by an image. Default `zeros`. */
  readonly unwritten?: 'zeros' | 'any';
  /** Replay a trace as fast as the device answers instead of at its recorded times. */
  readonly closedLoop?: boolean;
  /** I/Os in flight in the closed loop; default 32. */
  readonly ioDepth?: number;
  /** Wall clock in milliseconds. */
  readonly clock?: () => number;
  /** Leave the machine running after `finish`; leaks are then not looked for. */
  readonly keepMachine?: boolean;
}

export interface RunProgress {
  /** I/Os that have ended. */
  readonly done: number;
  /** I/Os in all as far as known, never less than `done`; 0 when nobody can tell. */
  readonly total: number;
  readonly nowNs: number;
  readonly phase: 'waiting' | 'running' | 'reading back' | 'over';
}

export class WorkloadRun {
  private readonly world: World;
  private readonly place: RunPlace;
  private readonly issuers: RunIssuers;
  private readonly problems: IoProblemFindings;
  private readonly notes: string[];
  private readonly clock: () => number;
  private conductor: Thread | null = null;
  private phase: RunProgress['phase'] = 'waiting';
  private interrupted = false;
  private startedNs = 0;
  private workedNs = 0;
  private readBackNs = 0;
  private startedMs = 0;
  private eventsAtStart = 0;
  /** I/Os that had ended, and when that was first seen. */
  private lastDone = 0;
  private lastDoneNs = 0;
  private interruptsAtStart = 0;
  /** Most at once while the workload ran; reading back has more in flight than some workloads. */
  private pinnedMost = 0;
  private mappedMost = 0;
  private report: RunReport | null = null;

  /** Throws `UsageError` when the workload does not fit the machine: TRACE_INVALID, JOB_INVALID, DEVICE_UNKNOWN. */
  constructor(
    private readonly machine: Machine,
    private readonly workload: Workload,
    private readonly options: WorkloadRunOptions = {},
  ) {
    this.world = machine.world;
    this.problems = new IoProblemFindings(this.world);
    this.clock = options.clock ?? (() => performance.now());
    this.place = new RunPlace(machine, workload, options.disk, options.through ?? 'raw');
    this.notes = [...this.place.notes];
    this.issuers = new RunIssuers(machine, this.problems, {
      verify: options.verify ?? true,
      unwritten: this.place.files === null ? (options.unwritten ?? 'zeros') : 'new',
    });
  }

  /** Makes the file system that the run goes through, if any; the run does it where nobody has. Task context. */
  *mount(): Task {
    if (this.place.files !== null) yield* this.place.files.mount();
  }

  /** Starts the run; it proceeds with `step`. Returns the thread that conducts it. */
  start(): Thread {
    if (this.conductor !== null) return this.conductor;
    this.begin();
    this.phase = 'running';
    this.conductor = this.world.spawn(this.conduct(), { name: 'workload' });
    // `step` throws what the conductor failed with.
    this.conductor.observed = true;
    return this.conductor;
  }

  /** Figures count from here. */
  private begin(): void {
    this.startedMs = this.clock();
    this.startedNs = this.world.now;
    this.eventsAtStart = this.world.eventsRun;
    this.interruptsAtStart = this.machine.interrupts;
  }

  /** Runs at most so many events; false when the run is over. Throws what a workload module threw. */
  step(eventsMax: number): boolean {
    const conductor = this.conductor ?? this.start();
    if (conductor.ended) return this.over();
    const outcome = this.world.run({ events: eventsMax });
    if (hasEnded(conductor)) return this.over();
    if (outcome !== 'idle' && !this.isHung()) return true;
    this.issuers.reportLost();
    this.phase = 'over';
    return false;
  }

  /** Whether I/Os are in flight of which none ends. */
  private isHung(): boolean {
    const { machine, world } = this;
    const done = this.issuers.ended + this.issuers.readBack.total;
    const isBusy = machine.diskNames.some((name) => machine.disk(name).inFlight > 0);
    if (!isBusy || done !== this.lastDone) {
      this.lastDone = done;
      this.lastDoneNs = world.now;
    }
    return world.now - this.lastDoneNs > HUNG_NS;
  }

  progress(): RunProgress {
    const done = this.issuers.ended;
    const total = this.issuers.expected === 0 ? 0 : Math.max(this.issuers.expected, done);
    return { done, total, nowNs: this.world.now, phase: this.phase };
  }

  /** Runs to the end what is left, shuts the machine down and reports. Calling it again gives the same report. */
  finish(): RunReport {
    while (this.phase !== 'over') this.step(1_000_000);
    return (this.report ??= this.close());
  }

  /** Issues no more, lets what is in flight end, and reports what was done so far. Nothing is read back. */
  interrupt(): RunReport {
    if (this.report !== null) return this.report;
    this.interrupted = this.phase !== 'over';
    this.issuers.stop();
    for (let events = 0; this.phase !== 'over' && events < DRAIN_EVENTS_MAX; events += 100_000) {
      // A file system is brought to an end in its own time.
      if (this.place.files === null && this.issuers.areIdle) break;
      this.step(100_000);
    }
    this.phase = 'over';
    return (this.report = this.close());
  }

  private over(): false {
    this.phase = 'over';
    if (this.conductor?.state === 'failed') throw this.conductor.error;
    return false;
  }

  private *conduct(): Task {
    const { files } = this.place;
    if (files !== null) {
      yield* files.mount();
      this.begin();
    }
    if (!this.interrupted) yield* this.work();
    this.worked();
    if (!this.interrupted) {
      this.phase = 'reading back';
      yield* this.settleFiles();
      for (const [name, model] of this.issuers.models) {
        if (!this.wasInterrupted()) yield* this.readEverything(name, model);
      }
    }
    // Read pages are given back by a work item where they have to be dirtied (bio_check_pages_dirty).
    yield* this.world.work.flush();
    this.phase = 'over';
    this.world.stop();
  }

  private *work(): Task {
    const { machine, place, issuers, problems, notes, options } = this;
    const traceDepth = options.closedLoop === true ? (options.ioDepth ?? 32) : 0;
    const isInterrupted = (): boolean => this.interrupted;
    yield* conduct({ machine, place, issuers, problems, traceDepth, notes, isInterrupted }, this.workload);
  }

  /** Asked anew after a task has run. */
  private wasInterrupted(): boolean {
    return this.interrupted;
  }

  /** What was written through a file system is on the disk from here on, and not in memory. */
  private *settleFiles(): Task {
    const { files } = this.place;
    if (files === null) return;
    const result = yield* files.settle();
    if (result < 0) this.problems.failed(this.place.diskName, IoKind.flush, 0, 0, result);
  }

  private *readEverything(name: string, model: ContentModel): Task {
    const from = this.world.now;
    const process = this.machine.process('read-back', { cpu: 0 });
    const target = yield* this.place.readBackTarget(process, name);
    if (typeof target === 'number') {
      this.problems.notOpened(this.place.diskName, name, target);
    } else {
      yield* this.issuers.addReadBack(model, target).run();
      yield* closeTargets([target]);
    }
    yield* process.exit();
    this.readBackNs += this.world.now - from;
  }

  /** The workload itself is over. */
  private worked(): void {
    const { counters } = this.machine.memory.ledger;
    this.workedNs = this.world.now - this.startedNs;
    this.pinnedMost = counters.pinnedMost;
    this.mappedMost = counters.mappedPagesMost;
  }

  /** The end: shut down, look for what was left behind, and put the report together. */
  private close(): RunReport {
    const { workload, world, issuers } = this;
    if (this.workedNs === 0) this.worked();
    const elapsedMs = this.clock() - this.startedMs;
    const events = this.world.eventsRun - this.eventsAtStart;
    const interrupts = this.machine.interrupts - this.interruptsAtStart;
    for (const model of issuers.models.values()) model.reportSuppressed();
    this.problems.reportSuppressed();
    // A module that was cut off still holds what it would have given back: no leak of anybody.
    const cutOff = this.interrupted && this.workload.kind === 'module';
    if (this.options.keepMachine !== true && !cutOff) this.shutDown();
    const { counters, mode } = this.machine.memory.ledger;
    let sectorsChecked = 0;
    for (const model of issuers.models.values()) sectorsChecked += model.sectorsChecked;
    const all = new IoStatistics();
    for (const job of issuers.jobs) all.add(job.statistics);
    return {
      schemaVersion: REPORT_SCHEMA_VERSION,
      seed: world.seed,
      workloads: [
        {
          name: workload.source,
          kind: workload.kind,
          disk: this.place.diskName,
          mode: this.mode(),
          through: this.place.way,
          virtualNs: this.workedNs,
          interrupted: this.interrupted,
          jobs: issuers.jobs.map((job) => jobReport(job.name, job.statistics)),
          verified: {
            on: issuers.models.size > 0,
            sectorsChecked,
            readBackBytes: sum(issuers.readBack.bytes),
            readBackNs: this.readBackNs,
          },
          notes: [...this.notes],
        },
      ],
      totals: { ios: all.total, bytes: sum(all.bytes), failed: sum(all.failed), virtualNs: this.workedNs, events },
      interrupts,
      ledger: mode,
      pins: { acquired: counters.pinsAcquired, released: counters.pinsReleased, most: this.pinnedMost },
      mappings: { made: counters.mapsMade, undone: counters.mapsUndone, mostPages: this.mappedMost },
      findings: world.findings.all.map(findingReport),
      wall: {
        elapsedMs: Math.round(elapsedMs * 1000) / 1000,
        iosPerSecond: perSecond(all.total, elapsedMs),
        eventsPerSecond: perSecond(events, elapsedMs),
      },
    };
  }

  private shutDown(): void {
    if (this.place.files !== null) this.endFiles(this.place.files);
    this.completed(this.machine.shutdown(), 'the machine could not be shut down');
    this.world.run({ untilNs: this.world.now });
    this.world.checkAtEnd();
  }

  /** Unmounts, and looks at what is on the disk, which does nothing wrong any more. */
  private endFiles(files: RunFiles): void {
    const { problems, place, world } = this;
    const result = this.completed(files.unmount(), 'the file system could not be unmounted');
    if (result === undefined) return;
    if (result < 0) problems.notUnmounted(place.diskName, result);
    world.faults.disarm();
    try {
      problems.inconsistent(place.diskName, world.complete(files.check(), 'fsck', world.now + HUNG_NS));
    } catch (error) {
      if (!(error instanceof PincushionError)) throw error;
      problems.notChecked(place.diskName, error);
    }
  }

  /** What came of a task at the end of the run; undefined when it could not end, which is a finding. */
  private completed<T>(task: Task<T>, complaint: string): T | undefined {
    try {
      return this.world.complete(task, 'shutdown', this.world.now + HUNG_NS);
    } catch (error) {
      this.world.findings.report({
        code: 'TASK_STUCK',
        summary: `${complaint}: ${error instanceof Error ? error.message : String(error)}`,
        sites: [],
        details: [],
      });
      return undefined;
    }
  }

  private mode(): string {
    if (this.workload.kind === 'fio') return 'as the job file says';
    if (this.workload.kind === 'module') return 'as the program says';
    if (this.options.closedLoop !== true) return 'recorded times';
    return `closed loop, ${this.options.ioDepth ?? 32} in flight`;
  }
}

/** Asked anew after the world has run. */
function hasEnded(thread: Thread): boolean {
  return thread.ended;
}

function sum(values: Float64Array): number {
  let total = 0;
  for (const value of values) total += value;
  return total;
}
