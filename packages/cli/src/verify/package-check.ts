/**
 * What a package says about its drivers in `package.json`, held against their decorators: a machine that finds the package
 * by its field would bind another driver than the code has.
 *
 * A check like those of `verifyDriver`, with one trial; it is about files, which those know nothing of.
 */
import { dirname } from 'node:path';
import type { Plugin } from '@pincushion/driver';
import { PLUGIN_KEYWORD, fieldDisagreements } from '@pincushion/driver';
import type { ErrorCode } from '@pincushion/sim';
import type { CheckResult, VerifyProblem, VerifyReport } from '@pincushion/testing';
import type { FoundPackage } from '../discovery';
import { discoverPackages } from '../discovery';
import { packageModule } from '../load-module';

const CHECK = 'package';
const TRIAL = `${CHECK}@1`;

/** Whether `--only` means this check: alone, or not. */
export function asksForPackage(only: string | undefined): 'alone' | 'too' | 'no' {
  if (only === undefined) return 'too';
  return only === CHECK || only === TRIAL ? 'alone' : 'no';
}

/** The report with this check; the same when the module is not what a package exports, or the package says nothing. */
export function withPackageCheck(report: VerifyReport, file: string, plugin: Plugin): VerifyReport {
  const found = packageOf(file);
  if (found === null || (!found.keyword && !found.hasField)) return report;
  const summaries = disagreements(found, plugin);
  const check: CheckResult = {
    name: CHECK,
    title: 'package.json and decorators say the same',
    possible: 1,
    tried: 1,
    failed: summaries.length === 0 ? 0 : 1,
  };
  const problems = summaries.map(([code, summary]): VerifyProblem => ({
    code,
    summary: `${found.name}: ${summary}`,
    sites: [],
    details: [],
    check: CHECK,
    trial: TRIAL,
    trials: 1,
  }));
  return { ...report, checks: [...report.checks, check], problems: [...report.problems, ...problems] };
}

function disagreements(
  { keyword, hasField, field, problem }: FoundPackage,
  plugin: Plugin,
): readonly (readonly [ErrorCode, string])[] {
  const code = 'PACKAGE_FIELD_INVALID';
  if (!keyword) return [[code, `there is a field pincushion, but no keyword "${PLUGIN_KEYWORD}"`]];
  if (!hasField) return [[code, `there is the keyword "${PLUGIN_KEYWORD}", but no field pincushion`]];
  if (problem !== null) return [[problem.code, problem.message.slice(problem.code.length + 2)]];
  return field === null ? [] : fieldDisagreements(field, plugin).map((text) => [code, text] as const);
}

/** The package whose module this is; null for a module that a package has besides. */
function packageOf(file: string): FoundPackage | null {
  const { manifest, packages } = discoverPackages(dirname(file));
  if (manifest === null) return null;
  const own = packages.find((found) => found.manifest === manifest) ?? null;
  try {
    const entries = new Set(['.', own?.field?.entry ?? '.']);
    return [...entries].some((entry) => packageModule(dirname(manifest), entry) === file) ? own : null;
  } catch {
    return null; // A package without exports that lead anywhere.
  }
}
