/**
 * `failEach`: a workload is run once to count the calls at a site, and then once more for each of them, with that call
 * failing. Each run has a fresh world.
 *
 *     failEach('alloc', (world) => { using bed = testDevice(EchoNic, { hardware: EchoNicHardware, world }); … })
 *
 * After the kernel's way of failing the n-th call of a task (`/proc/<pid>/fail-nth`, lib/fault-inject.c).
 */
import type { FaultEffect, FaultSite, Finding } from '@pincushion/sim';
import { EIO, FAULT_SITES, FaultPlan, PincushionError, World, errnoName } from '@pincushion/sim';
import { describeFinding } from './leak-check';

export interface FailEachOptions {
  /** What happens to the call; what is usual at the site unless given. */
  readonly effect?: FaultEffect;
  /** Default 1. */
  readonly seed?: number;
  /** At most so many runs; the calls beyond are not tried. Default 1000. */
  readonly most?: number;
}

/**
 * `passed`: the workload returned; `refused`: it returned a negative errno, or the driver's probe said no; `failed`: any
 * other exception, or a finding.
 */
export interface FailedCall<T> {
  /** Which call failed, counted from 1. */
  readonly n: number;
  readonly outcome: 'passed' | 'refused' | 'failed';
  readonly result: T | undefined;
  readonly error: Error | null;
  readonly findings: readonly Finding[];
}

export class FailEachReport<T> {
  constructor(
    readonly site: FaultSite,
    /** Calls in the undisturbed run. */
    readonly calls: number,
    readonly runs: readonly FailedCall<T>[],
  ) {}

  get failures(): readonly FailedCall<T>[] {
    return this.runs.filter(({ outcome }) => outcome === 'failed');
  }

  /** A line for each run: `alloc@3: refused, ENOMEM`. */
  toString(): string {
    const lines = this.runs.map((run) => `${this.site}@${run.n}: ${run.outcome}${reason(run)}`);
    const untried = this.calls - this.runs.length;
    return [...lines, ...(untried > 0 ? [`and ${untried} calls that were not tried`] : [])].join('\n');
  }
}

/** Throws what the workload throws when nothing is disturbed: then there is nothing to compare with. */
export function failEach<T>(
  site: FaultSite,
  workload: (world: World) => T,
  options: FailEachOptions = {},
): FailEachReport<T> {
  const { seed = 1, most = 1000 } = options;
  const facts = FAULT_SITES.find(({ name }) => name === site);
  if (facts === undefined || site === 'device') {
    throw new PincushionError('FAULT_SITE_INVALID', `failEach cannot count calls at '${site}'`, {
      expected: `one of ${FAULT_SITES.filter(({ name }) => name !== 'device')
        .map(({ name }) => name)
        .join(', ')}`,
    });
  }
  const counted = new World({ seed });
  counted.faults.arm(site, { nth: 0, errno: -EIO });
  workload(counted);
  const calls = counted.faults.count(site);
  const effect = options.effect ?? facts.usual;
  const runs: FailedCall<T>[] = [];
  for (let n = 1; n <= Math.min(calls, most); n++) {
    const world = new World({ seed });
    world.faults.armPlan(FaultPlan.of({ site, from: n, to: n, effect }));
    runs.push(runOnce(n, world, workload));
  }
  return new FailEachReport(site, calls, runs);
}

function runOnce<T>(n: number, world: World, workload: (world: World) => T): FailedCall<T> {
  let result: T | undefined;
  let error: Error | null = null;
  try {
    result = workload(world);
  } catch (thrown) {
    error = thrown instanceof Error ? thrown : new Error(String(thrown));
  }
  world.checkAtEnd();
  const findings = world.findings.all;
  const isRefusal = error === null ? Number(result) < 0 : (error as { code?: unknown }).code === 'DRIVER_PROBE_FAILED';
  const isFailure = findings.length > 0 || (error !== null && !isRefusal);
  return { n, outcome: isFailure ? 'failed' : isRefusal ? 'refused' : 'passed', result, error, findings };
}

function reason({ result, error, findings }: FailedCall<unknown>): string {
  if (findings.length > 0)
    return `\n${findings.map((finding) => `  ${describeFinding(finding).replaceAll('\n', '\n  ')}`).join('\n')}`;
  if (error !== null) return `, ${error.message}`;
  return typeof result === 'number' && result < 0 ? `, ${errnoName(result)}` : '';
}
