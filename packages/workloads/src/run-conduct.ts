/**
 * How a workload is done: a thread for each CPU of a trace, for each fio job, or the module's own. Each is a task that ends
 * when all of them have.
 */
import type { Machine, Process } from '@pincushion/machine';
import type { Task, Thread } from '@pincushion/sim';
import { BlockObserver } from './block-observer';
import { UNKNOWN_NS } from './block-trace';
import type { FioJob, FioJobFile } from './fio-job';
import { FioSource } from './fio-source';
import type { IoProblemFindings } from './io-problems';
import type { IoTarget } from './io-target';
import { JobRandom } from './offset-choice';
import type { RunIssuers, RunJob } from './run-issuers';
import { closeTargets } from './run-place';
import type { RunPlace } from './run-place';
import { TraceSource, rowsByCpu, rowsInOrder } from './trace-source';
import type { TraceWorkload, Workload } from './workload';
import type { ModuleWorkload, WorkloadContext } from './workload-module';

/** What it is done with. */
export interface Conduct {
  readonly machine: Machine;
  readonly place: RunPlace;
  readonly issuers: RunIssuers;
  readonly problems: IoProblemFindings;
  /** I/Os in flight of a trace that is replayed as fast as the device answers; 0: at its recorded times. */
  readonly traceDepth: number;
  /** What the module says for the report. */
  readonly notes: string[];
  /** Whether no more shall be begun; asked anew after the world has run. */
  isInterrupted(): boolean;
}

/** Does all of a workload. Throws what a module throws. Task context. */
export function* conduct(run: Conduct, workload: Workload): Task {
  switch (workload.kind) {
    case 'trace':
      yield* runTrace(run, workload);
      break;
    case 'fio':
      yield* runFio(run, workload);
      break;
    case 'module':
      yield* runModule(run, workload);
      break;
  }
}

function* runTrace({ machine, place, issuers, problems, traceDepth }: Conduct, { trace, source }: TraceWorkload): Task {
  if (place.disk === null) return;
  const { cpus } = machine.description;
  const job = issuers.addJob(baseName(source));
  for (let row = 0; row < trace.count; row++) {
    if (trace.recordedNs[row] !== UNKNOWN_NS) job.statistics.recorded[trace.kind[row]].record(trace.recordedNs[row]);
  }
  const shares = traceDepth > 0 ? [{ cpu: 0, rows: rowsInOrder(trace) }] : rowsByCpu(trace, cpus);
  const process = machine.process(job.name);
  const targets: IoTarget[] = [];
  const threads: Thread<void>[] = [];
  for (const { cpu } of shares) {
    const target = yield* place.traceTarget(process, job.name, trace.sectorsNeeded);
    if (typeof target === 'number') problems.notOpened(place.diskName, `${job.name} cpu${cpu}`, target);
    else targets.push(target);
  }
  if (targets.length === shares.length) {
    for (const [writer, { cpu, rows }] of shares.entries()) {
      const issuer = issuers.add(new TraceSource(trace, rows, cpus, traceDepth), targets[writer], {
        job,
        name: shares.length === 1 ? job.name : `${job.name} cpu${cpu}`,
        writer,
        sharers: shares.length,
      });
      threads.push(machine.world.spawn(issuer.run(), { name: `${job.name} cpu${cpu}`, cpu }));
    }
  }
  for (const thread of threads) yield* thread.join();
  yield* closeTargets(targets);
  yield* process.exit();
}

function* runFio(run: Conduct, file: FioJobFile): Task {
  const { machine, place, issuers } = run;
  const { cpus } = machine.description;
  let running: Thread<void>[] = [];
  for (const fioJob of place.jobs) {
    if (fioJob.stonewall) {
      for (const thread of running) yield* thread.join();
      running = [];
      if (run.isInterrupted()) return;
    }
    const job = issuers.addJob(fioJob.name);
    const task = runFioJob(run, fioJob, job, file);
    running.push(machine.world.spawn(task, { name: job.name, cpu: fioJob.index % cpus }));
  }
  for (const thread of running) yield* thread.join();
}

function* runFioJob(run: Conduct, fioJob: FioJob, job: RunJob, file: FioJobFile): Task {
  const { machine, place, issuers } = run;
  const { world } = machine;
  const seed = fioJob.seed ?? world.choices.stream('workload.fio', fioJob.index).uint32();
  const cpu = fioJob.index % machine.description.cpus;
  const process: Process = machine.process(job.name, { cpu });
  const source = new FioSource(fioJob, new JobRandom(seed), cpu);
  const target = yield* place.fioTarget(process, fioJob);
  if (typeof target === 'number') {
    run.problems.notOpened(place.diskName, job.name, target);
  } else {
    const issuer = issuers.add(source, target, {
      job,
      name: `${baseName(file.source)} ${job.name}`,
      writer: fioJob.index,
      sharers: place.jobs.length,
    });
    if (fioJob.startDelayNs > 0) yield* world.sleep(fioJob.startDelayNs);
    if (run.isInterrupted()) issuer.stop();
    yield* issuer.run();
    yield* closeTargets([target]);
  }
  yield* process.exit();
}

function* runModule({ machine, place, issuers, notes }: Conduct, workload: ModuleWorkload): Task {
  const { world } = machine;
  const job = issuers.addJob(baseName(workload.source));
  const observer = new BlockObserver(world, job.statistics);
  const threads: Thread<void>[] = [];
  const processes: { exit(): Task }[] = [];
  const choices = world.choices.stream('workload.module');
  const context: WorkloadContext = {
    machine,
    seed: world.seed,
    disk: place.diskName,
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

function baseName(source: string): string {
  return source
    .replace(/^.*[\\/]/, '')
    .replace(/\.gz$/, '')
    .replace(/\.blkparse(\.txt)?$/, '')
    .replace(/\.(fio|txt|[cm]?[jt]s)$/, '');
}
