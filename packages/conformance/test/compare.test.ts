import { MAP_ANONYMOUS, MAP_PRIVATE, PAGE_SIZE, PROT_READ, PROT_WRITE, indexOf, regionOf } from '@pincushion/mm';
import { TIERS, replayScenario } from '../src/index';
import type { Scenario, ScenarioMachine, Tier } from '../src/index';
import { altered, golden } from './recordings';
import type { Changeable } from './recordings';

const forked = golden('fork', 'fork/unpinned-parent-writes');
const pinned = golden('fork', 'fork/pin-then-fork-parent-writes');

function disagreeing(scenario: Scenario): readonly Tier[] {
  return TIERS.filter((tier) => replayScenario(scenario).disagreements.has(tier));
}

/** The step of an operation, and what it recorded. */
function step(copy: Changeable, op: string) {
  const found = copy.steps.find((each) => each.op === op);
  if (found === undefined) throw new Error(`no step ${op}`);
  return found;
}

it('the scenarios altered here agree as they were recorded', () => {
  expect(disagreeing(forked)).toEqual([]);
  expect(disagreeing(pinned)).toEqual([]);
});

describe('a planted difference is found in', () => {
  it.each<[string, Scenario, (copy: Changeable) => void]>([
    ['a result', forked, (copy) => void (step(copy, 'r').res = 7)],
    ['an errno', forked, (copy) => void (step(copy, 'fork').res = 'EAGAIN')],
    ['a content', forked, (copy) => void Object.assign(step(copy, 'w').s.f['p0'] ?? {}, { c: 200 })],
    ['an extra result', forked, (copy) => void (step(copy, 'fork').x = '1,2')],
  ])('tier 1: %s', (_what, scenario, change) => {
    expect(disagreeing(altered(scenario, change))).toContain(1);
  });

  it.each<[string, string, string, readonly Tier[]]>([
    ['another frame, which has other content, too', 'p3:wdx', 'p0:wdx', [1, 2]],
    ['nothing mapped', 'p3:wdx', '.', [2]],
    ['a swapped page', 'p3:wdx', 'S', [2]],
  ])('tier 2: %s', (_what, was, is, tiers) => {
    const change = (copy: Changeable): void => {
      for (const { s } of copy.steps) {
        for (const regions of Object.values(s.v)) {
          for (const [region, view] of Object.entries(regions)) regions[region] = view.replace(was, is);
        }
      }
    };
    expect(disagreeing(altered(forked, change))).toEqual(tiers);
  });

  it.each<[string, string, string, string | number]>([
    ['a reference count', 'p0', 'rc', 3],
    ['a map count', 'p0', 'mc', 5],
    ['exclusivity', 'p0', 'f', 'AXULB'],
  ])('tier 3 alone: %s', (_what, frame, field, value) => {
    const change = (copy: Changeable): void => {
      Object.assign(step(copy, 'fork').s.f[frame] ?? {}, { [field]: value });
    };
    expect(disagreeing(altered(forked, change))).toEqual([3]);
  });

  it('tier 3: a frame that should be gone, one that should live, an account', () => {
    const lives = altered(forked, (copy) => {
      delete step(copy, 'exit').s.f['p0'];
    });
    expect(disagreeing(lives)).toEqual([3]);
    const gone = altered(forked, (copy) => void (step(copy, 'exit').s.f['p1'] = null));
    expect(disagreeing(gone)).toEqual([3]);
    const account = altered(pinned, (copy) => void Object.assign(step(copy, 'pin').s.m['P'], { pin: 9 }));
    expect(disagreeing(account)).toEqual([3]);
  });

  it('tier 4 alone: bits of an entry, faults', () => {
    const bit = altered(forked, (copy) => {
      step(copy, 'fork').s.v['P']['A'] = 'p0:wd p1:d p2:d .';
    });
    expect(disagreeing(bit)).toEqual([4]);
    expect(disagreeing(altered(forked, (copy) => void (step(copy, 'w').flt = 0)))).toEqual([4]);
  });

  it('tier 5 alone: other flags, pages pinned and unpinned', () => {
    const flag = altered(forked, (copy) => void Object.assign(step(copy, 'fork').s.f['p0'] ?? {}, { f: 'ADULB' }));
    expect(disagreeing(flag)).toEqual([5]);
    expect(disagreeing(altered(pinned, (copy) => void (step(copy, 'pin').pa = 4)))).toEqual([5]);
    expect(disagreeing(altered(pinned, (copy) => void (step(copy, 'pin').pr = 1)))).toEqual([5]);
  });

  it('the step it was planted in, and nowhere before', () => {
    const at = forked.steps.findIndex(({ op }) => op === 'exit');
    const gone = altered(forked, (copy) => void (copy.steps[at].s.f['p1'] = null));
    expect(replayScenario(gone).disagreements.get(3)).toMatchObject({
      step: at,
      subject: 'p1',
      expected: 'no such frame',
    });
  });
});

describe('a reference that nobody explains', () => {
  /** After the third step, to a page of a process that no snapshot shows. */
  const leak = (paranoid: boolean) => {
    let steps = 0;
    return replayScenario(forked, {
      paranoid,
      onStep: ({ machine }) => {
        if (++steps === 3) machine.memory.getFolio(strangersPage(machine));
        return undefined;
      },
    });
  };

  it('is found by the paranoid, at the next step, as a contradiction in tier 3', () => {
    expect(replayScenario(forked, { paranoid: true }).disagreements.size).toBe(0);
    expect([...leak(true).disagreements.values()]).toEqual([
      expect.objectContaining({ tier: 3, step: 3, subject: 'invariant', expected: 'holds' }),
    ]);
  });

  it('is not looked for by others', () => {
    expect(leak(false).disagreements.size).toBe(0);
  });
});

it('an unknown operation is a disagreement of its step', () => {
  const changed = altered(forked, (copy) => void (copy.steps[4].op = 'frobnicate'));
  expect(replayScenario(changed).disagreements.get(1)).toMatchObject({
    step: 4,
    subject: 'result',
    got: 'unknown operation frobnicate',
  });
});

it('a step of a process that is gone says so', () => {
  const changed = altered(forked, (copy) => {
    const exit = copy.steps[copy.steps.length - 1];
    copy.steps.push({ ...exit, op: 'r', a: { r: 'A', i: 0 }, res: 1, s: { v: {}, f: {}, m: {} } });
  });
  expect(replayScenario(changed).disagreements.get(1)).toMatchObject({ expected: '1', got: 'NOPROC' });
});

/** A page of a process that the scenario knows nothing of. */
function strangersPage(machine: ScenarioMachine): number {
  const stranger = machine.memory.createMm('stranger');
  const address = machine.settle(stranger.mmap(PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS));
  machine.settle(stranger.write(address, Uint8Array.of(1)));
  return stranger.pageTable.frameAt(regionOf(address), indexOf(address));
}

/** Every value that a recording states, each as a change that makes it another one. */
function alterations(scenario: Scenario): readonly [string, number, (copy: Changeable) => void][] {
  return scenario.steps.flatMap((each, k): [string, number, (copy: Changeable) => void][] => {
    const where = `step ${k + 1}`;
    const changes: [string, number, (copy: Changeable) => void][] = [
      [`${where} result`, k, (copy) => void (copy.steps[k].res = each.res === 'ok' ? 'EIO' : 'ok')],
      [`${where} pinned`, k, (copy) => void (copy.steps[k].pa = (each.pa ?? 0) + 1)],
      [`${where} unpinned`, k, (copy) => void (copy.steps[k].pr = (each.pr ?? 0) + 1)],
    ];
    if (each.flt !== undefined) changes.push([`${where} faults`, k, (copy) => void (copy.steps[k].flt = 9)]);
    for (const [process, regions] of Object.entries(each.s.v)) {
      for (const [region, view] of Object.entries(regions)) {
        for (const i of view.split(' ').keys()) {
          const change = (copy: Changeable): void => {
            const entries = view.split(' ');
            entries[i] = 'p77:w';
            copy.steps[k].s.v[process][region] = entries.join(' ');
          };
          changes.push([`${where} ${process} ${region}[${i}]`, k, change]);
        }
      }
    }
    for (const [frame, state] of Object.entries(each.s.f)) {
      if (state === null) {
        const change = (copy: Changeable): void => {
          copy.steps[k].s.f[frame] = { rc: 1, mc: 0, f: 'U', c: 0 };
        };
        changes.push([`${where} end of ${frame}`, k, change]);
      }
      for (const [field, value] of Object.entries(state ?? {})) {
        const other = typeof value === 'number' ? value + 1 : `${String(value)}W`;
        const change = (copy: Changeable): void => {
          Object.assign(copy.steps[k].s.f[frame] ?? {}, { [field]: other });
        };
        changes.push([`${where} ${frame} ${field}`, k, change]);
      }
    }
    for (const [process, accounts] of Object.entries(each.s.m)) {
      for (const [field, value] of Object.entries(accounts)) {
        const change = (copy: Changeable): void => {
          copy.steps[k].s.m[process][field] = Number(value) + 1;
        };
        changes.push([`${where} accounts of ${process}: ${field}`, k, change]);
      }
    }
    return changes;
  });
}

describe('no value of a recording goes unread: altered, it is a difference of its step, and of none before', () => {
  it.each([
    ['small pages', pinned],
    ['a huge page', golden('thp', 'thp/pin-four-subpages')],
  ])('%s', (_what, scenario) => {
    const all = alterations(scenario);
    expect(all.length).toBeGreaterThan(50);
    const unread = all.filter(([, k, change]) => {
      const { disagreements } = replayScenario(altered(scenario, change));
      return Math.min(...[...disagreements.values()].map(({ step: at }) => at)) !== k;
    });
    expect(unread.map(([what]) => what)).toEqual([]);
  });
});
