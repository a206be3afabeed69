/**
 * Reclaim under pressure: folios from the old end of the inactive lists, in batches, and the active lists shrunk to keep
 * those filled.
 *
 * A pass looks at a part of each list (its length divided by 2^priority) and ends early when it has freed what was wanted.
 * Pages of files go first as long as there are inactive ones to be had; else anonymous memory and files are shrunk in the
 * proportion of `vm.swappiness`, anonymous memory only while swap has room. Folios of zones that have enough are passed by.
 * What happens to a folio that is chosen is in reclaim.ts.
 * Left out: the cost model behind the proportion, refaults, memory cgroups, shrinkers but those of huge pages.
 * Task context. Source followed: mm/vmscan.c `shrink_lruvec`, `get_scan_count`, `shrink_inactive_list`, `shrink_active_list`,
 * `inactive_is_low` (6.18).
 */
import type { Task } from '@pincushion/sim';
import { settled } from '../eager-task';
import { PG_active, PG_swapbacked } from '../frames/frames';
import { folioIsolateLru, folioPutbackLru } from '../frames/lru';
import { LruList } from '../frames/lru-lists';
import type { Memory } from '../memory';
import { VM_EXEC } from '../process/vma-flags';
import { FolioUse, folioCheckReferences, folioReferenced } from './folio-references';
import { reclaimFolios } from './reclaim';

/** Folios of one batch (`SWAP_CLUSTER_MAX`). */
export const BATCH = 32;
/** `vm.swappiness`, of 200. */
const SWAPPINESS = 60;
/** Pages of one GiB, by which the wanted ratio of active to inactive folios grows. */
const GIB_SHIFT = 18;

/** What is wanted of a pass. `struct scan_control`. */
export interface ScanControl {
  /** Pages that are enough. */
  readonly wanted: number;
  /** Swap may be written to although that takes time. */
  readonly mayWait: boolean;
  /** Pages above its high mark that a zone is to have before it has enough. */
  readonly extra: number;
}

/** One pass over the lists: pages freed. */
export function* shrinkLists(memory: Memory, control: ScanControl, priority: number): Task<number> {
  const { wanted, mayWait } = control;
  const share = scanShare(memory, priority, mayWait);
  let freed = 0;
  for (const isFile of [true, false]) {
    const inactive = isFile ? LruList.inactiveFile : LruList.inactiveAnon;
    let left = Math.ceil((memory.lru.sizeOf(inactive) >> priority) * (isFile ? share.file : share.anon));
    if ((isFile ? share.file : share.anon) === 0) continue;
    if (priority === 0) left = Math.max(left, memory.lru.sizeOf(inactive));
    if (mayDeactivate(memory, isFile)) shrinkActive(memory, isFile, BATCH + left);
    for (; left > 0 && freed < wanted; left -= BATCH) {
      const chosen = takeInactive(memory, inactive, Math.min(BATCH, left), control.extra);
      freed += yield* settled(reclaimFolios(memory, chosen));
    }
  }
  memory.lru.swappedInBefore = memory.vmstat.pswpin;
  return freed;
}

/** How much of each kind is looked at, 0…1. `get_scan_count`. */
function scanShare(
  memory: Memory,
  priority: number,
  mayWait: boolean,
): { readonly anon: number; readonly file: number } {
  const { swap, lru } = memory;
  const canSwap = swap.slotsFree > 0 && (mayWait || swap.store?.synchronous === true);
  if (!canSwap) return { anon: 0, file: 1 };
  const hasFiles = lru.sizeOf(LruList.inactiveFile) >> priority > 0 && !inactiveIsLow(memory, true);
  if (hasFiles) return { anon: 0, file: 1 }; // `cache_trim_mode`
  return priority === 0 ? { anon: 1, file: 1 } : { anon: SWAPPINESS / 200, file: (200 - SWAPPINESS) / 200 };
}

/** Active folios are taken for old when there are too few others, or those come back from swap. `prepare_scan_control`. */
function mayDeactivate(memory: Memory, isFile: boolean): boolean {
  return inactiveIsLow(memory, isFile) || (!isFile && memory.vmstat.pswpin !== memory.lru.swappedInBefore);
}

/** `inactive_is_low`. */
function inactiveIsLow(memory: Memory, isFile: boolean): boolean {
  const inactive = memory.lru.sizeOf(isFile ? LruList.inactiveFile : LruList.inactiveAnon);
  const active = memory.lru.sizeOf(isFile ? LruList.activeFile : LruList.activeAnon);
  const gib = (inactive + active) >> GIB_SHIFT;
  return inactive * (gib > 0 ? Math.floor(Math.sqrt(10 * gib)) : 1) < active;
}

/** Up to `n` of the oldest folios, isolated, that may go; those that were used have their second chance. */
function takeInactive(memory: Memory, list: LruList, n: number, extra: number): number[] {
  const { lru, frames } = memory;
  const chosen: number[] = [];
  for (let i = 0; i < n; i++) {
    const head = lru.takeOldest(list);
    if (head === 0) break;
    if (!isWanted(memory, head, extra)) {
      lru.add(head);
      continue;
    }
    if (!folioIsolateLru(memory, head)) continue;
    const use = folioCheckReferences(memory, head);
    if (use === FolioUse.reclaim) {
      chosen.push(head);
      continue;
    }
    if (use === FolioUse.activate) frames.flags[head] |= PG_active;
    folioPutbackLru(memory, head);
  }
  return chosen;
}

/** `shrink_active_list`: the oldest active folios become inactive; programs that are in use stay. */
function shrinkActive(memory: Memory, isFile: boolean, n: number): void {
  const { lru, frames } = memory;
  for (let i = 0; i < n; i++) {
    const head = lru.takeOldest(isFile ? LruList.activeFile : LruList.activeAnon);
    if (head === 0) return;
    const seen = folioReferenced(memory, head);
    const isProgram = (seen.vmFlags & VM_EXEC) !== 0 && (frames.flags[head] & PG_swapbacked) === 0;
    if (seen.entries === 0 || !isProgram) frames.flags[head] &= ~PG_active;
    lru.add(head);
  }
}

/** Whether the zone of the folio is short of memory. */
function isWanted(memory: Memory, head: number, extra: number): boolean {
  const zone = memory.zoneOf(head);
  return (zone?.buddy?.framesFree ?? Infinity) < (zone?.watermarks.high ?? 0) + extra;
}
