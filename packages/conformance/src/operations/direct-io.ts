/** `dior`, `diow`: direct I/O of files on a disk, from and to the process's memory. */
import { errnoName } from '@pincushion/sim';
import type { Call, Operation } from '../operation';
import type { Outcome } from '../recording';

/** `n` pages; one when not given. */
function pagesOf(call: Call): number {
  return Math.max(1, call.number('n', 0));
}

const dior: Operation = (machine, by, call) =>
  machine.value(machine.directIo.read(by.mm, call.address, pagesOf(call), call.number('v', 0)));

const diow: Operation = ({ directIo }, by, call): Outcome => {
  const moved = directIo.write(by.mm, call.address, pagesOf(call));
  return moved < 0 ? { res: errnoName(moved) } : { res: directIo.firstWritten(), x: `pages=${moved}` };
};

export const directIoOperations: Readonly<Record<string, Operation>> = { dior, diow };
