/**
 * Our figures beside those of a program in C, as ratios: the same loops plainly in C, or the running kernel at the work that
 * is emulated here. Absolute figures move by a factor of two with the load of the host, so the two sides alternate within
 * one run, and the ratio of a pair is the median of the ratios of its rounds.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { UsageError } from '@pincushion/sim';
import { outputOf } from './fresh-process';
import type { BenchRatio, ResultTable } from './report';
import { median, significant } from './report';

/** One of our figures, and what it is divided by. */
interface Pair {
  readonly name: string;
  /** A figure of the yardstick, in millions per second; or one of ours when there is no `part`. */
  readonly against: string;
  /** What the yardstick is told to measure for it. */
  readonly part?: string;
  /** The promise. */
  readonly atLeast: number;
}

export interface YardstickKind {
  /** Its option on the command line. */
  readonly option: string;
  /** Its source, from the root of the repository. */
  readonly source: string;
  /** What it needs besides a compiler, for those whom it refuses. */
  readonly needs: string;
  /** Whether it measures directly after each of our benchmarks, or once after all of a round. */
  readonly beside: boolean;
  readonly pairs: readonly Pair[];
  words(part: string): readonly string[];
  /** A figure out of its document: millions per second, or why there is none. */
  figure(document: unknown, name: string): number | string;
}

/** The same loops in C. It measures everything at once. */
export const C_REFERENCE: YardstickKind = {
  option: '--against-c',
  source: 'bench/reference/c_reference.c',
  needs: 'a POSIX system',
  beside: false,
  pairs: [
    { name: 'queue.depth32', against: 'hold.heap4.qd32.Mevents/s', part: 'all', atLeast: 0.4 },
    { name: 'queue.depth1m', against: 'queue.depth32', atLeast: 0.4 },
    { name: 'nvme.read4k.qd32.nodata', against: 'nvme.nocopy+pin.qd32.Mops/s', part: 'all', atLeast: 0.12 },
    { name: 'nvme.read4k.qd32.data', against: 'nvme.copy+pin.qd32.Mops/s', part: 'all', atLeast: 0.3 },
    { name: 'flash.events.qd32', against: 'ssd.events.qd32.Mreq/s', part: 'all', atLeast: 0.35 },
  ],
  words: () => ['1'],
  figure: (document, name) => (document as Partial<Record<string, number>>)[name] ?? 'it has no such figure',
};

const KERNEL_PAGES = 131_072;
const KERNEL_REPETITIONS = 5;

/** The running kernel, asked through system calls. */
export const RUNNING_KERNEL: YardstickKind = {
  option: '--against-kernel',
  source: 'bench/reference/kernel_pin_bench.c',
  needs: 'Linux, root and io_uring',
  beside: true,
  pairs: [
    { name: 'pin.4k.sequential', against: 'pin4k.pin+unpin', part: 'pin', atLeast: 6 },
    { name: 'pin.4k.sequential.afterSchemes', against: 'pin4k.pin+unpin', part: 'pin', atLeast: 6 },
    { name: 'pin.4k.random', against: 'pin4k.pin+unpin', part: 'pin', atLeast: 3 },
    { name: 'pin.4k.batch8', against: 'pin4k.batch8.pin+unpin', part: 'pin', atLeast: 8 },
    { name: 'pin.2m.array', against: 'pinTHP.pin+unpin', part: 'thp', atLeast: 0.8 },
    { name: 'pin.2m.ranges', against: 'pinTHP.pin+unpin', part: 'thp', atLeast: 30 },
    { name: 'fork.unpinned', against: 'fork.unpinned', part: 'fork', atLeast: 5 },
    { name: 'fork.pinned', against: 'fork.pinned_copies', part: 'fork', atLeast: 0.8 },
  ],
  words: (part) => [String(KERNEL_PAGES), String(KERNEL_REPETITIONS), part],
  figure: (document, name) => {
    const entries = document as Record<string, { median?: number; skipped?: string }>;
    // What was skipped is noted under the name of the test, with which the names of its figures begin.
    const skipped = Object.entries(entries).find(
      ([test, { skipped }]) => skipped !== undefined && name.startsWith(test),
    );
    return skipped?.[1].skipped ?? (name in entries ? entries[name].median : undefined) ?? 'it has no such figure';
  },
};

/** A compiled yardstick and what it has measured so far. */
export class Yardstick {
  /** The figures that stand beside those of one of our benchmarks, by its name. */
  private readonly rounds = new Map<string, number[]>();

  private constructor(
    private readonly kind: YardstickKind,
    private readonly binary: string,
    private readonly folder: string | null,
  ) {}

  /** Takes a compiled yardstick, or compiles the source in this repository with `cc`. */
  static prepare(kind: YardstickKind, binary: string | true): Yardstick {
    if (binary !== true) {
      if (!existsSync(binary)) {
        throw new UsageError('FILE_UNREADABLE', `${binary}: there is no such file`, {
          expected: `the compiled ${kind.source}`,
          hint: 'leave the path away to have it compiled with cc',
        });
      }
      return new Yardstick(kind, resolve(binary), null);
    }
    const source = resolve(__dirname, '../../../..', kind.source);
    const folder = mkdtempSync(join(tmpdir(), 'pincushion-bench-'));
    try {
      const target = join(folder, 'yardstick');
      execFileSync('cc', ['-O2', '-o', target, source], { stdio: ['ignore', 'ignore', 'pipe'] });
      return new Yardstick(kind, target, folder);
    } catch (error) {
      rmSync(folder, { recursive: true, force: true });
      throw new UsageError('FILE_UNREADABLE', `${source} could not be compiled with cc`, {
        hint: `install a C compiler, or give ${kind.option} the path of a compiled one`,
        cause: error,
      });
    }
  }

  /** Our benchmark `name` has just been measured. */
  async afterBenchmark(name: string): Promise<void> {
    if (this.kind.beside) await this.measure([name]);
  }

  /** The benchmarks `names` have all been measured. */
  async afterRound(names: readonly string[]): Promise<void> {
    if (!this.kind.beside) await this.measure(names);
  }

  /** The ratios of the pairs whose both sides were measured. */
  ratios(ours: ResultTable): readonly BenchRatio[] {
    const found: BenchRatio[] = [];
    for (const { name, against, part, atLeast } of this.kind.pairs) {
      const other = part === undefined ? ours.rounds(against) : (this.rounds.get(name) ?? []);
      const mine = ours.rounds(name).slice(0, other.length);
      const rounds = mine.map((value, i) => significant(value / other[i]));
      if (rounds.length > 0) found.push({ name, against, value: significant(median(rounds)), rounds, atLeast });
    }
    return found;
  }

  dispose(): void {
    if (this.folder !== null) rmSync(this.folder, { recursive: true, force: true });
  }

  /** Runs each part that these benchmarks are compared with, once. */
  private async measure(names: readonly string[]): Promise<void> {
    const documents = new Map<string, unknown>();
    for (const { name, against, part } of this.kind.pairs) {
      if (part === undefined || !names.includes(name)) continue;
      let document = documents.get(part);
      if (document === undefined) {
        document = JSON.parse(await outputOf(this.binary, this.kind.words(part)));
        documents.set(part, document);
      }
      const figure = this.kind.figure(document, against);
      if (typeof figure === 'string') throw this.unmeasured(against, figure);
      const rounds = this.rounds.get(name);
      if (rounds === undefined) this.rounds.set(name, [figure * 1e6]);
      else rounds.push(figure * 1e6);
    }
  }

  private unmeasured(figure: string, why: string): UsageError {
    return new UsageError('FILE_UNREADABLE', `${this.kind.source} did not measure ${figure}: ${why}`, {
      hint: `it needs ${this.kind.needs}`,
    });
  }
}
