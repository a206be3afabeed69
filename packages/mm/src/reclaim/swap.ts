/**
 * Swap: slots that hold the content of anonymous and shared memory, and the cache of folios that have a slot.
 *
 * A slot counts who refers to it: swap entries in page tables and in the page cache of shared memory (`users`). While a
 * folio with that content is in memory it is in the swap cache, has one reference per page from it, and keeps the slots
 * even when nobody else refers to them; reclaim needs no second write while it is clean. A large folio has as many slots
 * in a row as pages, aligned to its size.
 * Left out: several areas with priorities, clusters, slots reserved per CPU, the map of zero pages (a store may keep its
 * own), read-ahead, memory cgroups, taking an area away.
 * Any context, except for the store, which may sleep.
 * Source followed: mm/swapfile.c, mm/swap_state.c (6.18).
 */
import { ENOMEM } from '@pincushion/sim';
import type { MaySleep, WaitQueue } from '@pincushion/sim';
import { PG_dirty, PG_swapcache, PG_writeback } from '../frames/frames';
import type { Memory } from '../memory';

/** Where the content of slots is kept. Results are 0 or -errno; task context, may sleep. */
export interface SwapStore {
  readonly name: string;
  /** Reads end before they return, so a page of one user need not enter the cache (`SWP_SYNCHRONOUS_IO`). */
  readonly synchronous: boolean;
  /** Keeps the content of frame `pfn` as that of `slot`. */
  write(slot: number, pfn: number): MaySleep;
  /** Fills frame `pfn`, which is new and zero, with what `slot` keeps. */
  read(slot: number, pfn: number): MaySleep;
  /** Nobody needs the content of the slot any more. Any context. */
  free?(slot: number): undefined;
}

/** `SWAP_HAS_CACHE`: a folio in the swap cache has the slot. The bits below count users. */
const HAS_CACHE = 1 << 30;
const USERS = HAS_CACHE - 1;

export class SwapArea {
  /** Folios in the swap cache: head by slot; a large folio has an entry for each of its slots. */
  readonly cache = new Map<number, number>();
  /** Who waits for a folio of the cache that is being read, by its head. */
  readonly reads = new Map<number, WaitQueue>();
  /** Slots of the area. 0: the memory has no swap. */
  slots = 0;
  slotsFree = 0;
  /** Folios that are being written to the store. */
  writesOnTheirWay = 0;
  private slotByHead = new Map<number, number>();
  /** Users and `HAS_CACHE`, by slot. Slot 0 is the header of an area and never used. */
  private map = new Int32Array(1);
  /** Slots from here on were never used. */
  private untouched = 1;
  /** Slots below `untouched` that were given back; some may be in use again. */
  private readonly returned: number[] = [];
  private backing: SwapStore | null = null;

  /** Takes a store with room for `slots` pages into use. One area at a time: what was there must be empty. `swapon`. */
  on(store: SwapStore, slots: number): void {
    this.backing = store;
    this.slots = slots;
    this.slotsFree = slots;
    this.map = new Int32Array(slots + 1);
    this.untouched = 1;
    this.returned.length = 0;
  }

  /** The store. Only slots that were given out may be read and written. */
  get store(): SwapStore | null {
    return this.backing;
  }

  /** Slots from here on were never used. */
  get end(): number {
    return this.untouched;
  }

  /** Less than half of the area is free: caches are not worth their slots. `vm_swap_full`. */
  get isFull(): boolean {
    return this.slotsFree * 2 < this.slots;
  }

  /** First slot of a folio in the swap cache, or 0. */
  slotOf(head: number): number {
    return this.slotByHead.get(head) ?? 0;
  }

  /** Swap entries that refer to a slot. `__swap_count`. */
  users(slot: number): number {
    return this.map[slot] & USERS;
  }

  /** Whether anybody refers to one of `n` slots, the cache left aside. */
  hasUsers(slot: number, n: number): boolean {
    for (let i = slot; i < slot + n; i++) if ((this.map[i] & USERS) !== 0) return true;
    return false;
  }

  /** 2^order slots in a row, aligned to that, in use by the cache alone; 0 when there are none. */
  allocate(order: number): number {
    const n = 1 << order;
    const first = order === 0 ? this.takeReturned() : this.takeUntouched(n) || this.findRun(n);
    const slot = first || (order === 0 ? this.takeUntouched(1) : 0);
    if (slot === 0) return 0;
    this.map.fill(HAS_CACHE, slot, slot + n);
    this.slotsFree -= n;
    return slot;
  }

  /** The folio at `head` with `n` pages enters the cache at slots of its own. */
  enter(head: number, slot: number, n: number): void {
    this.slotByHead.set(head, slot);
    for (let i = 0; i < n; i++) {
      this.map[slot + i] |= HAS_CACHE;
      this.cache.set(slot + i, head);
    }
  }

  /** The folio leaves the cache; slots without users are free. `put_swap_folio`. */
  leave(head: number, n: number): void {
    const slot = this.slotOf(head);
    this.slotByHead.delete(head);
    for (let i = slot; i < slot + n; i++) {
      this.cache.delete(i);
      this.map[i] &= ~HAS_CACHE;
      if (this.map[i] === 0) this.release(i);
    }
  }

  /** The folio was moved to other frames. */
  moved(from: number, to: number): void {
    const slot = this.slotOf(from);
    this.slotByHead.delete(from);
    this.slotByHead.set(to, slot);
    for (let i = slot; this.cache.get(i) === from; i++) this.cache.set(i, to);
  }

  /** One more user. */
  use(slot: number): void {
    this.map[slot]++;
  }

  /** One user less; true when only the cache has the slot now, or nobody, and then it is free. */
  disuse(slot: number): boolean {
    const left = --this.map[slot];
    if (left === 0) this.release(slot);
    return (left & USERS) === 0;
  }

  private release(slot: number): void {
    this.backing?.free?.(slot);
    this.returned.push(slot);
    this.slotsFree++;
  }

  private takeReturned(): number {
    for (let slot = this.returned.pop(); slot !== undefined; slot = this.returned.pop()) {
      if (this.map[slot] === 0) return slot;
    }
    return 0;
  }

  private takeUntouched(n: number): number {
    const slot = Math.ceil(this.untouched / n) * n;
    if (slot + n > this.slots + 1) return 0;
    for (let i = this.untouched; i < slot; i++) this.returned.push(i);
    this.untouched = slot + n;
    return slot;
  }

  /** A free, aligned run among slots that were used before; they stay in `returned` and are found in use there. */
  private findRun(n: number): number {
    for (let slot = n; slot + n <= this.untouched; slot += n) {
      let free = 0;
      while (free < n && this.map[slot + free] === 0) free++;
      if (free === n) return slot;
    }
    return 0;
  }
}

/** Gives a folio slots and puts it into the swap cache. 0, or -ENOMEM when swap is full. `folio_alloc_swap`. */
export function folioAllocSwap(memory: Memory, head: number): number {
  const { frames, swap } = memory;
  const order = frames.order[head];
  const slot = swap.allocate(order);
  if (slot === 0) return -ENOMEM;
  addToSwapCache(memory, head, slot);
  return 0;
}

/** Puts a folio into the swap cache at slots that exist. `swap_cache_add_folio`. */
export function addToSwapCache(memory: Memory, head: number, slot: number): void {
  const { frames, swap } = memory;
  const pages = 1 << frames.order[head];
  swap.enter(head, slot, pages);
  frames.get(head, pages);
  frames.flags[head] |= PG_swapcache;
}

/** Takes a folio, whose caller has a reference, out of the swap cache. `swap_cache_del_folio`. */
export function deleteFromSwapCache(memory: Memory, head: number): void {
  const { frames, swap } = memory;
  const pages = 1 << frames.order[head];
  swap.leave(head, pages);
  frames.flags[head] &= ~PG_swapcache;
  frames.put(head, pages);
}

/** The folio in the swap cache that has the slot's content, or 0; no reference is taken. `swap_cache_get_folio`. */
export function swapCacheGetFolio(memory: Memory, slot: number): number {
  return memory.swap.cache.get(slot) ?? 0;
}

/** One more entry refers to the slot: fork, unmapping. `swap_duplicate`. Always 0, since no count is limited here. */
export function swapDuplicate(memory: Memory, slot: number): number {
  memory.swap.use(slot);
  return 0;
}

/** An entry that referred to the slot has been replaced by its page. `swap_free`. */
export function swapFree(memory: Memory, slot: number): void {
  memory.swap.disuse(slot);
}

/**
 * An entry that referred to the slot is gone and nobody wants its page; the last takes the cached page with it if that is
 * not mapped. `free_swap_and_cache`.
 */
export function freeSwap(memory: Memory, slot: number): void {
  if (!memory.swap.disuse(slot)) return;
  const head = swapCacheGetFolio(memory, slot);
  if (head === 0) return;
  const { frames } = memory;
  if (frames.folioMapcount(head) !== 0 && !memory.swap.isFull) return;
  frames.get(head, 1);
  folioFreeSwap(memory, head);
  frames.put(head, 1);
}

/**
 * Takes a folio whose slots nobody refers to any more out of the swap cache; it is dirty then, since memory alone has its
 * content. The caller has a reference. False when it must stay. `folio_free_swap`.
 */
export function folioFreeSwap(memory: Memory, head: number): boolean {
  const { frames, swap } = memory;
  if ((frames.flags[head] & (PG_swapcache | PG_writeback)) !== PG_swapcache) return false;
  if (swap.hasUsers(swap.slotOf(head), 1 << frames.order[head])) return false;
  deleteFromSwapCache(memory, head);
  frames.flags[head] |= PG_dirty;
  return true;
}

/** After a mapping went, and before its reference does: an unmapped folio leaves the swap cache when it can. */
export function freeSwapCache(memory: Memory, head: number): void {
  const { frames } = memory;
  if ((frames.flags[head] & PG_swapcache) !== 0 && frames.folioMapcount(head) === 0) folioFreeSwap(memory, head);
}
