/**
 * What a trial found: a finding of its world, or an exception that came out of the driver, in one form.
 *
 * A problem has a code of the catalogue. Exceptions that are no `PincushionError` are mistakes of the driver's own code
 * and get TASK_FAILED.
 */
import type { ErrorCode, Finding, FindingSite } from '@pincushion/sim';
import { PincushionError } from '@pincushion/sim';

export interface Problem {
  readonly code: ErrorCode;
  readonly summary: string;
  readonly sites: readonly FindingSite[];
  readonly details: readonly string[];
}

export function problemOfFinding({ code, summary, sites, details }: Finding): Problem {
  return { code, summary, sites, details };
}

/** `during`: what the driver was doing, in words. */
export function problemOfError(error: unknown, during: string, atNs: number): Problem {
  if (!(error instanceof Error)) {
    return { code: 'TASK_FAILED', summary: `${during}: ${String(error)}`, sites: [], details: [] };
  }
  const inner = innermost(error);
  const code = inner instanceof PincushionError ? inner.code : 'TASK_FAILED';
  const where = framesOf(inner).find((frame) => !KERNEL_FRAME.test(frame));
  return {
    code,
    summary: `${during}: ${messageOf(inner)}`,
    sites: where === undefined ? [] : [{ what: 'thrown', site: shortFrame(where), atNs }],
    details: [],
  };
}

/** Whether a failed probe failed as a probe may: by an error that the driver made because something was refused. */
export function isRefusal(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const inner = innermost(error);
  if (inner instanceof PincushionError) return REFUSALS.has(inner.code);
  return !LANGUAGE_ERRORS.some((cls) => inner instanceof cls);
}

/** What a driver, or a service on its behalf, throws in `probe` when it cannot come up. */
const REFUSALS: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'DRIVER_PROBE_FAILED',
  'DRIVER_HOOK_FAILED',
  'DRIVER_CONFIG_INVALID',
  'OUT_OF_MEMORY',
  'DEVICE_GONE',
]);

/** No driver throws these on purpose. */
const LANGUAGE_ERRORS = [TypeError, RangeError, ReferenceError, SyntaxError];

/** Frames of the machine and of this kit. */
const KERNEL_FRAME =
  /[\\/](?:sim|mm|dma|block|schemes|fs|driver|machine|testing)[\\/](?:src|dist)[\\/]|node:|<anonymous>/;

/** The exception a coded one stands for: what a driver threw in a hook. */
export function innermost(error: Error): Error {
  let at = error;
  while (at.cause instanceof Error) at = at.cause;
  return at;
}

function messageOf(error: Error): string {
  return error instanceof PincushionError ? error.message : `${error.name}: ${error.message}`;
}

function framesOf(error: Error): readonly string[] {
  return (error.stack ?? '').split('\n').filter((line) => /^\s+at .*:\d+:\d+\)?$/.test(line));
}

/** `    at Nic.probe (/p/nic.ts:31:20)` as `nic.ts:31:20 (Nic.probe)`. */
function shortFrame(frame: string): string {
  const [, name = '', file = ''] = /^\s+at (?:(.*) \()?(.+?:\d+:\d+)\)?$/.exec(frame) ?? [];
  const base = file.slice(Math.max(file.lastIndexOf('/'), file.lastIndexOf('\\')) + 1);
  return name === '' ? base : `${base} (${name})`;
}
