/**
 * Whether a folio was used since reclaim looked last: the accessed bits of its entries, which are cleared, and its mark.
 *
 * The first use seen gives it a second chance on its list, a second one a place on the active list. Areas that are read
 * once, in order or at random, do not count.
 * Left out: MMU notifiers, demotion, the young bits of KSM's and other page idle tracking.
 * Source followed: mm/vmscan.c `folio_check_references`, mm/rmap.c `folio_referenced` (6.18).
 */
import { PG_referenced, PG_swapbacked } from '../frames/frames';
import { rmapWalk } from '../frames/rmap';
import type { Memory } from '../memory';
import { PTE_ACCESSED } from '../process/page-table';
import { VM_EXEC, VM_LOCKED, VM_RAND_READ, VM_SEQ_READ } from '../process/vma-flags';

/** What is to be done with an inactive folio. `enum folio_references`. */
export const FolioUse = { reclaim: 0, keep: 1, activate: 2 } as const;
export type FolioUse = (typeof FolioUse)[keyof typeof FolioUse];

/** What an isolated folio of an inactive list has deserved. `folio_check_references`. */
export function folioCheckReferences(memory: Memory, head: number): FolioUse {
  const { flags } = memory.frames;
  const seen = folioReferenced(memory, head);
  const wasReferenced = (flags[head] & PG_referenced) !== 0;
  flags[head] &= ~PG_referenced;
  if ((seen.vmFlags & VM_LOCKED) !== 0) return FolioUse.activate;
  if (seen.entries === 0) return FolioUse.reclaim;
  flags[head] |= PG_referenced;
  if (wasReferenced || seen.entries > 1) return FolioUse.activate;
  const isProgram = (seen.vmFlags & VM_EXEC) !== 0 && (flags[head] & PG_swapbacked) === 0;
  return isProgram ? FolioUse.activate : FolioUse.keep;
}

/** Entries through which the folio was used since the last look, and the flags of their areas. `folio_referenced`. */
export function folioReferenced(memory: Memory, head: number): { readonly entries: number; readonly vmFlags: number } {
  let entries = 0;
  let vmFlags = 0;
  rmapWalk(memory, head, ({ mm, vma, region, index }) => {
    if ((vma.flags & VM_LOCKED) !== 0) {
      vmFlags |= VM_LOCKED;
      return false;
    }
    const { pageTable } = mm;
    const pte = pageTable.flagsAt(region, Math.max(0, index));
    if ((pte & PTE_ACCESSED) === 0) return true;
    if (index < 0) pageTable.setHugeFlags(region, pte & ~PTE_ACCESSED);
    else pageTable.set(pageTable.tableOf(region), index, pageTable.frameAt(region, index), pte & ~PTE_ACCESSED);
    if ((vma.flags & (VM_SEQ_READ | VM_RAND_READ)) !== 0) return true;
    entries++;
    vmFlags |= vma.flags;
    return true;
  });
  return { entries, vmFlags };
}
