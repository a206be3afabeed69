/**
 * Checks everything that must hold about the memory of a machine between two operations. For tests: walks all page tables
 * and all free lists.
 */
import { PincushionError } from '@pincushion/sim';
import { GUP_PIN_COUNTING_BIAS } from './bias-scheme';
import { MAX_PAGE_ORDER } from './buddy';
import type { Buddy } from './buddy';
import { PG_anon, PG_anonExclusive, PG_buddy } from './frames';
import type { Memory } from './memory';
import { PMD_HUGE, PTE_SPECIAL, PTE_WRITE, PTRS_PER_TABLE, REGION_BYTES, TASK_SIZE } from './page-table';

/**
 * Throws MEMORY_INVALID at the first contradiction:
 * - each mapped folio has the mapcount that the page tables explain, and is not free;
 * - references of a mapped anonymous folio are mappings and pins and gets; with the full ledger exactly, else at least
 *   the mappings;
 * - a writable entry of an anonymous page implies that it is exclusive;
 * - free blocks are aligned, marked, unreferenced, disjoint, merged with free buddies, and as many as the zone says;
 * - entries lie inside areas.
 */
export function assertMemorySane(memory: Memory): void {
  const mapped = countMappings(memory);
  for (const [head, count] of mapped) checkFolio(memory, head, count);
  for (const zone of memory.zones) if (zone.buddy !== null) checkBuddy(memory, zone.name, zone.buddy);
}

/** Mappings per folio, by its head. */
function countMappings(memory: Memory): Map<number, number> {
  const mapped = new Map<number, number>();
  const { frames } = memory;
  for (const mm of memory.mms) {
    const { pageTable } = mm;
    const last = TASK_SIZE / REGION_BYTES;
    for (let region = pageTable.nextRegion(0, last); region < last; region = pageTable.nextRegion(region + 1, last)) {
      const table = pageTable.tableOf(region);
      const entries = table === PMD_HUGE ? 1 : PTRS_PER_TABLE;
      let used = 0;
      for (let i = 0; i < entries; i++) {
        const pte = pageTable.flagsAt(region, i);
        if (pte === 0) continue;
        used++;
        const address = region * REGION_BYTES + i * 4096;
        demand(
          mm.vmas.lookup(address) !== null,
          `${mm.name} has an entry at 0x${address.toString(16)} outside of any area`,
        );
        if ((pte & PTE_SPECIAL) !== 0) continue;
        const pfn = pageTable.frameAt(region, i);
        const head = frames.headOf(pfn);
        const isAnon = (frames.flags[head] & PG_anon) !== 0;
        const isExclusive = (frames.flags[pfn] & PG_anonExclusive) !== 0;
        demand(
          !isAnon || isExclusive || (pte & PTE_WRITE) === 0,
          `frame ${pfn} is anonymous, writable at 0x${address.toString(16)} and not exclusive`,
        );
        mapped.set(head, (mapped.get(head) ?? 0) + 1);
      }
      if (table !== PMD_HUGE) {
        demand(
          used === pageTable.usedIn(table),
          `table ${table} of ${mm.name} says ${pageTable.usedIn(table)} entries and has ${used}`,
        );
      }
    }
  }
  return mapped;
}

function checkFolio(memory: Memory, head: number, mappings: number): void {
  const { frames, ledger } = memory;
  const isAnon = (frames.flags[head] & PG_anon) !== 0;
  const zone = memory.zoneOf(head);
  demand(zone?.buddy?.isFree(head) !== true, `frame ${head} is mapped and free`);
  demand(
    frames.mapcount[head] === mappings,
    `frame ${head} has mapcount ${frames.mapcount[head]}, and ${mappings} entries map it`,
  );
  const count = frames.refcount[head];
  demand(count < 0 || count >= mappings, `frame ${head} has ${count} references and ${mappings} mappings`);
  if (!isAnon || ledger.mode !== 'full' || memory.scheme.name !== 'bias') return;
  const size = 1 << frames.order[head];
  let pins = 0;
  let gets = 0;
  for (let pfn = head; pfn < head + size; pfn++) {
    const held = ledger.referencesOf(pfn);
    pins += held.pins;
    gets += held.gets;
  }
  const weight = size > 1 ? 1 : GUP_PIN_COUNTING_BIAS;
  demand(
    count === mappings + pins * weight + gets,
    `frame ${head} has ${count} references; ${mappings} mappings, ${pins} pins and ${gets} gets explain ${mappings + pins * weight + gets}`,
  );
}

function checkBuddy(memory: Memory, name: string, buddy: Buddy): void {
  const { frames } = memory;
  const blocks: [start: number, order: number][] = [];
  const free = new Set<string>();
  let total = 0;
  for (let order = 0; order <= MAX_PAGE_ORDER; order++) {
    for (let pfn = buddy.lists[order], before = 0; pfn !== 0; before = pfn, pfn = frames.lruNext[pfn]) {
      demand(
        (frames.flags[pfn] & PG_buddy) !== 0 && frames.order[pfn] === order,
        `${name}: frame ${pfn} is on the list of order ${order} without its mark`,
      );
      demand(pfn % (1 << order) === 0, `${name}: the free block at ${pfn} is not aligned to order ${order}`);
      demand(frames.refcount[pfn] === 0, `${name}: the free block at ${pfn} has references`);
      demand(frames.lruPrev[pfn] === before, `${name}: the free block at ${pfn} has a wrong back link`);
      demand(
        pfn >= buddy.start && pfn + (1 << order) <= buddy.untouched,
        `${name}: the free block at ${pfn} lies outside`,
      );
      blocks.push([pfn, order]);
      free.add(`${order}:${pfn}`);
      total += 1 << order;
    }
  }
  for (const [pfn, order] of blocks) {
    const isMerged = order === MAX_PAGE_ORDER || !free.has(`${order}:${pfn ^ (1 << order)}`);
    demand(isMerged, `${name}: the free blocks at ${pfn} and its buddy of order ${order} were not merged`);
  }
  blocks.sort(([a], [b]) => a - b);
  for (let i = 1; i < blocks.length; i++) {
    const [start, order] = blocks[i - 1];
    demand(start + (1 << order) <= blocks[i][0], `${name}: the free blocks at ${start} and ${blocks[i][0]} overlap`);
  }
  total += (buddy.end - buddy.untouched) & -(1 << MAX_PAGE_ORDER);
  demand(total === buddy.framesFree, `${name}: ${total} frames are free and ${buddy.framesFree} are said to be`);
}

function demand(holds: boolean, otherwise: string): void {
  if (!holds) throw new PincushionError('MEMORY_INVALID', otherwise);
}
