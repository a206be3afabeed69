/**
 * Moving a folio to other frames while processes use it: for long-term pins that may not stay in movable memory, for
 * compaction, for memory that goes offline, for CMA.
 *
 * Every entry that maps the folio is replaced by a migration entry, which drops the mapping's reference; then nobody but
 * the mover and the owner (page cache, swap cache) may refer to it, or the move is off (L-03). The content goes over, and
 * the entries are made to show the new folio. An anonymous page that may be pinned refuses as soon as its exclusiveness
 * would have to be given up, so the entry is put back.
 * A page of a hugetlb pool moves to another of the pool, or to one from the allocator, which takes its place in the pool.
 * Left out: moves between nodes (there is one), hugetlb pages of 1 GiB, device-private memory; only long-term pins wait for
 * writeback, and only of files.
 * Source followed: mm/migrate.c `migrate_pages_batch`, `try_to_migrate`, `remove_migration_ptes`, `folio_migrate_mapping`;
 * mm/gup.c `collect_longterm_unpinnable_folios`, `migrate_longterm_unpinnable_folios` (6.18).
 */
import { EAGAIN, EBUSY, EINVAL, ENOMEM } from '@pincushion/sim';
import type { MaySleep } from '@pincushion/sim';
import { AddressSpace } from '../page-cache/address-space';
import { eagerly, settled } from '../eager-task';
import {
  PG_active,
  PG_anon,
  PG_anonExclusive,
  PG_buddy,
  PG_cma,
  PG_dirty,
  PG_hugetlb,
  PG_ksm,
  PG_locked,
  PG_lru,
  PG_mlocked,
  PG_private,
  PG_readahead,
  PG_referenced,
  PG_reserved,
  PG_secretmem,
  PG_swapbacked,
  PG_swapcache,
  PG_unevictable,
  PG_uptodate,
  PG_writeback,
  PG_zoneUnpinnable,
} from '../frames/frames';
import { Mechanism } from '../mechanism';
import type { Memory } from '../memory';
import { moveMlockCount } from '../process/mlock-folio';
import { folioMapping, folioMarkDirty } from '../page-cache/page-cache';
import { PAGE_SIZE } from '../frames/page-size';
import {
  PTE_ACCESSED,
  PTE_DIRTY,
  PTE_MIGRATION,
  PTE_PRESENT,
  PTE_PROTNONE,
  PTE_SOFT_DIRTY,
  PTE_SWP_EXCLUSIVE,
  PTE_UFFD_WP,
  PTE_USER,
  PTE_WRITE,
} from '../process/page-table';
import { folioAddFileRmapPte, folioAddRmapPmd, folioRemoveRmapPmd, folioRemoveRmapPte, rmapWalk } from '../frames/rmap';
import type { MappedAt } from '../frames/rmap';
import { isPartiallyMapped, splitFolio } from '../huge/split-folio';
import { folioTryShareAnonRmap } from './unmap-folio';
import { folioWaitWriteback } from '../page-cache/writeback';
import { ZERO_PFN } from '../frames/zero-page';
import { Gfp, ZoneType } from '../frames/zone';
import type { GfpFlags } from '../frames/zone';

const TRIES = 10;
/** What a folio takes with it. `folio_migrate_flags`. */
const MOVED_FLAGS =
  PG_active |
  PG_anon |
  PG_dirty |
  PG_ksm |
  PG_lru |
  PG_mlocked |
  PG_private |
  PG_readahead |
  PG_referenced |
  PG_swapbacked |
  PG_swapcache |
  PG_unevictable |
  PG_uptodate;
/** What an entry remembers while it is a migration entry; the accessed and dirty bits stay in it (since 6.1). */
const KEPT_BITS = PTE_WRITE | PTE_DIRTY | PTE_ACCESSED | PTE_SOFT_DIRTY | PTE_UFFD_WP | PTE_PROTNONE;

/** Whether a long-term pin may stay on the folio. Section 12.1, `folio_is_longterm_pinnable`. */
export function folioIsLongtermPinnable(memory: Memory, head: number): boolean {
  if (head === ZERO_PFN) return true;
  const flags = memory.frames.flags[head];
  if ((flags & PG_cma) !== 0) return false;
  return (flags & PG_zoneUnpinnable) === 0 || !memory.profile.longtermLeavesMovable;
}

/**
 * Moves one folio to frames that `gfp` allows; without `to`, a large folio of which parts are mapped no more, or for which
 * there is no room, is split and its pages are moved. 0, -EAGAIN when somebody holds a reference, -ENOMEM without a place
 * to go, -EBUSY when it cannot be moved at all or not now. Task context. The caller must have no reference of its own.
 */
export function migrateFolio(memory: Memory, head: number, gfp: GfpFlags, to = 0): number {
  const { frames, vmstat } = memory;
  const pages = 1 << frames.order[head];
  if (memory.faults.armed) {
    const refusal = memory.faults.hit('migrate');
    if (refusal !== 0) {
      if (to !== 0) frames.put(to, 1);
      vmstat.pgmigrateFail += pages;
      return refusal;
    }
  }
  const maySplit = pages > 1 && (frames.flags[head] & (PG_anon | PG_hugetlb)) === PG_anon;
  if (maySplit && isPartiallyMapped(memory, head) && splitFolio(memory, head) === 0) {
    return migrateParts(memory, head, pages, gfp);
  }
  const result = migrateWhole(memory, head, gfp, to);
  if (result === -ENOMEM && maySplit && splitFolio(memory, head) === 0) return migrateParts(memory, head, pages, gfp);
  if (result === 0) vmstat.pgmigrateSuccess += pages;
  else vmstat.pgmigrateFail += pages;
  return result;
}

/** Moves what is still in use of a folio that was split: 0, or the first error. `try_split_folio`. */
function migrateParts(memory: Memory, head: number, pages: number, gfp: GfpFlags): number {
  const { frames } = memory;
  let result = 0;
  for (let pfn = head; pfn < head + pages; pfn++) {
    if (frames.refcount[pfn] === 0) continue;
    const error = migrateFolio(memory, pfn, gfp);
    if (result === 0) result = error;
  }
  return result;
}

function migrateWhole(memory: Memory, head: number, gfp: GfpFlags, to: number): number {
  const { frames } = memory;
  if (!isMovable(frames.flags[head]) || (frames.flags[head] & (PG_writeback | PG_locked)) !== 0) {
    if (to !== 0) frames.put(to, 1);
    return -EBUSY;
  }
  const pool = (frames.flags[head] & PG_hugetlb) !== 0 ? memory.hugetlb.get(frames.order[head]) : undefined;
  if (pool?.isGigantic === true) return -EBUSY; // Left out; compaction, which brings `to`, has none of these.
  const target = to !== 0 ? to : (pool?.takeForMigration(gfp) ?? memory.allocFolio(frames.order[head], gfp));
  if (target < 0) return -ENOMEM;
  for (let tries = 0; tries < TRIES; tries++) {
    if (moveOnce(memory, head, target)) {
      pool?.moved(head, target);
      frames.put(head, 1);
      frames.put(target, 1); // Its mappings and caches have references of their own now (`folio_putback_lru`).
      return 0;
    }
  }
  frames.put(target, 1);
  return -EAGAIN;
}

/** Pages of users: on a list of reclaim or of a hugetlb pool, and not hidden from the kernel (`secretmem_migrate_folio`). */
function isMovable(flags: number): boolean {
  return (flags & (PG_lru | PG_hugetlb)) !== 0 && (flags & PG_secretmem) === 0;
}

/** `migrate_folio_unmap` and `migrate_folio_move`. The mover's own reference on `head` is left when it succeeds. */
function moveOnce(memory: Memory, head: number, target: number): boolean {
  const { frames } = memory;
  frames.get(head, 1);
  const places = tryToMigrate(memory, head);
  if (frames.folioMapcount(head) !== 0 || frames.refcount[head] !== expectedReferences(memory, head) + 1) {
    for (const place of places) removeMigrationPte(memory, place, head, head);
    frames.put(head, 1);
    return false;
  }
  moveMapping(memory, head, target);
  for (const place of places) removeMigrationPte(memory, place, head, target);
  return true;
}

/** What the owner of an unmapped folio holds. `folio_expected_ref_count`. */
function expectedReferences(memory: Memory, head: number): number {
  const { frames } = memory;
  const pages = 1 << frames.order[head];
  const flags = frames.flags[head];
  const inCache = (flags & PG_swapcache) !== 0 || memory.owner(frames.mapping[head]) instanceof AddressSpace;
  return (inCache ? pages : 0) + ((flags & PG_private) !== 0 ? 1 : 0);
}

interface Moved extends MappedAt {
  /** The entry as it was. */
  readonly pte: number;
  readonly exclusive: boolean;
}

/** Replaces the entries that map the folio by migration entries, as far as nobody objects. `try_to_migrate_one`. */
function tryToMigrate(memory: Memory, head: number): Moved[] {
  const { frames } = memory;
  const moved: Moved[] = [];
  rmapWalk(memory, head, (at) => {
    const { mm, region, index, pfn } = at;
    const isHuge = index < 0;
    const pte = mm.pageTable.flagsAt(region, isHuge ? 0 : index);
    if ((pte & PTE_PRESENT) === 0) return true;
    const exclusive = (frames.flags[head] & PG_anon) !== 0 && (frames.flags[pfn] & PG_anonExclusive) !== 0;
    const isDirty = (pte & PTE_DIRTY) !== 0 && (frames.flags[head] & PG_hugetlb) === 0;
    if (!isHuge && isDirty) folioMarkDirty(memory, head); // Before the question, and for a huge mapping after it.
    if (exclusive && !folioTryShareAnonRmap(memory, pfn)) return false; // The entry stays as it is.
    const entry = PTE_MIGRATION | (pte & KEPT_BITS) | (exclusive ? PTE_SWP_EXCLUSIVE : 0);
    if (isHuge) {
      mm.pageTable.setHugeFlags(region, entry);
      folioRemoveRmapPmd(memory, head, at.vma);
    } else {
      mm.pageTable.set(mm.pageTable.tableOf(region), index, pfn, entry);
      folioRemoveRmapPte(memory, pfn, at.vma);
    }
    if (isHuge && isDirty) folioMarkDirty(memory, head);
    frames.put(head, 1);
    moved.push({ ...at, pte, exclusive });
    return true;
  });
  return moved;
}

/** Owner, flags and content of the old folio become the new one's. `folio_migrate_mapping`, `folio_migrate_flags`. */
function moveMapping(memory: Memory, head: number, target: number): void {
  const { frames, bytes } = memory;
  const pages = 1 << frames.order[head];
  const flags = frames.flags[head];
  frames.flags[target] |= flags & MOVED_FLAGS;
  if (memory.lru.on && (flags & PG_lru) !== 0) memory.lru.add(target);
  frames.mapping[target] = frames.mapping[head];
  frames.index[target] = frames.index[head];
  for (let i = 0; i < pages; i++) bytes.copy(target + i, 0, head + i, 0, PAGE_SIZE);
  const held = expectedReferences(memory, head);
  if (memory.mechanisms.on) memory.mechanisms.emit(Mechanism.migrated, target, head, 0);
  memory.owner(frames.mapping[head])?.moved?.(head, target);
  if ((flags & PG_swapcache) !== 0) memory.swap.moved(head, target);
  if (held > 0) {
    frames.get(target, held);
    frames.refcount[head] -= held;
  }
  if ((flags & PG_unevictable) !== 0) moveMlockCount(memory, head, target);
  frames.flags[head] &= ~MOVED_FLAGS;
  frames.mapping[head] = 0;
}

/** `remove_migration_pte`: the entry shows the new folio (or, after a failure, the old one again). */
function removeMigrationPte(memory: Memory, place: Moved, from: number, to: number): void {
  const { frames } = memory;
  const { mm, region, index, pte, exclusive } = place;
  const pfn = to + (place.pfn - from);
  if (exclusive) frames.flags[pfn] |= PG_anonExclusive;
  frames.get(to, 1);
  const entry = pte | PTE_PRESENT | PTE_USER;
  if (index < 0) {
    mm.pageTable.setHuge(region, pfn, entry);
    folioAddRmapPmd(memory, to, place.vma);
  } else {
    mm.pageTable.set(mm.pageTable.tableOf(region), index, pfn, entry);
    folioAddFileRmapPte(memory, pfn, place.vma);
  }
}

/**
 * What `pin*` with FOLL_LONGTERM has to do before it may keep its pages: moves the folios that may not stay (section 12.2),
 * already unpinned by the caller. Waits for those of files that are being written. 0 when all could be moved, -ENOMEM
 * otherwise (L-01). Task context. `migrate_longterm_unpinnable_folios`.
 */
export function migrateLongtermUnpinnable(memory: Memory, heads: readonly number[]): MaySleep {
  return eagerly(memory.world, 'moving pages for a long-term pin', moveAll(memory, heads));
}

function* moveAll(memory: Memory, heads: readonly number[]) {
  for (const head of heads) {
    const mapping = folioMapping(memory, head);
    if (mapping !== null && (memory.frames.flags[head] & PG_writeback) !== 0) {
      yield* settled(folioWaitWriteback(mapping, head));
      return 0; // Anything may have happened to the others: the caller looks again.
    }
    if (migrateFolio(memory, head, Gfp.kernel) !== 0) return -ENOMEM;
  }
  return 0;
}

/**
 * Empties frames [start, end) of one zone: moves what is in use and takes the free frames off their lists. 0: the range is
 * the caller's, without references; `takeBack` returns it. -EBUSY: something in it cannot move (a pinned page, a page of
 * the kernel), and all is back on the lists as far as it is free. Task context. `alloc_contig_range`, `offline_pages`.
 */
export function evacuate(memory: Memory, start: number, end: number): number {
  const { frames } = memory;
  const zone = memory.zoneOf(start);
  const buddy = zone?.buddy ?? null;
  if (zone === null || buddy === null || end > zone.end || end <= start) return -EINVAL;
  const mayHaveOthers = !zone.cma && zone.type !== ZoneType.movable;
  if (mayHaveOthers && hasUnmovable(memory, start, Math.min(end, buddy.untouched))) return -EBUSY;
  buddy.isolate(start, end);
  for (let pfn = start; pfn < end;) {
    if (buddy.isIsolated(pfn)) {
      pfn++;
      continue;
    }
    const head = frames.headOf(pfn);
    const next = head + (1 << frames.order[head]);
    if (!vacate(memory, head)) {
      buddy.endIsolation();
      return -EBUSY;
    }
    pfn = next;
  }
  buddy.keepIsolated();
  return 0;
}

/** Whether a page of the kernel or of a device lies in [start, end): then nothing is moved at all. `has_unmovable_pages`. */
function hasUnmovable(memory: Memory, start: number, end: number): boolean {
  const { frames } = memory;
  for (let pfn = start; pfn < end;) {
    const head = frames.headOf(pfn);
    const isFreeBlock = (frames.flags[pfn] & PG_buddy) !== 0;
    const isUsed = !isFreeBlock && ((frames.flags[head] & PG_reserved) !== 0 || frames.refcount[head] !== 0);
    if (isUsed && !isMovable(frames.flags[head])) return true;
    pfn = head + (1 << frames.order[head]);
  }
  return false;
}

/** Moves a folio away. A page of a hugetlb pool is then free, or was before, and is exchanged for another. */
function vacate(memory: Memory, head: number): boolean {
  const { frames } = memory;
  const pool = (frames.flags[head] & PG_hugetlb) === 0 ? undefined : memory.hugetlb.get(frames.order[head]);
  if (pool?.isFree(head) !== true && migrateFolio(memory, head, Gfp.movable) !== 0) return false;
  return pool === undefined || !pool.isFree(head) || pool.dissolveFree(head);
}

/** Gives frames back that `evacuate` emptied. */
export function takeBack(memory: Memory, start: number, end: number): void {
  const buddy = memory.zoneOf(start)?.buddy;
  for (let pfn = start; pfn < end; pfn++) buddy?.give(pfn, 0);
}

/**
 * Moves small user pages to lower frames where those are free, so that free memory comes together. Pages that anybody
 * refers to beyond their mappings stay where they are, pinned ones first of all. Returns the pages moved. Task context.
 * `compact_zone`, with one scanner for pages from the top and the allocator's lists for places from the bottom.
 */
export function compactMemory(memory: Memory): number {
  let moved = 0;
  for (const zone of memory.zones) {
    const { buddy } = zone;
    if (buddy === null) continue;
    for (let pfn = buddy.untouched - 1; pfn >= zone.start; pfn--) {
      if (!isCompactable(memory, pfn)) continue;
      const to = buddy.takeBelow(pfn);
      if (to < 0) break;
      memory.prepareFolio(to, 0, zone);
      if (migrateFolio(memory, pfn, Gfp.movable, to) === 0) moved++;
    }
  }
  return moved;
}

/** `isolate_migratepages_block`: a small page on an LRU list that has no more references than mappings explain. */
function isCompactable(memory: Memory, pfn: number): boolean {
  const { frames } = memory;
  if (frames.order[pfn] !== 0 || (frames.flags[pfn] & (PG_lru | PG_buddy)) !== PG_lru) return false;
  const isAnon = (frames.flags[pfn] & PG_anon) !== 0;
  return frames.refcount[pfn] > 0 && (!isAnon || frames.refcount[pfn] - 1 <= frames.mapcount[pfn]);
}
