/** The thread that a driver is verified in: it says which trial begins, so that one that never ends can be named. */
import { parentPort, workerData } from 'node:worker_threads';
import { PincushionError, UsageError } from '@pincushion/sim';
import type { DriverContract, VerifyReport } from '@pincushion/testing';
import { driverContract, verifyDriver } from '@pincushion/testing';
import { driversOf } from './drivers';

/** What is to be done. */
export interface VerifyOrder {
  readonly file: string;
  readonly driver: string;
  readonly seed: number;
  readonly limit: number;
  readonly only?: string;
  readonly skip: readonly string[];
  /** With `only` one trial: its decisions are noted. */
  readonly trail?: boolean;
  /** Not the suite, but the record of the driver's kernel calls. */
  readonly contract?: boolean;
}

/** What the thread says. */
export type VerifyMessage =
  | { readonly kind: 'trial'; readonly name: string }
  | { readonly kind: 'report'; readonly report: VerifyReport }
  | { readonly kind: 'contract'; readonly contract: DriverContract }
  | { readonly kind: 'refused'; readonly code: UsageError['code']; readonly message: string };

function say(message: VerifyMessage): void {
  parentPort?.postMessage(message);
}

function obey({ file, driver, seed, limit, only, skip, trail, contract }: VerifyOrder): void {
  const [verified] = driversOf(file, file, driver);
  const { example } = verified.plugin;
  const options = {
    hardware: verified.hardware,
    seed,
    limit,
    ...(example === undefined ? {} : { example }),
    onTrial: (name: string) => {
      say({ kind: 'trial', name });
    },
  };
  if (contract === true) {
    say({ kind: 'contract', contract: driverContract(verified.driver, options) });
    return;
  }
  const report = verifyDriver(verified.driver, {
    ...options,
    skip,
    ...(only === undefined ? {} : { only }),
    ...(trail === undefined ? {} : { trail }),
  });
  say({ kind: 'report', report });
}

try {
  obey(workerData as VerifyOrder);
} catch (error) {
  if (!(error instanceof UsageError) && !(error instanceof PincushionError)) throw error;
  say({ kind: 'refused', code: error.code, message: error.message });
}
