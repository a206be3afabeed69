/** Runs the sentence of a self-test on a machine of its own. */
import { memoryContradictions } from '@pincushion/mm';
import type { KernelProfile } from '@pincushion/mm';
import { cowTestOf } from './cow-tests';
import { longtermTestOf } from './gup-longterm-tests';
import { memoryOf } from './memory-kinds';
import { SelftestFailure, SelftestMachine } from './selftest-machine';

interface Selftest {
  readonly expected: string;
  readonly largestPage: number;
  run(machine: SelftestMachine): string;
}

/** What must come out of the sentence. */
export function expectedOf(what: string): string {
  return understand(what)?.expected ?? 'a sentence that says what is done and what must hold';
}

/**
 * Does what the sentence says on a fresh machine, by default of the recorded kernel, and tells what came out: what was seen,
 * why it came to nothing, or that the memory contradicts itself afterwards.
 */
export function runSelftest(what: string, profile?: KernelProfile): string {
  const test = understand(what);
  if (test === null) return `the sentence is not understood: ${what}`;
  const machine = new SelftestMachine(test.largestPage, profile);
  try {
    const seen = test.run(machine);
    const wrong = memoryContradictions(machine.memory);
    return wrong.length === 0 ? seen : `${seen}, and the memory contradicts itself: ${wrong[0]}`;
  } catch (error) {
    if (error instanceof SelftestFailure) return error.message;
    throw error;
  } finally {
    machine.memory.detach();
  }
}

function understand(what: string): Selftest | null {
  const memory = memoryOf(what);
  if (memory === null) return longtermTestOf(what);
  const test = cowTestOf(memory.rest);
  if (test === null) return null;
  return {
    expected: test.expected,
    largestPage: memory.largestPage,
    run: (machine) => test.run(machine, memory.prepare(machine)),
  };
}
