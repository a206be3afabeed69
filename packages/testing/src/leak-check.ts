/**
 * The leak check: what a run left behind becomes an error that a test framework shows.
 *
 * It knows no test framework: it throws. Call it after each test, or let `testDevice` do it.
 */
import type { Finding, World } from '@pincushion/sim';
import { formatNs } from '@pincushion/sim';

/** What a test throws when its world has findings that it did not expect. */
export class FindingsError extends Error {
  constructor(readonly findings: readonly Finding[]) {
    super(findings.map(describeFinding).join('\n'));
    this.name = 'FindingsError';
  }
}

/**
 * Runs the checks for the end of a run and throws `FindingsError` for every finding whose code is not expected.
 * @param expected codes that the test planted; each must have been found, or that is the error.
 */
export function leakCheck(world: World, expected: Iterable<string> = []): void {
  reportListeners(world);
  world.checkAtEnd();
  const wanted = new Set(expected);
  const found = new Set<string>(world.findings.all.map((finding) => finding.code));
  const surplus = world.findings.all.filter((finding) => !wanted.has(finding.code));
  if (surplus.length > 0) throw new FindingsError(surplus);
  const missing = [...wanted].filter((code) => !found.has(code));
  if (missing.length > 0) throw new Error(`Expected findings that were not made: ${missing.join(', ')}`);
}

/** Ends what still listens to tracepoints; each becomes a finding of the world. */
export function reportListeners({ trace, findings, now }: World): void {
  for (const { names, owner, sinceNs, startedBy } of trace.endAll()) {
    findings.report({
      code: 'LISTENER_LEAK',
      summary: `${owner} still listens to ${names === null ? 'all tracepoints' : names.join(', ')}`,
      sites: [{ what: 'subscribed', site: startedBy.site(), atNs: sinceNs }],
      details: [`since ${formatNs(sinceNs)}, for ${formatNs(now - sinceNs)}`],
    });
  }
}

/** A finding as text: code, what, and each site with its time. */
export function describeFinding(finding: Finding): string {
  const lines = [`${finding.code}: ${finding.summary} (at ${formatNs(finding.atNs)})`];
  for (const { what, site, atNs } of finding.sites) lines.push(`  ${what} at ${formatNs(atNs)}: ${site}`);
  for (const detail of finding.details) lines.push(`  ${detail}`);
  return lines.join('\n');
}
