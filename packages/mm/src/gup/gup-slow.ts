/**
 * The slow walk of GUP: area by area with all checks, faulting in what is missing.
 *
 * The walk is an object, because a fault may sleep: `advance` goes on until the end or until a fault is needed, the driver
 * of the walk handles the fault, plainly or as a task, and calls `advance` again (SL-03). References are taken while no
 * other code can change the entry (SL-01: the page-table lock is implied).
 * Left out: PUD leaves as such (1 GiB pages are 512 huge mappings), NUMA balancing: hints are honoured, nobody makes any.
 * Source followed: mm/gup.c `__get_user_pages`, `follow_page_pte`, `try_grab_folio` (6.18).
 */
import { EFAULT, EHWPOISON, ENOMEM } from '@pincushion/sim';
import type { MaySleep } from '@pincushion/sim';
import { handleMmFault } from '../faults/fault';
import { FAULT_NO_RETRY, FAULT_PIN_SCOPE, FAULT_UNSHARE, FAULT_WRITE } from '../faults/fault-flags';
import { PG_anon, PG_anonExclusive, PG_dirty, PG_p2pdma, PG_referenced, PG_writeback } from '../frames/frames';
import {
  FOLL_DUMP,
  FOLL_FORCE,
  FOLL_GET,
  FOLL_HONOR_NUMA_FAULT,
  FOLL_HWPOISON,
  FOLL_INTERRUPTIBLE,
  FOLL_LONGTERM,
  FOLL_NOFAULT,
  FOLL_NOWAIT,
  FOLL_PCI_P2PDMA,
  FOLL_PIN,
  FOLL_SPLIT_PMD,
  FOLL_TOUCH,
  FOLL_UNLOCKABLE,
  FOLL_WRITE,
} from './gup-flags';
import * as rules from './gup-rules';
import type { Refusal } from './gup-rules';
import { splitHugePmd } from '../huge/huge-memory';
import { hugetlbPagecachePresent } from '../huge/hugetlb';
import type { Mm } from '../process/mm';
import { gupMustUnshare } from './must-unshare';
import { folioMapping, folioMarkDirty, folioWaitBit } from '../page-cache/page-cache';
import { needsSoftDirtyWp } from '../process/page-protection';
import { PAGE_SIZE } from '../frames/page-size';
import {
  PMD_HUGE,
  PMD_NONE,
  PTE_ACCESSED,
  PTE_DIRTY,
  PTE_PRESENT,
  PTE_PROTNONE,
  PTE_SPECIAL,
  PTE_UFFD_WP,
  PTE_WRITE,
  PTRS_PER_TABLE,
  indexOf,
  regionOf,
} from '../process/page-table';
import { PIN_TAG } from './user-page';
import {
  VM_EXEC,
  VM_HUGETLB,
  VM_MAYSHARE,
  VM_MAYWRITE,
  VM_READ,
  VM_SHARED,
  VM_UFFD_WP,
  VM_WRITE,
} from '../process/vma-flags';
import type { Vma } from '../process/vma';
import { ZERO_PFN } from '../frames/zero-page';

/** What one look at an address said: so many pages are taken (> 0), or: */
const ENDED = 0;
const MISSING = -1;
const NEED_UNSHARE = -2;
const ON_ITS_WAY = -3;

export class SlowWalk {
  /** Pages grabbed (or only faulted in, without an array) so far. */
  done = 0;
  /** Why the walk ended early; null when it did not. */
  refusal: Refusal | null = null;
  private error = 0;
  private vma: Vma | null = null;
  private faultFlags = 0;
  /** The page under writeback that is waited for; 0: none. */
  private awaited = 0;
  private readonly single = new Int32Array(1);

  /** `flags` has been checked; with FOLL_PIN or FOLL_GET there are `pages`. */
  constructor(
    private readonly mm: Mm,
    private readonly start: number,
    private readonly nr: number,
    private readonly flags: number,
    private readonly pages: Int32Array | null,
    private readonly at: number,
  ) {}

  /** What the whole walk gives: pages, or the error when there are none (E-09). */
  get result(): number {
    return this.done > 0 || this.error === 0 ? this.done : this.error;
  }

  /** Walks on. True: the walk has ended. False: call `fault` and report its result to `faulted`. */
  advance(): boolean {
    while (this.done < this.nr) {
      const address = this.start + this.done * PAGE_SIZE;
      if (this.vma === null || address >= this.vma.end) {
        const vma = this.mm.vmas.lookup(address);
        const refusal = rules.checkAddress(this.mm, vma, this.flags);
        if (refusal !== null) return this.end(refusal);
        this.vma = vma;
      }
      if (this.mm.fatalSignal) return this.end(rules.SIGNAL);
      const got = this.look(this.vma as Vma, address);
      if (got > 0) {
        this.done += got;
        continue;
      }
      if (got === ENDED) return true;
      if ((this.flags & FOLL_NOFAULT) !== 0) return this.end(rules.NO_FAULT);
      this.faultFlags =
        ((this.flags & FOLL_WRITE) !== 0 ? FAULT_WRITE : 0) |
        (got === NEED_UNSHARE ? FAULT_UNSHARE : 0) |
        ((this.flags & (FOLL_UNLOCKABLE | FOLL_NOWAIT)) === 0 ? FAULT_NO_RETRY : 0) |
        ((this.flags & FOLL_LONGTERM) !== 0 ? FAULT_PIN_SCOPE : 0);
      return false;
    }
    return true;
  }

  /** Handles the fault that `advance` asked for. */
  fault(): MaySleep {
    const vma = this.vma as Vma;
    this.vma = null;
    if (this.awaited !== 0) return this.waitForWriteback();
    return handleMmFault(this.mm, vma, this.start + this.done * PAGE_SIZE, this.faultFlags);
  }

  private waitForWriteback(): MaySleep {
    const { memory } = this.mm;
    const mapping = folioMapping(memory, this.awaited);
    const waiting = mapping === null ? 0 : folioWaitBit(mapping, this.awaited, PG_writeback);
    this.awaited = 0;
    return waiting;
  }

  /** Takes the result of the fault. True: the walk has ended. E-04, `vm_fault_to_errno`. */
  faulted(result: number): boolean {
    if (result >= 0) return false;
    if (result === -ENOMEM) return this.endWith(-ENOMEM, 'E-04: no memory for a missing page');
    if (result === -EHWPOISON && (this.flags & FOLL_HWPOISON) !== 0) {
      return this.endWith(-EHWPOISON, 'E-04: the page is poisoned');
    }
    return this.endWith(-EFAULT, 'E-04: the fault for a missing page ended with a signal');
  }

  /**
   * After a wait, for which the lock was dropped. True: a signal ends the walk; a fatal one, or any if the caller said
   * FOLL_INTERRUPTIBLE and left the lock to GUP. `gup_signal_pending`.
   */
  signalled(): boolean {
    const any = FOLL_INTERRUPTIBLE | FOLL_UNLOCKABLE;
    const { fatalSignal, signalPending } = this.mm;
    return (fatalSignal || (signalPending && (this.flags & any) === any)) && this.end(rules.SIGNAL);
  }

  /** FOLL_NOWAIT: a fault that sleeps ends the walk. */
  get mayNotWait(): boolean {
    return (this.flags & FOLL_NOWAIT) !== 0;
  }

  /** Stops a walk that must not wait (FOLL_NOWAIT); 0 pages are legal then. */
  stop(): void {
    this.endWith(0, 'E-06: FOLL_NOWAIT, and the page would have to be waited for');
  }

  private end(refusal: Refusal): true {
    this.refusal = refusal;
    this.error = refusal.errno;
    return true;
  }

  private endWith(errno: number, sentence: string): true {
    return this.end({ errno, sentence });
  }

  private refuse(refusal: Refusal): typeof ENDED {
    this.end(refusal);
    return ENDED;
  }

  /** `follow_page_mask`: takes the page at `address`, of a huge mapping as many as are wanted. */
  private look(vma: Vma, address: number): number {
    const { pageTable } = this.mm;
    const region = regionOf(address);
    let table = pageTable.tableOf(region);
    if (table === PMD_NONE) return this.hole(vma, address);
    if (table === PMD_HUGE && (this.flags & FOLL_SPLIT_PMD) !== 0) {
      splitHugePmd(this.mm, vma, region);
      table = pageTable.tableOf(region);
    }
    if (table === PMD_HUGE) return this.lookHuge(vma, region, indexOf(address));
    const index = indexOf(address);
    const entry = pageTable.baseOf(table) + index;
    const pte = pageTable.flagsOf(table)[entry];
    if (pte === 0) return this.hole(vma, address);
    const pfn = pageTable.framesOf(table)[entry];
    const isSpecial = (pte & PTE_SPECIAL) !== 0;
    if (!this.accessible(vma, pte, isSpecial ? -1 : pfn)) return MISSING;
    if (isSpecial) {
      if ((this.flags & FOLL_DUMP) !== 0) return this.refuse(rules.DUMP_HOLE);
      if (pfn !== ZERO_PFN) {
        if (this.pages !== null) return this.refuse(rules.NO_STRUCT_PAGE);
        return 1;
      }
    }
    const { frames } = this.mm.memory;
    const head = frames.headOf(pfn);
    if ((pte & PTE_WRITE) === 0 && this.mustUnshare(vma, head, pfn)) {
      return NEED_UNSHARE;
    }
    if (this.mm.memory.writeback.guardsGup && this.isOnItsWay(head)) return this.meetWriteback(head);
    const refusal = this.grab(pfn, head, 1);
    if (refusal !== null) return this.refuse(refusal);
    if ((this.flags & FOLL_TOUCH) !== 0) {
      pageTable.flagsOf(table)[entry] |= PTE_ACCESSED;
      this.touch(head, pte);
    }
    this.store(pfn, 1);
    return 1;
  }

  private lookHuge(vma: Vma, region: number, index: number): number {
    const { pageTable, memory } = this.mm;
    const { frames } = memory;
    const pte = pageTable.hugeFlags(region);
    const first = pageTable.hugeHead(region);
    const head = frames.headOf(first); // Not the same in a hugetlb page of 1 GiB.
    if (!this.accessible(vma, pte, head)) return MISSING;
    if ((pte & PTE_SPECIAL) !== 0 && (this.flags & FOLL_DUMP) !== 0) return this.refuse(rules.DUMP_HOLE);
    if ((pte & PTE_WRITE) === 0 && this.mustUnshare(vma, head, head)) {
      return NEED_UNSHARE;
    }
    const left = Math.floor((vma.end - (this.start + this.done * PAGE_SIZE)) / PAGE_SIZE);
    const covered = Math.min(PTRS_PER_TABLE - index, this.nr - this.done, left);
    const refusal = this.grab(head, head, 1);
    if (refusal !== null) return this.refuse(refusal);
    // E-12: one page first, then the rest of what the mapping covers; both or none.
    if (covered > 1 && this.grab(head, head, covered - 1) !== null) {
      this.ungrab(head, 1);
      return this.refuse(rules.HUGE_SECOND_GRAB);
    }
    if ((this.flags & FOLL_TOUCH) !== 0) {
      // `touch_pmd`: unlike with a small page it is the entry that is marked for a writer, not the folio.
      const isWrite = (this.flags & FOLL_WRITE) !== 0;
      pageTable.setHugeFlags(region, pte | PTE_ACCESSED | (isWrite ? PTE_DIRTY : 0));
    }
    this.store(first + index, covered);
    return covered;
  }

  /** A page of a file is being written to its store, and is wanted for writing. */
  private isOnItsWay(head: number): boolean {
    if ((this.flags & FOLL_WRITE) === 0 || (this.flags & (FOLL_PIN | FOLL_GET)) === 0) return false;
    return (this.mm.memory.frames.flags[head] & (PG_writeback | PG_anon)) === PG_writeback;
  }

  /** What the machine does then: -EBUSY, or a wait as for a fault (Glisse's proposal of 2018). */
  private meetWriteback(head: number): number {
    const { counts, settings } = this.mm.memory.writeback;
    if (settings.gup === 'busy' || (this.flags & FOLL_NOFAULT) !== 0) {
      counts.gupBusy++;
      return this.refuse(rules.UNDER_WRITEBACK);
    }
    counts.gupWaits++;
    this.awaited = head;
    return ON_ITS_WAY;
  }

  /** Nothing is there yet: a core dump does without it, everybody else gets it faulted in. */
  private hole(vma: Vma, address: number): number {
    if ((this.flags & FOLL_DUMP) === 0) return MISSING;
    const isHole = vma.isAnonymous || ((vma.flags & VM_HUGETLB) !== 0 && !hugetlbPagecachePresent(vma, address));
    return isHole ? this.refuse(rules.DUMP_HOLE) : MISSING;
  }

  /** Steps 1 to 3 of the order in `follow_page_pte`: present, not PROT_NONE, writable if asked for. */
  private accessible(vma: Vma, pte: number, pfn: number): boolean {
    if ((pte & PTE_PRESENT) === 0) return false;
    if ((pte & PTE_PROTNONE) !== 0 && !this.canFollowProtnone(vma)) return false;
    if ((this.flags & FOLL_WRITE) === 0 || (pte & PTE_WRITE) !== 0) return true;
    return pfn >= 0 && this.mayForceWrite(vma, pte, pfn);
  }

  /**
   * Whether an entry without permissions may be used: it is not, as a NUMA hint in an area with permissions, for those who
   * want hints honoured. In an area without permissions only FOLL_FORCE comes so far. `gup_can_follow_protnone`.
   */
  private canFollowProtnone(vma: Vma): boolean {
    return (this.flags & FOLL_HONOR_NUMA_FAULT) === 0 || (vma.flags & (VM_READ | VM_WRITE | VM_EXEC)) === 0;
  }

  /** FOLL_FORCE: a write through a read-only entry of the exclusive page of a private area. `can_follow_write_common`. */
  private mayForceWrite(vma: Vma, pte: number, pfn: number): boolean {
    if ((this.flags & FOLL_FORCE) === 0) return false;
    if ((vma.flags & (VM_SHARED | VM_MAYSHARE | VM_WRITE)) !== 0 || (vma.flags & VM_MAYWRITE) === 0) return false;
    const { frames } = this.mm.memory;
    const isOwn = (frames.flags[frames.headOf(pfn)] & PG_anon) !== 0 && (frames.flags[pfn] & PG_anonExclusive) !== 0;
    if (!isOwn || needsSoftDirtyWp(vma, pte)) return false;
    return (pte & PTE_UFFD_WP) === 0 || (vma.flags & VM_UFFD_WP) === 0;
  }

  private mustUnshare(vma: Vma, head: number, pfn: number): boolean {
    const { frames, profile } = this.mm.memory;
    return gupMustUnshare(profile, vma, this.flags, frames.flags[head], frames.flags[pfn]);
  }

  /** `try_grab_folio`. Null when taken. */
  private grab(pfn: number, head: number, pages: number): Refusal | null {
    const { frames, scheme, vmstat, profile } = this.mm.memory;
    if ((this.flags & (FOLL_PIN | FOLL_GET)) === 0) return null;
    if ((frames.flags[head] & PG_p2pdma) !== 0 && (this.flags & FOLL_PCI_P2PDMA) === 0) return rules.P2P_PAGE;
    if ((this.flags & FOLL_GET) !== 0) {
      if (frames.refcount[head] <= 0) return rules.COUNT_GUARD;
      frames.get(head, pages);
      return null;
    }
    if (head === ZERO_PFN && profile.zeroPageUncounted) return null;
    if (frames.order[head] !== 0) {
      if (scheme.acquireFolio(head, pages) !== 0) return rules.COUNT_GUARD;
    } else {
      this.single[0] = pfn;
      if (scheme.acquire(this.single, 0, 1) === 0) return rules.COUNT_GUARD;
    }
    vmstat.nrFollPinAcquired += pages;
    return null;
  }

  private ungrab(head: number, pages: number): void {
    const { frames, scheme, vmstat } = this.mm.memory;
    if ((this.flags & FOLL_PIN) === 0) frames.put(head, pages);
    else {
      scheme.releaseFolio(head, pages);
      vmstat.nrFollPinReleased += pages;
    }
  }

  /** Step 8: FOLL_TOUCH marks accessed, and dirties the folio for a writer if nobody else has yet. */
  private touch(head: number, pte: number): void {
    const { flags } = this.mm.memory.frames;
    flags[head] |= PG_referenced;
    if ((this.flags & FOLL_WRITE) === 0 || (pte & PTE_DIRTY) !== 0 || (flags[head] & PG_dirty) !== 0) return;
    folioMarkDirty(this.mm.memory, head);
  }

  private store(pfn: number, n: number): void {
    if (this.pages === null) return;
    const tag = (this.flags & FOLL_PIN) !== 0 ? PIN_TAG : 0;
    for (let i = 0; i < n; i++) this.pages[this.at + this.done + i] = (pfn + i) | tag;
  }
}
