/** `dior`, `diow`: direct I/O of a file, from and to the process's memory. */
import { errnoName } from '@pincushion/sim';
import { directIo } from '../direct-io';
import { PAGE } from '../operation';
import type { Call, Operation } from '../operation';
import type { Outcome } from '../recording';

/** Blocks of the file that `dior` reads; block k is full of byte k. */
const PATTERN_BLOCKS = 256;

/** `n` pages; one when not given. */
function pagesOf(call: Call): number {
  return Math.max(1, call.number('n', 0));
}

const dior: Operation = (machine, by, call) => {
  const first = call.number('v', 0);
  const pages = Math.max(0, Math.min(pagesOf(call), PATTERN_BLOCKS - first));
  const fill = (pfn: number, page: number): undefined => {
    machine.memory.bytes.fill(pfn, 0, (first + page) & 255, PAGE);
    return undefined;
  };
  return machine.value(directIo(machine, by.mm, call.address, pages, true, fill));
};

const diow: Operation = (machine, by, call): Outcome => {
  const seen = new Uint8Array(1);
  const look = (pfn: number, page: number): undefined => {
    if (page === 0) machine.memory.bytes.read(pfn, 0, seen, 0, 1);
    return undefined;
  };
  const moved = directIo(machine, by.mm, call.address, pagesOf(call), false, look);
  return moved < 0 ? { res: errnoName(moved) } : { res: seen[0], x: `pages=${moved}` };
};

export const directIoOperations: Readonly<Record<string, Operation>> = { dior, diow };
