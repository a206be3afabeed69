/** What `replay` says of a finding, and the file of a finding of `ask`, from the command that writes it to the one that reads it. */
import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseScript } from '@pincushion/conformance';
import { createColors } from 'picocolors';
import { renderReplay } from '../src/replay/render';
import type { Expected, ReplayDocument } from '../src/replay/replay-file';
import { readReplay } from '../src/replay/replay-file';
import { ReplayFolder } from '../src/replay/replay-folder';
import { environmentDifferences, replayReport } from '../src/replay/replayed';
import { replayScenarioByHand, scenarioReplay } from '../src/replay/scenario-replay';
import { processTerminal } from '../src/terminal';

const folder = mkdtempSync(join(tmpdir(), 'pincushion-replay-'));
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

const plain = createColors(false);
const order = scenarioReplay(parseScript('mmap A anon 1; pin p A 0 1; fork C1', 'test'), '6.18', ['p0 is odd', 'more']);

function written(name: string): { readonly line: string; readonly document: ReplayDocument } {
  const replayDir = join(folder, name);
  const line = new ReplayFolder({ replay: true, replayDir }, processTerminal()).write(order) ?? '';
  const [file] = readdirSync(replayDir);
  return { line, document: readReplay(join(replayDir, file)) };
}

/** A finding of scenario `of`. */
const disagreement = (of: string): Expected => ({ code: 'KERNEL_DISAGREEMENT', of, summary: 'step 2', times: 1 });

describe('the file of a contradiction that ask has found', () => {
  it('has the scenario and the contradictions, and runs clean when memory does not contradict itself', () => {
    const { document } = written('clean');
    const { subject, expected } = document;
    expect(expected).toEqual([{ code: 'MEMORY_INVALID', of: '', summary: 'p0 is odd', times: 2 }]);
    if (subject.command !== 'ask') throw new Error(subject.command);
    const report = replayReport('it', document, replayScenarioByHand(subject, 'it'));
    expect(report).toMatchObject({ reproduced: false, found: [], diverged: null });
    expect(renderReplay(report, plain)).toMatch(
      /✓ MEMORY_INVALID {2}p0 is odd {2}does not show\n\nnot reproduced: MEMORY_INVALID/,
    );
  });

  it('has the same name each time, so that the folder does not fill', () => {
    expect(written('twice').line).toBe(written('twice').line);
    expect(readdirSync(join(folder, 'twice'))).toHaveLength(1);
  });

  it('is named as one word of a shell', () => {
    expect(written("it's a folder").line).toMatch(
      /^npx pincushion replay '.*it'\\''s a folder\/ask-asked-MEMORY_INVALID-\w{6}\.replay\.json'$/,
    );
  });

  it('is not written, nor is its folder made, with --no-replay', () => {
    const replayDir = join(folder, 'none');
    expect(new ReplayFolder({ replay: false, replayDir }, processTerminal()).write(order)).toBeNull();
    expect(statSync(replayDir, { throwIfNoEntry: false })).toBeUndefined();
  });
});

describe('the report of a replay', () => {
  const { document } = written('report');
  const found = [disagreement('a')];

  it('tells findings that show again, that do not, and that are new, by their scenarios', () => {
    const both = { ...document, expected: [disagreement('a'), disagreement('b')] };
    const text = renderReplay(
      replayReport('it', both, { found: [...found, disagreement('c')], differences: [], trail: null }),
      plain,
    );
    expect(text).toMatch(
      /✗ KERNEL_DISAGREEMENT a .*\n✓ KERNEL_DISAGREEMENT b .* does not show\n\+ KERNEL_DISAGREEMENT .* new\n/,
    );
    expect(text).toMatch(/\nreproduced in part: 1 of 2 findings show again\n/);
  });

  it('tells a divergence as a finding only when nothing is known to differ', () => {
    const trail = { text: 'pincushion-trail 1\n5 a 0 0 0..9 3\nend 1 5 00000000\n' };
    const here = 'pincushion-trail 1\n5 a 0 0 0..9 4\nend 1 5 00000001\n';
    const replayed = { found: [], differences: [], trail: here };
    const unexplained = replayReport('it', { ...document, trail }, replayed);
    expect(unexplained).toMatchObject({ unexplained: true, diverged: { first: 1, atNs: 5 } });
    expect(renderReplay(unexplained, plain)).toMatch(/REPLAY_DIVERGED at decision 1, at 5 ns/);
    const explained = replayReport(
      'it',
      { ...document, trail },
      { ...replayed, differences: ['nic is not the same code'] },
    );
    expect(explained.unexplained).toBe(false);
    expect(renderReplay(explained, plain)).toMatch(/differs: nic is not the same code\nanother way: at decision 1/);
  });

  it('says when another Pincushion has made the file', () => {
    expect(environmentDifferences(document)).toEqual([]);
    const older = { ...document, made: { ...document.made, pincushion: '0.0.1' } };
    expect(environmentDifferences(older)).toEqual([expect.stringMatching(/^Pincushion 0\.0\.1 then, /)]);
    const api = { ...document, made: { ...document.made, api: 0 } };
    expect(environmentDifferences(api)).toEqual(['version 0 of the plugin contract then, 1 now']);
  });
});
