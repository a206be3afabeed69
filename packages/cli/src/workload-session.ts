/**
 * One workload on one freshly booted machine, from the first event to the report, pumped in slices so that the host gets
 * its turn in between: progress, Ctrl-C, output that waits.
 */
import { nearestName } from '@pincushion/driver';
import { Machine } from '@pincushion/machine';
import type { LedgerMode } from '@pincushion/mm';
import type { FaultPlan, ForcedChoice } from '@pincushion/sim';
import { PincushionError, UsageError, World } from '@pincushion/sim';
import type { RunProgress, RunReport, Workload, WorkloadRunOptions } from '@pincushion/workloads';
import { WorkloadRun } from '@pincushion/workloads';

import { NodeHostFiles } from './host-files';
import type { Interruption } from './interruption';
import type { DescribedMachine } from './machine-file';
import { blameOutsiders } from './outside-failure';
import { Paranoia } from './paranoia';

/** Events of one slice: a few milliseconds of the host's time. */
const SLICE_EVENTS = 20_000;

export interface SessionOptions {
  readonly seed: number;
  readonly ledger?: LedgerMode;
  /** Decisions that do not follow the seed. */
  readonly forced?: readonly ForcedChoice[];
  /** What goes wrong, counted from when the machine is up and what the run goes through is mounted. */
  readonly faults?: FaultPlan;
  /** Looks after each slice, and at the end, whether anything in memory contradicts itself. */
  readonly paranoid?: boolean;
  readonly run: WorkloadRunOptions;
}

/** What a session tells while it runs. */
export interface SessionListener {
  /** The world is there; no decision has been taken. `hostFiles`: what hardware models open is noted there. */
  begun?(world: World, hostFiles: NodeHostFiles): void;
  /** The machine is up and the workload fits it; nothing has run yet. */
  booted?(machine: Machine): void;
  progressed?(progress: RunProgress): void;
}

/** Asked after each slice whether to stop. */
export type Stopping = Pick<Interruption, 'requested' | 'turn'>;

/** Runs to the end, or to an interruption, whose report says so. Throws UsageError before the first I/O. */
export async function runSession(
  workload: Workload,
  { description, plugins, folder }: DescribedMachine,
  options: SessionOptions,
  interruption: Stopping,
  listener: SessionListener = {},
): Promise<RunReport> {
  const hostFiles = new NodeHostFiles(folder);
  try {
    const { seed, forced } = options;
    const world = new World({ seed, ...(forced === undefined ? {} : { forced }) });
    listener.begun?.(world, hostFiles);
    const boot = { plugins, hostFiles, ...(options.ledger === undefined ? {} : { ledger: options.ledger }) };
    const machine = world.complete(Machine.boot(world, description, boot), 'boot');
    // A disk that has an image behind it may hold anything where this run has not written.
    const unwritten = hostFiles.anyOpened ? 'any' : 'zeros';
    const run = new WorkloadRun(machine, workload, { unwritten, ...options.run });
    world.complete(run.mount(), 'mount');
    if (options.faults !== undefined) armFaults(world, options.faults);
    listener.booted?.(machine);
    const paranoia = options.paranoid === true ? new Paranoia(machine) : null;
    run.start();
    while (stepUnlessGone(run, machine)) {
      paranoia?.look();
      listener.progressed?.(run.progress());
      await interruption.turn();
      if (interruption.requested) return run.interrupt();
    }
    paranoia?.look();
    return run.finish();
  } catch (error) {
    throw blameOutsiders(error);
  } finally {
    hostFiles.closeAll();
  }
}

/** One slice; false at the end, which is also when the workload needs a disk that the fault plan has pulled out. */
function stepUnlessGone(run: WorkloadRun, { world, devices, bus }: Machine): boolean {
  try {
    return run.step(SLICE_EVENTS);
  } catch (error) {
    const gone = devices.find(({ unplugged }) => unplugged)?.path ?? bus.gone.at(0);
    if (gone === undefined || !(error instanceof PincushionError) || error.code !== 'DEVICE_UNKNOWN') throw error;
    world.findings.report({
      code: 'IO_FAILED',
      summary: `the workload ended early: ${gone} was pulled out, and with it its disk`,
      device: gone,
      sites: [],
      details: [],
    });
    return false;
  }
}

function armFaults(world: World, plan: FaultPlan): void {
  world.faults.armPlan(plan);
  const [missing] = world.faults.missingDevices() as readonly (string | undefined)[];
  if (missing === undefined) return;
  const names = world.faults.deviceNames();
  const nearest = nearestName(missing, names);
  throw new UsageError('FAULT_PLAN_INVALID', `the fault plan wants a device gone that is not there: ${missing}`, {
    expected: names.length === 0 ? 'a device; this machine has none' : `one of ${names.join(', ')}`,
    actual: missing,
    ...(nearest === null ? {} : { hint: nearest }),
  });
}
