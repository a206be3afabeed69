/**
 * Virtual memory areas: what a process may do in each part of its address space, and what stands behind it.
 *
 * The areas of an mm are kept in one sorted array, which is searched by bisection. Neighbours of the same kind are one
 * area (`vma_merge`), and an operation on part of an area splits it (`__split_vma`).
 * Left out: memory policies, stack growth.
 * Source followed: mm/vma.c, include/linux/mm.h (6.18).
 */
import type { MaySleep } from '@pincushion/sim';
import type { AddressSpace } from '../page-cache/address-space';
import { anonVmaClone, unlinkAnonVmas } from '../frames/anon-vma';
import type { AnonVma } from '../frames/anon-vma';
import type { HugetlbFile } from '../huge/hugetlb-file';
import type { HugetlbArea } from '../huge/hugetlb-reserve';
import type { Mm } from './mm';
import { PAGE_SIZE } from '../frames/page-size';
import { VM_DONTEXPAND, VM_IO, VM_MAYBE_GUARD, VM_MAYWRITE, VM_PFNMAP, VM_SHARED, VM_WRITE } from './vma-flags';

export * from './vma-flags';

/** Bits that do not keep areas from being joined; the joined area has them. */
const VM_STICKY = VM_MAYBE_GUARD;

/**
 * What stands behind a mapping that is not plain anonymous memory: a device's frames, shared memory, a file. One object
 * may stand behind many areas. The kernel's `vm_file` and `vm_operations_struct` in one.
 */
export interface VmaBacking {
  readonly name: string;
  /** Extra `VM_*` bits of each area, such as `VM_PFNMAP | VM_IO` for registers. */
  readonly vmFlags?: number;
  /** The page cache of the mapped file; its areas are found there by the reverse map. */
  readonly mapping?: AddressSpace;
  /** Shared writable mappings need dirty tracking: long-term write pins are refused (V-06). */
  readonly tracksDirty?: boolean;
  /** Memory of a DAX file: long-term pins are refused (V-03). */
  readonly fsDax?: boolean;
  /** Memory hidden from the kernel (V-05). */
  readonly secret?: boolean;
  /**
   * The frame that holds page `pageIndex` of the mapped object (`vma.pageOffset` is already added), or -errno. With
   * `VM_PFNMAP` any frame number; else a frame of an allocated folio with `mapping` set, which stays referenced by the
   * object for as long as it may give it out. With `pinScope` a new frame must not come from ZONE_MOVABLE. May sleep. Mirrors `vm_operations_struct.fault`.
   */
  fault(vma: Vma, pageIndex: number, write: boolean, pinScope?: boolean): MaySleep;
  /**
   * A read-only entry of a shared mapping is about to become writable: the file system prepares the folio and marks it
   * dirty. 0 or -errno. Objects without it need no dirty tracking. `vm_operations_struct.page_mkwrite`.
   */
  pageMkwrite?(vma: Vma, head: number): MaySleep;
  /**
   * Whether a read fault maps what the page cache has around it, too (`map_pages`); needs `mapping`.
   */
  readonly mapsAround?: boolean;
  /** The file of huge pages behind it; its areas have `VM_HUGETLB`. */
  readonly hugetlb?: HugetlbFile;
  /** Bytes of one page of the object when that is not 4 KiB (`pagesize`). */
  readonly pageBytes?: number;
  /** Takes whole pages out of the object, as fallocate(2) with FALLOC_FL_PUNCH_HOLE. 0 or -errno. */
  punchHole?(start: number, length: number): MaySleep;
  /** Writes what is dirty in bytes [start, end) of the object and waits: msync(2). 0 or -errno. */
  fsync?(start: number, end: number): MaySleep;
  /** The object is mapped into a new area: it may refuse, or set flags of the area (`f_op->mmap`). 0 or -errno. */
  mmap?(vma: Vma, mm: Mm): number;
  /** An area of this object came to be: mmap, split, fork. */
  open?(vma: Vma): undefined;
  /** An area of this object is gone. */
  close?(vma: Vma): undefined;
}

export class Vma {
  /** First byte, and the byte after the last; page aligned. */
  start: number;
  end: number;
  /** `VM_*` bits. */
  flags: number;
  readonly backing: VmaBacking | null;
  /**
   * The page of the object that `start` shows. Of private anonymous memory the page number of the address at which the
   * area was made: it stays when the area moves (`vm_pgoff`).
   */
  pageOffset: number;
  /** The address space it belongs to; set when it is inserted. */
  mm: Mm | null = null;
  /** Where new anonymous pages of the area are entered for the reverse map; null until the first. */
  anonVma: AnonVma | null = null;
  /** All that may have entered pages the area maps: its own and those of the areas it was forked from. */
  readonly anonChain: AnonVma[] = [];
  /** What an area of huge pages has reserved; null for others, and for those before they are mapped. */
  hugetlb: HugetlbArea | null = null;

  constructor(start: number, end: number, flags: number, backing: VmaBacking | null, pageOffset: number) {
    this.start = start;
    this.end = end;
    this.flags = flags;
    this.backing = backing;
    this.pageOffset = pageOffset;
  }

  /** `vma_is_anonymous`. */
  get isAnonymous(): boolean {
    return this.backing === null;
  }

  /** `is_cow_mapping`: writes go to private copies. */
  get isCow(): boolean {
    return (this.flags & (VM_SHARED | VM_MAYWRITE)) === VM_MAYWRITE;
  }

  /** `vma_needs_dirty_tracking`. True only for shared writable mappings of objects that are written back. */
  get needsDirtyTracking(): boolean {
    return (this.flags & (VM_SHARED | VM_WRITE)) === (VM_SHARED | VM_WRITE) && this.backing?.tracksDirty === true;
  }

  /** Whether it may be cut at `address`: not inside a page of its object. `vm_operations_struct.may_split`. */
  maySplitAt(address: number): boolean {
    return address <= this.start || address >= this.end || address % (this.backing?.pageBytes ?? PAGE_SIZE) === 0;
  }

  /** The page of the object that `address` shows. */
  pageIndexOf(address: number): number {
    return this.pageOffset + Math.floor((address - this.start) / PAGE_SIZE);
  }
}

/** The sorted areas of one address space. */
export class VmaList {
  readonly all: Vma[] = [];
  private last: Vma | null = null;

  constructor(private readonly mm: Mm) {}

  /** The area that contains `address`, or null. `vma_lookup`. */
  lookup(address: number): Vma | null {
    const last = this.last;
    if (last !== null && address >= last.start && address < last.end) return last;
    const vma = this.all[this.indexAfter(address)] as Vma | undefined;
    if (vma === undefined || vma.start > address) return null;
    this.last = vma;
    return vma;
  }

  /** Index of the first area whose end lies above `address`; the number of areas when there is none. `find_vma`. */
  indexAfter(address: number): number {
    let low = 0;
    let high = this.all.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.all[middle].end > address) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  /** Whether any area lies in [start, end). */
  overlaps(start: number, end: number): boolean {
    const next = this.all[this.indexAfter(start)] as Vma | undefined;
    return next !== undefined && next.start < end;
  }

  /**
   * Highest gap of `length` bytes below `base`, aligned to `align`; -1 when there is none. `vm_unmapped_area`, top-down.
   */
  gapBelow(base: number, length: number, align: number, lowest: number): number {
    let top = base;
    for (let i = this.indexAfter(base) - 1; ; i--) {
      const next = this.all[i + 1] as Vma | undefined;
      if (next !== undefined && next.start < top) top = next.start;
      const bottom = i >= 0 ? this.all[i].end : 0;
      const start = Math.floor((top - length) / align) * align;
      if (start < lowest) return -1;
      if (start >= bottom) return start;
      if (i < 0) return -1;
    }
  }

  /** Puts a new area in, joined with its neighbours when they are of the same kind. Returns the area it is part of. */
  insert(vma: Vma): Vma {
    const at = this.indexAfter(vma.start);
    this.all.splice(at, 0, vma);
    this.attach(vma);
    return this.mergeAround(at);
  }

  /** Puts a new area behind all others, as fork does; it stays an area of its own. */
  append(vma: Vma): void {
    this.all.push(vma);
    this.attach(vma);
  }

  /** Whether areas may be cut at both ends of [start, end). */
  maySplit(start: number, end: number): boolean {
    const first = this.lookup(start);
    const last = this.lookup(end);
    return (first === null || first.maySplitAt(start)) && (last === null || last.maySplitAt(end));
  }

  /** Cuts areas so that none crosses `address`. */
  splitAt(address: number): void {
    const at = this.indexAfter(address);
    const vma = this.all[at] as Vma | undefined;
    if (vma === undefined || vma.start >= address) return;
    this.mm.splitHugePmdAt(vma, address);
    const upper = new Vma(address, vma.end, vma.flags, vma.backing, vma.pageIndexOf(address));
    vma.end = address;
    this.all.splice(at + 1, 0, upper);
    upper.hugetlb = vma.hugetlb;
    anonVmaClone(upper, vma);
    this.attach(upper);
  }

  /** Takes the areas inside [start, end) out, whole ones only: split first. */
  removeRange(start: number, end: number): Vma[] {
    const from = this.indexAfter(start);
    let to = from;
    while (to < this.all.length && this.all[to].start < end) to++;
    this.last = null;
    const gone = this.all.splice(from, to - from);
    for (const vma of gone) this.detach(vma);
    return gone;
  }

  /** Joins areas of one kind inside [start, end] and with their neighbours, after flags were changed. */
  mergeRange(start: number, end: number): void {
    for (let i = Math.max(1, this.indexAfter(start)); i < this.all.length && this.all[i].start <= end;) {
      if (!this.tryMerge(i)) i++;
    }
  }

  private mergeAround(at: number): Vma {
    let index = at;
    if (this.tryMerge(index + 1)) this.last = null;
    if (this.tryMerge(index)) index--;
    return this.all[index];
  }

  /** Joins area `i` into its lower neighbour. `can_vma_merge_after`. */
  private tryMerge(i: number): boolean {
    const upper = this.all[i] as Vma | undefined;
    const lower = this.all[i - 1] as Vma | undefined;
    if (upper === undefined || lower === undefined) return false;
    if (lower.end !== upper.start || lower.backing !== upper.backing) return false;
    if (((lower.flags ^ upper.flags) & ~VM_STICKY) !== 0) return false;
    if (lower.pageOffset + (lower.end - lower.start) / PAGE_SIZE !== upper.pageOffset) return false;
    if ((lower.flags & (VM_PFNMAP | VM_IO | VM_DONTEXPAND)) !== 0) return false;
    if (!sameAnonVma(lower, upper)) return false;
    if (lower.anonVma === null) anonVmaClone(lower, upper);
    lower.flags |= upper.flags & VM_STICKY;
    lower.end = upper.end;
    this.all.splice(i, 1);
    this.last = null;
    this.detach(upper);
    return true;
  }

  private attach(vma: Vma): void {
    vma.mm = this.mm;
    vma.backing?.mapping?.vmas.add(vma);
    vma.backing?.open?.(vma);
  }

  private detach(vma: Vma): void {
    unlinkAnonVmas(vma);
    vma.backing?.mapping?.vmas.delete(vma);
    vma.backing?.close?.(vma);
  }
}

/** `is_mergeable_anon_vma`: one without pages joins any area that was never forked. */
function sameAnonVma(lower: Vma, upper: Vma): boolean {
  if (lower.anonVma === upper.anonVma) return true;
  const has = lower.anonVma === null ? upper : lower;
  return (lower.anonVma === null || upper.anonVma === null) && has.anonChain.length === 1;
}
