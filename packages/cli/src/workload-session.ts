/**
 * One workload on one freshly booted machine, from the first event to the report, pumped in slices so that the host gets
 * its turn in between: progress, Ctrl-C, output that waits.
 */
import { Machine } from '@pincushion/machine';
import type { LedgerMode } from '@pincushion/mm';
import { World } from '@pincushion/sim';
import type { RunProgress, RunReport, Workload, WorkloadRunOptions } from '@pincushion/workloads';
import { WorkloadRun } from '@pincushion/workloads';
import { NodeHostFiles } from './host-files';
import type { Interruption } from './interruption';
import type { DescribedMachine } from './machine-file';
import { blameOutsiders } from './outside-failure';

/** Events of one slice: a few milliseconds of the host's time. */
const SLICE_EVENTS = 20_000;

export interface SessionOptions {
  readonly seed: number;
  readonly ledger?: LedgerMode;
  readonly run: WorkloadRunOptions;
}

/** What a session tells while it runs. */
export interface SessionListener {
  /** The machine is up and the workload fits it; nothing has run yet. */
  booted?(machine: Machine): void;
  progressed?(progress: RunProgress): void;
}

/** Runs to the end, or to an interruption, whose report says so. Throws UsageError before the first I/O. */
export async function runSession(
  workload: Workload,
  { description, plugins, folder }: DescribedMachine,
  options: SessionOptions,
  interruption: Interruption,
  listener: SessionListener = {},
): Promise<RunReport> {
  const hostFiles = new NodeHostFiles(folder);
  try {
    const world = new World({ seed: options.seed });
    const boot = { plugins, hostFiles, ...(options.ledger === undefined ? {} : { ledger: options.ledger }) };
    const machine = world.complete(Machine.boot(world, description, boot), 'boot');
    // A disk that has an image behind it may hold anything where this run has not written.
    const unwritten = hostFiles.anyOpened ? 'any' : 'zeros';
    const run = new WorkloadRun(machine, workload, { unwritten, ...options.run });
    listener.booted?.(machine);
    run.start();
    while (run.step(SLICE_EVENTS)) {
      listener.progressed?.(run.progress());
      await interruption.turn();
      if (interruption.requested) return run.interrupt();
    }
    return run.finish();
  } catch (error) {
    throw blameOutsiders(error);
  } finally {
    hostFiles.closeAll();
  }
}
