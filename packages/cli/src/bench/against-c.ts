/**
 * Our figures beside those of the compiled reference (bench/reference/c_reference.c), as ratios. Absolute figures move by
 * a factor of two with the load of the host, so the two sides alternate within one run, and the ratio of a pair is the
 * median of the ratios of its rounds.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { UsageError } from '@pincushion/sim';
import { outputOf } from './fresh-process';
import type { BenchRatio, ResultTable } from './report';
import { median, significant } from './report';

interface Pair {
  readonly name: string;
  /** A figure of the reference, in millions per second; or one of ours when it starts with `queue.` or `nvme.`. */
  readonly against: string;
  readonly ofReference: boolean;
  readonly atLeast: number;
}

/** The ratios the project holds itself to. */
const PAIRS: readonly Pair[] = [
  { name: 'queue.depth32', against: 'hold.heap4.qd32.Mevents/s', ofReference: true, atLeast: 0.4 },
  { name: 'queue.depth1m', against: 'queue.depth32', ofReference: false, atLeast: 0.4 },
  { name: 'nvme.read4k.qd32.nodata', against: 'nvme.nocopy+pin.qd32.Mops/s', ofReference: true, atLeast: 0.12 },
  { name: 'nvme.read4k.qd32.data', against: 'nvme.copy+pin.qd32.Mops/s', ofReference: true, atLeast: 0.3 },
];

export class CompiledReference {
  private readonly rounds: Record<string, number>[] = [];

  private constructor(
    private readonly binary: string,
    private readonly folder: string | null,
  ) {}

  /** Takes a compiled reference, or compiles the one of this repository with `cc`. */
  static prepare(binary: string | true): CompiledReference {
    if (binary !== true) {
      if (!existsSync(binary)) {
        throw new UsageError('FILE_UNREADABLE', `${binary}: there is no such file`, {
          expected: 'the compiled bench/reference/c_reference.c',
          hint: 'leave the path away to have it compiled with cc',
        });
      }
      return new CompiledReference(resolve(binary), null);
    }
    const source = resolve(__dirname, '../../../../bench/reference/c_reference.c');
    const folder = mkdtempSync(join(tmpdir(), 'pincushion-bench-'));
    try {
      const target = join(folder, 'c_reference');
      execFileSync('cc', ['-O2', '-o', target, source], { stdio: ['ignore', 'ignore', 'pipe'] });
      return new CompiledReference(target, folder);
    } catch (error) {
      rmSync(folder, { recursive: true, force: true });
      throw new UsageError('FILE_UNREADABLE', `${source} could not be compiled with cc`, {
        hint: 'install a C compiler, or give --against-c the path of a compiled reference',
        cause: error,
      });
    }
  }

  /** One round: every figure of the reference, once. */
  async measure(): Promise<void> {
    this.rounds.push(JSON.parse(await outputOf(this.binary, ['1'])) as Record<string, number>);
  }

  /** The ratios of the pairs whose both sides were measured. */
  ratios(ours: ResultTable): readonly BenchRatio[] {
    const found: BenchRatio[] = [];
    for (const { name, against, ofReference, atLeast } of PAIRS) {
      const mine = ours.rounds(name);
      const other = ofReference ? this.rounds.map((round) => (round[against] ?? NaN) * 1e6) : ours.rounds(against);
      const rounds = mine.slice(0, other.length).map((value, i) => significant(value / other[i]));
      if (rounds.length > 0) found.push({ name, against, value: significant(median(rounds)), rounds, atLeast });
    }
    return found;
  }

  dispose(): void {
    if (this.folder !== null) rmSync(this.folder, { recursive: true, force: true });
  }
}
