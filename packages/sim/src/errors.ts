/**
 * Errors with a code, the subject, what was expected and what to try.
 *
 * `PincushionError` is for programmer errors and for failures at the edge; on hot paths, operating errors are negative
 * errno numbers. `UsageError` is bad input of a user: a configuration, a file, an argument. What goes wrong inside the
 * emulated world (a leak, lost data) is a finding and no exception: see findings.ts.
 */
import { errnoName } from './errno';
import type { ErrorCode } from './error-codes';

/** Everything that is known about an error beyond its summary. */
export interface ErrorFacts {
  /** Path of the device concerned, for example `nic0`. */
  device?: string;
  /** Lifecycle hook or function it happened in, for example `probe`. */
  hook?: string;
  /** Error number of either sign. */
  errno?: number;
  expected?: string;
  actual?: string;
  /** What to try, without the word "Try" and without a full stop. */
  hint?: string;
  cause?: unknown;
}

/** An error with a code of the catalogue; its message reads `CODE: summary (device nic0, in probe). Expected …; got …. Try …`. */
export class PincushionError extends Error {
  readonly code: ErrorCode;
  /** Name of the error number, for example `ENOMEM`. */
  readonly errnoName: string | undefined;
  readonly device: string | undefined;
  readonly hook: string | undefined;
  readonly expected: string | undefined;
  readonly actual: string | undefined;
  readonly hint: string | undefined;

  constructor(code: ErrorCode, summary: string, facts: ErrorFacts = {}) {
    super(describe(code, summary, facts), facts.cause === undefined ? undefined : { cause: facts.cause });
    this.name = new.target.name;
    this.code = code;
    this.errnoName = facts.errno === undefined ? undefined : errnoName(facts.errno);
    this.device = facts.device;
    this.hook = facts.hook;
    this.expected = facts.expected;
    this.actual = facts.actual;
    this.hint = facts.hint;
  }
}

/** Bad input of a user; the command ends with exit code 2. */
export class UsageError extends PincushionError {}

function describe(code: ErrorCode, summary: string, facts: ErrorFacts): string {
  const subject: string[] = [];
  if (facts.device !== undefined) subject.push(`device ${facts.device}`);
  if (facts.hook !== undefined) subject.push(`in ${facts.hook}`);
  if (facts.errno !== undefined) subject.push(errnoName(facts.errno));
  let text = `${code}: ${withoutFullStop(summary)}${subject.length === 0 ? '' : ` (${subject.join(', ')})`}.`;
  if (facts.expected !== undefined && facts.actual !== undefined) {
    text += ` Expected ${withoutFullStop(facts.expected)}; got ${withoutFullStop(facts.actual)}.`;
  } else if (facts.expected !== undefined) {
    text += ` Expected ${withoutFullStop(facts.expected)}.`;
  } else if (facts.actual !== undefined) {
    text += ` Got ${withoutFullStop(facts.actual)}.`;
  }
  if (facts.hint !== undefined) text += ` Try ${withoutFullStop(facts.hint)}.`;
  return text;
}

function withoutFullStop(text: string): string {
  return text.endsWith('.') && !text.endsWith('..') ? text.slice(0, -1) : text;
}
