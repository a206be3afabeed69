/** What in a scenario's machine contradicts itself: in its memory, and in what processes and users are charged for. */
import { memoryContradictions } from '@pincushion/mm';
import type { User } from '@pincushion/mm';
import type { Charge, ScenarioMachine } from './scenario-machine';

/** A sentence each; empty when all is well. */
export function contradictionsIn(machine: ScenarioMachine): readonly string[] {
  return [...memoryContradictions(machine.memory), ...accountContradictions(machine)];
}

/** `pinned_vm` of each process, and `locked_vm` of each user, are the sum of what is open and charged (section 18). */
function accountContradictions({ processes }: ScenarioMachine): readonly string[] {
  const found: string[] = [];
  const charges = chargesOf(processes.flatMap(({ opened }) => [...opened]));
  const users = new Set<User>();
  for (const { name, mm, alive } of processes) {
    users.add(mm.user.user);
    const pinned = sum(charges, (charge) => (charge.mm === mm ? charge.mmPages : 0));
    if (alive && mm.pinnedVm !== pinned) {
      found.push(`${name} has a pinned_vm of ${mm.pinnedVm} pages, and its buffers have ${pinned}`);
    }
  }
  for (const user of users) {
    const locked = sum(charges, (charge) => (charge.user === user ? charge.userPages : 0));
    if (user.lockedVm !== locked) {
      found.push(`${user.name} is charged for ${user.lockedVm} pages, and what is open has ${locked}`);
    }
  }
  return found;
}

/** Of each thing once, whoever has it open. */
function chargesOf(opened: readonly { readonly charge?: Charge }[]): readonly Charge[] {
  return [...new Set(opened)].flatMap(({ charge }) => (charge === undefined ? [] : [charge]));
}

function sum(charges: readonly Charge[], of: (charge: Charge) => number): number {
  return charges.reduce((total, charge) => total + of(charge), 0);
}
