/**
 * Virtual memory areas: what a process may do in each part of its address space, and what stands behind it.
 *
 * The areas of an mm are kept in one sorted array, which is searched by bisection. Neighbours of the same kind are one
 * area (`vma_merge`), and an operation on part of an area splits it (`__split_vma`).
 * Left out: anon_vma chains (with fork), memory policies, userfaultfd, guard pages, stack growth.
 * Source followed: mm/vma.c, include/linux/mm.h (6.18).
 */
import type { MaySleep } from '@pincushion/sim';
import { PAGE_SIZE } from './page-size';

export const VM_READ = 0x1;
export const VM_WRITE = 0x2;
export const VM_EXEC = 0x4;
export const VM_SHARED = 0x8;
export const VM_MAYREAD = 0x10;
export const VM_MAYWRITE = 0x20;
export const VM_MAYEXEC = 0x40;
export const VM_MAYSHARE = 0x80;
/** Frames without a countable `struct page` behind them; GUP refuses the area (V-01). */
export const VM_PFNMAP = 0x400;
export const VM_IO = 0x4000;
export const VM_DONTCOPY = 0x20000;
export const VM_DONTEXPAND = 0x40000;
export const VM_MIXEDMAP = 0x10000000;
export const VM_HUGEPAGE = 0x20000000;
export const VM_NOHUGEPAGE = 0x40000000;

/**
 * What stands behind a mapping that is not plain anonymous memory: a device's frames, shared memory, later a file.
 * One object may stand behind many areas.
 */
export interface VmaBacking {
  readonly name: string;
  /** Extra `VM_*` bits of each area, such as `VM_PFNMAP | VM_IO` for registers. */
  readonly vmFlags?: number;
  /** Shared writable mappings need dirty tracking: long-term write pins are refused (V-06). */
  readonly tracksDirty?: boolean;
  /** Memory of a DAX file: long-term pins are refused (V-03). */
  readonly fsDax?: boolean;
  /** Memory hidden from the kernel (V-05). */
  readonly secret?: boolean;
  /**
   * The frame that holds page `pageIndex` of the mapped object (`vma.pageOffset` is already added), or -errno. With
   * `VM_PFNMAP` any frame number; else a frame of an allocated folio with `mapping` set, which stays referenced by the
   * object for as long as it may give it out. May sleep. Mirrors `vm_operations_struct.fault`.
   */
  fault(vma: Vma, pageIndex: number, write: boolean): MaySleep;
  /** An area of this object came to be: mmap, split, later fork. */
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
  /** The page of the object that `start` shows. */
  pageOffset: number;

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

  /** The page of the object that `address` shows. */
  pageIndexOf(address: number): number {
    return this.pageOffset + Math.floor((address - this.start) / PAGE_SIZE);
  }
}

/** The sorted areas of one address space. */
export class VmaList {
  readonly all: Vma[] = [];
  private last: Vma | null = null;

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
    vma.backing?.open?.(vma);
    return this.mergeAround(at);
  }

  /** Cuts areas so that none crosses `address`. */
  splitAt(address: number): void {
    const at = this.indexAfter(address);
    const vma = this.all[at] as Vma | undefined;
    if (vma === undefined || vma.start >= address) return;
    const upper = new Vma(address, vma.end, vma.flags, vma.backing, vma.pageIndexOf(address));
    vma.end = address;
    this.all.splice(at + 1, 0, upper);
    upper.backing?.open?.(upper);
  }

  /** Takes the areas inside [start, end) out, whole ones only: split first. */
  removeRange(start: number, end: number): Vma[] {
    const from = this.indexAfter(start);
    let to = from;
    while (to < this.all.length && this.all[to].start < end) to++;
    this.last = null;
    const gone = this.all.splice(from, to - from);
    for (const vma of gone) vma.backing?.close?.(vma);
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
    if (lower.end !== upper.start || lower.flags !== upper.flags || lower.backing !== upper.backing) return false;
    if (lower.backing !== null) {
      if (lower.pageOffset + (lower.end - lower.start) / PAGE_SIZE !== upper.pageOffset) return false;
      if ((lower.flags & (VM_PFNMAP | VM_IO | VM_DONTEXPAND)) !== 0) return false;
    }
    lower.end = upper.end;
    this.all.splice(i, 1);
    this.last = null;
    upper.backing?.close?.(upper);
    return true;
  }
}
