/**
 * The steps of a record as the rows of a table: numbered, and with what comes again and again told once.
 *
 * A driver that brings up four queues does the same four times; a table of it says so in one block. Blocks are found from
 * the left, the one that covers most; inside a block nothing is folded.
 */
import type { CallStep, EntryStep, Step } from './call-record';

/** A call, with its number in the table. */
export interface CallRow extends Pick<CallStep, 'kind' | 'context' | 'call' | 'linux' | 'gives' | 'owes' | 'refused'> {
  readonly n: number;
  /** The row that gives back what this one owes; null when none does. */
  readonly returnedIn: number | null;
  /** The rows whose debt this one settles. */
  readonly returns: readonly number[];
}

/** Rows that come `times` times, one after the other. */
export interface RepeatRow {
  readonly kind: 'repeat';
  readonly times: number;
  readonly rows: readonly (CallRow | EntryStep)[];
}

export type ContractRow = CallRow | EntryStep | RepeatRow;

/** A block of a table: `length` steps from `from` on, `times` times. */
interface Block {
  readonly from: number;
  readonly length: number;
  readonly times: number;
}

/** Longer blocks are not looked for. */
const BLOCK_MAX = 40;

/** What makes two steps the same row. */
export function stepKey(step: Step): string {
  return step.kind === 'entry'
    ? `${step.context} ${step.name} ${String(step.again)}`
    : `${step.context} ${step.call} ${step.linux} ${step.refused}`;
}

/** The numbers that the steps of a record have in its table: those of one repeated block are the same each time. */
export class RowNumbers {
  private readonly numbers: number[] = [];
  private readonly blocks: Block[] = [];
  private last = 0;

  constructor(private readonly steps: readonly Step[]) {}

  /** Lays out the steps up to `to`, in blocks of their own. */
  layOut(to: number): void {
    const { steps, numbers } = this;
    const keys = steps.slice(0, to).map(stepKey);
    for (let at = numbers.length; at < to;) {
      const block = longestBlock(keys, at);
      this.blocks.push(block);
      const first = numbers.length;
      for (let i = 0; i < block.length; i++) numbers.push(steps[at + i].kind === 'call' ? ++this.last : this.last);
      for (let i = block.length; i < block.length * block.times; i++) numbers.push(numbers[first + (i % block.length)]);
      at += block.length * block.times;
    }
  }

  /** As many steps as `other` laid out, with the same numbers. */
  follow(other: RowNumbers, to: number): void {
    this.numbers.push(...other.numbers.slice(0, to));
    this.last = Math.max(0, ...this.numbers);
  }

  /** The number of the last row before a step. */
  before(step: number): number {
    return step === 0 ? 0 : this.numbers[step - 1];
  }

  /** All that was laid out here, as rows. */
  rows(): readonly ContractRow[] {
    return this.blocks.flatMap((block): readonly ContractRow[] => {
      const rows = Array.from({ length: block.length }, (_, i) => this.row(block, i));
      return block.times === 1 ? rows : [{ kind: 'repeat', times: block.times, rows }];
    });
  }

  /** The row for the `i`-th step of a block, with the debts that it settles in all the rounds. */
  private row({ from, length, times }: Block, i: number): CallRow | EntryStep {
    const at = from + i;
    const step = this.steps[at];
    if (step.kind === 'entry') return step;
    const { kind, context, call, linux, gives, owes, refused, returnedIn } = step;
    const rounds = Array.from({ length: times }, (_, round) => this.steps[at + round * length] as CallStep);
    const returns = new Set(rounds.flatMap((round) => round.returns.map((other) => this.numbers[other])));
    return {
      kind,
      n: this.numbers[at],
      context,
      call,
      linux,
      gives,
      owes,
      refused,
      returnedIn: returnedIn === null ? null : (this.numbers[returnedIn] ?? null),
      returns: [...returns].sort((a, b) => a - b),
    };
  }
}

/** The block at `at` that covers most; a single step when nothing comes again. */
function longestBlock(keys: readonly string[], at: number): Block {
  let best: Block = { from: at, length: 1, times: 1 };
  for (let length = 1; length <= BLOCK_MAX && at + 2 * length <= keys.length; length++) {
    let same = 0;
    while (at + length + same < keys.length && keys[at + same] === keys[at + length + same]) same++;
    const times = 1 + Math.floor(same / length);
    if (times > 1 && times * length > best.times * best.length) best = { from: at, length, times };
  }
  return best;
}
