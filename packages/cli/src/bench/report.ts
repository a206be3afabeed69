/**
 * The document of `pincushion bench --json`: the machine it ran on and, for each result, the median of its rounds.
 * Documents quote figures only out of such committed files (bench/results/).
 */
import { arch, cpus, loadavg, platform, release, totalmem } from 'node:os';
import type { Figure } from './benchmark';

export interface BenchMachine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryBytes: number;
  readonly node: string;
  readonly v8: string;
  readonly platform: string;
  /** Mean number of running processes in the minute before: what else the cores were busy with. */
  readonly loadBefore: number;
}

export interface BenchResult {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
  readonly rounds: readonly number[];
  /** What the project promises, where it promises that the figure itself stays small. */
  readonly atMost?: number;
}

export interface BenchReport {
  readonly schemaVersion: 1;
  readonly machine: BenchMachine;
  readonly results: readonly BenchResult[];
  /** Only with `--against-c` or `--against-kernel`: medians of ratios of rounds that alternated with the yardstick. */
  readonly ratios?: readonly BenchRatio[];
}

/** How one of our figures relates to another, or to one of a yardstick. */
export interface BenchRatio {
  readonly name: string;
  readonly against: string;
  readonly value: number;
  readonly rounds: readonly number[];
  /** What the project promises. */
  readonly atLeast: number;
}

/** Whether a promise about a figure or a ratio was not kept. */
export function isMissed(row: {
  readonly value: number;
  readonly atLeast?: number;
  readonly atMost?: number;
}): boolean {
  return row.value < (row.atLeast ?? -Infinity) || row.value > (row.atMost ?? Infinity);
}

export function describeHost(): BenchMachine {
  const processors = cpus();
  return {
    cpu: processors[0]?.model.trim() ?? 'unknown',
    cores: processors.length,
    memoryBytes: totalmem(),
    node: process.version,
    v8: process.versions.v8,
    platform: `${platform()} ${release()} ${arch()}`,
    loadBefore: significant(loadavg()[0]),
  };
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** Four significant digits: what the measurement can carry. */
export function significant(value: number): number {
  return Number(value.toPrecision(4));
}

/** Gathers the figures of all rounds, in order of first appearance. */
export class ResultTable {
  private readonly rows = new Map<string, { unit: string; rounds: number[]; atMost?: number }>();

  add(figures: readonly Figure[]): void {
    for (const { name, unit, value, atMost } of figures) {
      const row = this.rows.get(name) ?? { unit, rounds: [], ...(atMost !== undefined && { atMost }) };
      row.rounds.push(significant(value));
      this.rows.set(name, row);
    }
  }

  rounds(name: string): readonly number[] {
    return this.rows.get(name)?.rounds ?? [];
  }

  results(): readonly BenchResult[] {
    return [...this.rows].map(([name, { unit, rounds, ...promise }]) => ({
      name,
      value: significant(median(rounds)),
      unit,
      rounds,
      ...promise,
    }));
  }
}
