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
import type { Machine, Process } from '@pincushion/machine';
import type { Disk } from '@pincushion/block';
import { UsageError } from '@pincushion/sim';
import type { Task, Thread, World } from '@pincushion/sim';
import { BlockObserver } from './block-observer';
import { UNKNOWN_NS } from './block-trace';
import { ContentModel } from './content-model';
import type { WatchedDisk } from './content-model';
import { FileIo } from './file-io';
import type { FioDisk, FioJob, FioJobFile } from './fio-job';
import { fitFioJob } from './fio-job';
import { FioSource } from './fio-source';
import { IoProblemFindings } from './io-problems';
import type { IoSource } from './io-source';
import { IoKind } from './io-kind';
import { IoStatistics } from './io-statistics';
import type { IoTarget } from './io-target';
import type { IssuerSurroundings } from './issuer';
import { Issuer } from './issuer';
import { JobRandom } from './offset-choice';
import { ReadBackSource } from './read-back-source';
import { REPORT_SCHEMA_VERSION, findingReport, jobReport, perSecond } from './report';
import type { RunReport } from './report';
import type { Through } from './run-files';
import { RunFiles } from './run-files';
import { TraceSource, rowsByCpu, rowsInOrder } from './trace-source';
import type { TraceWorkload, Workload } from './workload';
import type { ModuleWorkload, WorkloadContext } from './workload-module';

/** Events that may pass while an interrupted run waits for the I/Os in flight. */
const DRAIN_EVENTS_MAX = 5_000_000;
/**
 * Virtual time after which I/Os are given up when none of any disk has ended meanwhile: somebody tries again and again what
 * fails for ever, as drivers do when the mapping of a request finds no memory. Linux' hung_task_timeout_secs.
 */
const HUNG_NS = 120e9;
/** How much of the machine's memory buffers may take. */
const BUFFER_SHARE = 4;
const SECTOR = 512;

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

/** What is reported under one name: a trace, a fio job, a module. */
interface Job {
  readonly name: string;
  readonly statistics: IoStatistics;
}

export class WorkloadRun {
  private readonly world: World;
  private readonly jobs: Job[] = [];
  private readonly models = new Map<string, ContentModel>();
  private readonly issuers: Issuer[] = [];
  private readonly problems: IoProblemFindings;
  private readonly readBack = new IoStatistics();
  private readonly notes: string[] = [];
  private readonly disk: Disk | null;
  /** Null: raw. */
  private readonly files: RunFiles | null;
  private readonly fioJobs: readonly FioJob[];
  private readonly clock: () => number;
  private expected = 0;
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
    this.disk = chooseDisk(machine, options.disk, workload);
    this.files = chooseFiles(machine, options.through ?? 'raw', workload, this.disk);
    this.fioJobs = workload.kind === 'fio' && this.disk !== null ? this.fit(workload, this.disk) : [];
    if (workload.kind === 'trace' && this.disk !== null) {
      workload.trace.checkFits(this.disk.capacitySectors, this.disk.name);
      workload.trace.checkAligned(this.disk.limits.logicalBlockBytes, this.disk.name);
    }
    if (workload.kind === 'fio' && workload.warning !== null) this.notes.push(workload.warning);
  }

  /** Makes the file system that the run goes through, if any; the run does it where nobody has. Task context. */
  *mount(): Task {
    if (this.files !== null) yield* this.files.mount();
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
    for (const issuer of this.issuers) if (issuer.outstanding > 0) issuer.reportLost();
    this.phase = 'over';
    return false;
  }

  /** Whether I/Os are in flight of which none ends. */
  private isHung(): boolean {
    const { machine, world } = this;
    const done = this.ended() + this.readBack.total;
    const isBusy = machine.diskNames.some((name) => machine.disk(name).inFlight > 0);
    if (!isBusy || done !== this.lastDone) {
      this.lastDone = done;
      this.lastDoneNs = world.now;
    }
    return world.now - this.lastDoneNs > HUNG_NS;
  }

  /** I/Os of the workload that have ended. */
  private ended(): number {
    let done = 0;
    for (const job of this.jobs) done += job.statistics.total;
    return done;
  }

  progress(): RunProgress {
    const done = this.ended();
    const total = this.expected === 0 ? 0 : Math.max(this.expected, done);
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
    for (const issuer of this.issuers) issuer.stop();
    for (let events = 0; this.phase !== 'over' && events < DRAIN_EVENTS_MAX; events += 100_000) {
      // A file system is brought to an end in its own time.
      if (this.files === null && this.issuers.every((issuer) => issuer.outstanding === 0)) break;
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
    if (this.files !== null) {
      yield* this.files.mount();
      this.begin();
    }
    if (!this.interrupted) yield* this.work();
    this.worked();
    if (!this.interrupted) {
      this.phase = 'reading back';
      yield* this.settleFiles();
      for (const [diskName, model] of this.models) {
        if (!this.wasInterrupted()) yield* this.readEverything(diskName, model);
      }
    }
    // Read pages are given back by a work item where they have to be dirtied (bio_check_pages_dirty).
    yield* this.world.work.flush();
    this.phase = 'over';
    this.world.stop();
  }

  private *work(): Task {
    switch (this.workload.kind) {
      case 'trace':
        yield* this.runTrace(this.workload);
        break;
      case 'fio':
        yield* this.runFio(this.workload);
        break;
      case 'module':
        yield* this.runModule(this.workload);
        break;
    }
  }

  private *runTrace({ trace, source }: TraceWorkload): Task {
    if (this.disk === null) return;
    const { cpus } = this.machine.description;
    const depth = this.options.closedLoop === true ? (this.options.ioDepth ?? 32) : 0;
    const job = this.addJob(baseName(source));
    for (let row = 0; row < trace.count; row++) {
      if (trace.recordedNs[row] !== UNKNOWN_NS) job.statistics.recorded[trace.kind[row]].record(trace.recordedNs[row]);
    }
    const shares = depth > 0 ? [{ cpu: 0, rows: rowsInOrder(trace) }] : rowsByCpu(trace, cpus);
    const process = this.machine.process(job.name);
    const targets: IoTarget[] = [];
    for (let i = 0; i < shares.length; i++)
      targets.push(yield* this.traceTarget(process, job.name, trace.sectorsNeeded));
    const threads = shares.map(({ cpu, rows }, writer) => {
      const issuer = this.issuer(new TraceSource(trace, rows, cpus, depth), targets[writer], {
        job,
        name: shares.length === 1 ? job.name : `${job.name} cpu${cpu}`,
        writer,
        sharers: shares.length,
      });
      return this.world.spawn(issuer.run(), { name: `${job.name} cpu${cpu}`, cpu });
    });
    for (const thread of threads) yield* thread.join();
    yield* this.closeAll(targets);
    yield* process.exit();
  }

  /** Where the I/Os of a trace go. */
  private *traceTarget(process: Process, name: string, sectors: number): Task<IoTarget> {
    if (this.files === null) return process.directIo(this.diskName());
    const isDirect = this.options.through !== 'fs:buffered';
    return yield* this.files.open(process, this.files.pathOf(name), sectors * SECTOR, isDirect);
  }

  /** Where the I/Os of a job go: through a file system to the file that it names, or one of its own, as fio does it. */
  private *fioTarget(process: Process, job: FioJob): Task<IoTarget> {
    if (this.files === null) return process.directIo(job.disk);
    const path = this.files.pathOf(job.filename ?? `${job.name}.${job.index}.0`);
    return yield* this.files.open(process, path, job.offset + job.size, isDirectJob(job, this.options.through));
  }

  private *closeAll(targets: readonly IoTarget[]): Task {
    for (const target of targets) if (target instanceof FileIo) yield* target.close();
  }

  private *runFio(file: FioJobFile): Task {
    const { cpus } = this.machine.description;
    let running: Thread<void>[] = [];
    for (const fioJob of this.fioJobs) {
      if (fioJob.stonewall) {
        for (const thread of running) yield* thread.join();
        running = [];
        if (this.interrupted) return;
      }
      const job = this.addJob(fioJob.name);
      running.push(this.world.spawn(this.runFioJob(fioJob, job, file), { name: job.name, cpu: fioJob.index % cpus }));
    }
    for (const thread of running) yield* thread.join();
  }

  private *runFioJob(fioJob: FioJob, job: Job, file: FioJobFile): Task {
    const { cpus } = this.machine.description;
    const seed = fioJob.seed ?? this.world.choices.stream('workload.fio', fioJob.index).uint32();
    const cpu = fioJob.index % cpus;
    const process = this.machine.process(job.name, { cpu });
    const source = new FioSource(fioJob, new JobRandom(seed), cpu);
    const target = yield* this.fioTarget(process, fioJob);
    const issuer = this.issuer(source, target, {
      job,
      name: `${baseName(file.source)} ${job.name}`,
      writer: fioJob.index,
      sharers: this.fioJobs.length,
    });
    if (fioJob.startDelayNs > 0) yield* this.world.sleep(fioJob.startDelayNs);
    if (this.interrupted) issuer.stop();
    yield* issuer.run();
    yield* this.closeAll([target]);
    yield* process.exit();
  }

  private *runModule(workload: ModuleWorkload): Task {
    const job = this.addJob(baseName(workload.source));
    const observer = new BlockObserver(this.world, job.statistics);
    const threads: Thread<void>[] = [];
    const processes: { exit(): Task }[] = [];
    const { machine, world, notes } = this;
    const choices = world.choices.stream('workload.module');
    const context: WorkloadContext = {
      machine,
      seed: world.seed,
      disk: this.disk?.name ?? '',
      disks: machine.diskNames,
      get now() {
        return world.now;
      },
      process: (name, options) => {
        const process = machine.process(name, options);
        processes.push(process);
        return process;
      },
      spawn: (name, task) => {
        threads.push(world.spawn(task, { name }));
      },
      sleep: (ns) => world.sleep(ns),
      choose: (n) => choices.below(n),
      note: (line) => {
        notes.push(line);
      },
      expect: (condition, what) => {
        if (condition) return;
        world.findings.report({ code: 'IO_FAILED', summary: `${job.name}: expected ${what}`, sites: [], details: [] });
      },
    };
    try {
      yield* workload.main(context);
      for (const thread of threads) yield* thread.join();
      for (const process of processes) yield* process.exit();
    } finally {
      observer.close();
    }
  }

  /** Asked anew after a task has run. */
  private wasInterrupted(): boolean {
    return this.interrupted;
  }

  /** What was written through a file system is on the disk from here on, and not in memory. */
  private *settleFiles(): Task {
    if (this.files === null) return;
    const result = yield* this.files.settle();
    if (result < 0) this.problems.failed(this.diskName(), IoKind.flush, 0, 0, result);
  }

  private *readEverything(diskName: string, model: ContentModel): Task {
    const from = this.world.now;
    const process = this.machine.process('read-back', { cpu: 0 });
    const around = { world: this.world, statistics: this.readBack, model, problems: this.problems };
    const target = this.files === null ? process.directIo(diskName) : yield* this.files.open(process, diskName, 0);
    const issuer = new Issuer(around, new ReadBackSource(model, 0), target, {
      name: `read-back ${diskName}`,
      writer: 0,
      bufferBytesMax: this.bufferBytes(1),
    });
    this.issuers.push(issuer);
    yield* issuer.run();
    yield* this.closeAll([target]);
    yield* process.exit();
    this.readBackNs += this.world.now - from;
  }

  private issuer(
    source: IoSource,
    io: IoTarget,
    about: { job: Job; name: string; writer: number; sharers: number },
  ): Issuer {
    const around: IssuerSurroundings = {
      world: this.world,
      statistics: about.job.statistics,
      model: this.options.verify === false ? null : this.modelOf(io.disk),
      problems: this.problems,
    };
    const issuer = new Issuer(around, source, io, {
      name: about.name,
      writer: about.writer,
      bufferBytesMax: this.bufferBytes(about.sharers),
    });
    this.expected += source.expected;
    this.issuers.push(issuer);
    if (this.interrupted) issuer.stop();
    return issuer;
  }

  private modelOf(disk: WatchedDisk): ContentModel {
    let model = this.models.get(disk.name);
    if (model === undefined) {
      const unwritten = this.files === null ? (this.options.unwritten ?? 'zeros') : 'new';
      model = new ContentModel(this.world, disk, { unwritten, number: this.models.size });
      this.models.set(disk.name, model);
    }
    return model;
  }

  private bufferBytes(sharers: number): number {
    return Math.floor(this.machine.description.memory.ram / BUFFER_SHARE / sharers);
  }

  private addJob(name: string): Job {
    const job = { name, statistics: new IoStatistics() };
    this.jobs.push(job);
    return job;
  }

  private diskName(): string {
    return this.disk?.name ?? '';
  }

  /** The jobs of a file; a `filename` that is no disk of the machine means the run's own disk. */
  private fit(file: FioJobFile, own: Disk): FioJob[] {
    const facts = (disk: Disk): FioDisk => ({
      name: disk.name,
      capacitySectors: disk.capacitySectors,
      logicalBlockBytes: disk.limits.logicalBlockBytes,
    });
    const names = this.machine.diskNames;
    if (this.files !== null) {
      const unsized = file.jobs.find(({ size }) => size === null);
      if (unsized !== undefined) throw hasNoSize(file.source, unsized);
      return fitFioJob(file, () => facts(own));
    }
    const other = new Set<string>();
    const jobs = fitFioJob(file, (filename) => {
      const name = filename?.replace(/^\/dev\//, '') ?? own.name;
      if (names.includes(name)) return facts(this.machine.disk(name));
      other.add(filename ?? '');
      return facts(own);
    });
    if (other.size > 0) this.notes.push(`${file.source}: filename ${[...other].join(', ')} stands for ${own.name}`);
    return jobs;
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
    if (this.workedNs === 0) this.worked();
    const elapsedMs = this.clock() - this.startedMs;
    const events = this.world.eventsRun - this.eventsAtStart;
    const interrupts = this.machine.interrupts - this.interruptsAtStart;
    for (const model of this.models.values()) model.reportSuppressed();
    this.problems.reportSuppressed();
    // A module that was cut off still holds what it would have given back: no leak of anybody.
    const cutOff = this.interrupted && this.workload.kind === 'module';
    if (this.options.keepMachine !== true && !cutOff) this.shutDown();
    const { workload, world } = this;
    const { counters, mode } = this.machine.memory.ledger;
    let sectorsChecked = 0;
    for (const model of this.models.values()) sectorsChecked += model.sectorsChecked;
    const all = new IoStatistics();
    for (const job of this.jobs) all.add(job.statistics);
    return {
      schemaVersion: REPORT_SCHEMA_VERSION,
      seed: world.seed,
      workloads: [
        {
          name: workload.source,
          kind: workload.kind,
          disk: this.diskName(),
          mode: this.mode(),
          through: this.through(),
          virtualNs: this.workedNs,
          interrupted: this.interrupted,
          jobs: this.jobs.map((job) => jobReport(job.name, job.statistics)),
          verified: {
            on: this.models.size > 0,
            sectorsChecked,
            readBackBytes: sum(this.readBack.bytes),
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
    if (this.files !== null) {
      const result = this.completed(this.files.unmount(), 'the file system could not be unmounted');
      if (result !== undefined && result < 0) this.problems.notUnmounted(this.diskName(), result);
    }
    this.completed(this.machine.shutdown(), 'the machine could not be shut down');
    this.world.run({ untilNs: this.world.now });
    this.world.checkAtEnd();
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

  private through(): string {
    if (this.files === null) return 'raw';
    const { workload } = this;
    const ways =
      workload.kind === 'fio'
        ? this.fioJobs.map((job) => isDirectJob(job, this.options.through))
        : [this.options.through !== 'fs:buffered'];
    const names = [...(ways.includes(true) ? ['direct'] : []), ...(ways.includes(false) ? ['buffered'] : [])];
    return `fs (${names.join(' and ')})`;
  }

  private mode(): string {
    if (this.workload.kind === 'fio') return 'as the job file says';
    if (this.workload.kind === 'module') return 'as the program says';
    if (this.options.closedLoop !== true) return 'recorded times';
    return `closed loop, ${this.options.ioDepth ?? 32} in flight`;
  }
}

function chooseDisk(machine: Machine, wanted: string | undefined, workload: Workload): Disk | null {
  const names = machine.diskNames;
  if (wanted !== undefined) {
    return machine.disk(
      names.includes(wanted) ? wanted : (names.find((name) => name.startsWith(`${wanted}n`)) ?? wanted),
    );
  }
  if (names.length > 0) return machine.disk(names[0]);
  if (workload.kind === 'module') return null;
  throw new UsageError('WORKLOAD_INVALID', `${workload.source}: the machine has no disk to run it on`, {
    expected: 'a machine with a block device, such as the plugin nvme-p2p',
  });
}

function chooseFiles(
  machine: Machine,
  through: Through,
  { kind, source }: Workload,
  disk: Disk | null,
): RunFiles | null {
  if (through === 'raw' || disk === null) return null;
  if (kind !== 'module') return new RunFiles(machine, disk);
  throw new UsageError('WORKLOAD_INVALID', `${source}: a module says itself what its I/O goes through`, {
    expected: 'a trace or a job file, with --through',
    actual: 'a workload module',
  });
}

/** As the run says it for all, else as the job does. */
function isDirectJob({ direct }: FioJob, through: Through | undefined): boolean {
  return through === 'fs' ? direct : through === 'fs:direct';
}

function hasNoSize(source: string, { name, line }: { readonly name: string; readonly line: number }): UsageError {
  return new UsageError('JOB_INVALID', `${source}:${line}: job ${name} has no size, and a file needs one`, {
    expected: 'size=64m or the like, through a file system',
  });
}

/** Asked anew after the world has run. */
function hasEnded(thread: Thread): boolean {
  return thread.ended;
}

function baseName(source: string): string {
  return source
    .replace(/^.*[\\/]/, '')
    .replace(/\.gz$/, '')
    .replace(/\.blkparse(\.txt)?$/, '')
    .replace(/\.(fio|txt|[cm]?[jt]s)$/, '');
}

function sum(values: Float64Array): number {
  let total = 0;
  for (const value of values) total += value;
  return total;
}
