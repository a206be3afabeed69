/**
 * The machine the recordings were made on, as far as it matters: enough memory, 64 huge pages of 2 MiB, swap, huge pages
 * for areas that ask for them.
 */
import { HUGETLB_2M_ORDER, linux618 } from '@pincushion/mm';
import type { KernelProfile, LedgerMode, Mm } from '@pincushion/mm';
import type { World } from '@pincushion/sim';
import { ObservedMemory } from './observed-memory';

const MIB = 1 << 20;

/** How the machine differs from the recorded one. */
export interface SetUp {
  /** The kernel it behaves like; the recorded one unless given. */
  readonly profile?: KernelProfile;
  /** `full` where every reference must be explained; `counts` unless given. */
  readonly ledger?: LedgerMode;
}

export function bootMemory(world: World, { profile = linux618, ledger = 'counts' }: SetUp): ObservedMemory {
  return new ObservedMemory(world, {
    ramBytes: 256 * MIB,
    swapBytes: 256 * MIB,
    hugetlb: { [HUGETLB_2M_ORDER]: 64 },
    profile,
    ledger,
    name: 'recorded machine',
  });
}

/** The first process. */
export function startProcess(memory: ObservedMemory, name: string): Mm {
  return memory.createMm(name);
}
