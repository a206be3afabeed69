/** Loads and stores of a process: one byte, with the faults it takes. */
import type { Mm } from '@pincushion/mm';
import type { Operation } from '../operation';
import type { ScenarioMachine } from '../scenario-machine';
import type { Outcome } from '../recording';

function access(machine: ScenarioMachine, mm: Mm, address: number, byte: number | null): Outcome {
  const faultsBefore = mm.faults;
  const buffer = Uint8Array.of(byte ?? 0);
  const done = machine.settle(byte === null ? mm.read(address, buffer) : mm.write(address, buffer));
  if (done !== 1) return { res: mm.signal ?? 'SIGBUS' };
  return { res: byte === null ? buffer[0] : 'ok', flt: mm.faults - faultsBefore };
}

export const accessOperations: Readonly<Record<string, Operation>> = {
  r: (machine, by, call) => access(machine, by.mm, call.address, null),
  w: (machine, by, call) => access(machine, by.mm, call.address, call.number('v', 0) & 255),
};
