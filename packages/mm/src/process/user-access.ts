/**
 * The process's own loads and stores, in bulk (also what `copy_from_user` and `copy_to_user` do): through the page table,
 * page by page, with faults. Task context, may sleep in a fault.
 * Source followed: arch/x86/lib/copy_user_64.S for the short count, arch/x86/mm/fault.c.
 */
import { sleeping } from '@pincushion/sim';
import type { MaySleep, Task } from '@pincushion/sim';
import type { Mm } from './mm';
import { PAGE_SIZE } from '../frames/page-size';
import {
  PMD_HUGE,
  PMD_NONE,
  PTE_ACCESSED,
  PTE_DIRTY,
  PTE_PKEY_SHIFT,
  PTE_PRESENT,
  PTE_PROTNONE,
  PTE_WRITE,
  indexOf,
  regionOf,
} from './page-table';

/** A copy on its way; `done` bytes are over. */
class UserCopy {
  done = 0;

  constructor(
    readonly mm: Mm,
    readonly address: number,
    readonly buffer: Uint8Array,
    readonly at: number,
    readonly n: number,
    readonly write: boolean,
  ) {}

  /** Copies until all is done (true) or a page needs a fault (false). */
  advance(): boolean {
    const { mm, buffer, write } = this;
    const { bytes } = mm.memory;
    while (this.done < this.n) {
      const address = this.address + this.done;
      const pfn = access(mm, address, write);
      if (pfn < 0) return false;
      const offset = address % PAGE_SIZE;
      const length = Math.min(PAGE_SIZE - offset, this.n - this.done);
      if (write) bytes.write(pfn, offset, buffer, this.at + this.done, length);
      else bytes.read(pfn, offset, buffer, this.at + this.done, length);
      this.done += length;
    }
    return true;
  }

  fault(): MaySleep {
    return this.mm.fault(this.address + this.done, this.write);
  }

  failed(error: number): number {
    return this.done > 0 ? this.done : error;
  }
}

/** Reads user memory. Bytes copied, or -errno when not even the first byte could be. */
export function copyFromUser(mm: Mm, address: number, into: Uint8Array, at: number, n: number): MaySleep {
  return copy(new UserCopy(mm, address, into, at, n, false));
}

/** Writes user memory. Bytes copied, or -errno when not even the first byte could be. */
export function copyToUser(mm: Mm, address: number, from: Uint8Array, at: number, n: number): MaySleep {
  return copy(new UserCopy(mm, address, from, at, n, true));
}

function copy(work: UserCopy): MaySleep {
  work.mm.memory.world.contexts.mightSleep('user memory access');
  while (!work.advance()) {
    const fault = work.fault();
    if (typeof fault !== 'number') {
      return sleeping(work.mm.memory.world, 'user memory access', () => copySleeping(work, fault));
    }
    if (fault < 0) return work.failed(fault);
  }
  return work.n;
}

function* copySleeping(work: UserCopy, pending: Task<number>) {
  let fault: MaySleep = pending;
  for (;;) {
    const error: number = typeof fault === 'number' ? fault : yield* fault;
    if (error < 0) return work.failed(error);
    if (work.advance()) return work.n;
    fault = work.fault();
  }
}

/**
 * The frame behind `address` if the CPU may access it right now, marking the entry as the CPU does; else -1. What the
 * entry allows and PKRU does not is refused like the rest.
 */
function access(mm: Mm, address: number, write: boolean): number {
  const { pageTable, tlb, pkeys } = mm;
  const cached = tlb === null ? -1 : tlb.lookup(address, write);
  if (cached >= 0) return cached;
  const region = regionOf(address);
  const index = indexOf(address);
  const table = pageTable.tableOf(region);
  if (table === PMD_NONE) return -1;
  const need = write ? PTE_PRESENT | PTE_WRITE : PTE_PRESENT;
  const mark = write ? PTE_ACCESSED | PTE_DIRTY : PTE_ACCESSED;
  if (table === PMD_HUGE) {
    const pte = pageTable.hugeFlags(region);
    if ((pte & (need | PTE_PROTNONE)) !== need || !pkeys.allow(pte >>> PTE_PKEY_SHIFT, write)) return -1;
    if ((pte & mark) !== mark) pageTable.setHugeFlags(region, pte | mark);
    return pageTable.hugeHead(region) + index;
  }
  const ptes = pageTable.flagsOf(table);
  const at = pageTable.baseOf(table) + index;
  if ((ptes[at] & (need | PTE_PROTNONE)) !== need || !pkeys.allow(ptes[at] >>> PTE_PKEY_SHIFT, write)) return -1;
  ptes[at] |= mark;
  return pageTable.framesOf(table)[at];
}
