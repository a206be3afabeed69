/**
 * `verifyDriver`: the suite that every driver must pass, on the public contract only.
 *
 * First a survey: one undisturbed life of the driver, which tells how many steps, allocations, pins, mappings, interrupts
 * and register accesses there are. Then each check, trial by trial, each in a world of its own; where there are more trials
 * than `limit`, evenly spread ones. A problem is reported once, with the first trial that has it (looked for also among
 * those left out just before), which is the shortest schedule of that check, and that trial can be repeated alone (`only: 'unplug@17'`).
 *
 * Left out: a driver that never returns hangs the caller; `pincushion verify` runs the suite in a worker for that.
 */
import type { DriverClass, ExampleProgram, HardwareClass } from '@pincushion/driver';
import { driverMeta, nearestName } from '@pincushion/driver';
import { UsageError } from '@pincushion/sim';
import type { Check } from './checks';
import { CHECKS } from './checks';
import type { Problem } from './problem';
import type { Outcome, Subject } from './trial';
import { runTrial } from './trial';

/** Trials of one check, unless told otherwise. */
export const VERIFY_TRIALS_MAX = 100;

/** Trials that were left out before one that fails are looked at when they are not more than this. */
const GAP_MAX = 200;

/** Two for each look at a register: 20 s in which a driver looks every 100 µs still count as a wait with an end. */
const STEPS_MAX = 400_000;

export interface VerifyOptions {
  readonly hardware: HardwareClass;
  /** What programs do with the device; without one, only probe and removal are verified. */
  readonly example?: ExampleProgram;
  /** Configuration of the driver. */
  readonly config?: Record<string, unknown>;
  /** Settings of the hardware model. */
  readonly model?: Record<string, unknown>;
  /** Default 1. */
  readonly seed?: number;
  /** Trials of one check at most; default 100. */
  readonly limit?: number;
  /** One check (`unplug`) or one trial (`unplug@17`). */
  readonly only?: string;
  /** Checks to leave out. */
  readonly skip?: readonly string[];
  /** Steps after which a trial is endless: DRIVER_ENDLESS_LOOP; default 400,000. */
  readonly stepsMax?: number;
  /** Called before each trial, with its name. */
  readonly onTrial?: (name: string) => void;
  /** With `only` one trial: its decisions are noted, for `VerifyReport.trail`. */
  readonly trail?: boolean;
}

export interface CheckResult {
  readonly name: string;
  readonly title: string;
  /** Trials there are. */
  readonly possible: number;
  readonly tried: number;
  /** Trials with a problem. */
  readonly failed: number;
}

export interface VerifyProblem extends Problem {
  /** The first trial that has it, such as `unplug@17`. */
  readonly trial: string;
  readonly check: string;
  /** In how many trials it was. */
  readonly trials: number;
}

export interface VerifyReport {
  /** Name of the driver, from its decorator. */
  readonly driver: string;
  readonly seed: number;
  readonly checks: readonly CheckResult[];
  readonly problems: readonly VerifyProblem[];
  /** The decisions of the one trial that was asked for, as `DecisionTrail` writes them. */
  readonly trail?: string;
}

/** Verifies a driver. Throws `UsageError` ARGUMENT_INVALID for an unknown check or trial; never for what a driver does. */
export function verifyDriver(driver: DriverClass, options: VerifyOptions): VerifyReport {
  const { seed = 1, limit = VERIFY_TRIALS_MAX, only, skip = [], onTrial, trail = false } = options;
  const subject = subjectOf(driver, options);
  const wanted = only === undefined ? null : parseTrial(only);
  onTrial?.('survey');
  const survey = runTrial(subject, { seed, undisturbed: true, recorded: true });
  const checks: CheckResult[] = [];
  const found = new Map<string, VerifyProblem>();
  let noted: string | null = null;
  for (const check of CHECKS) {
    if (skip.includes(check.name) || (wanted !== null && wanted.check !== check.name)) continue;
    const possible = check.count(survey, subject);
    if (possible === 0 && wanted === null) continue;
    const trials = wanted?.trial === undefined ? spread(possible, limit) : [wanted.trial];
    const run = (n: number): Outcome => {
      onTrial?.(`${check.name}@${n}`);
      return runCheck(check, n, subject, seed, trail && wanted?.trial !== undefined);
    };
    let failed = 0;
    let tried = 0;
    for (const n of trials) {
      if (n > possible) throw unknownTrial(`${check.name}@${n}`, `${check.name}@1 to ${check.name}@${possible}`);
      const outcome = run(n);
      noted = outcome.trail;
      const fresh = collect(found, outcome.problems, check.name, `${check.name}@${n}`);
      if (fresh.length > 0 && tried > 0 && check.seeded !== true) {
        findEarlier(found, fresh, check.name, trials[tried - 1] + 1, n, run);
      }
      tried++;
      if (outcome.problems.length > 0) failed++;
      // Each further one would take as long, and say the same.
      if (outcome.problems.some(({ code }) => code === 'DRIVER_ENDLESS_LOOP')) break;
    }
    checks.push({ name: check.name, title: check.title, possible, tried, failed });
  }
  return {
    driver: driverMeta(driver)?.name ?? driver.name,
    seed,
    checks,
    problems: [...found.values()],
    ...(noted === null ? {} : { trail: noted }),
  };
}

export function subjectOf(driver: DriverClass, options: VerifyOptions): Subject {
  return {
    driver,
    hardware: options.hardware,
    example: options.example ?? null,
    config: options.config ?? {},
    model: options.model ?? {},
    stepsMax: options.stepsMax ?? STEPS_MAX,
  };
}

function runCheck(check: Check, n: number, subject: Subject, seed: number, trail: boolean): Outcome {
  return runTrial(subject, { ...check.conditions(n, subject), seed: check.seeded === true ? seed + n : seed, trail });
}

/** One entry for each kind of problem. Gives the kinds that are new. */
function collect(
  found: Map<string, VerifyProblem>,
  problems: readonly Problem[],
  check: string,
  trial: string,
): readonly string[] {
  const fresh: string[] = [];
  const here = new Set<string>();
  for (const problem of problems) {
    const kind = problemKind(problem);
    if (here.has(kind)) continue;
    here.add(kind);
    const known = found.get(kind);
    if (known === undefined) fresh.push(kind);
    found.set(
      kind,
      known === undefined ? { ...problem, check, trial, trials: 1 } : { ...known, trials: known.trials + 1 },
    );
  }
  return fresh;
}

/** The problems just found may be in a trial that was left out before: the first of these is told instead. */
function findEarlier(
  found: Map<string, VerifyProblem>,
  kinds: readonly string[],
  check: string,
  from: number,
  to: number,
  run: (n: number) => Outcome,
): void {
  const sought = new Set(kinds);
  // Each further one would take as long.
  for (const kind of kinds) if (found.get(kind)?.code === 'DRIVER_ENDLESS_LOOP') sought.delete(kind);
  if (to - from > GAP_MAX) return;
  for (let n = from; n < to && sought.size > 0; n++) {
    for (const problem of run(n).problems) {
      const kind = problemKind(problem);
      if (sought.delete(kind)) found.set(kind, { ...problem, check, trial: `${check}@${n}`, trials: 1 });
    }
  }
}

/** What makes two problems the same: the code, and the words but for their numbers. */
export function problemKind({ code, summary }: Problem): string {
  return `${code} ${summary.replace(/(0x)?\d[\da-f.,]*/g, '#')}`;
}

/** At most `limit` of the numbers 1 to `count`, evenly spread, the first and the last among them. */
export function spread(count: number, limit: number): readonly number[] {
  if (count <= limit) return Array.from({ length: count }, (_, i) => i + 1);
  if (limit === 1) return [1];
  return Array.from({ length: limit }, (_, i) => 1 + Math.round((i * (count - 1)) / (limit - 1)));
}

function parseTrial(text: string): { readonly check: string; readonly trial?: number } {
  const [check, number] = text.split('@') as [string, string | undefined];
  const names = CHECKS.map(({ name }) => name);
  if (!names.includes(check)) throw unknownTrial(text, `a check of ${names.join(', ')}`, nearestName(check, names));
  if (number === undefined) return { check };
  if (!/^[1-9]\d{0,8}$/.test(number)) throw unknownTrial(text, `${check}, or one trial of it such as ${check}@1`);
  return { check, trial: Number(number) };
}

function unknownTrial(text: string, expected: string, hint: string | null = null): UsageError {
  return new UsageError('ARGUMENT_INVALID', `there is no trial "${text}"`, {
    expected,
    ...(hint === null ? {} : { hint }),
  });
}
