/**
 * The LRU marks of folios: which reclaim may look at, and which are kept from it.
 *
 * A folio knows whether it is on a list (`PG_lru`) and whether that is the unevictable one, not where: the order is kept
 * apart, and only once memory is scarce (lru-lists.ts). Whoever takes a folio off (`folioIsolateLru`) has it to himself and a
 * reference. Per-CPU batches are not modelled: a folio is on its list at once.
 * Any context. Source followed: mm/swap.c, mm/vmscan.c `folio_isolate_lru`, `folio_putback_lru` (6.18).
 */
import {
  PG_active,
  PG_anon,
  PG_lru,
  PG_mlocked,
  PG_referenced,
  PG_swapbacked,
  PG_swapcache,
  PG_unevictable,
} from './frames';
import type { Memory } from '../memory';
import { isInUnevictableMapping, mlockNewFolio, resetMlockCount } from '../process/mlock-folio';
import { VM_LOCKED, VM_SPECIAL } from '../process/vma-flags';
import type { Vma } from '../process/vma';

const LAZYFREE_MARKS = PG_anon | PG_swapbacked | PG_lru | PG_swapcache | PG_unevictable;

/** `folio_add_lru`. */
export function folioAddLru(memory: Memory, head: number): void {
  const { flags } = memory.frames;
  const marks = flags[head] & ~PG_unevictable;
  if (folioEvictable(memory, head)) {
    flags[head] = marks | PG_lru;
    if (memory.lru.on) memory.lru.add(head);
  } else {
    flags[head] = (marks & ~PG_active) | PG_lru | PG_unevictable;
    resetMlockCount(memory, head);
  }
}

/** A new anonymous folio of an area goes onto its list, the unevictable one when the area is locked. `folio_add_lru_vma`. */
export function folioAddLruVma(memory: Memory, head: number, vma: Vma): void {
  if ((vma.flags & (VM_LOCKED | VM_SPECIAL)) === VM_LOCKED) mlockNewFolio(memory, head);
  else folioAddLru(memory, head);
}

/** `folio_evictable`: mlocked folios are not, nor is memory that its owner wants to stay. */
export function folioEvictable(memory: Memory, head: number): boolean {
  return (memory.frames.flags[head] & PG_mlocked) === 0 && !isInUnevictableMapping(memory, head);
}

/** Takes a folio off its list, with a reference for the caller; false when it is on none. `folio_isolate_lru`. */
export function folioIsolateLru(memory: Memory, head: number): boolean {
  const { frames } = memory;
  if ((frames.flags[head] & PG_lru) === 0) return false;
  frames.flags[head] &= ~PG_lru;
  frames.get(head, 1);
  return true;
}

/** Gives an isolated folio back to the list it belongs on now; the caller's reference goes. `folio_putback_lru`. */
export function folioPutbackLru(memory: Memory, head: number): void {
  folioAddLru(memory, head);
  memory.frames.put(head, 1);
}

/** The folio is a good one to reclaim next (MADV_COLD). `folio_deactivate`. */
export function folioDeactivate(memory: Memory, head: number): void {
  memory.frames.flags[head] &= ~PG_referenced;
}

/** The content of an anonymous folio may be thrown away unless it is written to again. `folio_mark_lazyfree`. */
export function folioMarkLazyfree(memory: Memory, head: number): void {
  const { flags } = memory.frames;
  if ((flags[head] & LAZYFREE_MARKS) !== (PG_anon | PG_swapbacked | PG_lru)) return;
  flags[head] &= ~(PG_swapbacked | PG_referenced);
}
