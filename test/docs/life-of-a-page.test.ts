/** The counts in docs/life-of-a-page.md are those of the recordings that it names. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { REPOSITORY, readDocument, tableRows } from './documents';

interface Step {
  readonly s?: { readonly f?: Readonly<Record<string, Frame | null>> };
}

interface Frame {
  readonly rc?: number;
  readonly mc?: number;
  readonly o?: number;
  readonly pc?: number;
  readonly em?: number;
  readonly lm?: number;
  readonly f: string;
}

/** `rc 1025 mc 1 AXULB` of a small folio, `rc 2 pc 1 em 1 lm 1 AXULBH` of a large one. */
function countsOf({ rc, mc, o = 0, pc, em, lm, f }: Frame): string {
  return o > 0 ? `rc ${rc} pc ${pc} em ${em} lm ${lm} ${f}` : `rc ${rc} mc ${mc} ${f}`;
}

/** The frames that a step changed, as the kernel showed them. */
function recorded(scenario: string, step: number): readonly string[] {
  const [topic] = scenario.split('/');
  const lines = readFileSync(join(REPOSITORY, `test/golden/linux-6.18/${topic}.jsonl`), 'utf8')
    .trimEnd()
    .split('\n');
  const found = lines
    .map((line) => JSON.parse(line) as { readonly name: string; readonly steps: readonly Step[] })
    .find(({ name }) => name === scenario);
  if (found === undefined) throw new Error(`there is no scenario ${scenario}`);
  const frames = Object.values(found.steps.at(step - 1)?.s?.f ?? {});
  return frames.flatMap((frame) => (frame === null ? [] : [countsOf(frame)]));
}

describe('docs/life-of-a-page.md', () => {
  const examples = tableRows(readDocument('docs/life-of-a-page.md').prose).flatMap((cells) => {
    const named = /^`([\w./-]+)` (\d+)$/.exec(cells.at(4) ?? '');
    if (named === null) return [];
    const [, scenario, step] = named;
    return [{ state: cells[0], counts: cells[3], scenario, step: Number(step) }];
  });

  it('has examples of each kind of page', () => {
    expect(examples.length).toBeGreaterThan(30);
  });

  it.each(examples)('shows what the kernel showed: $state, $scenario $step', ({ counts, scenario, step }) => {
    expect(recorded(scenario, step)).toContain(counts);
  });
});
