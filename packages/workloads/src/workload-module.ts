/**
 * Workload modules: programs in TypeScript or JavaScript that run as a thread of the emulated world.
 *
 *     import type { WorkloadContext } from '@pincushion/workloads';
 *
 *     export default function* (world: WorkloadContext) {
 *       const process = world.process('hello');
 *       const fd = yield* process.open(`/dev/${world.disk}`);
 *       …
 *     }
 *
 * The function is a task: it calls what may sleep with `yield*`. Its I/Os are counted where they pass the block layer;
 * their content is the module's own business. An exception ends the run.
 */
import type { Machine, Process } from '@pincushion/machine';
import { UsageError } from '@pincushion/sim';
import type { Task } from '@pincushion/sim';

/** What a workload module is given. */
export interface WorkloadContext {
  readonly machine: Machine;
  /** Seed of the run. */
  readonly seed: number;
  /** The disk named by the command line, or the machine's first; empty when it has none. */
  readonly disk: string;
  /** All disks, by the names of their nodes in /dev. */
  readonly disks: readonly string[];
  /** Present virtual time, nanoseconds. */
  readonly now: number;
  /** Starts a process; it is ended with the run. */
  process(name: string, options?: { readonly cpu?: number }): Process;
  /** Starts a further thread beside the module's own; the run waits for it. */
  spawn(name: string, task: Task): void;
  sleep(ns: number): Task;
  /** A number from 0 to n-1 that depends on the seed of the run only. */
  choose(n: number): number;
  /** A line for the report. */
  note(line: string): void;
  /** Reports an IO_FAILED finding when the condition does not hold; the module goes on. */
  expect(condition: boolean, what: string): void;
}

export type WorkloadMain = (world: WorkloadContext) => Task;

export interface ModuleWorkload {
  readonly kind: 'module';
  readonly source: string;
  readonly main: WorkloadMain;
}

/**
 * Makes a workload of what a module exports. Throws `UsageError` WORKLOAD_INVALID when the default export is no function.
 * Takes both the namespace of an ES module and what `require` gives for a CommonJS one.
 */
export function moduleWorkload(source: string, exported: unknown): ModuleWorkload {
  const main = defaultExport(exported);
  if (typeof main !== 'function') {
    throw new UsageError('WORKLOAD_INVALID', `${source}: the module has no workload`, {
      expected: 'export default function* (world) { … }',
      actual: main === undefined ? 'no default export' : `a default export of type ${typeof main}`,
    });
  }
  return { kind: 'module', source, main: main as WorkloadMain };
}

function defaultExport(exported: unknown): unknown {
  if (typeof exported !== 'object' || exported === null) return exported;
  const value = (exported as { default?: unknown }).default;
  return typeof value === 'object' && value !== null ? defaultExport(value) : value;
}
