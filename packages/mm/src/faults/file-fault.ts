/**
 * Faults on mappings of something: files, shared memory, device frames.
 *
 * A read shows the page of the object itself, and everything of the file that is in the page cache around it, so that a
 * sequential reader takes one fault in sixteen pages (fact 28). A write in a private mapping gets a copy at once; in a
 * shared one the file system is asked first (`page_mkwrite`), and the folio is marked dirty. An entry that was mapped
 * read-only so that the first write is noticed comes back through `wpPageShared`.
 * A page that had to be read in makes the fault start again (`VM_FAULT_RETRY`), which is how the pages read along with it
 * come to be mapped, too.
 * Left out: huge pages of files.
 * Source followed: mm/memory.c `do_fault`, `set_pte_range`, `wp_page_shared`, mm/filemap.c `filemap_map_pages` (6.18).
 */
import { EAGAIN, EFAULT, EHWPOISON, ENOMEM } from '@pincushion/sim';
import type { MaySleep } from '@pincushion/sim';
import type { AddressSpace } from '../page-cache/address-space';
import { newAnonPage } from './anon-fault';
import { anonVmaPrepare } from '../frames/anon-vma';
import { balanceDirtyPages } from '../page-cache/dirty-throttling';
import { eagerly, settled } from '../eager-task';
import {
  FAULT_NO_RETRY,
  FAULT_PIN_SCOPE,
  FAULT_UNSHARE,
  FAULT_WRITE,
  VM_FAULT_RETRY,
  VM_FAULT_SIGBUS,
} from './fault-flags';
import { PG_dirty, PG_hwpoison, PG_locked, PG_readahead, PG_swapbacked, PG_uptodate } from '../frames/frames';
import { folioAddLruVma } from '../frames/lru';
import { Mechanism, placeOf } from '../mechanism';
import { mlockVmaFolio } from '../process/mlock-folio';
import type { Mm } from '../process/mm';
import { findFolio, folioMapping, folioMarkDirty } from '../page-cache/page-cache';
import { vmPageProt, writtenBits } from '../process/page-protection';
import { PAGE_SIZE } from '../frames/page-size';
import {
  PMD_NONE,
  PTE_ACCESSED,
  PTE_DIRTY,
  PTE_SPECIAL,
  PTE_UFFD_WP,
  PTE_WRITE,
  PTRS_PER_TABLE,
  REGION_BYTES,
  indexOf,
} from '../process/page-table';
import { folioAddFileRmapPte, folioAddNewAnonRmap } from '../frames/rmap';
import { VM_PFNMAP, VM_SHARED, VM_UFFD_WP } from '../process/vma';
import type { Vma, VmaBacking } from '../process/vma';

/** `fault_around_bytes`: 64 KiB, in pages. */
const FAULT_AROUND_PAGES = 16;

/** One fault (`struct vm_fault`). */
interface FileFault {
  readonly mm: Mm;
  readonly vma: Vma;
  readonly backing: VmaBacking;
  readonly region: number;
  readonly index: number;
  readonly address: number;
  readonly flags: number;
}

/** What is done once something is known: `known` is what the object, or its file system, said. */
type NextStep = (fault: FileFault, known: number) => MaySleep;

/** `do_fault`. The entry is empty or a userfaultfd marker. Results as `handleMmFault`. Task context, may sleep. */
export function doFault(mm: Mm, vma: Vma, region: number, address: number, flags: number): MaySleep {
  const { backing } = vma;
  if (backing === null) return -EFAULT;
  backing.mapping?.readahead.onTheirWay.clear();
  return faultOnObject({ mm, vma, backing, region, index: indexOf(address), address, flags });
}

function faultOnObject(fault: FileFault): MaySleep {
  const { mm, vma, backing } = fault;
  const isWrite = (fault.flags & FAULT_WRITE) !== 0;
  // The area counts as one with anonymous pages even if the fault fails, so fork copies its entries (`vmf_anon_prepare`).
  if (isWrite && (vma.flags & VM_SHARED) === 0) anonVmaPrepare(mm.memory, vma);
  if (!isWrite && shouldFaultAround(vma, backing) && doFaultAround(fault, backing.mapping)) return 0;
  return askObject(fault);
}

/** `__do_fault`, and what follows. */
function askObject(fault: FileFault): MaySleep {
  const { vma, address, flags } = fault;
  const isPinScope = (flags & FAULT_PIN_SCOPE) !== 0;
  const found = fault.backing.fault(vma, vma.pageIndexOf(address), (flags & FAULT_WRITE) !== 0, isPinScope);
  return typeof found === 'number' ? pageFound(fault, found) : whenAwake(fault, found, pageFound);
}

/** SL-03: goes on after a sleep, during which anything may have happened to the area and the entry. */
function whenAwake(fault: FileFault, pending: MaySleep, next: NextStep): MaySleep {
  return eagerly(fault.mm.memory.world, 'a page fault', afterSleep(fault, pending, next));
}

function* afterSleep(fault: FileFault, pending: MaySleep, next: NextStep) {
  const { mm, region, index, address } = fault;
  const before = mm.pageTable.flagsAt(region, index);
  const known = yield* settled(pending);
  const vma = mm.vmas.lookup(address);
  if (vma === null || vma.backing === null || mm.pageTable.flagsAt(region, index) !== before) return 0;
  return yield* settled(next({ ...fault, vma, backing: vma.backing }, known));
}

/** `do_read_fault`, `do_cow_fault` and `do_shared_fault` after `__do_fault`; `found` is a page or an error. */
function pageFound(fault: FileFault, found: number): MaySleep {
  const { mm, vma, flags } = fault;
  // The page is in the cache now. Who may not try again gets it alone, without what was read along with it.
  if (found === VM_FAULT_RETRY) return (flags & FAULT_NO_RETRY) === 0 ? faultOnObject(fault) : askObject(fault);
  if (found < 0) return found === -ENOMEM || found === -EHWPOISON ? found : VM_FAULT_SIGBUS;
  if ((vma.flags & VM_PFNMAP) !== 0) return insertPfn(fault, found);
  const { frames } = mm.memory;
  if ((frames.flags[frames.headOf(found)] & PG_hwpoison) !== 0) return -EHWPOISON;
  if ((flags & FAULT_WRITE) !== 0) {
    return (vma.flags & VM_SHARED) === 0 ? doCowFault(fault, found) : doSharedFault(fault, found);
  }
  setPte(mm, vma, fault.region, fault.index, found, 0);
  return 0;
}

/** `do_shared_fault`: the file system is asked before the page can be written to. */
function doSharedFault(fault: FileFault, pfn: number): MaySleep {
  const head = fault.mm.memory.frames.headOf(pfn);
  const made = fault.backing.pageMkwrite?.(fault.vma, head) ?? 0;
  if (typeof made === 'number') return finishSharedFault(fault, pfn, made);
  return eagerly(fault.mm.memory.world, 'page_mkwrite', sharedFaultSleeping(fault, pfn, head, made));
}

/** The page the file system prepared may have been truncated while it slept: then the access is tried again. */
function* sharedFaultSleeping(fault: FileFault, pfn: number, head: number, pending: MaySleep) {
  const { frames } = fault.mm.memory;
  const owner = frames.mapping[head];
  const next: NextStep = (later, made) => (frames.mapping[head] === owner ? finishSharedFault(later, pfn, made) : 0);
  frames.get(head, 1);
  const result = yield* afterSleep(fault, pending, next);
  frames.put(head, 1);
  return result;
}

/** `made` is what `page_mkwrite` said. */
function finishSharedFault({ mm, vma, region, index }: FileFault, pfn: number, made: number): MaySleep {
  if (made < 0) return mkwriteError(made);
  setPte(mm, vma, region, index, pfn, writtenBits(vma));
  return faultDirtySharedPage(mm, mm.memory.frames.headOf(pfn));
}

/** `fault_dirty_shared_page`: who dirties too many pages has to wait, now that the entry is there. */
function faultDirtySharedPage({ memory }: Mm, head: number): MaySleep {
  folioMarkDirty(memory, head);
  const mapping = folioMapping(memory, head);
  return mapping === null ? 0 : balanceDirtyPages(mapping);
}

/** `vmf_fs_error`: when the page was truncated or the file system wants it so, the access is simply tried again. */
function mkwriteError(error: number): number {
  if (error === -EFAULT || error === -EAGAIN) return 0;
  return error === -ENOMEM ? error : VM_FAULT_SIGBUS;
}

/** `do_cow_fault`: the process gets a copy of its own without ever seeing the page of the file. */
function doCowFault({ mm, vma, region, index, address, flags }: FileFault, pfn: number): number {
  const copy = newAnonPage(mm, flags);
  if (copy < 0) return copy;
  const { memory, pageTable } = mm;
  if (memory.mechanisms.on) memory.mechanisms.emit(Mechanism.fileCopy, copy, pfn, placeOf(mm, region, index));
  memory.bytes.copy(copy, 0, pfn, 0, PAGE_SIZE);
  folioAddNewAnonRmap(memory, copy, vma, address);
  folioAddLruVma(memory, copy, vma);
  const pte = protect(vmPageProt(vma) | writtenBits(vma), markerAt(mm, vma, region, index));
  pageTable.set(pageTable.ensureTable(region), index, copy, pte);
  return 0;
}

/** `set_pte_range` for a page of the object, which gets the reference of the mapping; `written` are a writer's bits. */
function setPte(mm: Mm, vma: Vma, region: number, index: number, pfn: number, written: number): void {
  const { memory, pageTable } = mm;
  const { frames } = memory;
  const head = frames.headOf(pfn);
  if (memory.mechanisms.on) {
    const mechanism = written === 0 ? Mechanism.fileMap : Mechanism.fileWrite;
    memory.mechanisms.emit(mechanism, pfn, 0, placeOf(mm, region, index));
  }
  let pte = vmPageProt(vma) | written;
  // Whoever may write without a fault need not tell of it for a folio that is dirty already.
  if ((pte & PTE_WRITE) !== 0 && (frames.flags[head] & PG_dirty) !== 0) pte |= PTE_DIRTY;
  frames.get(head, 1);
  folioAddFileRmapPte(memory, pfn, vma);
  if (frames.order[head] === 0) mlockVmaFolio(memory, head, vma, true);
  pageTable.set(pageTable.ensureTable(region), index, pfn, protect(pte, markerAt(mm, vma, region, index)));
}

/** The userfaultfd marker in an empty entry, as long as the area is still registered (`pte_marker_handle_uffd_wp`). */
function markerAt(mm: Mm, vma: Vma, region: number, index: number): number {
  return (vma.flags & VM_UFFD_WP) === 0 ? 0 : mm.pageTable.flagsAt(region, index) & PTE_UFFD_WP;
}

/** `pte_mkuffd_wp`. */
function protect(pte: number, marker: number): number {
  return marker === 0 ? pte : (pte | marker) & ~PTE_WRITE;
}

/** `vmf_insert_pfn`: frames without page structures that count mappings, such as registers. */
function insertPfn({ mm, vma, region, index }: FileFault, pfn: number): number {
  const written = (vma.flags & VM_SHARED) !== 0 ? writtenBits(vma) & PTE_WRITE : 0;
  mm.pageTable.set(mm.pageTable.ensureTable(region), index, pfn, vmPageProt(vma) | PTE_SPECIAL | written);
  return 0;
}

// ---- fault-around --------------------------------------------------------------------------------------------------------

function shouldFaultAround(vma: Vma, backing: VmaBacking): backing is VmaBacking & { mapping: AddressSpace } {
  return backing.mapsAround === true && backing.mapping !== undefined && (vma.flags & VM_UFFD_WP) === 0;
}

/**
 * Maps what the page cache has of the 64 KiB around the address, as far as they lie in the area and in one table. True when
 * the page of the address itself was among it. `do_fault_around`.
 */
function doFaultAround({ mm, vma, region, index, address }: FileFault, mapping: AddressSpace): boolean {
  const pageIndex = vma.pageIndexOf(address);
  const before = pageIndex - vma.pageOffset;
  const after = vma.pageIndexOf(vma.end) - pageIndex;
  const from = Math.max(index & -FAULT_AROUND_PAGES, index - Math.min(index, before));
  const to = Math.min(from + FAULT_AROUND_PAGES, PTRS_PER_TABLE, index + after);
  let isMapped = false;
  for (let i = from; i < to; i++) {
    const head = mappableFolio(mapping, pageIndex + i - index);
    if (head === 0 || mapping.readahead.onTheirWay.has(pageIndex + i - index)) continue;
    if (mm.pageTable.flagsAt(region, i) !== 0) continue;
    if (mm.pageTable.tableOf(region) === PMD_NONE && isLastOfFile(mapping, head, pageIndex + i - index)) return false;
    setPte(mm, vma, region, i, head, 0);
    if (i === index) isMapped = true;
  }
  return isMapped;
}

/**
 * `can_map_large`: a folio that reaches to the end of a file is not to be mapped by a PMD. The kernel installs a new page
 * table in the same place, so without one a window that begins with the last page of the file is not mapped at all.
 */
function isLastOfFile(mapping: AddressSpace, head: number, pageIndex: number): boolean {
  if ((mapping.memory.frames.flags[head] & PG_swapbacked) !== 0) return false; // shared memory is excepted
  return pageIndex + 1 >= mapping.pageCount;
}

/** Head of the folio if it may be mapped without asking anybody, else 0. `next_uptodate_folio`. */
function mappableFolio(mapping: AddressSpace, pageIndex: number): number {
  const head = findFolio(mapping, pageIndex);
  if (head === 0 || pageIndex >= mapping.pageCount) return 0;
  const flags = mapping.memory.frames.flags[head];
  return (flags & (PG_uptodate | PG_locked | PG_readahead | PG_hwpoison)) === PG_uptodate ? head : 0;
}

// ---- writes to read-only entries of shared mappings ------------------------------------------------------------------------

/**
 * `wp_page_shared` and `wp_pfn_shared`: the first write to a page since it was mapped or cleaned. 0, -ENOMEM or
 * VM_FAULT_SIGBUS. Task context, may sleep.
 */
export function wpPageShared(mm: Mm, vma: Vma, region: number, index: number, flags: number): MaySleep {
  if ((flags & FAULT_UNSHARE) !== 0) return 0;
  const { pageTable } = mm;
  const { frames } = mm.memory;
  if ((pageTable.flagsAt(region, index) & PTE_SPECIAL) !== 0) return reuse(mm, vma, region, index);
  const head = frames.headOf(pageTable.frameAt(region, index));
  const made = vma.backing?.pageMkwrite?.(vma, head) ?? 0;
  if (typeof made === 'number') return finishMkwrite(mm, vma, region, index, head, made);
  return eagerly(mm.memory.world, 'page_mkwrite', wpSharedSleeping(mm, region, index, head, made));
}

function* wpSharedSleeping(mm: Mm, region: number, index: number, head: number, pending: MaySleep) {
  const { frames } = mm.memory;
  const { pageTable } = mm;
  const owner = frames.mapping[head];
  const pfn = pageTable.frameAt(region, index);
  const pte = pageTable.flagsAt(region, index);
  frames.get(head, 1);
  const made = yield* settled(pending);
  const isSame = pageTable.frameAt(region, index) === pfn && pageTable.flagsAt(region, index) === pte;
  const vma = mm.vmas.lookup(region * REGION_BYTES + index * PAGE_SIZE);
  const mayGoOn = isSame && vma !== null && frames.mapping[head] === owner;
  const result = mayGoOn ? yield* settled(finishMkwrite(mm, vma, region, index, head, made)) : 0;
  frames.put(head, 1);
  return result;
}

/** `finish_mkwrite_fault`. */
function finishMkwrite(mm: Mm, vma: Vma, region: number, index: number, head: number, made: number): MaySleep {
  if (made < 0) return mkwriteError(made);
  const { mechanisms } = mm.memory;
  if (mechanisms.on) mechanisms.emit(Mechanism.fileWrite, head, 0, placeOf(mm, region, index));
  reuse(mm, vma, region, index);
  return faultDirtySharedPage(mm, head);
}

/** `wp_page_reuse`. */
function reuse(mm: Mm, vma: Vma, region: number, index: number): number {
  const { pageTable } = mm;
  const pte = pageTable.flagsAt(region, index) | PTE_ACCESSED | writtenBits(vma);
  pageTable.set(pageTable.tableOf(region), index, pageTable.frameAt(region, index), pte);
  return 0;
}
