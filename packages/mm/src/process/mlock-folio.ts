/**
 * The mlocked state of a folio: its marks, and how many locked areas map it.
 *
 * A folio is `mlocked` while at least one locked area maps it. It then lies on the unevictable list, and only there the
 * count is kept; what happens while it is isolated is made up for when it is put back. No references are taken.
 * Any context. Source followed: mm/mlock.c `mlock_folio`, `munlock_folio`, mm/internal.h `mlock_vma_folio` (6.18).
 */
import { AddressSpace } from '../page-cache/address-space';
import { PG_lru, PG_mlocked, PG_unevictable } from '../frames/frames';
import type { Memory } from '../memory';
import { VM_LOCKED, VM_SPECIAL } from './vma-flags';
import type { Vma } from './vma';

/** One more locked area maps the folio. Any context. `mlock_folio`. */
export function mlockFolio(memory: Memory, head: number): void {
  const { flags } = memory.frames;
  flags[head] |= PG_mlocked;
  if ((flags[head] & PG_lru) === 0) return; // nothing more to do while it is isolated
  if ((flags[head] & PG_unevictable) !== 0) {
    memory.mlockCounts.set(head, mlockCount(memory, head) + 1);
    return;
  }
  flags[head] |= PG_unevictable;
  memory.mlockCounts.delete(head);
}

/** A folio that a locked area has just got goes to the unevictable list at once. Any context. `mlock_new_folio`. */
export function mlockNewFolio(memory: Memory, head: number): void {
  memory.frames.flags[head] |= PG_mlocked | PG_unevictable | PG_lru;
  memory.mlockCounts.delete(head);
}

/** One locked area less maps the folio; the last lets reclaim have it again. Any context. `munlock_folio`. */
export function munlockFolio(memory: Memory, head: number): void {
  const { flags } = memory.frames;
  const isOnList = (flags[head] & PG_lru) !== 0;
  if (isOnList && (flags[head] & PG_unevictable) !== 0) {
    const count = Math.max(0, mlockCount(memory, head) - 1);
    memory.mlockCounts.set(head, count);
    if (count > 0) return;
  }
  flags[head] &= ~PG_mlocked;
  if (!isOnList || isInUnevictableMapping(memory, head)) return;
  flags[head] &= ~PG_unevictable;
  memory.mlockCounts.delete(head);
  if (memory.lru.on) memory.lru.add(head);
}

/** A locked area maps the folio, with `wholeMapping` all of it: a part of a large folio is not locked. `mlock_vma_folio`. */
export function mlockVmaFolio(memory: Memory, head: number, vma: Vma, wholeMapping: boolean): void {
  if (wholeMapping && (vma.flags & (VM_LOCKED | VM_SPECIAL)) === VM_LOCKED) mlockFolio(memory, head);
}

/** The area maps the folio no longer, or no longer all of it. `munlock_vma_folio`. */
export function munlockVmaFolio(memory: Memory, head: number, vma: Vma): void {
  if ((vma.flags & VM_LOCKED) !== 0) munlockFolio(memory, head);
}

/** An isolated folio goes back to the unevictable list: how many areas lock it is not known any more (`lru_add`). */
export function resetMlockCount(memory: Memory, head: number): void {
  if ((memory.frames.flags[head] & PG_mlocked) !== 0) memory.mlockCounts.delete(head);
  else memory.mlockCounts.set(head, 0);
}

/** The folio at `from` has been moved to `to`, marks and all. */
export function moveMlockCount(memory: Memory, from: number, to: number): void {
  const count = memory.mlockCounts.get(from);
  memory.mlockCounts.delete(from);
  if (count === undefined) memory.mlockCounts.delete(to);
  else memory.mlockCounts.set(to, count);
}

/** `folio->mlock_count`, kept for folios on the unevictable list when it is not one. */
function mlockCount(memory: Memory, head: number): number {
  return memory.mlockCounts.get(head) ?? 1;
}

/** `mapping_unevictable`. */
export function isInUnevictableMapping(memory: Memory, head: number): boolean {
  const owner = memory.owner(memory.frames.mapping[head]);
  return owner instanceof AddressSpace && owner.unevictable;
}
