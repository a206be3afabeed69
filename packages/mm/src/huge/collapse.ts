/**
 * Making a huge page of small ones on request: MADV_COLLAPSE.
 *
 * The content of a region is copied into a new huge folio, which takes the place of the region's table: small pages, swapped
 * ones (they are read first), pages shared with other processes and empty entries alike. A page that anybody but page tables
 * and the swap cache refers to, pinned or piped, keeps its region from being collapsed: -EAGAIN.
 * Left out: files and shared memory (-EINVAL), khugepaged, which does the same unasked and is choosier, NUMA.
 * Source followed: mm/khugepaged.c `madvise_collapse`, `hpage_collapse_scan_pmd`, `collapse_huge_page` (6.18).
 */
import { EAGAIN, EBUSY, EINVAL, ENOMEM } from '@pincushion/sim';
import type { MaySleep } from '@pincushion/sim';
import { eagerly, settled } from '../eager-task';
import { PG_lru, PG_swapcache } from '../frames/frames';
import { mapAnonFolioPmd } from '../faults/huge-fault';
import { Mechanism, placeOf } from '../mechanism';
import type { Memory } from '../memory';
import { munlockVmaFolio } from '../process/mlock-folio';
import type { Mm } from '../process/mm';
import { PAGE_SIZE, PMD_ORDER } from '../frames/page-size';
import {
  PMD_HUGE,
  PMD_NONE,
  PTE_PRESENT,
  PTE_SPECIAL,
  PTE_SWAP,
  PTE_UFFD_WP,
  PTE_WRITE,
  PTRS_PER_TABLE,
  REGION_BYTES,
} from '../process/page-table';
import { folioRemoveRmapPte } from '../frames/rmap';
import { doSwapPage } from '../faults/swap-fault';
import { freeSwapCache } from '../reclaim/swap';
import { VM_HUGETLB, VM_NOHUGEPAGE, VM_SPECIAL, VM_UFFD_WP } from '../process/vma-flags';
import type { Vma } from '../process/vma';
import { Gfp } from '../frames/zone';

/** What became of one region (`enum scan_result`): what the caller is told, and whether the regions after it are tried. */
interface Scan {
  readonly errno: number;
  readonly goesOn: boolean;
}

const SUCCEED: Scan = { errno: 0, goesOn: true };
/** SCAN_PAGE_COUNT, SCAN_PAGE_LRU: somebody is busy with a page; trying again may help. */
const PAGE_BUSY: Scan = { errno: -EAGAIN, goesOn: true };
const PTE_UFFD_WP_FOUND: Scan = { errno: -EINVAL, goesOn: true };
/** SCAN_PAGE_RO, of kernels before 6.18. */
const PAGE_RO: Scan = { errno: -EINVAL, goesOn: true };
/** SCAN_EXCEED_NONE_PTE: userfaultfd wants to see the first access to a page that is not there. */
const NONE_PTE: Scan = { errno: -EBUSY, goesOn: false };
const ALLOC_FAIL: Scan = { errno: -ENOMEM, goesOn: false };
/** SCAN_FAIL, SCAN_PMD_NONE and all that will not change by itself. */
const FAIL: Scan = { errno: -EINVAL, goesOn: false };

/**
 * MADV_COLLAPSE on the part [start, end) of one area: its whole 2 MiB regions, of which those that are huge already count as
 * done. 0 when all are; -EINVAL, -EAGAIN, -EBUSY, -ENOMEM for the last that is not. Task context; sleeps while it reads
 * from swap.
 */
export function madviseCollapse(mm: Mm, vma: Vma, start: number, end: number): MaySleep {
  if (!isCollapsible(vma)) return -EINVAL;
  const first = Math.ceil(start / REGION_BYTES);
  const after = Math.floor(end / REGION_BYTES);
  if (first > after) return -EINVAL;
  return eagerly(mm.memory.world, 'madvise', collapseRegions(mm, vma, first, after));
}

/** `thp_vma_allowable_order` with TVA_FORCED_COLLAPSE: the area is one in which huge pages can be, asked for or not. */
function isCollapsible(vma: Vma): boolean {
  if (vma.backing !== null || (vma.flags & (VM_NOHUGEPAGE | VM_HUGETLB | VM_SPECIAL)) !== 0) return false;
  const hasRegion = Math.floor(vma.end / REGION_BYTES) * REGION_BYTES - REGION_BYTES >= vma.start;
  return hasRegion && vma.anonVma !== null;
}

function* collapseRegions(mm: Mm, vma: Vma, first: number, after: number) {
  let error = 0;
  for (let region = first; region < after; region++) {
    const result: Scan = yield* collapseRegion(mm, vma, region);
    if (result.errno !== 0) error = result.errno;
    if (!result.goesOn) break;
  }
  return error;
}

/** `hpage_collapse_scan_pmd` and `collapse_huge_page`. */
function* collapseRegion(mm: Mm, vma: Vma, region: number) {
  const { memory, pageTable } = mm;
  const table = pageTable.tableOf(region);
  if (table === PMD_HUGE) return SUCCEED;
  if (table === PMD_NONE) return FAIL;
  const scanned = scan(mm, vma, region);
  if (scanned !== SUCCEED) return scanned;
  const head = memory.allocFolio(PMD_ORDER, Gfp.movable);
  if (head < 0) return ALLOC_FAIL;
  memory.vmstat.thpCollapseAlloc++;
  for (let index = 0; index < PTRS_PER_TABLE; index++) {
    const pte = pageTable.flagsAt(region, index);
    if (pte === 0 || (pte & PTE_PRESENT) !== 0) continue;
    const isRead = (pte & PTE_SWAP) !== 0 && (yield* swapIn(mm, vma, region * REGION_BYTES + index * PAGE_SIZE));
    if (isRead && pageTable.tableOf(region) > 0) continue;
    memory.putFolio(head);
    return FAIL;
  }
  const isolated = scan(mm, vma, region);
  if (isolated !== SUCCEED) {
    memory.putFolio(head);
    return isolated;
  }
  moveInto(mm, vma, region, head);
  return SUCCEED;
}

/** `__collapse_huge_page_swapin` for one page. False: it cannot be read, or the area changed meanwhile. */
function* swapIn(mm: Mm, vma: Vma, address: number) {
  const error = yield* settled(doSwapPage(mm, vma, address, 0));
  return error === 0 && mm.vmas.lookup(address) === vma;
}

/** Whether the pages of the region can go: nobody watches the empty entries, and nobody else holds a page. */
function scan(mm: Mm, vma: Vma, region: number): Scan {
  const { memory, pageTable } = mm;
  const { frames, profile } = memory;
  let isWritable = !profile.collapseNeedsWritable;
  for (let index = 0; index < PTRS_PER_TABLE; index++) {
    const pte = pageTable.flagsAt(region, index);
    const isEmpty = pte === 0 || (pte & (PTE_PRESENT | PTE_SPECIAL)) === (PTE_PRESENT | PTE_SPECIAL);
    if (isEmpty && (vma.flags & VM_UFFD_WP) !== 0) return NONE_PTE;
    if (isEmpty) continue;
    if ((pte & PTE_UFFD_WP) !== 0) return PTE_UFFD_WP_FOUND;
    if ((pte & PTE_PRESENT) === 0) continue;
    const head = frames.headOf(pageTable.frameAt(region, index));
    if ((frames.flags[head] & PG_lru) === 0) return PAGE_BUSY;
    if (expectedRefCount(memory, head) !== frames.refcount[head]) return PAGE_BUSY;
    isWritable ||= (pte & PTE_WRITE) !== 0;
  }
  return isWritable ? SUCCEED : PAGE_RO;
}

/** References that page tables and the swap cache explain. `folio_expected_ref_count` for anonymous folios. */
function expectedRefCount(memory: Memory, head: number): number {
  const { frames } = memory;
  const inSwapCache = (frames.flags[head] & PG_swapcache) !== 0;
  return frames.folioMapcount(head) + (inSwapCache ? 1 << frames.order[head] : 0);
}

/** Copies the region's pages into the new folio, which is mapped in their place. `__collapse_huge_page_copy`. */
function moveInto(mm: Mm, vma: Vma, region: number, huge: number): void {
  const { memory, pageTable } = mm;
  const { frames, bytes } = memory;
  const table = pageTable.tableOf(region);
  if (memory.mechanisms.on) memory.mechanisms.emit(Mechanism.collapsed, huge, 0, placeOf(mm, region, 0));
  for (let index = 0; index < PTRS_PER_TABLE; index++) {
    const pte = pageTable.flagsAt(region, index);
    const pfn = pageTable.frameAt(region, index);
    pageTable.clear(table, index);
    if (pte === 0 || (pte & PTE_SPECIAL) !== 0) continue;
    const head = frames.headOf(pfn);
    bytes.copy(huge + index, 0, pfn, 0, PAGE_SIZE);
    folioRemoveRmapPte(memory, pfn, vma);
    munlockVmaFolio(memory, head, vma);
    freeSwapCache(memory, head);
    frames.put(head, 1);
  }
  pageTable.freeTableIfEmpty(region);
  mapAnonFolioPmd(mm, vma, region, huge);
}
