/** Running many random programs, and what is told of it. Pure: nothing is printed. */
import type { KernelProfile } from '@pincushion/mm';
import { scriptText } from '../script/script';
import type { Script } from '../script/script';
import { randomProgram } from './generator';
import { runProgram, shrinkProgram } from './run';
import type { RunOptions } from './run';

export interface RandomRunOptions {
  readonly seed: number;
  readonly programs: number;
  /** Steps of each program. */
  readonly operations: number;
  /** Number of the first program; to run one alone. */
  readonly first?: number;
  readonly profile?: KernelProfile;
  /** Failures that are told; the run ends with the last of them. */
  readonly failuresMost?: number;
  readonly prepare?: RunOptions['prepare'];
  /** Is told after each program. */
  readonly onProgram?: (done: number) => undefined;
}

/** A program that failed, cut down to what matters. */
interface RandomFailure {
  /** Number of the program. */
  readonly program: number;
  /** Number of the step after which it was seen, from 1; one more than there are when after the end. */
  readonly step: number;
  readonly what: string;
  /** The shrunken scenario, and the sentence it fails with. */
  readonly script: Script;
  readonly shrunkTo: string;
}

export interface RandomRun {
  /** Programs that were run. */
  readonly programs: number;
  readonly failures: readonly RandomFailure[];
}

/** Runs programs of a seed one after the other, each on a fresh machine with every check on. */
export function runRandomPrograms(options: RandomRunOptions): RandomRun {
  const { seed, programs, operations, first = 0, failuresMost = 1, profile, prepare, onProgram } = options;
  const how: RunOptions = {
    ...(profile === undefined ? {} : { profile }),
    ...(prepare === undefined ? {} : { prepare }),
  };
  const failures: RandomFailure[] = [];
  let done = 0;
  for (; done < programs && failures.length < failuresMost; done++) {
    const program = randomProgram(seed, first + done, operations);
    const failure = runProgram(program, how);
    if (failure !== null) {
      const script = shrinkProgram(program, failure, how);
      failures.push({
        program: first + done,
        step: failure.step + 1,
        what: failure.what,
        script,
        shrunkTo: runProgram(script, how)?.what ?? failure.what,
      });
    }
    onProgram?.(done + 1);
  }
  return { programs: done, failures };
}

/** The document of `fuzz --json`. */
export interface RandomReport {
  readonly schemaVersion: 1;
  readonly kernel: string;
  readonly seed: number;
  readonly first: number;
  readonly programs: number;
  readonly operations: number;
  readonly failures: readonly {
    readonly program: number;
    readonly step: number;
    readonly what: string;
    /** The shrunken scenario in the recorder's notation. */
    readonly script: string;
  }[];
}

export function randomReport(run: RandomRun, options: RandomRunOptions & { readonly kernel: string }): RandomReport {
  const { seed, first = 0, operations, kernel } = options;
  const failures = run.failures.map(({ program, step, shrunkTo, script }) => ({
    program,
    step,
    what: shrunkTo,
    script: scriptText(script),
  }));
  return { schemaVersion: 1, kernel, seed, first, programs: run.programs, operations, failures };
}

/** The same for people; the last line says how many programs ran clean. */
export function renderRandomReport(report: RandomReport): string {
  const lines: string[] = [];
  for (const { program, what, script } of report.failures) {
    lines.push(`program ${program} of seed ${report.seed}: ${what}`, '', script.trimEnd(), '');
  }
  const clean = report.programs - report.failures.length;
  lines.push(
    `${clean} of ${report.programs} random programs of ${report.operations} operations ran clean (seed ${report.seed}, Linux ${report.kernel})`,
  );
  return `${lines.join('\n')}\n`;
}
