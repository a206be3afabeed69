/**
 * An address space (`struct mm_struct`): areas, page table, and the calls a process makes on them.
 *
 * mmap_lock is implied: nothing here yields while it changes areas or entries, and a fault that sleeps counts as one that
 * dropped the lock (SL-03). All functions are task context; results are 0 or a count or an address, or -errno.
 * Left out: mremap, brk, stack growth, mlock, memory cgroups; fork comes with the reverse map.
 * Source followed: mm/mmap.c, mm/vma.c, mm/mprotect.c, mm/madvise.c (6.18).
 */
import { EBADF, EEXIST, EFAULT, EINVAL, ENOMEM, EPERM } from '@pincushion/sim';
import type { MaySleep } from '@pincushion/sim';
import { handleMmFault, FAULT_WRITE } from './fault';
import type { Memory } from './memory';
import { PAGE_SIZE } from './page-size';
import { PageTable, REGION_BYTES, TASK_SIZE } from './page-table';
import { SharedMemory } from './shared-memory';
import { copyFromUser, copyToUser } from './user-access';
import {
  VM_EXEC,
  VM_HUGEPAGE,
  VM_MAYEXEC,
  VM_MAYREAD,
  VM_MAYSHARE,
  VM_MAYWRITE,
  VM_NOHUGEPAGE,
  VM_READ,
  VM_SHARED,
  VM_WRITE,
  Vma,
  VmaList,
} from './vma';
import type { VmaBacking } from './vma';
import { protectRange, zapRange } from './zap';

export const PROT_NONE = 0;
export const PROT_READ = 1;
export const PROT_WRITE = 2;
export const PROT_EXEC = 4;

export const MAP_SHARED = 0x1;
export const MAP_PRIVATE = 0x2;
export const MAP_FIXED = 0x10;
export const MAP_ANONYMOUS = 0x20;
export const MAP_POPULATE = 0x8000;
export const MAP_FIXED_NOREPLACE = 0x100000;

export const MADV_DONTNEED = 4;
export const MADV_HUGEPAGE = 14;
export const MADV_NOHUGEPAGE = 15;

/** `vm.mmap_min_addr`. */
const MMAP_MIN_ADDR = 0x10000;
/** Where top-down placement starts; the kernel subtracts a random gap, which is not modelled. */
const MMAP_BASE = TASK_SIZE - 0x8000000;
/** `vm.max_map_count`. */
const MAX_MAP_COUNT = 65530;
const MAP_TYPE = 0xf;
const PROT_MASK = PROT_READ | PROT_WRITE | PROT_EXEC;

export class Mm {
  readonly vmas = new VmaList();
  readonly pageTable = new PageTable();
  /** `mm->pinned_vm`, in pages: what drivers have accounted for. GUP itself does no accounting. */
  pinnedVm = 0;
  /** RLIMIT_MEMLOCK in bytes. Without limit unless set: as a process with CAP_IPC_LOCK. */
  rlimitMemlock = Infinity;
  /** MMF_HAS_PINNED: set at the first attempt to pin, never cleared (E-05, P-05). */
  hasPinned = false;
  /** A fatal signal is pending: GUP ends with -EINTR before its next page (E-03). */
  fatalSignal = false;
  /** `mm->write_protect_seq`: odd while fork copies a private area. */
  writeProtectSeq = 0;

  /** Made by `Memory.createMm` only. `mappingId` marks anonymous pages of this mm in the frame table. */
  constructor(
    readonly memory: Memory,
    readonly id: number,
    readonly name: string,
    readonly mappingId: number,
  ) {}

  /**
   * Maps `length` bytes. `flags`: MAP_PRIVATE or MAP_SHARED, MAP_ANONYMOUS or a `backing`, whose page `pageOffset` the
   * mapping begins with. Returns the address; errors as mmap(2): -EINVAL, -EBADF, -EEXIST, -ENOMEM, -EPERM.
   */
  mmap(length: number, prot: number, flags: number, address = 0, backing?: VmaBacking, pageOffset = 0): MaySleep {
    this.memory.world.contexts.mightSleep('mmap');
    if (!(length > 0)) return -EINVAL;
    const bytes = Math.ceil(length / PAGE_SIZE) * PAGE_SIZE;
    if (bytes > TASK_SIZE || this.vmas.all.length >= MAX_MAP_COUNT) return -ENOMEM;
    const type = flags & MAP_TYPE;
    if (type !== MAP_SHARED && type !== MAP_PRIVATE) return -EINVAL;
    if (backing === undefined && (flags & MAP_ANONYMOUS) === 0) return -EBADF;
    const start = this.place(address, bytes, flags);
    if (start < 0) return start;
    if ((flags & MAP_FIXED) !== 0 && this.vmas.overlaps(start, start + bytes)) this.unmap(start, start + bytes);
    let vmFlags = (prot & PROT_MASK) | VM_MAYREAD | VM_MAYWRITE | VM_MAYEXEC;
    if (type === MAP_SHARED) vmFlags |= VM_SHARED | VM_MAYSHARE;
    const object: VmaBacking | null =
      backing ?? (type === MAP_SHARED ? new SharedMemory(this.memory, bytes / PAGE_SIZE) : null);
    const vma = new Vma(
      start,
      start + bytes,
      vmFlags | (object?.vmFlags ?? 0),
      object,
      object === null ? 0 : pageOffset,
    );
    this.vmas.insert(vma);
    if ((flags & MAP_POPULATE) === 0 || prot === PROT_NONE) return start;
    const populated = this.populate(start, bytes);
    return typeof populated === 'number' ? start : andThen(populated, start);
  }

  /** Unmaps a range, pinned pages included: they live on until they are unpinned. 0 or -EINVAL. */
  munmap(address: number, length: number): MaySleep {
    this.memory.world.contexts.mightSleep('munmap');
    const range = rangeOf(address, length);
    if (range < 0 || range === 0) return -EINVAL;
    this.unmap(address, address + range);
    return 0;
  }

  /** mprotect(2): 0, -EINVAL (not aligned), -ENOMEM (a hole in the range). */
  mprotect(address: number, length: number, prot: number): MaySleep {
    this.memory.world.contexts.mightSleep('mprotect');
    const range = rangeOf(address, length);
    if (range <= 0) return range;
    const end = address + range;
    if (this.hasHole(address, end)) return -ENOMEM;
    this.eachVma(address, end, (vma) => {
      vma.flags = (vma.flags & ~(VM_READ | VM_WRITE | VM_EXEC)) | (prot & PROT_MASK);
      return undefined;
    });
    protectRange(this, address, end, (prot & PROT_WRITE) !== 0, (prot & PROT_MASK) !== 0);
    return 0;
  }

  /** madvise(2) for MADV_DONTNEED, MADV_HUGEPAGE, MADV_NOHUGEPAGE; -EINVAL for others. */
  madvise(address: number, length: number, advice: number): MaySleep {
    this.memory.world.contexts.mightSleep('madvise');
    const range = rangeOf(address, length);
    if (range <= 0) return range;
    const end = address + range;
    if (advice === MADV_DONTNEED) zapRange(this, address, end);
    else if (advice === MADV_HUGEPAGE || advice === MADV_NOHUGEPAGE) {
      const [set, clear] = advice === MADV_HUGEPAGE ? [VM_HUGEPAGE, VM_NOHUGEPAGE] : [VM_NOHUGEPAGE, VM_HUGEPAGE];
      this.eachVma(address, end, (vma) => {
        vma.flags = (vma.flags & ~clear) | set;
        return undefined;
      });
    } else return -EINVAL;
    return this.hasHole(address, end) ? -ENOMEM : 0;
  }

  /** The CPU meets a missing or forbidding entry at `address`. 0, or -EFAULT where a process would get a signal. */
  fault(address: number, write: boolean): MaySleep {
    this.memory.world.contexts.mightSleep('a page fault');
    const vma = this.vmas.lookup(address);
    if (vma === null) return -EFAULT;
    if (write ? (vma.flags & VM_WRITE) === 0 : (vma.flags & (VM_READ | VM_WRITE | VM_EXEC)) === 0) return -EFAULT;
    return handleMmFault(this, vma, address, write ? FAULT_WRITE : 0);
  }

  /**
   * The process reads `n` bytes of its memory at `address` into `into[at…]`, taking faults as they come. Returns the
   * bytes read, short at the first page it may not read; when that is the first one, -EFAULT (-ENOMEM out of memory).
   */
  read(address: number, into: Uint8Array, at = 0, n = into.length - at): MaySleep {
    return copyFromUser(this, address, into, at, n);
  }

  /** The process writes `n` bytes of `from[at…]` to its memory at `address`. Results as `read`. */
  write(address: number, from: Uint8Array, at = 0, n = from.length - at): MaySleep {
    return copyToUser(this, address, from, at, n);
  }

  /** The process ends: everything is unmapped. Pages that are pinned live on until they are unpinned. */
  exit(): MaySleep {
    this.memory.world.contexts.mightSleep('exit');
    this.unmap(0, TASK_SIZE);
    this.memory.mms.delete(this);
    return 0;
  }

  private unmap(start: number, end: number): void {
    this.vmas.splitAt(start);
    this.vmas.splitAt(end);
    zapRange(this, start, end);
    this.vmas.removeRange(start, end);
  }

  /** `get_unmapped_area`. */
  private place(address: number, bytes: number, flags: number): number {
    if ((flags & (MAP_FIXED | MAP_FIXED_NOREPLACE)) !== 0) {
      if (address % PAGE_SIZE !== 0) return -EINVAL;
      if (address + bytes > TASK_SIZE) return -ENOMEM;
      if (address < MMAP_MIN_ADDR) return -EPERM;
      if ((flags & MAP_FIXED_NOREPLACE) !== 0 && this.vmas.overlaps(address, address + bytes)) return -EEXIST;
      return address;
    }
    const hint = Math.ceil(address / PAGE_SIZE) * PAGE_SIZE;
    if (hint >= MMAP_MIN_ADDR && hint + bytes <= TASK_SIZE && !this.vmas.overlaps(hint, hint + bytes)) return hint;
    // Since 6.7 whole 2 MiB units are placed so that huge folios fit (`thp_get_unmapped_area`).
    const align = bytes % REGION_BYTES === 0 ? REGION_BYTES : PAGE_SIZE;
    const start = this.vmas.gapBelow(MMAP_BASE, bytes, align, MMAP_MIN_ADDR);
    return start < 0 ? -ENOMEM : start;
  }

  /** `mm_populate`: errors are not reported, the process will meet them. */
  private populate(start: number, bytes: number): MaySleep {
    const { gup } = this.memory;
    return gup.populate(this, start, bytes / PAGE_SIZE);
  }

  private hasHole(start: number, end: number): boolean {
    let at = start;
    for (let i = this.vmas.indexAfter(start); at < end; i++) {
      const vma = this.vmas.all[i] as Vma | undefined;
      if (vma === undefined || vma.start > at) return true;
      at = vma.end;
    }
    return false;
  }

  private eachVma(start: number, end: number, change: (vma: Vma) => undefined): void {
    this.vmas.splitAt(start);
    this.vmas.splitAt(end);
    for (let i = this.vmas.indexAfter(start); i < this.vmas.all.length && this.vmas.all[i].start < end; i++) {
      change(this.vmas.all[i]);
    }
    this.vmas.mergeRange(start, end);
  }
}

/** The page-aligned length of a range, 0 for an empty one, -EINVAL for an impossible one. */
function rangeOf(address: number, length: number): number {
  if (address % PAGE_SIZE !== 0 || address < 0 || !(length >= 0)) return -EINVAL;
  const bytes = Math.ceil(length / PAGE_SIZE) * PAGE_SIZE;
  return address + bytes > TASK_SIZE ? -EINVAL : bytes;
}

function* andThen(pending: Exclude<MaySleep, number>, result: number) {
  yield* pending;
  return result;
}
