/**
 * What must hold about the places that pages are taken from: the page allocator, the pools of huge pages, the swap area.
 * Part of `memoryContradictions`.
 */
import { MAX_PAGE_ORDER } from '../frames/buddy';
import type { Buddy } from '../frames/buddy';
import { PG_buddy } from '../frames/frames';
import type { Memory } from '../memory';

/** Notes the sentence when something does not hold. */
export type Demand = (holds: boolean, otherwise: () => string) => undefined;

/** Pages of a pool are free, or in use; no more are promised than there are. `inUse`: of all pools. */
export function checkPools(memory: Memory, inUse: number, demand: Demand): void {
  let total = 0;
  let free = 0;
  for (const pool of memory.hugetlb.values()) {
    for (const sentence of pool.contradictions()) demand(false, () => sentence);
    total += pool.pagesTotal;
    free += pool.pagesFree;
    demand(
      pool.pagesReserved + pool.pagesRestoring >= 0 && pool.pagesReserved <= pool.pagesFree,
      () => `a pool of huge pages has ${pool.pagesFree} free and promised ${pool.pagesReserved}`,
    );
  }
  demand(free + inUse === total, () => `pools of huge pages have ${free} free, ${inUse} in use, and ${total} in all`);
}

/** Each slot in use has as many users as entries of page tables and page caches refer to it. */
export function checkSwap(
  memory: Memory,
  entries: ReadonlyMap<number, number>,
  exclusive: ReadonlySet<number>,
  demand: Demand,
): void {
  const { swap } = memory;
  const known = new Map(entries);
  for (const mapping of memory.addressSpaces()) {
    for (const slot of mapping.swapped.values()) known.set(slot, (known.get(slot) ?? 0) + 1);
  }
  let free = swap.slots - (swap.end - 1);
  for (let slot = 1; slot < swap.end; slot++) {
    const wanted = known.get(slot) ?? 0;
    const users = swap.users(slot);
    demand(users === wanted, () => `swap slot ${slot} has ${users} users, and ${wanted} entries refer to it`);
    demand(!exclusive.has(slot) || wanted === 1, () => `swap slot ${slot} is exclusive and has ${wanted} users`);
    if (users === 0 && !swap.cache.has(slot)) free++;
  }
  demand(free === swap.slotsFree, () => `swap says ${swap.slotsFree} slots are free, and ${free} are`);
}

/** Lists, marks and counts of an allocator agree. Returns its free blocks: frames of each by its start. */
export function checkBuddy(memory: Memory, name: string, buddy: Buddy, demand: Demand): ReadonlyMap<number, number> {
  const { frames } = memory;
  const free = new Set<number>();
  const blocks: [start: number, order: number][] = [];
  let total = 0;
  for (let order = 0; order <= MAX_PAGE_ORDER; order++) {
    for (let pfn = buddy.lists[order], before = 0; pfn !== 0; before = pfn, pfn = frames.index[pfn]) {
      const at = pfn;
      const isMarked = (frames.flags[at] & PG_buddy) !== 0 && frames.order[at] === order;
      demand(isMarked, () => `${name}: frame ${at} is on the list of order ${order} without its mark`);
      demand(at % (1 << order) === 0, () => `${name}: the free block at ${at} is not aligned to order ${order}`);
      demand(frames.refcount[at] === 0, () => `${name}: the free block at ${at} has references`);
      demand(frames.mapping[at] === before, () => `${name}: the free block at ${at} has a wrong back link`);
      const isInside = at >= buddy.start && at + (1 << order) <= buddy.untouched;
      demand(isInside, () => `${name}: the free block at ${at} lies outside`);
      if (!isMarked || free.has(at)) return new Map(); // The list leads nowhere.
      blocks.push([at, order]);
      free.add(at);
      total += 1 << order;
    }
  }
  for (const [pfn, order] of blocks) {
    const buddyPfn = pfn ^ (1 << order);
    const isMerged = order === MAX_PAGE_ORDER || !free.has(buddyPfn) || frames.order[buddyPfn] !== order;
    demand(isMerged, () => `${name}: the free blocks at ${pfn} and its buddy of order ${order} were not merged`);
  }
  blocks.sort(([a], [b]) => a - b);
  for (let i = 1; i < blocks.length; i++) {
    const [start, order] = blocks[i - 1];
    demand(
      start + (1 << order) <= blocks[i][0],
      () => `${name}: the free blocks at ${start} and ${blocks[i][0]} overlap`,
    );
  }
  total += (buddy.end - buddy.untouched) & -(1 << MAX_PAGE_ORDER);
  demand(total === buddy.framesFree, () => `${name}: ${total} frames are free and ${buddy.framesFree} are said to be`);
  return new Map(blocks.map(([start, order]) => [start, 1 << order]));
}
