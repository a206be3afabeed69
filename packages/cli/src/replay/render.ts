/** What `replay` says to people. */
import { formatNs } from '@pincushion/sim';
import type { Colours } from '../terminal';
import type { ReplayReport } from './replayed';
import { shows } from './replayed';

/** Findings that are told one by one. */
const TOLD_MOST = 20;

export function renderReplay(report: ReplayReport, { bold, dim, green, red, yellow }: Colours): string {
  const { expected, found, differences, diverged } = report;
  const lines: string[] = [];
  for (const finding of expected.slice(0, TOLD_MOST)) {
    const isThere = shows(finding, found);
    const mark = isThere ? red('✗') : green('✓');
    const again = isThere ? '' : dim('  does not show');
    lines.push(`${mark} ${bold(finding.code)}${finding.of === '' ? '' : ` ${finding.of}`}  ${finding.summary}${again}`);
  }
  if (expected.length > TOLD_MOST) lines.push(dim(`  and ${expected.length - TOLD_MOST} more; --json lists them all`));
  for (const finding of found) {
    if (!shows(finding, expected))
      lines.push(`${yellow('+')} ${bold(finding.code)}  ${finding.summary}  ${dim('new')}`);
  }
  for (const difference of differences) lines.push(`${dim('differs:')} ${difference}`);
  if (diverged !== null) {
    const { first, last, recorded, here, atNs } = diverged;
    const which = first === last ? `decision ${first}` : `a decision from ${first} to ${last}`;
    const code = report.unexplained ? red('REPLAY_DIVERGED') : dim('another way:');
    lines.push(`${code} at ${which}, at ${formatNs(atNs)}`, `  recorded  ${recorded}`, `  here      ${here}`);
  }
  lines.push('', verdict(report, { red, green }), '');
  return lines.join('\n');
}

function verdict(
  { reproduced, expected, found }: ReplayReport,
  { red, green }: Pick<Colours, 'red' | 'green'>,
): string {
  const codesOf = (findings: typeof expected): string => [...new Set(findings.map(({ code }) => code))].join(', ');
  if (reproduced) return red(`reproduced: ${codesOf(expected)}`);
  const left = expected.filter((finding) => shows(finding, found));
  if (left.length > 0) return red(`reproduced in part: ${left.length} of ${expected.length} findings show again`);
  return green(`not reproduced: ${codesOf(expected)} does not show`);
}
