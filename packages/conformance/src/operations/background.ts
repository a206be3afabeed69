/** What the administrator asks of the kernel: reclaim, compaction, KSM; moving pages; userfaultfd protection. */
import { errnoName } from '@pincushion/sim';
import {
  PTE_PRESENT,
  PTE_SPECIAL,
  compactMemory,
  indexOf,
  regionOf,
  uffdRegisterWp,
  uffdWriteprotect,
} from '@pincushion/mm';
import type { Mm } from '@pincushion/mm';
import { PAGE } from '../operation';
import type { Operation } from '../operation';
import type { Actor, Opened, ScenarioMachine } from '../scenario-machine';

/** Full scans the recorder waits for. */
const KSM_SCANS = 4;
/** Status of move_pages for a page that is not there; and for the zero page or an address outside of all areas. */
const STATUS_ENOENT = -2;
const STATUS_EFAULT = -14;

/** What move_pages to node 0, the only one, says of a page. `add_folio_for_migration`. */
function moveStatus(mm: Mm, address: number): number {
  if (mm.vmas.lookup(address) === null) return STATUS_EFAULT;
  const pte = mm.pageTable.flagsAt(regionOf(address), indexOf(address));
  if ((pte & PTE_PRESENT) === 0) return STATUS_ENOENT;
  return (pte & PTE_SPECIAL) !== 0 ? STATUS_EFAULT : 0; // the zero page
}

export const backgroundOperations: Readonly<Record<string, Operation>> = {
  dropcaches: (machine, _by, call) => {
    machine.memory.dropCaches(call.number('mode', 1));
    return { res: 'ok' };
  },
  compact: (machine) => {
    compactMemory(machine.memory);
    return { res: 'ok' };
  },
  ksm: (machine) => {
    machine.memory.ksm.scan(KSM_SCANS);
    return { res: 'ok' };
  },
  movepages: (_machine, by, call) => {
    const pages = Math.max(1, call.number('n', 0));
    const statuses = Array.from({ length: pages }, (_, k) => moveStatus(by.mm, call.address + k * PAGE));
    return { res: 0, x: statuses.join(',') };
  },
  uffdwp: (machine, by, call) => {
    const { region } = call;
    if (region === null) return { res: 'EINVAL' };
    const descriptor = userFaultDescriptor(machine, by);
    if (descriptor === null) return { res: 'EBADF' };
    const { mm } = descriptor;
    const refused = uffdRegisterWp(mm, region.base, region.base + region.pages * PAGE);
    if (refused !== 0) return { res: errnoName(refused) };
    const protect = call.number('clear', 0) === 0;
    return machine.ok(uffdWriteprotect(mm, call.address, call.address + call.length, protect));
  },
  sleep: () => ({ res: 'ok' }),
};

/** A userfaultfd: it acts on the address space of the process that made it, whoever uses it. */
class UserFaultDescriptor implements Opened {
  constructor(readonly mm: Mm) {}

  close(): void {
    // The areas stay registered; nothing is charged.
  }
}

/** The scenario's one userfaultfd, made by the first who asks; null for a process that did not inherit it. */
function userFaultDescriptor(machine: ScenarioMachine, by: Actor): UserFaultDescriptor | null {
  const known = machine.find('userfaultfd', '');
  if (known instanceof UserFaultDescriptor) return by.opened.has(known) ? known : null;
  const made = new UserFaultDescriptor(by.mm);
  by.opened.add(made);
  machine.keep('userfaultfd', '', made);
  return made;
}
