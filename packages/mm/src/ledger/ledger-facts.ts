/**
 * What the ledger asks the memory about a frame when it decides whether something is a mistake.
 *
 * The kernel's own I/O maps pages that nobody has pinned: folios under writeback or being read are locked, and buffers of
 * drivers belong to no process. Neither is user memory here.
 */
import {
  PG_anon,
  PG_buddy,
  PG_dirty,
  PG_hugetlb,
  PG_locked,
  PG_reserved,
  PG_swapcache,
  PG_writeback,
} from '../frames/frames';
import type { Memory } from '../memory';

/** The kernel itself may be moving the content of such a folio to or from a device. */
const KERNEL_IO = PG_locked | PG_writeback | PG_swapcache | PG_reserved;

export class LedgerFacts {
  constructor(private readonly memory: Memory) {}

  /** Anonymous memory that a process has mapped and that no I/O of the kernel's own is about. */
  isUserMemory(frame: number): boolean {
    const { frames } = this.memory;
    const head = frames.headOf(frame);
    return (frames.flags[head] & (PG_anon | KERNEL_IO)) === PG_anon && frames.folioMapcount(head) > 0;
  }

  /** Direct I/O of the machine maps pages that it holds by plain references. */
  get mapsGotten(): boolean {
    return this.memory.directIoHold !== 'pin';
  }

  /** Whether the content is known to be worth writing back. Huge pages of a pool are never written back. */
  isDirty(frame: number): boolean {
    const { frames } = this.memory;
    return (frames.flags[frames.headOf(frame)] & (PG_dirty | PG_hugetlb | PG_reserved)) !== 0;
  }

  isFree(frame: number): boolean {
    const { frames } = this.memory;
    const head = frames.headOf(frame);
    return (frames.flags[head] & PG_buddy) !== 0 || frames.refcount[head] === 0;
  }

  /** Who a frame belongs to, in words. */
  whose(frame: number): string {
    const { frames } = this.memory;
    const head = frames.headOf(frame);
    const owner = this.memory.owner(frames.mapping[head]);
    return owner === null
      ? 'the kernel'
      : `${owner.name} (${(frames.flags[head] & PG_anon) !== 0 ? 'anonymous' : 'a file'})`;
  }
}
