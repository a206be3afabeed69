/**
 * Verifies a driver in a thread of its own, with a watchdog of the host: a driver that never gives control back would hang
 * this process otherwise. When nothing is heard of a trial for the time of the watchdog, the thread is ended, the trial
 * becomes the finding DRIVER_ENDLESS_LOOP, and the suite runs again without that check.
 */
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { Worker } from 'node:worker_threads';
import { PincushionError, UsageError } from '@pincushion/sim';
import type { CheckResult, DriverContract, VerifyProblem, VerifyReport } from '@pincushion/testing';
import type { VerifyMessage, VerifyOrder } from './worker';

/** In a clone the thread loads TypeScript sources, as this one does. */
const FROM_SOURCE = __filename.endsWith('.ts');
const WORKER = join(__dirname, FROM_SOURCE ? 'worker.ts' : 'worker.js');
const HOOK = resolve(__dirname, '../../../../scripts/ts-hook.cjs');

export interface Supervision {
  readonly watchdogMs: number;
  readonly onTrial: (name: string) => void;
}

/** What came of one thread: what it was to find out, or the trial that it did not come back from. */
type Ending<T> = { readonly result: T } | { readonly lostIn: string };

/** Rejects with the `UsageError` for an order that cannot be carried out, and with what the thread itself failed of. */
export async function verifyUnderWatch(order: VerifyOrder, supervision: Supervision): Promise<VerifyReport> {
  const lost: string[] = [];
  for (;;) {
    const skip = [...order.skip, ...lost.map(checkOf)];
    const ending = await runThread({ ...order, skip }, supervision, (message) =>
      message.kind === 'report' ? message.report : null,
    );
    if ('result' in ending) return withLost(ending.result, lost, supervision.watchdogMs);
    lost.push(ending.lostIn);
    if (ending.lostIn === 'survey') {
      return withLost(
        { driver: order.driver, seed: order.seed, checks: [], problems: [] },
        lost,
        supervision.watchdogMs,
      );
    }
  }
}

/** The contract of a driver. Throws DRIVER_ENDLESS_LOOP with the trial for a driver that does not give control back. */
export async function contractUnderWatch(order: VerifyOrder, supervision: Supervision): Promise<DriverContract> {
  const ending = await runThread({ ...order, contract: true }, supervision, (message) =>
    message.kind === 'contract' ? message.contract : null,
  );
  if ('result' in ending) return ending.result;
  throw new PincushionError('DRIVER_ENDLESS_LOOP', `${notBack(supervision.watchdogMs)}, in ${ending.lostIn}`);
}

function notBack(watchdogMs: number): string {
  return `the driver did not give control back within ${watchdogMs / 1000} s`;
}

/** `resultOf`: the result that a message brings; null for one that brings none. */
function runThread<T>(
  order: VerifyOrder,
  { watchdogMs, onTrial }: Supervision,
  resultOf: (message: VerifyMessage) => T | null,
): Promise<Ending<T>> {
  return new Promise((done, failed) => {
    const execArgv =
      FROM_SOURCE && existsSync(HOOK)
        ? ['--enable-source-maps', '--conditions=pincushion-source', '--require', HOOK]
        : process.execArgv;
    const worker = new Worker(WORKER, { workerData: order, execArgv });
    let trial = 'survey';
    let started = false;
    let ended = false;
    let timer: NodeJS.Timeout | undefined;
    const end = (ending: Ending<T>): void => {
      ended = true;
      clearTimeout(timer);
      void worker.terminate().then(() => {
        done(ending);
      });
    };
    const watch = (): void => {
      clearTimeout(timer);
      timer = setTimeout(() => {
        if (started) end({ lostIn: trial });
      }, watchdogMs);
    };
    worker.on('message', (message: VerifyMessage) => {
      if (message.kind === 'trial') {
        started = true;
        trial = message.name;
        onTrial(trial);
        watch();
      } else if (message.kind === 'refused') {
        clearTimeout(timer);
        failed(new UsageError(message.code, message.message.slice(message.code.length + 2)));
      } else {
        const result = resultOf(message);
        if (result !== null) end({ result });
      }
    });
    worker.on('exit', () => {
      clearTimeout(timer);
      if (!ended) failed(new PincushionError('TASK_FAILED', `the driver ended its whole thread in ${trial}`));
    });
    worker.on('error', (error) => {
      clearTimeout(timer);
      failed(error);
    });
  });
}

function withLost(report: VerifyReport, lost: readonly string[], watchdogMs: number): VerifyReport {
  const problems = lost.map((trial): VerifyProblem => ({
    code: 'DRIVER_ENDLESS_LOOP',
    summary: notBack(watchdogMs),
    sites: [],
    details: [],
    check: checkOf(trial),
    trial,
    trials: 1,
  }));
  const checks = lost.map((trial): CheckResult => ({
    name: checkOf(trial),
    title: 'ended by the watchdog',
    possible: 1,
    tried: 1,
    failed: 1,
  }));
  return { ...report, checks: [...report.checks, ...checks], problems: [...report.problems, ...problems] };
}

function checkOf(trial: string): string {
  return trial.split('@')[0];
}
