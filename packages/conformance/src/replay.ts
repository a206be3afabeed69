/** Replays one scenario on a fresh machine and compares every step. */
import { linux618 } from '@pincushion/mm';
import type { KernelProfile } from '@pincushion/mm';
import type { Difference, OwnStep, Tier } from './compare';
import { TIERS, compareStep } from './compare';
import { contradictionsIn } from './contradictions';
import type { Scenario } from './recording';
import { ScenarioMachine } from './scenario-machine';
import { foldSteps } from './snapshot';
import type { Snapshot } from './snapshot';

/** The first step of a scenario that differs in a tier. */
export interface Disagreement extends Difference {
  /** Index of the step. */
  readonly step: number;
}

export interface ScenarioResult {
  readonly scenario: Scenario;
  /** By tier; none where all steps agree. */
  readonly disagreements: ReadonlyMap<Tier, Disagreement>;
  /** The kernel it was replayed on. */
  readonly profile: KernelProfile;
  /** Why the replay ended before the last step, or null. */
  readonly broke: string | null;
}

/** Whether a scenario agrees up to a tier. */
export function agreesUpTo(result: ScenarioResult, tier: Tier): boolean {
  return TIERS.every((each) => each > tier || !result.disagreements.has(each));
}

/** What happened in each step, for the stories of a report. */
export interface ReplayedStep {
  readonly expected: Snapshot;
  readonly own: OwnStep;
  /** What the memory manager said about a refusal in this step; empty when it refused nothing. */
  readonly why: string;
  /** The machine as it is after the step; it goes on with the next. */
  readonly machine: ScenarioMachine;
}

export interface ReplayOptions {
  /** Looks after each step for anything in memory that contradicts itself; that is a disagreement of tier 3. */
  readonly paranoid?: boolean;
  /** The kernel to behave like; the recorded one unless given. */
  readonly profile?: KernelProfile;
  /** Is told about every step. */
  readonly onStep?: (step: ReplayedStep) => undefined;
}

export function replayScenario(scenario: Scenario, options: ReplayOptions = {}): ScenarioResult {
  const { paranoid = false, profile = linux618, onStep } = options;
  const disagreements = new Map<Tier, Disagreement>();
  const machine = new ScenarioMachine({ profile, ledger: paranoid ? 'full' : 'counts' });
  const { memory } = machine;
  const { vmstat } = memory;
  const folded = foldSteps(scenario.steps);
  for (const [index, step] of scenario.steps.entries()) {
    const expected = folded.next().value as Snapshot;
    let own: OwnStep;
    const whyBefore = memory.gup.why();
    try {
      const [acquired, released] = [vmstat.nrFollPinAcquired, vmstat.nrFollPinReleased];
      const outcome = machine.perform(step.by, step.op, step.a);
      const pinned = vmstat.nrFollPinAcquired - acquired;
      const unpinned = vmstat.nrFollPinReleased - released;
      own = { outcome, pinned, unpinned, snapshot: machine.observer.snapshot() };
    } catch (error) {
      const text = error instanceof Error ? error.message : String(error);
      for (const tier of TIERS) {
        if (disagreements.has(tier)) continue;
        disagreements.set(tier, {
          tier,
          step: index,
          subject: 'result',
          expected: String(step.res),
          got: `threw: ${text}`,
          frame: null,
        });
      }
      return { scenario, disagreements, profile, broke: error instanceof Error ? (error.stack ?? text) : text };
    }
    const differences = [...compareStep(step, expected, own), ...(paranoid ? contradictionsOf(machine) : [])];
    for (const difference of differences) {
      if (!disagreements.has(difference.tier)) disagreements.set(difference.tier, { ...difference, step: index });
    }
    const why = memory.gup.why();
    onStep?.({ expected, own, why: why === whyBefore ? '' : why, machine });
  }
  return { scenario, disagreements, profile, broke: null };
}

/** What the machine says against itself, as a difference. */
function contradictionsOf(machine: ScenarioMachine): readonly Difference[] {
  const found = contradictionsIn(machine);
  if (found.length === 0) return [];
  const more = found.length > 1 ? ` (and ${found.length - 1} more)` : '';
  return [{ tier: 3, subject: 'invariant', expected: 'holds', got: `${found[0]}${more}`, frame: null }];
}
