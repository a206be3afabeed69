/** The outcome of `pincushion verify` in its forms: a document, a report for people, and JUnit's XML for CI. */
import { formatNs } from '@pincushion/sim';
import type { CheckResult, VerifyProblem, VerifyReport } from '@pincushion/testing';
import { problemKind } from '@pincushion/testing';
import type { Colours } from '../terminal';

interface DriverResult extends Omit<VerifyReport, 'problems'> {
  readonly problems: readonly KnownProblem[];
}

export interface KnownProblem extends VerifyProblem {
  /** It was in the baseline, and does not count. */
  readonly known: boolean;
  /** The command line that runs its first trial again, alone. */
  readonly repeat: string;
}

export interface VerifyDocument {
  readonly schemaVersion: 1;
  /** As it was named on the command line. */
  readonly package: string;
  readonly seed: number;
  readonly drivers: readonly DriverResult[];
}

/** `baseline`: what `problemsIn` read from an earlier document. */
export function verifyDocument(
  word: string,
  seed: number,
  reports: readonly VerifyReport[],
  baseline: ReadonlySet<string>,
): VerifyDocument {
  const drivers = reports.map((report) => ({
    ...report,
    problems: report.problems.map((problem) => ({
      ...problem,
      known: baseline.has(baselineKey(report.driver, problem)),
      repeat: `npx pincushion verify ${word} --driver ${report.driver} --only ${problem.trial} --seed ${seed}`,
    })),
  }));
  return { schemaVersion: 1, package: word, seed, drivers };
}

/** The document with other lines to repeat its problems by, for those that have one. */
export function withLines(document: VerifyDocument, lines: ReadonlyMap<KnownProblem, string>): VerifyDocument {
  const drivers = document.drivers.map((result) => ({
    ...result,
    problems: result.problems.map((problem) => ({ ...problem, repeat: lines.get(problem) ?? problem.repeat })),
  }));
  return { ...document, drivers };
}

/** The problems of an earlier document, for `verifyDocument`. */
export function problemsIn({ drivers }: Pick<VerifyDocument, 'drivers'>): ReadonlySet<string> {
  return new Set(drivers.flatMap(({ driver, problems }) => problems.map((problem) => baselineKey(driver, problem))));
}

function baselineKey(driver: string, problem: VerifyProblem): string {
  return `${driver} ${problemKind(problem)}`;
}

export function newProblems({ drivers }: VerifyDocument): readonly KnownProblem[] {
  return drivers.flatMap(({ problems }) => problems.filter(({ known }) => !known));
}

export function renderVerify(document: VerifyDocument, colours: Colours): string {
  const lines = document.drivers.flatMap((result) => [...renderDriver(result, colours), '']);
  const fresh = newProblems(document).length;
  const known = document.drivers.reduce((n, { problems }) => n + problems.length, 0) - fresh;
  const trials = document.drivers.reduce((n, { checks }) => n + checks.reduce((m, { tried }) => m + tried, 0), 0);
  const summary = `${trials.toLocaleString('en')} trial${trials === 1 ? '' : 's'}: ${fresh === 0 ? 'nothing found' : plural(fresh, 'problem')}`;
  lines.push(`${summary}${known === 0 ? '' : `, ${plural(known, 'problem')} of the baseline`}`, '');
  return lines.join('\n');
}

function renderDriver({ driver, checks, problems }: DriverResult, colours: Colours): readonly string[] {
  const width = Math.max(...checks.map(({ title }) => title.length), 0);
  const rows = checks.map((check) => {
    const mark = check.failed === 0 ? colours.green('✓') : colours.red('✗');
    return `  ${mark} ${check.title.padEnd(width)}  ${colours.dim(check.name.padEnd(17))}  ${howOften(check)}`;
  });
  return [colours.bold(driver), ...rows, ...problems.flatMap((problem) => renderProblem(problem, colours))];
}

function howOften({ possible, tried, failed }: CheckResult): string {
  const tries = tried === possible ? String(tried) : `${tried} of ${possible}`;
  return failed === 0 ? tries : `${tries}, ${failed} failed`;
}

function renderProblem(problem: KnownProblem, colours: Colours): readonly string[] {
  const code = problem.known ? colours.dim(`${problem.code} (baseline)`) : colours.red(problem.code);
  return [
    '',
    `  ${code}  ${problem.summary}`,
    ...problem.sites.map(({ what, site, atNs }) => `      ${formatNs(atNs)}  ${what}  ${site}`),
    ...problem.details.filter((detail) => detail !== '').map((detail) => `      ${detail}`),
    `      first in ${problem.trial}, in ${plural(problem.trials, 'trial')}`,
    `      ${colours.dim('again:')} ${problem.repeat}`,
  ];
}

function plural(n: number, what: string): string {
  return `${n} ${what}${n === 1 ? '' : 's'}`;
}

/** One suite a driver, one case a check; a problem fails the check that found it first. */
export function renderJunit({ drivers }: VerifyDocument): string {
  const suites = drivers.map(({ driver, checks, problems }) => {
    const cases = checks.map((check) => {
      const failures = problems.filter((problem) => !problem.known && problem.check === check.name);
      const attributes = `classname="${escape(driver)}" name="${escape(`${check.name}: ${check.title}`)}"`;
      if (failures.length === 0) return `    <testcase ${attributes}/>`;
      const inside = failures.map(
        ({ code, summary, sites, repeat }) =>
          `      <failure type="${code}" message="${escape(summary)}">` +
          `${escape([...sites.map(({ what, site }) => `${what} ${site}`), repeat].join('\n'))}</failure>`,
      );
      return [`    <testcase ${attributes}>`, ...inside, '    </testcase>'].join('\n');
    });
    const failed = checks.filter(({ name }) => problems.some(({ known, check }) => !known && check === name)).length;
    const head = `  <testsuite name="${escape(driver)}" tests="${checks.length}" failures="${failed}">`;
    return [head, ...cases, '  </testsuite>'].join('\n');
  });
  return ['<?xml version="1.0" encoding="UTF-8"?>', '<testsuites>', ...suites, '</testsuites>', ''].join('\n');
}

function escape(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
}
