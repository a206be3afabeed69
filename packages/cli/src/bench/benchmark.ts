/**
 * What a benchmark is: a name that stays, and a measurement that runs once in a fresh process.
 * Each round of each benchmark gets a process of its own, so that neither the heap nor what the compiler learnt from one
 * benchmark colours another; inside its process a measurement first warms up every call shape it is going to time.
 */
import { performance } from 'node:perf_hooks';

/** How much work a round does: `full` for figures to quote, `quick` to see that everything works. */
export type Effort = 'full' | 'quick';

/** One figure: the name of the result, its unit, its value, and the most it may be where the project promises that. */
export interface Figure {
  readonly name: string;
  readonly unit: string;
  readonly value: number;
  readonly atMost?: number;
}

export interface Benchmark {
  readonly name: string;
  /** What is measured, in a line for `bench --help`. */
  readonly what: string;
  /** One round: a figure for each result of this benchmark, the same names each time. */
  measure(effort: Effort): readonly Figure[];
}

/** Runs `work` and returns how many host seconds it took. */
export function secondsOf(work: () => void): number {
  const startMs = performance.now();
  work();
  return (performance.now() - startMs) / 1000;
}
