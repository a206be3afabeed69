/**
 * Runs a program on a fresh machine, looks after every step whether anything contradicts itself, and cuts a program that
 * fails down to the steps that matter.
 *
 * A program fails when memory contradicts itself (`memoryContradictions`), when content appears or vanishes where the step
 * has no business (`ContentWatch`), when something is thrown, when the world reports a finding, or when at the end, with
 * all processes gone, somebody still holds a page of theirs.
 */
import type { KernelProfile } from '@pincushion/mm';
import { contradictionsIn } from '../contradictions';
import { ScenarioMachine } from '../scenario-machine';
import type { Script, ScriptStep } from '../script/script';
import { ContentWatch } from './content-watch';

export interface ProgramFailure {
  /** Index of the step after which it was seen; the number of steps when it was seen after the end. */
  readonly step: number;
  readonly what: string;
}

export interface RunOptions {
  readonly profile?: KernelProfile;
  /** Is handed the machine before the first step and may plant a fault, or watch. */
  readonly prepare?: (machine: ScenarioMachine) => undefined;
}

/** The first thing that is wrong, or null. */
export function runProgram({ steps }: Script, options: RunOptions = {}): ProgramFailure | null {
  const { profile, prepare } = options;
  const machine = new ScenarioMachine({ ledger: 'full', ...(profile === undefined ? {} : { profile }) });
  prepare?.(machine);
  const watch = new ContentWatch(machine);
  for (const [step, { by, op, a }] of steps.entries()) {
    let what: string | null;
    try {
      const { res } = machine.perform(by, op, a);
      what = wrongWith(machine) ?? watch.after({ by, op, a }, res);
    } catch (error) {
      what = `threw: ${error instanceof Error ? error.message : String(error)}`;
    }
    if (what !== null) return { step, what };
  }
  const left = endOf(machine, steps);
  return left === null ? null : { step: steps.length, what: left };
}

function wrongWith(machine: ScenarioMachine): string | null {
  const found = contradictionsIn(machine).at(0);
  if (found !== undefined) return found;
  const finding = machine.world.findings.all.at(0);
  return finding === undefined ? null : `${finding.code}: ${finding.summary}`;
}

/** Transfers are answered, everybody exits; nobody may have pins or plain references left then. */
function endOf(machine: ScenarioMachine, steps: readonly ScriptStep[]): string | null {
  try {
    for (const { op, a } of steps)
      if (op === 'dmain' || op === 'dmaout') machine.perform('P', 'dmaend', { id: a['id'] });
    for (const process of machine.processes) if (process.alive) machine.perform(process.name, 'exit', {});
    const wrong = wrongWith(machine);
    if (wrong !== null) return `after the end: ${wrong}`;
    const { pinsAcquired, pinsReleased, getsAcquired, getsReleased } = machine.memory.ledger.counters;
    if (pinsAcquired !== pinsReleased) return `after the end: ${pinsAcquired - pinsReleased} pins are left`;
    if (getsAcquired !== getsReleased) return `after the end: ${getsAcquired - getsReleased} references are left`;
    if (machine.memory.rootUser.lockedVm !== 0)
      return `after the end: the user is charged for ${machine.memory.rootUser.lockedVm} pages`;
    return null;
  } catch (error) {
    return `after the end: threw: ${error instanceof Error ? error.message : String(error)}`;
  }
}

/** Numbers of a message say where, not what: two failures with the same words are the same failure. */
function kindOf({ what }: ProgramFailure): string {
  return what.replace(/0x[0-9a-f]+|\d+/g, 'n');
}

/** Tries of one shrinking, so that it ends in seconds. */
const TRIES_MOST = 4000;

/**
 * A shorter program that fails in the same way: steps are dropped, in halves and then one by one, and numbers made
 * smaller, until nothing more can go.
 */
export function shrinkProgram(script: Script, failure: ProgramFailure, options: RunOptions = {}): Script {
  const wanted = kindOf(failure);
  let tries = 0;
  const fails = (steps: readonly ScriptStep[]): boolean => {
    if (++tries > TRIES_MOST) return false;
    const found = runProgram({ ...script, steps }, options);
    return found !== null && kindOf(found) === wanted;
  };
  let steps: readonly ScriptStep[] = script.steps.slice(0, failure.step + 1);
  for (let before = -1; before !== sizeOf(steps);) {
    before = sizeOf(steps);
    steps = dropSteps(steps, fails);
    steps = reduceNumbers(steps, fails);
  }
  return { ...script, steps };
}

/** What shrinking brings down. */
function sizeOf(steps: readonly ScriptStep[]): number {
  let size = steps.length * 1e6;
  for (const { a } of steps) for (const value of Object.values(a)) if (typeof value === 'number') size += value;
  return size;
}

type Fails = (steps: readonly ScriptStep[]) => boolean;

function dropSteps(steps: readonly ScriptStep[], fails: Fails): readonly ScriptStep[] {
  let kept = steps;
  for (let chunk = Math.max(1, kept.length >> 1); chunk >= 1; chunk >>= 1) {
    for (let at = kept.length - chunk; at >= 0; at -= chunk) {
      const fewer = [...kept.slice(0, at), ...kept.slice(at + chunk)];
      if (fewer.length > 0 && fails(fewer)) kept = fewer;
    }
  }
  return kept;
}

function reduceNumbers(steps: readonly ScriptStep[], fails: Fails): readonly ScriptStep[] {
  let kept = steps;
  for (const [k, { a }] of steps.entries()) {
    for (const [name, value] of Object.entries(a)) {
      if (typeof value !== 'number') continue;
      const least = name === 'n' ? 1 : 0;
      for (const smaller of [least, least + 1, value >> 1]) {
        if (smaller >= value || smaller < least) continue;
        const step = { ...kept[k], a: { ...kept[k].a, [name]: smaller } };
        const fewer = kept.map((each, at) => (at === k ? step : each));
        if (!fails(fewer)) continue;
        kept = fewer;
        break;
      }
    }
  }
  return kept;
}
