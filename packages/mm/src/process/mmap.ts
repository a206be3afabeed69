/**
 * mmap and munmap: making areas and taking them away.
 *
 * Left out: brk, stack growth, memory policies, commit accounting, random placement.
 * Source followed: mm/mmap.c `do_mmap`, mm/vma.c `__mmap_region`, `do_vmi_munmap` (6.18).
 */
import { EAGAIN, EBADF, EEXIST, EINVAL, ENOMEM, EPERM } from '@pincushion/sim';
import type { MaySleep } from '@pincushion/sim';
import { canDoMlock, mlockFutureOk } from './accounting';
import { eagerly, settled } from '../eager-task';
import { hugetlbFileSetup } from '../huge/hugetlb-file';
import type { Mm } from './mm';
import { PAGE_SHIFT, PAGE_SIZE, PMD_ORDER } from '../frames/page-size';
import { REGION_BYTES, TASK_SIZE, regionOf } from './page-table';
import { mmPopulate } from './populate';
import { shmemZeroSetup } from '../page-cache/shmem';
import { Vma } from './vma';
import {
  VM_HUGETLB,
  VM_LOCKED,
  VM_LOCKONFAULT,
  VM_MAYEXEC,
  VM_MAYREAD,
  VM_MAYSHARE,
  VM_MAYWRITE,
  VM_NORESERVE,
  VM_SHARED,
  VM_SPECIAL,
  pkeyVmFlags,
} from './vma-flags';
import type { VmaBacking } from './vma';
import { zapRange } from './zap';
import { ZAP_DROP_MARKERS } from './zap-flags';

export const PROT_NONE = 0;
export const PROT_READ = 1;
export const PROT_WRITE = 2;
export const PROT_EXEC = 4;
export const PROT_MASK = PROT_READ | PROT_WRITE | PROT_EXEC;

export const MAP_SHARED = 0x1;
export const MAP_PRIVATE = 0x2;
export const MAP_FIXED = 0x10;
export const MAP_ANONYMOUS = 0x20;
export const MAP_LOCKED = 0x2000;
export const MAP_POPULATE = 0x8000;
export const MAP_NORESERVE = 0x4000;
/** Huge pages of a pool; with `MAP_HUGE_1GB` those of 1 GiB. */
export const MAP_HUGETLB = 0x40000;
export const MAP_FIXED_NOREPLACE = 0x100000;
export const MAP_HUGE_2MB = 21 << 26;
export const MAP_HUGE_1GB = 30 << 26;
/** The size of huge page as a power of two; 0: the usual one. */
const MAP_HUGE_SHIFT = 26;
const MAP_HUGE_MASK = 0x3f;
const MAP_TYPE = 0xf;

/** `vm.mmap_min_addr`. */
const MMAP_MIN_ADDR = 0x10000;
/** Where top-down placement starts; the kernel subtracts a random gap, which is not modelled. */
const MMAP_BASE = TASK_SIZE - 0x8000000;
/** `vm.max_map_count`. */
const MAX_MAP_COUNT = 65530;

/** `do_mmap`; arguments and results as `Mm.mmap`. */
export function doMmap(
  mm: Mm,
  length: number,
  prot: number,
  flags: number,
  address: number,
  backing: VmaBacking | undefined,
  pageOffset: number,
): MaySleep {
  if (!(length > 0)) return -EINVAL;
  const huge = hugePagesFor(mm, length, flags, backing);
  if (typeof huge === 'number') return huge;
  const pageBytes = (backing ?? huge)?.pageBytes ?? PAGE_SIZE;
  const bytes = Math.ceil(length / pageBytes) * pageBytes;
  if (bytes > TASK_SIZE || mm.vmas.all.length >= MAX_MAP_COUNT) return -ENOMEM;
  const type = flags & MAP_TYPE;
  if (type !== MAP_SHARED && type !== MAP_PRIVATE) return -EINVAL;
  if (backing === undefined && (flags & MAP_ANONYMOUS) === 0) return -EBADF;
  const start = getUnmappedArea(mm, address, bytes, flags, pageBytes);
  if (start < 0) return start;
  let vmFlags = (prot & PROT_MASK) | VM_MAYREAD | VM_MAYWRITE | VM_MAYEXEC;
  vmFlags |= pkeyVmFlags(mm.pkeys.keyForNew(prot & PROT_MASK));
  if (type === MAP_SHARED) vmFlags |= VM_SHARED | VM_MAYSHARE;
  if ((flags & MAP_NORESERVE) !== 0) vmFlags |= VM_NORESERVE;
  if ((flags & MAP_LOCKED) !== 0) {
    if (!canDoMlock(mm)) return -EPERM;
    if (!mlockFutureOk(mm, bytes / PAGE_SIZE)) return -EAGAIN;
    vmFlags |= VM_LOCKED;
  }
  if ((flags & MAP_FIXED) !== 0 && mm.vmas.overlaps(start, start + bytes)) {
    if (!mm.vmas.maySplit(start, start + bytes)) return -EINVAL;
    unmapRange(mm, start, start + bytes);
  }
  const object: VmaBacking | null = backing ?? huge ?? (type === MAP_SHARED ? shmemZeroSetup(mm.memory, bytes) : null);
  const offset = object === null ? start / PAGE_SIZE : pageOffset;
  const vma = new Vma(start, start + bytes, vmFlags | (object?.vmFlags ?? 0), object, offset);
  const refused = object?.mmap?.(vma, mm) ?? 0;
  if (refused !== 0) return refused;
  if ((vma.flags & (VM_SPECIAL | VM_HUGETLB)) !== 0) vma.flags &= ~(VM_LOCKED | VM_LOCKONFAULT);
  mm.vmas.insert(vma);
  if ((vma.flags & VM_LOCKED) !== 0) mm.lockedVm += bytes / PAGE_SIZE;
  if ((flags & MAP_POPULATE) === 0 && (vmFlags & VM_LOCKED) === 0) return start;
  return eagerly(mm.memory.world, 'mmap', populated(mm, start, bytes));
}

/** `mm_populate`: errors are not reported, the process will meet them. */
function* populated(mm: Mm, start: number, bytes: number) {
  yield* settled(mmPopulate(mm, start, start + bytes, true));
  return start;
}

/** Takes all areas of [start, end), page aligned, away with their pages. `do_vmi_align_munmap`. Any context. */
export function unmapRange(mm: Mm, start: number, end: number): void {
  mm.vmas.splitAt(start);
  mm.vmas.splitAt(end);
  zapRange(mm, start, end, ZAP_DROP_MARKERS);
  for (const vma of mm.vmas.removeRange(start, end)) {
    if ((vma.flags & VM_LOCKED) !== 0) mm.lockedVm -= (vma.end - vma.start) / PAGE_SIZE;
  }
  freePgtables(mm, start, end);
}

/** Gives back the tables of [start, end), in which nothing is mapped, that no other area could need. `free_pgtables`. */
function freePgtables(mm: Mm, start: number, end: number): void {
  const { pageTable, vmas } = mm;
  const last = Math.ceil(end / REGION_BYTES);
  for (let region = pageTable.nextRegion(regionOf(start), last); region < last;) {
    const at = region * REGION_BYTES;
    const isInside = at >= start && at + REGION_BYTES <= end;
    if (isInside || !vmas.overlaps(at, at + REGION_BYTES)) pageTable.freeTableIfEmpty(region);
    region = pageTable.nextRegion(region + 1, last);
  }
}

/** The page-aligned length of a range, 0 for an empty one, -EINVAL for an impossible one. */
export function rangeOf(address: number, length: number): number {
  if (address % PAGE_SIZE !== 0 || address < 0 || !(length >= 0)) return -EINVAL;
  const bytes = Math.ceil(length / PAGE_SIZE) * PAGE_SIZE;
  return address + bytes > TASK_SIZE ? -EINVAL : bytes;
}

/** What MAP_HUGETLB without a file maps: huge pages of the size asked for, or -errno. Null without MAP_HUGETLB. */
function hugePagesFor(mm: Mm, length: number, flags: number, backing?: VmaBacking): VmaBacking | number | null {
  if (backing !== undefined || (flags & MAP_HUGETLB) === 0) return null;
  const shift = (flags >> MAP_HUGE_SHIFT) & MAP_HUGE_MASK;
  const file = hugetlbFileSetup(mm.memory, length, shift === 0 ? PMD_ORDER : shift - PAGE_SHIFT);
  return typeof file === 'number' ? file : file.backing;
}

/** `get_unmapped_area`; `pageBytes`: of what is to be mapped. */
function getUnmappedArea(mm: Mm, address: number, bytes: number, flags: number, pageBytes: number): number {
  const { vmas } = mm;
  if ((flags & (MAP_FIXED | MAP_FIXED_NOREPLACE)) !== 0) {
    if (address % pageBytes !== 0) return -EINVAL;
    if (address + bytes > TASK_SIZE) return -ENOMEM;
    if (address < MMAP_MIN_ADDR) return -EPERM;
    if ((flags & MAP_FIXED_NOREPLACE) !== 0 && vmas.overlaps(address, address + bytes)) return -EEXIST;
    return address;
  }
  const hint = Math.ceil(address / pageBytes) * pageBytes;
  if (hint >= MMAP_MIN_ADDR && hint + bytes <= TASK_SIZE && !vmas.overlaps(hint, hint + bytes)) return hint;
  // Since 6.7 whole 2 MiB units are placed so that huge folios fit (`thp_get_unmapped_area`).
  const align = bytes % REGION_BYTES === 0 ? Math.max(REGION_BYTES, pageBytes) : PAGE_SIZE;
  const start = vmas.gapBelow(MMAP_BASE, bytes, align, MMAP_MIN_ADDR);
  return start < 0 ? -ENOMEM : start;
}
