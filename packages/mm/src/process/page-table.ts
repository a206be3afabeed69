/**
 * The page table of one address space.
 *
 * A radix tree over regions of 2 MiB (what one last-level table covers): region number 0…2^26-1 in steps of 8, 9 and 9
 * bits. The entry of a region (the PMD) is empty, a table, or a huge folio. Tables are cut from chunks of 128: 512 frame
 * numbers in an Int32Array and 512 flag words in a parallel Uint16Array, because frame numbers need 30 bits. Emptied
 * tables are used again.
 *
 * An entry without `PTE_PRESENT` that is not 0 is a swap or migration entry or a marker.
 *
 * Callers address an entry by its region and its index in it, both int32: `regionOf(address)`, `indexOf(address)`.
 * Left out: five levels, PUD leaves. TLBs: tlb.ts.
 * Source followed: arch/x86/include/asm/pgtable_types.h, mm/memory.c.
 */
export const PTE_PRESENT = 1 << 0;
export const PTE_WRITE = 1 << 1;
export const PTE_USER = 1 << 2;
export const PTE_ACCESSED = 1 << 3;
export const PTE_DIRTY = 1 << 4;
/** No `struct page` that counts mappings stands behind the entry: PFN maps, the small zero page. */
export const PTE_SPECIAL = 1 << 5;
export const PTE_SOFT_DIRTY = 1 << 6;
/** Mapped but not accessible: `PROT_NONE`, NUMA hint. */
export const PTE_PROTNONE = 1 << 7;
/** Present: write-protected for userfaultfd. Alone in an entry: a marker that the page to come is. */
export const PTE_UFFD_WP = 1 << 8;
/** Not present: the page is in swap; the frame field is the slot. */
export const PTE_SWAP = 1 << 9;
/** With `PTE_SWAP` or `PTE_MIGRATION`: the anonymous page was exclusive. */
export const PTE_SWP_EXCLUSIVE = 1 << 10;
/** Not present: the page is being moved; the frame field is the old frame. `PTE_WRITE` remembers that it was writable. */
export const PTE_MIGRATION = 1 << 11;
/** Not present: a guard page (MADV_GUARD_INSTALL). In a present entry the bit belongs to the protection key. */
export const PTE_GUARD = 1 << 12;
/** Present: the protection key, 0 to 15 (protection-keys.ts). The other entries have none. */
export const PTE_PKEY_SHIFT = 12;
export const PTE_PKEY = 0xf << PTE_PKEY_SHIFT;

export const PTRS_PER_TABLE = 512;
export const REGION_BYTES = 0x200000;
/** End of user space: 47 bits. */
export const TASK_SIZE = 0x800000000000;

/** What a region's entry is. Tables are 1, 2, …; see `PageTable.tableOf`. */
export const PMD_NONE = 0;
export const PMD_HUGE = -1;

const TABLES_PER_CHUNK = 128;
const CHUNK_SHIFT = 7;
const SPAN = 512;

/** The 2 MiB region of a user address. */
export function regionOf(address: number): number {
  return Math.floor(address / REGION_BYTES);
}

/** The index in its region of the page of a user address, 0…511. */
export function indexOf(address: number): number {
  return (address - regionOf(address) * REGION_BYTES) >>> 12;
}

/** One PMD table: what stands for each of 512 regions. */
class PmdTable {
  /** 0 empty, n > 0 the table n, n < 0 the huge folio with head -n. */
  readonly entries = new Int32Array(SPAN);
  /** Flags of huge entries. */
  readonly flags = new Uint16Array(SPAN);
}

export class PageTable {
  private readonly root: (PmdTable | null)[][] = [];
  private readonly chunkFrames: Int32Array[] = [];
  private readonly chunkFlags: Uint16Array[] = [];
  private used = new Int32Array(TABLES_PER_CHUNK + 1);
  private tablesMade = 0;
  private readonly tablesFree: number[] = [];
  /** The last region looked up that has a table: the fast walk of one hot buffer meets it again and again. */
  private cachedRegion = -1;
  private cachedTable = 0;
  /** The last PMD table looked up: neighbouring regions share it. They are never freed. */
  private cachedPmdNumber = -1;
  private cachedPmd: PmdTable | null = null;
  /** Tables in use, for reports. */
  tablesUsed = 0;

  /** `PMD_NONE`, `PMD_HUGE`, or the number of the region's table. */
  tableOf(region: number): number {
    if (region === this.cachedRegion) return this.cachedTable;
    const pmd = this.pmdOf(region);
    if (pmd === null) return PMD_NONE;
    const entry = pmd.entries[region & 511];
    if (entry <= 0) return entry === 0 ? PMD_NONE : PMD_HUGE;
    this.cachedRegion = region;
    this.cachedTable = entry;
    return entry;
  }

  /** The frame numbers of a table's chunk; entry `i` is at `baseOf(table) + i`. Valid until the table is freed. */
  framesOf(table: number): Int32Array {
    return this.chunkFrames[(table - 1) >>> CHUNK_SHIFT];
  }

  /** The flag words of a table's chunk. */
  flagsOf(table: number): Uint16Array {
    return this.chunkFlags[(table - 1) >>> CHUNK_SHIFT];
  }

  /** Where a table starts in its chunk. */
  baseOf(table: number): number {
    return ((table - 1) & (TABLES_PER_CHUNK - 1)) << 9;
  }

  /** Non-empty entries of a table. */
  usedIn(table: number): number {
    return this.used[table];
  }

  /** `n` empty entries of a table were written directly into `framesOf` and `flagsOf`. */
  noteUsed(table: number, n: number): void {
    this.used[table] += n;
  }

  /** The flags of one page's entry, a huge mapping included; 0 when there is none. Not for loops. */
  flagsAt(region: number, index: number): number {
    const table = this.tableOf(region);
    if (table === PMD_NONE) return 0;
    return table === PMD_HUGE ? this.hugeFlags(region) : this.flagsOf(table)[this.baseOf(table) + index];
  }

  /** The frame that one page's entry names, a huge mapping included; only meaningful when `flagsAt` is not 0. */
  frameAt(region: number, index: number): number {
    const table = this.tableOf(region);
    if (table === PMD_NONE) return 0;
    return table === PMD_HUGE ? this.hugeHead(region) + index : this.framesOf(table)[this.baseOf(table) + index];
  }

  /** The region's table, made when there is none. The region must not be huge. `pte_alloc`. */
  ensureTable(region: number): number {
    const known = this.tableOf(region);
    if (known > 0) return known;
    const table = this.tablesFree.pop() ?? this.newTable();
    this.tablesUsed++;
    this.ensurePmd(region).entries[region & 511] = table;
    return table;
  }

  /** Writes an entry. `set_pte_at`. */
  set(table: number, index: number, pfn: number, flags: number): void {
    const at = this.baseOf(table) + index;
    const words = this.flagsOf(table);
    if (words[at] === 0) this.used[table]++;
    this.framesOf(table)[at] = pfn;
    words[at] = flags;
  }

  /** Empties an entry. The table stays. `pte_clear`. */
  clear(table: number, index: number): void {
    const at = this.baseOf(table) + index;
    const words = this.flagsOf(table);
    if (words[at] === 0) return;
    this.used[table]--;
    this.framesOf(table)[at] = 0;
    words[at] = 0;
  }

  /** Gives the region's table back when nothing is left in it. `free_pgtables`. */
  freeTableIfEmpty(region: number): void {
    const table = this.tableOf(region);
    if (table <= 0 || this.used[table] !== 0) return;
    this.detachTable(region, table);
  }

  /** Maps a huge folio. The region must be empty. */
  setHuge(region: number, head: number, flags: number): void {
    const pmd = this.ensurePmd(region);
    pmd.entries[region & 511] = -head;
    pmd.flags[region & 511] = flags;
  }

  clearHuge(region: number): void {
    const pmd = this.ensurePmd(region);
    pmd.entries[region & 511] = 0;
    pmd.flags[region & 511] = 0;
  }

  hugeHead(region: number): number {
    const pmd = this.pmdOf(region);
    return pmd === null ? 0 : -pmd.entries[region & 511];
  }

  hugeFlags(region: number): number {
    const pmd = this.pmdOf(region);
    return pmd === null ? 0 : pmd.flags[region & 511];
  }

  setHugeFlags(region: number, flags: number): void {
    this.ensurePmd(region).flags[region & 511] = flags;
  }

  /** Turns a huge entry into a table whose entries map the tails with the same flags. The counts are the caller's. */
  splitHuge(region: number): number {
    const head = this.hugeHead(region);
    const flags = this.hugeFlags(region);
    this.clearHuge(region);
    const table = this.ensureTable(region);
    const base = this.baseOf(table);
    const frames = this.framesOf(table);
    for (let i = 0; i < SPAN; i++) frames[base + i] = head + i;
    this.flagsOf(table).fill(flags, base, base + SPAN);
    this.used[table] = SPAN;
    return table;
  }

  /** First region >= `from` and < `end` that has an entry, or `end`. Skips what was never built. */
  nextRegion(from: number, end: number): number {
    let region = from;
    while (region < end) {
      const row = this.root[region >>> 18] as (PmdTable | null)[] | undefined;
      if (row === undefined) {
        region = ((region >>> 18) + 1) << 18;
        continue;
      }
      const pmd = row[(region >>> 9) & 511];
      if (pmd === null) {
        region = ((region >>> 9) + 1) << 9;
        continue;
      }
      const stop = Math.min(end, ((region >>> 9) + 1) << 9);
      while (region < stop && pmd.entries[region & 511] === 0) region++;
      if (region < stop) return region;
    }
    return end;
  }

  private pmdOf(region: number): PmdTable | null {
    return region >>> 9 === this.cachedPmdNumber ? this.cachedPmd : this.lookUpPmd(region);
  }

  private lookUpPmd(region: number): PmdTable | null {
    const row = this.root[region >>> 18] as (PmdTable | null)[] | undefined;
    const pmd = row === undefined ? null : row[(region >>> 9) & 511];
    if (pmd === null) return null;
    this.cachedPmdNumber = region >>> 9;
    this.cachedPmd = pmd;
    return pmd;
  }

  private ensurePmd(region: number): PmdTable {
    const known = this.pmdOf(region);
    if (known !== null) return known;
    const top = region >>> 18;
    const row = ((this.root as ((PmdTable | null)[] | undefined)[])[top] ??= new Array<PmdTable | null>(SPAN).fill(
      null,
    ));
    const pmd = new PmdTable();
    row[(region >>> 9) & 511] = pmd;
    return pmd;
  }

  private newTable(): number {
    const number = this.tablesMade++;
    if (number % TABLES_PER_CHUNK === 0) {
      this.chunkFrames.push(new Int32Array(TABLES_PER_CHUNK * SPAN));
      this.chunkFlags.push(new Uint16Array(TABLES_PER_CHUNK * SPAN));
    }
    const table = number + 1;
    if (table >= this.used.length) {
      const wider = new Int32Array(this.used.length * 2);
      wider.set(this.used);
      this.used = wider;
    }
    return table;
  }

  private detachTable(region: number, table: number): void {
    this.ensurePmd(region).entries[region & 511] = 0;
    this.tablesFree.push(table);
    this.tablesUsed--;
    if (this.cachedRegion === region) this.cachedRegion = -1;
  }
}
