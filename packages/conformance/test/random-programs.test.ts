/**
 * That random programs are what they should be, and that a broken rule is found and cut down to a few steps. More programs
 * run in test/cli/ask.test.ts, all of them in test/golden/random-programs.long.ts: beside all of jest they are slow.
 */
import { linux618 } from '@pincushion/mm';
import { parseScript, randomProgram, runProgram, runRandomPrograms, scriptText } from '../src/index';
import type { ScenarioMachine } from '../src/index';

describe('random programs', () => {
  it('are the same for the same seed, and others for another', () => {
    expect(randomProgram(7, 3, 40)).toEqual(randomProgram(7, 3, 40));
    expect(randomProgram(7, 3, 40).steps).not.toEqual(randomProgram(8, 3, 40).steps);
    expect(randomProgram(7, 3, 40).steps).not.toEqual(randomProgram(7, 4, 40).steps);
  });

  it('are scenarios in the notation of the recorder', () => {
    for (let k = 0; k < 50; k++) {
      const program = randomProgram(11, k, 40);
      const read = parseScript(scriptText(program), 'program');
      expect(read.steps.map(({ by, op }) => `${by} ${op}`)).toEqual(program.steps.map(({ by, op }) => `${by} ${op}`));
    }
  });

  it('meet nearly every operation', () => {
    const met = new Set<string>();
    for (let k = 0; k < 200; k++) for (const { op } of randomProgram(1, k, 40).steps) met.add(op);
    expect(met.size).toBeGreaterThanOrEqual(40);
  });

  it('run clean: nothing contradicts itself, no content strays, nothing is left at the end', () => {
    expect(runRandomPrograms({ seed: 20181012, programs: 10, operations: 40 })).toEqual({
      programs: 10,
      failures: [],
    });
  });
});

describe('a broken rule is found and shrunk', () => {
  it('no early copy at fork', () => {
    const profile = { ...linux618, forkCopiesPinned: false };
    const { failures } = runRandomPrograms({ seed: 1, programs: 50, operations: 40, profile });
    expect(failures).toHaveLength(1);
    const [{ what, script }] = failures;
    expect(what).toMatch(/pinned, anonymous and not exclusive/);
    expect(script.steps.map(({ op }) => op)).toEqual(expect.arrayContaining(['mmap', 'fork']));
    expect(script.steps.length).toBeLessThanOrEqual(5);
    // The shrunken scenario fails as it is written, and is clean with the rule.
    const read = parseScript(scriptText(script), 'shrunk');
    expect(runProgram(read, { profile })?.what).toMatch(/not exclusive/);
    expect(runProgram(read)).toBeNull();
  });

  it('content of a child that a device of the parent writes to', () => {
    const profile = { ...linux618, forkCopiesPinnedHugetlb: false };
    const { failures } = runRandomPrograms({ seed: 1, first: 55, programs: 100, operations: 40, profile });
    expect(failures.map(({ shrunkTo }) => shrunkTo)).toEqual([expect.stringMatching(/^C\d sees \d+ in [A-H]\[\d+\]/)]);
    expect(failures[0].script.steps.length).toBeLessThanOrEqual(6);
  });

  it('a reference that is never given back', () => {
    const prepare = ({ memory }: ScenarioMachine): undefined => {
      let leaked = false;
      const unpin = memory.gup.unpinUserPages.bind(memory.gup);
      memory.gup.unpinUserPages = (pages, at, n) => {
        const kept = leaked || n === 0 ? 0 : 1;
        leaked ||= kept === 1;
        unpin(pages, at, n - kept);
      };
      return undefined;
    };
    const { failures } = runRandomPrograms({ seed: 3, programs: 20, operations: 40, prepare });
    expect(failures).toHaveLength(1);
    expect(failures[0].script.steps.length).toBeLessThanOrEqual(4);
  });
});
