/**
 * The machine the recordings were made on, as far as it matters: enough memory, 64 huge pages of 2 MiB, swap, huge pages
 * for areas that ask for them.
 */
import { newMemoryFileSystem } from '@pincushion/fs';
import type { FileSystem } from '@pincushion/fs';
import { HUGETLB_2M_ORDER, linux618 } from '@pincushion/mm';
import type { KernelProfile, LedgerMode, Memory, Mm } from '@pincushion/mm';
import type { World } from '@pincushion/sim';
import { ObservedMemory } from './observed-memory';

const MIB = 1 << 20;
/** 16 MiB: more than a recording writes. */
const DISK_BLOCKS = 4096;
const JOURNAL_BLOCKS = 64;
/** `read_ahead_kb` of the recorded machine's disk. */
const READAHEAD_BYTES = 8 * MIB;

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

/** The file system that stands for the recorded ext4, on a RAM disk, whose bios end at once: no step has to wait for it. */
export function mountDisk(memory: Memory): FileSystem {
  return newMemoryFileSystem(memory, {
    blocks: DISK_BLOCKS,
    journalBlocks: JOURNAL_BLOCKS,
    readaheadBytes: READAHEAD_BYTES,
  });
}

/** The first process. */
export function startProcess(memory: ObservedMemory, name: string): Mm {
  return memory.createMm(name);
}
