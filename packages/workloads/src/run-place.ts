/**
 * Where the I/Os of a run go: to the disk itself, or to files on a new file system on it.
 *
 * Made when the run is, so that what does not fit is told before anything has happened.
 */
import type { Disk } from '@pincushion/block';
import type { Machine, Process } from '@pincushion/machine';
import { UsageError } from '@pincushion/sim';
import type { Task } from '@pincushion/sim';
import { FileIo } from './file-io';
import type { FioDisk, FioJob, FioJobFile } from './fio-job';
import { fitFioJob } from './fio-job';
import type { IoTarget } from './io-target';
import type { Through } from './run-files';
import { RunFiles } from './run-files';
import type { Workload } from './workload';

const SECTOR = 512;

export class RunPlace {
  /** Null: the machine has none, and the workload is a module that needs none. */
  readonly disk: Disk | null;
  /** Null: raw. */
  readonly files: RunFiles | null;
  /** Those of a job file, in order, with sizes and disks. */
  readonly jobs: readonly FioJob[];
  /** What the report has to say about it. */
  readonly notes: readonly string[];

  /**
   * `wanted`: name of a disk or of its device, the first one unless given. Throws `UsageError` when the workload does not fit
   * the machine: TRACE_INVALID, JOB_INVALID, DEVICE_UNKNOWN, WORKLOAD_INVALID.
   */
  constructor(
    private readonly machine: Machine,
    private readonly workload: Workload,
    wanted: string | undefined,
    private readonly through: Through,
  ) {
    const notes: string[] = [];
    this.notes = notes;
    this.disk = chooseDisk(machine, wanted, workload);
    this.files = chooseFiles(machine, through, workload, this.disk);
    this.jobs = workload.kind === 'fio' && this.disk !== null ? this.fit(workload, this.disk, notes) : [];
    if (workload.kind === 'trace' && this.disk !== null) {
      workload.trace.checkFits(this.disk.capacitySectors, this.disk.name);
      workload.trace.checkAligned(this.disk.limits.logicalBlockBytes, this.disk.name);
    }
    if (workload.kind === 'fio' && workload.warning !== null) notes.push(workload.warning);
  }

  /** Empty when there is no disk. */
  get diskName(): string {
    return this.disk?.name ?? '';
  }

  /** For the report. */
  get way(): string {
    if (this.files === null) return 'raw';
    const ways =
      this.workload.kind === 'fio' ? this.jobs.map((job) => this.isDirect(job)) : [this.through !== 'fs:buffered'];
    const names = [...(ways.includes(true) ? ['direct'] : []), ...(ways.includes(false) ? ['buffered'] : [])];
    return `fs (${names.join(' and ')})`;
  }

  /** Where the I/Os of a trace go; -errno when its file cannot be had. The caller owes a `closeTargets`. Task context. */
  *traceTarget(process: Process, name: string, sectors: number): Task<IoTarget | number> {
    if (this.files === null) return process.directIo(this.diskName);
    return yield* this.files.open(process, this.files.pathOf(name), sectors * SECTOR, this.through !== 'fs:buffered');
  }

  /** Where the I/Os of a job go: through a file system to the file that it names, or one of its own, as fio does it. */
  *fioTarget(process: Process, job: FioJob): Task<IoTarget | number> {
    if (this.files === null) return process.directIo(job.disk);
    const path = this.files.pathOf(job.filename ?? `${job.name}.${job.index}.0`);
    return yield* this.files.open(process, path, job.offset + job.size, this.isDirect(job));
  }

  /** Where what was written is read back: `name` of a disk, or of a file that the run has opened before. */
  *readBackTarget(process: Process, name: string): Task<IoTarget | number> {
    return this.files === null ? process.directIo(name) : yield* this.files.open(process, name, 0);
  }

  /** As the run says it for all, else as the job does. */
  private isDirect({ direct }: FioJob): boolean {
    return this.through === 'fs' ? direct : this.through === 'fs:direct';
  }

  /** The jobs of a file; a `filename` that is no disk of the machine means the run's own disk. */
  private fit(file: FioJobFile, own: Disk, notes: string[]): FioJob[] {
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
    if (other.size > 0) notes.push(`${file.source}: filename ${[...other].join(', ')} stands for ${own.name}`);
    return jobs;
  }
}

/** Closes the files of a run's targets. Task context. */
export function* closeTargets(targets: readonly IoTarget[]): Task {
  for (const target of targets) if (target instanceof FileIo) yield* target.close();
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

function hasNoSize(source: string, { name, line }: { readonly name: string; readonly line: number }): UsageError {
  return new UsageError('JOB_INVALID', `${source}:${line}: job ${name} has no size, and a file needs one`, {
    expected: 'size=64m or the like, through a file system',
  });
}
