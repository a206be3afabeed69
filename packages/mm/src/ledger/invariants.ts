/**
 * What must hold about the memory of a machine between any two operations: a walk over all page tables, frames and free
 * lists that explains every count and mark, or says what it cannot explain.
 *
 * A reference of a folio is explained by a mapping, by the cache it is in (page cache, swap cache), by private data of
 * its file system, by a pin or a get that the ledger knows (mode `full`), or by its owner outside of mm (device buffers,
 * the zero pages). Not checked: content, and which process a pin was taken for.
 * Cost: every frame that was ever handed out and every entry of every page table; about a millisecond for 10,000 pages. For
 * tests and `--paranoid` only. The allocator and the swap area are in invariants-stores.ts.
 */
import { PincushionError } from '@pincushion/sim';
import { AddressSpace } from '../page-cache/address-space';
import { AnonVma } from '../frames/anon-vma';
import { GUP_PIN_COUNTING_BIAS } from '../gup/bias-scheme';
import {
  PG_anon,
  PG_anonExclusive,
  PG_buddy,
  PG_dirty,
  PG_hugetlb,
  PG_ksm,
  PG_lru,
  PG_mlocked,
  PG_p2pdma,
  PG_private,
  PG_reserved,
  PG_swapcache,
  PG_unevictable,
} from '../frames/frames';
import { checkBuddy, checkPools, checkSwap } from './invariants-stores';
import type { Demand } from './invariants-stores';
import type { Memory } from '../memory';
import type { Mm } from '../process/mm';
import { PAGE_SIZE } from '../frames/page-size';
import {
  PMD_HUGE,
  PTE_GUARD,
  PTE_MIGRATION,
  PTE_PKEY_SHIFT,
  PTE_PRESENT,
  PTE_PROTNONE,
  PTE_SPECIAL,
  PTE_SWAP,
  PTE_SWP_EXCLUSIVE,
  PTE_UFFD_WP,
  PTE_WRITE,
  PTRS_PER_TABLE,
  REGION_BYTES,
  TASK_SIZE,
} from '../process/page-table';
import { folioMappedShared, rmapWalk } from '../frames/rmap';
import { VM_EXEC, VM_HUGETLB, VM_LOCKED, VM_READ, VM_WRITE, vmaPkey } from '../process/vma-flags';
import type { Vma } from '../process/vma';
import { ZERO_PFN } from '../frames/zero-page';
import type { Zone } from '../frames/zone';

/** What the page tables say about the folios. */
class Mappings {
  /** Entries that map a page, by page. */
  readonly ptes = new Map<number, number>();
  /** Huge mappings, by head. */
  readonly huge = new Map<number, number>();
  /** Swap entries, by slot. */
  readonly swapped = new Map<number, number>();
  /** Slots whose entry says that nobody else has one (X-02). */
  readonly swappedExclusive = new Set<number>();
  /** Address spaces that map a large folio, by head. */
  readonly mappers = new Map<number, Set<Mm>>();

  mapsLarge(head: number, mm: Mm): undefined {
    const known = this.mappers.get(head);
    if (known === undefined) this.mappers.set(head, new Set([mm]));
    else known.add(mm);
    return undefined;
  }

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
  for (const mm of memory.mms) {
    checkAreas(mm, demand);
    checkMm(memory, mm, mappings, demand);
  }
  checkLruLists(memory, demand);
  let hugetlbInUse = 0;
  for (const zone of memory.zones) {
    if (zone.buddy === null) continue;
    const free = checkBuddy(memory, zone.name, zone.buddy, demand);
    hugetlbInUse += checkFolios(memory, zone, free, mappings, demand);
  }
  for (const { start, count } of memory.devicePages) {
    for (let pfn = start; pfn < start + count; pfn++) {
      if (memory.frames.refcount[pfn] !== 0) checkFolio(memory, pfn, 1, mappings, demand);
    }
  }
  for (const pfn of [...mappings.ptes.keys(), ...mappings.huge.keys()]) {
    demand(memory.frames.refcount[memory.frames.headOf(pfn)] !== 0, () => `frame ${pfn} is mapped and free`);
  }
  for (const mapping of memory.addressSpaces()) checkCache(memory, mapping, demand);
  checkSwap(memory, mappings.swapped, mappings.swappedExclusive, demand);
  checkPools(memory, hugetlbInUse, demand);
  found.push(...memory.offline.contradictions());
  return found;
}

/** The areas of a process are in order, do not overlap, and are known to those whose pages they map. */
function checkAreas(mm: Mm, demand: Demand): void {
  let before = 0;
  for (const vma of mm.vmas.all) {
    const name = (): string => `the area of ${mm.name} at 0x${vma.start.toString(16)}`;
    demand(vma.start >= before && vma.end > vma.start, () => `${name()} is empty or overlaps the one before it`);
    demand(vma.mm === mm, () => `${name()} belongs to another address space`);
    for (const anon of vma.anonChain) demand(anon.vmas.has(vma), () => `${name()} is not in its own reverse map`);
    demand(
      vma.anonVma === null || vma.anonChain.includes(vma.anonVma),
      () => `${name()} enters new pages where nobody looks for them`,
    );
    const mapping = vma.backing?.mapping;
    demand(mapping?.vmas.has(vma) !== false, () => `${name()} maps ${mapping?.name}, which does not know it`);
    before = vma.end;
  }
}

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
  const vma = mm.vmas.lookup(address);
  demand(vma !== null, () => `${where()} has an entry outside of any area`);
  if ((pte & PTE_PRESENT) === 0) {
    const kinds = [PTE_SWAP, PTE_MIGRATION, PTE_GUARD].filter((bit) => (pte & bit) !== 0).length;
    demand(
      kinds === 1 || (kinds === 0 && (pte & PTE_UFFD_WP) !== 0),
      () => `${where()} has an entry of no kind (${pte})`,
    );
    demand((pte & PTE_MIGRATION) === 0, () => `${where()} waits for a page that nobody is moving`);
    if ((pte & PTE_SWAP) !== 0) mappings.swapped.set(pfn, (mappings.swapped.get(pfn) ?? 0) + 1);
    if ((pte & (PTE_SWAP | PTE_SWP_EXCLUSIVE)) === (PTE_SWAP | PTE_SWP_EXCLUSIVE)) mappings.swappedExclusive.add(pfn);
    return;
  }
  checkPermissions(vma, pte, where, demand);
  if ((pte & PTE_SPECIAL) !== 0) {
    demand(pfn !== ZERO_PFN || (pte & PTE_WRITE) === 0, () => `${where()} may write to the zero page`);
    return;
  }
  mappings.ptes.set(pfn, (mappings.ptes.get(pfn) ?? 0) + 1);
  if (memory.frames.order[pfn] !== 0) mappings.mapsLarge(memory.frames.headOf(pfn), mm);
  checkWritable(memory, pte, pfn, where, demand);
  const isTracked = vma?.needsDirtyTracking === true && (pte & PTE_WRITE) !== 0;
  demand(
    !isTracked || (memory.frames.flags[memory.frames.headOf(pfn)] & PG_dirty) !== 0,
    () => `${where()} may write to a page that its file believes to be clean (W-01)`,
  );
}

/** An entry allows no more than its area. */
function checkPermissions(vma: Vma | null, pte: number, where: () => string, demand: Demand): void {
  demand(
    (pte & (PTE_WRITE | PTE_UFFD_WP)) !== (PTE_WRITE | PTE_UFFD_WP),
    () => `${where()} is writable and protected for userfaultfd`,
  );
  if (vma === null) return;
  demand((pte & PTE_WRITE) === 0 || (vma.flags & VM_WRITE) !== 0, () => `${where()} is writable and its area is not`);
  demand(
    pte >>> PTE_PKEY_SHIFT === vmaPkey(vma.flags),
    () => `${where()} has protection key ${pte >>> PTE_PKEY_SHIFT} and its area ${vmaPkey(vma.flags)} (V-09)`,
  );
  const isClosed = (vma.flags & (VM_READ | VM_WRITE | VM_EXEC)) === 0;
  demand(
    isClosed === ((pte & PTE_PROTNONE) !== 0),
    () => `${where()} is ${isClosed ? 'open and its area allows no access' : 'closed and its area allows access'}`,
  );
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
  checkPermissions(vma, pte, where, demand);
  if ((pte & PTE_SPECIAL) !== 0) {
    demand((pte & PTE_WRITE) === 0, () => `${where()} may write to the huge zero folio`);
    return;
  }
  const isFirst = pageTable.hugeHead(region) === head; // A 1 GiB page has 512 huge entries and counts once.
  if (isFirst) mappings.huge.set(head, (mappings.huge.get(head) ?? 0) + 1);
  mappings.mapsLarge(head, mm);
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

/** Each frame is in use, free, or set apart, and nobody has a free one. Returns how many pages of hugetlb pools are in use. */
function checkFolios(
  memory: Memory,
  zone: Zone,
  free: ReadonlyMap<number, number>,
  mappings: Mappings,
  demand: Demand,
): number {
  const { frames } = memory;
  const end = zone.buddy?.untouched ?? zone.start;
  let hugetlbInUse = 0;
  for (let pfn = zone.start; pfn < end;) {
    const block = free.get(pfn);
    if (block !== undefined) {
      for (let each = pfn; each < pfn + block; each++) {
        demand(frames.refcount[each] === 0, () => `frame ${each} is free and has ${frames.refcount[each]} references`);
      }
      pfn += block;
      continue;
    }
    const size = 1 << frames.order[pfn];
    const flags = frames.flags[pfn];
    if (frames.refcount[pfn] !== 0) {
      checkFolio(memory, pfn, size, mappings, demand);
      if ((flags & PG_hugetlb) !== 0) hugetlbInUse++;
    } else {
      const isApart =
        (flags & (PG_reserved | PG_buddy)) !== 0 ||
        memory.offline.has(pfn) ||
        memory.hugetlb.get(frames.order[pfn])?.isFree(pfn) === true;
      const at = pfn;
      demand(isApart, () => `frame ${at} is lost: nobody has it, and it is on no list`);
    }
    pfn += size;
  }
  return hugetlbInUse;
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
    const mappers = mappings.mappers.get(head)?.size ?? 0;
    demand(
      mappers <= 1 || folioMappedShared(memory, head),
      () => `${name()} is mapped by ${mappers} address spaces and believed to be mapped by one`,
    );
  }
  checkReverseMap(memory, head, mapped, name, demand);
  checkOwner(memory, head, size, mapped, demand);
  checkMarks(memory, head, mapped, name, demand);
  checkReferences(memory, head, size, mapped, name, demand);
}

/** From the folio every entry that maps it is found, and no other. */
function checkReverseMap(memory: Memory, head: number, mapped: number, name: () => string, demand: Demand): void {
  const owner = memory.owner(memory.frames.mapping[head]);
  if (mapped === 0 || owner === null) return;
  // A driver's pages have no reverse map: whoever maps them sees to them itself.
  if (!(owner instanceof AnonVma || owner instanceof AddressSpace) && owner.mappedBy === undefined) return;
  let reached = 0;
  rmapWalk(memory, head, () => {
    reached++;
    return true;
  });
  demand(reached === mapped, () => `${name()} is mapped by ${mapped} entries, and its reverse map finds ${reached}`);
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

/** What a page cache has is in use and says that it belongs there; nothing is in the cache and in swap. */
function checkCache(memory: Memory, mapping: AddressSpace, demand: Demand): void {
  const { frames } = memory;
  for (const [index, head] of mapping.pages) {
    demand(
      frames.refcount[head] > 0 && frames.mapping[head] === mapping.id,
      () => `${mapping.name} has frame ${head} as page ${index}, and the frame is somebody else's`,
    );
    demand(!mapping.swapped.has(index), () => `page ${index} of ${mapping.name} is in the cache and in swap`);
  }
  for (const index of mapping.dirty) {
    demand(mapping.pages.has(index), () => `page ${index} of ${mapping.name} is to be written and not there`);
  }
  for (const vma of mapping.vmas) {
    demand(
      vma.mm !== null && memory.mms.has(vma.mm) && vma.mm.vmas.lookup(vma.start) === vma,
      () => `${mapping.name} is mapped by an area that is gone`,
    );
  }
}

/** Each folio that reclaim may look at has one place in the lists, once their order is kept. */
function checkLruLists(memory: Memory, demand: Demand): void {
  if (!memory.lru.on) return;
  const { flags, order } = memory.frames;
  const listed = new Set<number>();
  for (const head of memory.lru.entries()) {
    demand(!listed.has(head), () => `frame ${head} is on the LRU lists twice`);
    listed.add(head);
  }
  for (const { start, buddy } of memory.zones) {
    const end = buddy?.untouched ?? start;
    for (let pfn = start; pfn < end; pfn += 1 << order[pfn]) {
      const head = pfn;
      const isListed = (flags[head] & (PG_lru | PG_unevictable)) === PG_lru;
      demand(!isListed || listed.has(head), () => `frame ${head} is marked as on an LRU list and is on none`);
    }
  }
}

/** Marks that imply one another. */
function checkMarks(memory: Memory, head: number, mapped: number, name: () => string, demand: Demand): void {
  const flags = memory.frames.flags[head];
  demand((flags & PG_mlocked) === 0 || mapped > 0 || memory.hasStrayMlock, () => `${name()} is mlocked and not mapped`);
  demand((flags & (PG_ksm | PG_anon)) !== PG_ksm, () => `${name()} is merged by KSM and not anonymous`);
  const isUsers = (flags & (PG_anon | PG_hugetlb)) === PG_anon && mapped > 0;
  demand(!isUsers || (flags & PG_lru) !== 0, () => `${name()} is anonymous, mapped, and on no list`);
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
  const isUserMemory =
    owner instanceof AddressSpace || owner instanceof AnonVma || (flags & (PG_anon | PG_p2pdma)) !== 0;
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
