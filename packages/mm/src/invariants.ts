/**
 * What must hold about the memory of a machine between any two operations: a walk over all page tables, frames and free
 * lists that explains every count and mark, or says what it cannot explain.
 *
 * A reference of a folio is explained by a mapping, by the cache it is in (page cache, swap cache), by private data of
 * its file system, by a pin or a get that the ledger knows (mode `full`), or by its owner outside of mm (device buffers,
 * the zero pages). Not checked: content, and which process a pin was taken for.
 * Cost: every frame that was ever handed out, so for tests and `--paranoid` only.
 */
import { PincushionError } from '@pincushion/sim';
import { AddressSpace } from './address-space';
import { AnonVma } from './anon-vma';
import { GUP_PIN_COUNTING_BIAS } from './bias-scheme';
import { MAX_PAGE_ORDER } from './buddy';
import type { Buddy } from './buddy';
import {
  PG_anon,
  PG_anonExclusive,
  PG_buddy,
  PG_dirty,
  PG_hugetlb,
  PG_ksm,
  PG_lru,
  PG_mlocked,
  PG_private,
  PG_reserved,
  PG_swapcache,
  PG_unevictable,
} from './frames';
import type { Memory } from './memory';
import type { Mm } from './mm';
import { PAGE_SIZE } from './page-size';
import {
  PMD_HUGE,
  PTE_GUARD,
  PTE_MIGRATION,
  PTE_PRESENT,
  PTE_SPECIAL,
  PTE_SWAP,
  PTE_UFFD_WP,
  PTE_WRITE,
  PTRS_PER_TABLE,
  REGION_BYTES,
  TASK_SIZE,
} from './page-table';
import { VM_HUGETLB, VM_LOCKED } from './vma-flags';

/** What the page tables say about the folios. */
class Mappings {
  /** Entries that map a page, by page. */
  readonly ptes = new Map<number, number>();
  /** Huge mappings, by head. */
  readonly huge = new Map<number, number>();
  /** Swap entries, by slot. */
  readonly swapped = new Map<number, number>();

  ofFolio(head: number, pages: number): number {
    let sum = this.huge.get(head) ?? 0;
    for (let pfn = head; pfn < head + pages; pfn++) sum += this.ptes.get(pfn) ?? 0;
    return sum;
  }
}

/** Throws MEMORY_INVALID with the first few contradictions of `memoryContradictions`. Any context. */
export function assertMemorySane(memory: Memory): void {
  const found = memoryContradictions(memory);
  if (found.length === 0) return;
  const more = found.length > 3 ? ` (and ${found.length - 3} more)` : '';
  throw new PincushionError('MEMORY_INVALID', `${found.slice(0, 3).join('; ')}${more}`);
}

/** Everything about the memory that contradicts itself, a sentence each; empty when all is well. Any context. */
export function memoryContradictions(memory: Memory): string[] {
  const found: string[] = [];
  const demand = (holds: boolean, otherwise: () => string): undefined => {
    if (!holds) found.push(otherwise());
    return undefined;
  };
  const mappings = new Mappings();
  for (const mm of memory.mms) checkMm(memory, mm, mappings, demand);
  for (const zone of memory.zones) {
    if (zone.buddy === null) continue;
    checkBuddy(memory, zone.name, zone.buddy, demand);
    checkFolios(memory, zone.start, zone.buddy.untouched, mappings, demand);
  }
  for (const pfn of [...mappings.ptes.keys(), ...mappings.huge.keys()]) {
    demand(memory.frames.refcount[memory.frames.headOf(pfn)] !== 0, () => `frame ${pfn} is mapped and free`);
  }
  checkSwap(memory, mappings, demand);
  for (const pool of memory.hugetlb.values()) found.push(...pool.contradictions());
  return found;
}

type Demand = (holds: boolean, otherwise: () => string) => undefined;

/** Entries lie inside areas and say what they may; the table's own count is right; locked_vm is the locked areas. */
function checkMm(memory: Memory, mm: Mm, mappings: Mappings, demand: Demand): void {
  const { pageTable } = mm;
  const last = TASK_SIZE / REGION_BYTES;
  for (let region = pageTable.nextRegion(0, last); region < last; region = pageTable.nextRegion(region + 1, last)) {
    const table = pageTable.tableOf(region);
    if (table === PMD_HUGE) {
      checkHuge(memory, mm, region, mappings, demand);
      continue;
    }
    let used = 0;
    for (let i = 0; i < PTRS_PER_TABLE; i++) {
      const pte = pageTable.flagsAt(region, i);
      if (pte === 0) continue;
      used++;
      checkEntry(
        memory,
        mm,
        region * REGION_BYTES + i * PAGE_SIZE,
        pte,
        pageTable.frameAt(region, i),
        mappings,
        demand,
      );
    }
    demand(
      used === pageTable.usedIn(table),
      () => `table ${table} of ${mm.name} says ${pageTable.usedIn(table)} entries and has ${used}`,
    );
  }
  let locked = 0;
  for (const vma of mm.vmas.all) if ((vma.flags & VM_LOCKED) !== 0) locked += (vma.end - vma.start) / PAGE_SIZE;
  const explained = locked + mm.lockedVmStray;
  demand(
    mm.lockedVm === explained,
    () => `${mm.name} accounts ${mm.lockedVm} locked pages and its areas have ${explained}`,
  );
}

function checkEntry(
  memory: Memory,
  mm: Mm,
  address: number,
  pte: number,
  pfn: number,
  mappings: Mappings,
  demand: Demand,
): void {
  const where = (): string => `${mm.name} at 0x${address.toString(16)}`;
  demand(mm.vmas.lookup(address) !== null, () => `${where()} has an entry outside of any area`);
  if ((pte & PTE_PRESENT) === 0) {
    const kinds = [PTE_SWAP, PTE_MIGRATION, PTE_GUARD].filter((bit) => (pte & bit) !== 0).length;
    demand(
      kinds === 1 || (kinds === 0 && (pte & PTE_UFFD_WP) !== 0),
      () => `${where()} has an entry of no kind (${pte})`,
    );
    if ((pte & PTE_SWAP) !== 0) mappings.swapped.set(pfn, (mappings.swapped.get(pfn) ?? 0) + 1);
    return;
  }
  demand(
    (pte & (PTE_WRITE | PTE_UFFD_WP)) !== (PTE_WRITE | PTE_UFFD_WP),
    () => `${where()} is writable and protected for userfaultfd`,
  );
  if ((pte & PTE_SPECIAL) !== 0) return;
  mappings.ptes.set(pfn, (mappings.ptes.get(pfn) ?? 0) + 1);
  checkWritable(memory, pte, pfn, where, demand);
}

function checkHuge(memory: Memory, mm: Mm, region: number, mappings: Mappings, demand: Demand): void {
  const { pageTable } = mm;
  const pte = pageTable.hugeFlags(region);
  const head = memory.frames.headOf(pageTable.hugeHead(region));
  const vma = mm.vmas.lookup(region * REGION_BYTES);
  const where = (): string => `${mm.name} at 0x${(region * REGION_BYTES).toString(16)}`;
  demand(
    vma !== null && vma.end >= (region + 1) * REGION_BYTES,
    () => `${where()} has a huge entry that no area contains`,
  );
  if ((pte & PTE_SPECIAL) !== 0) return;
  const isFirst = pageTable.hugeHead(region) === head; // A 1 GiB page has 512 huge entries and counts once.
  if (isFirst) mappings.huge.set(head, (mappings.huge.get(head) ?? 0) + 1);
  if (vma !== null && (vma.flags & VM_HUGETLB) === 0) checkWritable(memory, pte, head, where, demand);
}

/** X-01: a writable entry of an anonymous page implies that it is exclusive. */
function checkWritable(memory: Memory, pte: number, pfn: number, where: () => string, demand: Demand): void {
  const { frames } = memory;
  if ((frames.flags[frames.headOf(pfn)] & PG_anon) === 0 || memory.profile.cowReuse !== 'exclusive') return;
  const isExclusive = (frames.flags[pfn] & PG_anonExclusive) !== 0;
  demand(
    isExclusive || (pte & PTE_WRITE) === 0,
    () => `frame ${pfn} is anonymous, not exclusive, and writable for ${where()}`,
  );
}

/** Each folio that is in use. */
function checkFolios(memory: Memory, start: number, end: number, mappings: Mappings, demand: Demand): void {
  const { frames } = memory;
  for (let pfn = start; pfn < end;) {
    const size = 1 << frames.order[pfn];
    if ((frames.flags[pfn] & PG_buddy) === 0 && (frames.flags[pfn] & PG_reserved) === 0) {
      if (frames.refcount[pfn] !== 0) checkFolio(memory, pfn, size, mappings, demand);
    }
    pfn += size;
  }
}

function checkFolio(memory: Memory, head: number, size: number, mappings: Mappings, demand: Demand): void {
  const { frames } = memory;
  const flags = frames.flags[head];
  const name = (): string => `frame ${head}${size > 1 ? ` (${size} pages)` : ''}`;
  for (let pfn = head; pfn < head + size; pfn++) {
    const ptes = mappings.ptes.get(pfn) ?? 0;
    demand(
      frames.mapcount[pfn] === ptes,
      () => `page ${pfn} has mapcount ${frames.mapcount[pfn]}, and ${ptes} entries map it`,
    );
    const precise = frames.preciseMapcount(pfn);
    const isExclusive = (flags & PG_anon) !== 0 && (frames.flags[pfn] & PG_anonExclusive) !== 0;
    demand(!isExclusive || precise <= 1, () => `page ${pfn} is exclusive and mapped ${precise} times`);
    demand(!isExclusive || (flags & PG_ksm) === 0, () => `page ${pfn} is exclusive and merged by KSM`);
  }
  const mapped = mappings.ofFolio(head, size);
  if (size > 1) {
    const huge = mappings.huge.get(head) ?? 0;
    demand(
      frames.entireMapcount[head] === huge,
      () => `${name()} says ${frames.entireMapcount[head]} huge mappings and has ${huge}`,
    );
    demand(
      frames.largeMapcount[head] === mapped,
      () => `${name()} says ${frames.largeMapcount[head]} mappings and has ${mapped}`,
    );
  }
  checkOwner(memory, head, size, mapped, demand);
  checkMarks(memory, head, mapped, name, demand);
  checkReferences(memory, head, size, mapped, name, demand);
}

/** The page cache and the folio agree about each other; a mapped anonymous folio can be found from its `AnonVma`. */
function checkOwner(memory: Memory, head: number, size: number, mapped: number, demand: Demand): void {
  const { frames } = memory;
  const owner = memory.owner(frames.mapping[head]);
  if (owner instanceof AddressSpace) {
    const first = frames.index[head] >>> 0;
    const step = (frames.flags[head] & PG_hugetlb) !== 0 ? size : 1;
    for (let i = 0; i < size; i += step) {
      const known = owner.pages.get(first + i);
      demand(
        known === head,
        () => `frame ${head} says it is page ${first + i} of ${owner.name}, which has ${known ?? 'nothing'} there`,
      );
    }
    const isDirty = (frames.flags[head] & PG_dirty) !== 0;
    demand(
      !owner.canWriteback || owner.dirty.has(first) === isDirty,
      () => `frame ${head} is ${isDirty ? 'dirty' : 'clean'}, and ${owner.name} says otherwise`,
    );
  }
  if ((frames.flags[head] & (PG_anon | PG_ksm)) !== PG_anon || mapped === 0) return;
  demand(owner instanceof AnonVma, () => `frame ${head} is anonymous, mapped, and without a reverse map`);
}

/** Marks that imply one another. */
function checkMarks(memory: Memory, head: number, mapped: number, name: () => string, demand: Demand): void {
  const flags = memory.frames.flags[head];
  demand((flags & PG_mlocked) === 0 || mapped > 0, () => `${name()} is mlocked and not mapped`);
  demand((flags & PG_unevictable) === 0 || (flags & PG_lru) !== 0, () => `${name()} is unevictable and on no list`);
  const inCache = memory.swap.cache.get(memory.swap.slotOf(head)) === head;
  demand(((flags & PG_swapcache) !== 0) === inCache, () => `${name()} and the swap cache disagree whether it is in it`);
}

/** Sum of explained references: exactly with the full ledger and the bias scheme, else a lower bound. */
function checkReferences(
  memory: Memory,
  head: number,
  size: number,
  mapped: number,
  name: () => string,
  demand: Demand,
): void {
  const { frames, ledger } = memory;
  const flags = frames.flags[head];
  const owner = memory.owner(frames.mapping[head]);
  const inCache = owner instanceof AddressSpace || (flags & PG_swapcache) !== 0;
  const explained = mapped + (inCache ? size : 0) + ((flags & PG_private) !== 0 ? 1 : 0);
  const count = frames.refcount[head];
  demand(
    count < 0 || count >= explained,
    () => `${name()} has ${count} references; mappings and caches are ${explained}`,
  );
  const isUserMemory = owner instanceof AddressSpace || owner instanceof AnonVma || (flags & PG_anon) !== 0;
  if (!isUserMemory || ledger.mode !== 'full' || memory.scheme.name !== 'bias') return;
  let pins = 0;
  let gets = 0;
  for (let pfn = head; pfn < head + size; pfn++) {
    const held = ledger.referencesOf(pfn);
    pins += held.pins;
    gets += held.gets;
  }
  const weight = size > 1 ? 1 : GUP_PIN_COUNTING_BIAS;
  const sum = explained + pins * weight + gets;
  demand(
    count === sum,
    () =>
      `${name()} has ${count} references; ${mapped} mappings, ${explained - mapped} of caches, ${pins} pins and ${gets} gets explain ${sum}`,
  );
  if (size > 1)
    demand(frames.pincount[head] === pins, () => `${name()} counts ${frames.pincount[head]} pins and has ${pins}`);
  if ((flags & PG_anon) === 0 || pins === 0 || size > 1 || memory.profile.cowReuse !== 'exclusive') return;
  // X-03. A page that lost its last mapping keeps the mark.
  demand((flags & PG_anonExclusive) !== 0, () => `${name()} is pinned, anonymous and not exclusive`);
}

/** Each slot in use has as many users as entries of page tables and page caches refer to it. */
function checkSwap(memory: Memory, mappings: Mappings, demand: Demand): void {
  const { swap } = memory;
  const known = new Map(mappings.swapped);
  for (const mapping of memory.addressSpaces()) {
    for (const slot of mapping.swapped.values()) known.set(slot, (known.get(slot) ?? 0) + 1);
  }
  let free = swap.slots - (swap.end - 1);
  for (let slot = 1; slot < swap.end; slot++) {
    const entries = known.get(slot) ?? 0;
    const users = swap.users(slot);
    demand(users === entries, () => `swap slot ${slot} has ${users} users, and ${entries} entries refer to it`);
    if (users === 0 && !swap.cache.has(slot)) free++;
  }
  demand(free === swap.slotsFree, () => `swap says ${swap.slotsFree} slots are free, and ${free} are`);
}

function checkBuddy(memory: Memory, name: string, buddy: Buddy, demand: Demand): void {
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
      if (!isMarked || free.has(at)) return; // The list leads nowhere.
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
}
