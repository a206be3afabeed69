/** A session of `pincushion run` as a replay file, and back. */
import { createHash } from 'node:crypto';
import { relative } from 'node:path';
import { parseMachine } from '@pincushion/machine';
import type { World } from '@pincushion/sim';
import { ChoiceSource, DecisionTrail, FaultPlan } from '@pincushion/sim';
import type { Workload } from '@pincushion/workloads';
import { moduleWorkload, readWorkload, workloadKind } from '@pincushion/workloads';
import type { NodeHostFiles } from '../host-files';
import { loadModule } from '../load-module';
import type { DescribedMachine } from '../machine-file';
import { loadPlugins, locatePlugin } from '../plugins';
import { readUserFile } from '../read-file';
import type { SessionListener, SessionOptions, Stopping } from '../workload-session';
import { runSession } from '../workload-session';
import { codeIdentity } from './code-identity';
import { pack, unpack } from './packed';
import { Places } from './places';
import type { Expected, HostImage, SubjectOf } from './replay-file';
import type { Replayed } from './replayed';
import { codeDifferences, findingOf, gathered } from './replayed';

type RunSubject = SubjectOf<'run'>;
type MachineSubject = Pick<RunSubject, 'machine' | 'folder' | 'plugins' | 'images'>;

/** Larger images are named without a checksum. */
const HASHED_BYTES_MOST = 256 * 1024 * 1024;

/** What is noted while a session runs: its decisions, the files of the host it opened, its slices. */
export class SessionNotes {
  private trail: DecisionTrail | null = null;
  private world: World | null = null;
  private hostFiles: NodeHostFiles | null = null;
  slices = 0;

  /** Listens from the first decision on; `slices` is counted by whoever runs the session. */
  begun(world: World, hostFiles: NodeHostFiles): void {
    this.world = world;
    this.trail = new DecisionTrail(world);
    this.hostFiles = hostFiles;
    world.choices.listener = this.trail;
  }

  get trailText(): string | null {
    return this.trail?.text() ?? null;
  }

  /** True when a model has asked for a file of the host: running the session again might change it. */
  get usesHostFiles(): boolean {
    return this.hostFiles?.anyOpened ?? false;
  }

  /** Events of the world so far. */
  get events(): number {
    return this.world?.eventsRun ?? 0;
  }

  /** The images that models have opened, by paths from `folder`. */
  images(folder: string): readonly HostImage[] {
    return imagesOf(this, folder);
  }

  /** What models have asked for so far. */
  get all(): NodeHostFiles['all'] {
    return this.hostFiles?.all ?? [];
  }
}

/** The machine that something ran on, with its code and the images that it has opened; `file` is for messages. */
export function machineSubject(
  { description, plugins, folder }: DescribedMachine,
  hostFiles: Pick<NodeHostFiles, 'all'>,
  file: string,
): MachineSubject {
  return {
    machine: description,
    folder,
    plugins: plugins.map(({ name }) => codeIdentity(name, locatePlugin(name, file, folder))),
    images: [...imagesOf(hostFiles, folder)],
  };
}

/** Everything a session depends on. Throws `UsageError` FILE_UNREADABLE when the workload is gone meanwhile. */
export function runSubject(
  file: string,
  strict: boolean,
  machine: DescribedMachine,
  options: SessionOptions,
  notes: SessionNotes,
  interrupted: boolean,
): RunSubject {
  const { verify = true, closedLoop = false, ioDepth = null, disk = null, through = 'raw' } = options.run;
  return {
    command: 'run',
    seed: options.seed,
    forced: (options.forced ?? []).map(({ name, instance, counter, value }) =>
      [name, instance, counter, value].join(' '),
    ),
    faults: options.faults?.toString() ?? null,
    ...machineSubject(machine, notes, file),
    workload: describeWorkload(file),
    workFolder: process.cwd(),
    strict,
    ledger: options.ledger ?? null,
    paranoid: options.paranoid ?? false,
    verify,
    closedLoop,
    ioDepth,
    disk,
    through,
    stopAfter: interrupted ? notes.slices : null,
  };
}

function describeWorkload(file: string): RunSubject['workload'] {
  if (workloadKind(file) === 'module') {
    return { name: file, content: null, module: codeIdentity(file, file), sha256: '' };
  }
  const data = readUserFile(file, 'workload');
  return { name: file, content: pack(data), module: null, sha256: checksum(data) };
}

/** Runs it again. Throws `UsageError` when something that the file names is not there. */
export async function replayRun(
  subject: RunSubject,
  file: string,
  interruption: Stopping,
  listener: SessionListener = {},
): Promise<Replayed> {
  const notes = new SessionNotes();
  const differences: string[] = [];
  const machine = machineOf(subject, file, differences);
  const workload = workloadOf(subject, file, differences);
  const stopping = subject.stopAfter === null ? interruption : new StopAfter(subject.stopAfter, interruption);
  const found = await findingsOf(workload, machine, sessionOptions(subject), stopping, notes, listener);
  differences.push(...imageDifferences(subject.images, notes.images(machine.folder)));
  return { found, differences, trail: notes.trailText };
}

/** Runs a session and gathers its findings; an error of its world is one, too. Throws all other errors. */
export async function findingsOf(
  workload: Workload,
  machine: DescribedMachine,
  options: SessionOptions,
  stopping: Stopping,
  notes: SessionNotes,
  listener: SessionListener = {},
): Promise<readonly Expected[]> {
  const begun = (world: World, hostFiles: NodeHostFiles): void => {
    notes.begun(world, hostFiles);
  };
  try {
    const report = await runSession(workload, machine, options, stopping, { ...listener, begun });
    return gathered(report.findings);
  } catch (error) {
    const finding = findingOf(error);
    if (finding === null) throw error;
    return [finding];
  }
}

function sessionOptions(subject: RunSubject): SessionOptions {
  const { seed, faults, ledger, paranoid, verify, closedLoop, ioDepth, disk, through } = subject;
  const header = `pincushion-choices 1\nseed ${seed}\n`;
  const { forced } = ChoiceSource.parse(header + subject.forced.map((line) => `force ${line}\n`).join(''));
  return {
    seed,
    forced,
    paranoid,
    ...(faults === null ? {} : { faults: FaultPlan.parse(faults) }),
    ...(ledger === null ? {} : { ledger }),
    run: {
      verify,
      closedLoop,
      through,
      ...(ioDepth === null ? {} : { ioDepth }),
      ...(disk === null ? {} : { disk }),
    },
  };
}

/** The machine of a subject; `differences` gets sentences on what is not as it was. Throws `UsageError`. */
export function machineOf(subject: MachineSubject, file: string, differences: string[]): DescribedMachine {
  const places = new Places(file, subject.folder);
  const description = parseMachine(subject.machine, `${file}: subject.machine`);
  const plugins = subject.plugins.map((then) => {
    const folder = places.folderOfPlugin(then.name);
    const now = codeIdentity(then.name, locatePlugin(then.name, file, folder));
    differences.push(...codeDifferences(then, now));
    return loadPlugins([then.name], file, folder)[0];
  });
  return { description, plugins, folder: places.folderOf(subject.images.map(({ path }) => path)) };
}

function workloadOf(subject: RunSubject, file: string, differences: string[]): Workload {
  const { strict, workload } = subject;
  const { name, content, module } = workload;
  const places = new Places(file, subject.workFolder);
  if (module !== null) {
    const path = places.find(name, 'workload module');
    differences.push(...codeDifferences(module, codeIdentity(name, path)));
    return moduleWorkload(name, loadModule(path, 'workload module'));
  }
  const data = content === null ? readUserFile(places.find(name, 'workload'), 'workload') : unpack(content, file);
  if (checksum(data) !== workload.sha256) differences.push(`${name} is not the same workload`);
  return readWorkload(name, data, { strict });
}

function imagesOf({ all }: Pick<NodeHostFiles, 'all'>, folder: string): readonly HostImage[] {
  return all.map(({ path, size, writable }) => ({
    path: relative(folder, path),
    bytes: size,
    sha256: writable || size > HASHED_BYTES_MOST ? null : checksum(readUserFile(path, 'image')),
  }));
}

/** Sentences on how images are not what they were. */
export function imageDifferences(then: readonly HostImage[], now: readonly HostImage[]): readonly string[] {
  return then.flatMap(({ path, bytes, sha256 }) => {
    const other = now.find((image) => image.path === path);
    if (other === undefined) return [`the image ${path} was not opened`];
    if (other.bytes !== bytes) return [`the image ${path} had ${bytes} bytes and has ${other.bytes}`];
    return sha256 === other.sha256 && sha256 !== null ? [] : [`the image ${path} may have another content`];
  });
}

function checksum(data: Uint8Array): string {
  return createHash('sha256').update(data).digest('hex');
}

/** Ends a session where Ctrl-C once ended it: after so many slices. */
class StopAfter implements Stopping {
  constructor(
    private left: number,
    private readonly interruption: Stopping,
  ) {}

  get requested(): boolean {
    return this.left <= 0 || this.interruption.requested;
  }

  turn(): Promise<void> {
    this.left--;
    return this.interruption.turn();
  }
}
