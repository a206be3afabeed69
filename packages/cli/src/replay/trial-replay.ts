/** A trial of `pincushion verify` as a replay file, and back. */
import type { VerifyProblem, VerifyReport } from '@pincushion/testing';
import { locatePlugin } from '../plugins';
import { pluginFile } from '../verify/drivers';
import { verifyUnderWatch } from '../verify/supervise';
import { codeIdentity } from './code-identity';
import { Places } from './places';
import type { ReplayFolder } from './replay-folder';
import type { SubjectOf } from './replay-file';
import type { Replayed } from './replayed';
import { codeDifferences, gathered } from './replayed';

type VerifySubject = SubjectOf<'verify'>;

/** A problem that `verify` has found, and where. */
export interface FailedTrial {
  /** The package as it was named on the command line, and the module file that it led to. */
  readonly word: string;
  readonly file: string;
  readonly driver: string;
  readonly seed: number;
  readonly watchdogMs: number;
  readonly problem: VerifyProblem;
}

/**
 * Runs the trial once more alone, with its decisions noted, and writes the file. The line that runs it, or null with
 * `--no-replay`. A trial that never ends is not run again: it would take the whole time of the watchdog.
 */
export async function replayOfTrial(replays: ReplayFolder, failed: FailedTrial): Promise<string | null> {
  if (!replays.wanted) return null;
  const { word, file, driver, seed, watchdogMs, problem } = failed;
  const subject: VerifySubject = {
    command: 'verify',
    seed,
    package: codeIdentity(word, file),
    folder: process.cwd(),
    driver,
    trial: problem.trial,
    watchdogMs,
  };
  const isEndless = problem.code === 'DRIVER_ENDLESS_LOOP';
  const again = isEndless ? null : await runTrialAlone(subject, file);
  return replays.write({
    subject,
    expected: gathered([problem]),
    trail: again?.trail ?? null,
    title: `${driver}-${problem.trial}`,
  });
}

/** Runs the trial again. Throws `UsageError` when the package is not there, or has no such driver or trial. */
export async function replayTrial(subject: VerifySubject, file: string): Promise<Replayed> {
  const { name } = subject.package;
  const places = new Places(file, subject.folder);
  const path = places.pathOf(name);
  const found = path === null ? locatePlugin(name, file, places.folderOfPlugin(name)) : pluginFile(path);
  const differences = codeDifferences(subject.package, codeIdentity(name, found));
  const { problems, trail = null } = await runTrialAlone(subject, found);
  return { found: gathered(problems), differences, trail };
}

function runTrialAlone({ driver, seed, trial, watchdogMs }: VerifySubject, file: string): Promise<VerifyReport> {
  // The survey comes before every trial; the undisturbed example is the same life of the driver.
  const only = trial === 'survey' ? 'example@1' : trial;
  const order = { file, driver, seed, limit: 1, only, skip: [], trail: true };
  return verifyUnderWatch(order, { watchdogMs, onTrial: () => undefined });
}
