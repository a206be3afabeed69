/**
 * An address space (`struct mm_struct`): areas, page table, and the calls a process makes on them.
 *
 * mmap_lock is implied: nothing here yields while it changes areas or entries, and a fault that sleeps counts as one that
 * dropped the lock (SL-03). All functions are task context; results are 0 or a count or an address, or -errno.
 * What the calls do lies in files of the kernel's names; here is only what they have in common.
 * Left out: brk, stack growth, memory cgroups.
 * Source followed: mm/mmap.c, mm/vma.c, mm/mprotect.c, mm/madvise.c (6.18).
 */
import { EFAULT, EINVAL, ENOMEM, sleeping } from '@pincushion/sim';
import type { MaySleep, Task } from '@pincushion/sim';
import { UserAccount } from './accounting';
import { handleMmFault } from '../faults/fault';
import { FAULT_WRITE, VM_FAULT_SIGBUS } from '../faults/fault-flags';
import { dupMmap } from './fork';
import { splitHugePmdAt } from '../huge/huge-memory';
import { doMadvise, madviseBehaviorValid } from './madvise';
import type { Memory } from '../memory';
import { doMlock, doMunlock } from './mlock';
import { PROT_MASK, doMmap, rangeOf, unmapRange } from './mmap';
import { mprotectRange } from './mprotect';
import { MS_SYNC, msyncRange } from './msync';
import { remapMove } from './mremap';
import { PAGE_SIZE } from '../frames/page-size';
import { PageTable, TASK_SIZE } from './page-table';
import { ProtectionKeys } from './protection-keys';
import { Tlb } from './tlb';
import { copyFromUser, copyToUser } from './user-access';
import { VmaList } from './vma';
import { VM_EXEC, VM_READ, VM_WRITE, vmaPkey } from './vma-flags';
import type { Vma, VmaBacking } from './vma';

/** Pages that a fork which finds none reclaims before it begins anew; twice as many each time. */
const FORK_RECLAIMS = 64;

export class Mm {
  readonly vmas = new VmaList(this);
  readonly pageTable = new PageTable();
  /** `mm->pinned_vm`, in pages: what drivers have accounted for. GUP itself does no accounting. */
  pinnedVm = 0;
  /** `mm->locked_vm`, in pages: what mlock has locked. */
  lockedVm = 0;
  /** The part of `lockedVm` that no locked area explains: areas that MREMAP_DONTUNMAP left behind unlocked. */
  lockedVmStray = 0;
  /** What the process may lock, and who is charged for it. */
  user: UserAccount;
  /** Its protection keys, and PKRU. */
  pkeys = new ProtectionKeys();
  /** MMF_HAS_PINNED: set at the first attempt to pin, never cleared (E-05, P-05). */
  hasPinned = false;
  /** A fatal signal is pending: GUP ends with -EINTR before its next page (E-03). */
  fatalSignal = false;
  /** A signal that is not fatal is pending: it ends waits of those who allow that (FOLL_INTERRUPTIBLE). */
  signalPending = false;
  /** Page faults that its CPU accesses took and that were resolved (`ru_minflt + ru_majflt`). */
  faults = 0;
  /** The signal that the last failing access of a CPU would have raised; null when there was none yet. */
  signal: 'SIGSEGV' | 'SIGBUS' | null = null;
  /** `mm->write_protect_seq`: odd while fork copies a private area. */
  writeProtectSeq = 0;
  /** Old translations that other CPUs may use while an operation is under way; null: TLBs are exact. */
  readonly tlb: Tlb | null;

  /** Made by `Memory.createMm` and fork only. */
  constructor(
    readonly memory: Memory,
    readonly id: number,
    readonly name: string,
  ) {
    this.user = new UserAccount(memory.rootUser);
    this.tlb = memory.staleTlb ? new Tlb(this) : null;
  }

  /** RLIMIT_MEMLOCK in bytes. Without limit unless set. */
  get rlimitMemlock(): number {
    return this.user.rlimitMemlock;
  }

  set rlimitMemlock(bytes: number) {
    this.user.rlimitMemlock = bytes;
  }

  /**
   * Maps `length` bytes. `flags`: MAP_PRIVATE or MAP_SHARED, MAP_ANONYMOUS or a `backing`, whose page `pageOffset` the
   * mapping begins with. Returns the address; errors as mmap(2): -EINVAL, -EBADF, -EEXIST, -ENOMEM, -EPERM,
   * -EAGAIN (MAP_LOCKED above the limit).
   */
  mmap(length: number, prot: number, flags: number, address = 0, backing?: VmaBacking, pageOffset = 0): MaySleep {
    this.memory.world.contexts.mightSleep('mmap');
    this.memory.ledger.coherence?.begin('mmap with MAP_FIXED');
    return doMmap(this, length, prot, flags, address, backing, pageOffset);
  }

  /** Unmaps a range, pinned pages included: they live on until they are unpinned. 0 or -EINVAL. */
  munmap(address: number, length: number): MaySleep {
    this.memory.world.contexts.mightSleep('munmap');
    this.memory.ledger.coherence?.begin('munmap');
    const range = rangeOf(address, length);
    if (range < 0 || range === 0 || !this.vmas.maySplit(address, address + range)) return -EINVAL;
    unmapRange(this, address, address + range);
    return 0;
  }

  /** mprotect(2): 0, -EINVAL (not aligned), -ENOMEM (up to a hole in the range), -EACCES. */
  mprotect(address: number, length: number, prot: number): MaySleep {
    this.memory.world.contexts.mightSleep('mprotect');
    const range = rangeOf(address, length);
    if (range <= 0) return range;
    return mprotectRange(this, address, address + range, prot & PROT_MASK, -1);
  }

  /**
   * pkey_mprotect(2): as `mprotect`, and the areas get the protection key, one of `pkeys.alloc` or 0; with -1 it is
   * `mprotect`. Also -EINVAL: no key of the process.
   */
  pkeyMprotect(address: number, length: number, prot: number, key: number): MaySleep {
    this.memory.world.contexts.mightSleep('pkey_mprotect');
    const range = rangeOf(address, length);
    if (range <= 0) return range;
    if (key !== -1 && !this.pkeys.has(key)) return -EINVAL;
    return mprotectRange(this, address, address + range, prot & PROT_MASK, key);
  }

  /** msync(2) with `MS_*`: 0, -EINVAL, -EBUSY, -ENOMEM (a hole; both sides are synced), or what a file says. */
  msync(address: number, length: number, flags = MS_SYNC): MaySleep {
    this.memory.world.contexts.mightSleep('msync');
    const range = rangeOf(address, length);
    return range <= 0 ? range : msyncRange(this, address, address + range, flags);
  }

  /**
   * mremap(2) with MREMAP_MAYMOVE | MREMAP_FIXED and an unchanged length: moves what lies in the range to `newAddress`.
   * `dontUnmap`: the old area stays, empty (MREMAP_DONTUNMAP). The new address, -EINVAL or -EFAULT.
   */
  mremap(address: number, length: number, newAddress: number, options: { dontUnmap?: boolean } = {}): MaySleep {
    this.memory.world.contexts.mightSleep('mremap');
    this.memory.ledger.coherence?.begin('mremap');
    const range = rangeOf(address, length);
    if (range <= 0 || rangeOf(newAddress, length) < 0) return -EINVAL;
    if (newAddress < address + range && address < newAddress + range) return -EINVAL;
    return remapMove(this, address, range, newAddress, options.dontUnmap === true);
  }

  /** madvise(2); `advice` is one of `MADV_*`. 0 or -errno, see `doMadvise`. */
  madvise(address: number, length: number, advice: number): MaySleep {
    this.memory.world.contexts.mightSleep('madvise');
    this.memory.ledger.coherence?.begin('madvise', advice);
    if (!madviseBehaviorValid(advice)) return -EINVAL;
    const range = rangeOf(address, length);
    return range <= 0 ? range : doMadvise(this, address, address + range, advice);
  }

  /** mlock(2), with `flags` = MLOCK_ONFAULT mlock2(2), on the pages that the range touches. 0 or -errno, see `doMlock`. */
  mlock(address: number, length: number, flags = 0): MaySleep {
    this.memory.world.contexts.mightSleep('mlock');
    const range = touchedRange(address, length);
    return range < 0 ? range : doMlock(this, address - (address % PAGE_SIZE), range, flags);
  }

  /** munlock(2) on the pages that the range touches. 0, -EINVAL or -ENOMEM. */
  munlock(address: number, length: number): MaySleep {
    this.memory.world.contexts.mightSleep('munlock');
    const range = touchedRange(address, length);
    return range < 0 ? range : doMunlock(this, address - (address % PAGE_SIZE), range);
  }

  /**
   * The CPU meets a missing or forbidding entry at `address`. 0, or where a process would get a signal (`signal` says
   * which) -EFAULT; -ENOMEM, -EHWPOISON.
   */
  fault(address: number, write: boolean): MaySleep {
    this.memory.world.contexts.mightSleep('a page fault');
    const vma = this.vmas.lookup(address);
    if (vma === null || !this.allows(vma, write)) return this.faulted(-EFAULT);
    const result = handleMmFault(this, vma, address, write ? FAULT_WRITE : 0);
    return typeof result === 'number'
      ? this.faulted(result)
      : sleeping(this.memory.world, 'a page fault', () => this.faultSleeping(result));
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

  /**
   * fork(2), as far as memory goes: a process with a copy of this address space, or -ENOMEM when there is no page for an
   * early copy; then there is no child. Task context.
   */
  fork(name: string): Mm | number {
    this.memory.world.contexts.mightSleep('fork');
    const { memory } = this;
    for (let wanted = FORK_RECLAIMS; ; wanted *= 2) {
      const child = memory.createMm(name);
      child.user = this.user.inherit();
      child.pkeys = this.pkeys.inherit();
      const error = dupMmap(child, this);
      if (error === 0) return child;
      child.tearDown();
      if (!memory.pressure.starving || memory.pressure.reclaimNow(wanted) === 0) return error;
    }
  }

  /** The process ends: everything is unmapped. Pages that are pinned live on until they are unpinned. */
  exit(): MaySleep {
    this.memory.world.contexts.mightSleep('exit');
    this.memory.ledger.coherence?.begin('exit');
    this.tearDown();
    return 0;
  }

  /** Whether the process may load, or store, in the area; not whether the page is there. `access_error`. */
  allows(vma: Vma, write: boolean): boolean {
    const need = write ? VM_WRITE : VM_READ | VM_WRITE | VM_EXEC;
    return (vma.flags & need) !== 0 && this.pkeys.allow(vmaPkey(vma.flags), write);
  }

  /** An area is about to be cut at `address`: a huge mapping across it is split. `vma_adjust_trans_huge`. */
  splitHugePmdAt(vma: Vma, address: number): void {
    splitHugePmdAt(this, vma, address);
  }

  /** `exit_mmap`. */
  private tearDown(): void {
    unmapRange(this, 0, TASK_SIZE);
    this.memory.hugeZero.put(this);
    this.memory.mms.delete(this);
  }

  /** `mm_account_fault`, and what the process is told. */
  private faulted(result: number): number {
    if (result >= 0) {
      this.faults++;
      return 0;
    }
    if (result === -ENOMEM) return result;
    this.signal = result === -EFAULT ? 'SIGSEGV' : 'SIGBUS';
    return result === VM_FAULT_SIGBUS ? -EFAULT : result;
  }

  private *faultSleeping(pending: Task<number>) {
    return this.faulted(yield* pending);
  }
}

/** The page-aligned end of the pages that a range touches, or -EINVAL. */
function touchedRange(address: number, length: number): number {
  const end = Math.ceil((address + length) / PAGE_SIZE) * PAGE_SIZE;
  return address < 0 || !(length >= 0) || end > TASK_SIZE ? -EINVAL : end;
}
