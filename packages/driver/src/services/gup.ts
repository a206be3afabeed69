/**
 * User pages for a driver: `get_user_pages` and `pin_user_pages`, with the device as the owner in the ledger.
 *
 * The functions with a kernel name do what the kernel's do and cost what `UserPageGrabber` costs. `pinRange` is the
 * handle a registration wants: the pages, what it pins, and how to give it back, accounted to the process.
 * Source followed: `mm/gup.c`; `ib_umem_get` and `__ib_umem_release` (`drivers/infiniband/core/umem.c`) for `pinRange`.
 */
import type { GottenPages, Memory, Mm, PinnedPages, PinnedRanges, UserPageGrabber } from '@pincushion/mm';
import { FOLL_LONGTERM, FOLL_WRITE, PAGE_SIZE, newPinnedPages } from '@pincushion/mm';
import type { MaySleep, Task } from '@pincushion/sim';
import { EFAULT, EINVAL, ENOMEM, sleeping } from '@pincushion/sim';
import type { Managed } from '../managed';

/** A range of a process's address space: bytes, any alignment. */
export interface UserRange {
  readonly mm: Mm;
  readonly address: number;
  readonly length: number;
}

/** A pinned range. Release it after the hardware has stopped using it, not before. */
export interface PinnedRange extends Managed {
  readonly pages: PinnedPages;
  /** Number of pages. */
  readonly count: number;
  /** Where the range begins in its first page, bytes. */
  readonly offset: number;
  /** Bytes. */
  readonly length: number;
  /** Unpins, and marks the pages dirty when they were pinned with `FOLL_WRITE`. Task context. */
  release(): Task;
}

export abstract class Gup {
  /** Pages or -errno; may be short. A number unless a page has to be faulted in with sleep. Release: `putPages`. */
  abstract getUserPages(mm: Mm, start: number, nr: number, flags: number, pages: GottenPages, at: number): MaySleep;
  abstract getUserPagesFast(mm: Mm, start: number, nr: number, flags: number, pages: GottenPages, at: number): MaySleep;
  /** Any context: takes what is mapped and never faults. */
  abstract getUserPagesFastOnly(
    mm: Mm,
    start: number,
    nr: number,
    flags: number,
    pages: GottenPages,
    at: number,
  ): number;
  /** Pages or -errno; may be short. Release: `unpinUserPages` or `unpinUserPagesDirtyLock`. */
  abstract pinUserPages(mm: Mm, start: number, nr: number, flags: number, pages: PinnedPages, at: number): MaySleep;
  abstract pinUserPagesFast(mm: Mm, start: number, nr: number, flags: number, pages: PinnedPages, at: number): MaySleep;
  /** As `pinUserPagesFast`, appended to `ranges`: frames in a row are one range. Release: `unpinUserPageRanges*`. */
  abstract pinUserPageRanges(mm: Mm, start: number, nr: number, flags: number, ranges: PinnedRanges): MaySleep;
  /** All of `ranges`. Any context. */
  abstract unpinUserPageRanges(ranges: PinnedRanges): void;
  /** All of `ranges`, marked dirty first when `makeDirty`. Task context. */
  abstract unpinUserPageRangesDirtyLock(ranges: PinnedRanges, makeDirty: boolean): MaySleep;
  /** Any context. */
  abstract unpinUserPages(pages: PinnedPages, from: number, n: number): void;
  /** Task context: marks the pages dirty under their lock before it lets go. */
  abstract unpinUserPagesDirtyLock(pages: PinnedPages, from: number, n: number, makeDirty: boolean): MaySleep;
  /** Any context. */
  abstract putPages(pages: GottenPages, from: number, n: number): void;
  /**
   * Pins a whole range or nothing. Task context. With `FOLL_LONGTERM` the pages count against the process's
   * `pinned_vm` and RLIMIT_MEMLOCK. Releasing marks the pages dirty when they were pinned with `FOLL_WRITE`.
   * @returns the range, which the caller owns; or -ENOMEM over the limit, -EFAULT for what is not mapped, -EINVAL for
   * an empty range, or whatever `pin_user_pages_fast` refused with.
   */
  abstract pinRange(range: UserRange, flags: number): Task<PinnedRange | number>;
}

/** The service as bound to one device. */
export class DeviceGup extends Gup {
  constructor(
    private readonly memory: Memory,
    private readonly owner: number,
    private readonly grabber: UserPageGrabber = memory.gup,
  ) {
    super();
  }

  override getUserPages(mm: Mm, start: number, nr: number, flags: number, pages: GottenPages, at: number): MaySleep {
    return this.grabber.getUserPages(mm, start, nr, flags, pages, at, this.owner);
  }

  override getUserPagesFast(
    mm: Mm,
    start: number,
    nr: number,
    flags: number,
    pages: GottenPages,
    at: number,
  ): MaySleep {
    return this.grabber.getUserPagesFast(mm, start, nr, flags, pages, at, this.owner);
  }

  override getUserPagesFastOnly(
    mm: Mm,
    start: number,
    nr: number,
    flags: number,
    pages: GottenPages,
    at: number,
  ): number {
    return this.grabber.getUserPagesFastOnly(mm, start, nr, flags, pages, at, this.owner);
  }

  override pinUserPages(mm: Mm, start: number, nr: number, flags: number, pages: PinnedPages, at: number): MaySleep {
    return this.grabber.pinUserPages(mm, start, nr, flags, pages, at, this.owner);
  }

  override pinUserPagesFast(
    mm: Mm,
    start: number,
    nr: number,
    flags: number,
    pages: PinnedPages,
    at: number,
  ): MaySleep {
    return this.grabber.pinUserPagesFast(mm, start, nr, flags, pages, at, this.owner);
  }

  override pinUserPageRanges(mm: Mm, start: number, nr: number, flags: number, ranges: PinnedRanges): MaySleep {
    return this.grabber.pinUserPageRanges(mm, start, nr, flags, ranges, this.owner);
  }

  override unpinUserPageRanges(ranges: PinnedRanges): void {
    this.memory.ledger.releasing(this.owner);
    this.grabber.unpinUserPageRanges(ranges);
  }

  override unpinUserPageRangesDirtyLock(ranges: PinnedRanges, makeDirty: boolean): MaySleep {
    this.memory.ledger.releasing(this.owner);
    return this.grabber.unpinUserPageRangesDirtyLock(ranges, makeDirty);
  }

  override unpinUserPages(pages: PinnedPages, from: number, n: number): void {
    if (n > 0) this.memory.ledger.releasing(this.owner);
    this.grabber.unpinUserPages(pages, from, n);
  }

  override unpinUserPagesDirtyLock(pages: PinnedPages, from: number, n: number, makeDirty: boolean): MaySleep {
    if (n > 0) this.memory.ledger.releasing(this.owner);
    return this.grabber.unpinUserPagesDirtyLock(pages, from, n, makeDirty);
  }

  override putPages(pages: GottenPages, from: number, n: number): void {
    if (n > 0) this.memory.ledger.releasing(this.owner);
    this.grabber.putPages(pages, from, n);
  }

  override pinRange(range: UserRange, flags: number): Task<PinnedRange | number> {
    return sleeping(this.memory.world, 'Gup.pinRange', () => this.pinWhole(range, flags)[Symbol.iterator]());
  }

  private *pinWhole({ mm, address, length }: UserRange, flags: number): Task<PinnedRange | number> {
    if (!(length > 0)) return -EINVAL;
    const offset = address % PAGE_SIZE;
    const count = Math.ceil((offset + length) / PAGE_SIZE);
    const accounted = (flags & FOLL_LONGTERM) !== 0 ? count : 0;
    // As ib_umem_get: the count is raised before the pages are taken, so that two registrations cannot both fit.
    if (accounted > 0 && (mm.pinnedVm + accounted) * PAGE_SIZE > mm.rlimitMemlock) return -ENOMEM;
    mm.pinnedVm += accounted;
    const pages = newPinnedPages(count);
    let done = 0;
    while (done < count) {
      const start = address - offset + done * PAGE_SIZE;
      const r = this.grabber.pinUserPagesFast(mm, start, count - done, flags, pages, done, this.owner);
      const n = typeof r === 'number' ? r : yield* r;
      if (n <= 0) {
        this.grabber.unpinUserPages(pages, 0, done);
        mm.pinnedVm -= accounted;
        return n === 0 ? -EFAULT : n;
      }
      done += n;
    }
    return new PinnedUserRange(this.grabber, mm, pages, offset, length, flags, accounted);
  }
}

class PinnedUserRange implements PinnedRange {
  readonly what: string;
  readonly count: number;
  private released = false;

  constructor(
    private readonly grabber: UserPageGrabber,
    private readonly mm: Mm,
    readonly pages: PinnedPages,
    readonly offset: number,
    readonly length: number,
    private readonly flags: number,
    private readonly accounted: number,
  ) {
    this.count = pages.length;
    this.what = `pin of ${this.count} page${this.count === 1 ? '' : 's'} of ${mm.name}`;
  }

  *release(): Task {
    if (this.released) return;
    this.released = true;
    const dirty = (this.flags & FOLL_WRITE) !== 0;
    const r = this.grabber.unpinUserPagesDirtyLock(this.pages, 0, this.count, dirty);
    if (typeof r !== 'number') yield* r;
    this.mm.pinnedVm -= this.accounted;
  }
}
