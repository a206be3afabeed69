/**
 * A memory region as RDMA registers it: pages pinned for as long as user space likes, counted in `mm->pinned_vm`.
 * Source followed: drivers/infiniband/core/umem.c `ib_umem_get`, `ib_umem_release` (6.1, 6.18).
 */
import { EFAULT } from '@pincushion/sim';
import {
  FOLL_FORCE,
  FOLL_LONGTERM,
  FOLL_WRITE,
  PAGE_SIZE,
  accountPinnedVm,
  newPinnedPages,
  unaccountPinnedVm,
} from '@pincushion/mm';
import type { Mm, PinnedPages } from '@pincushion/mm';

export class MemoryRegion {
  private constructor(
    private readonly mm: Mm,
    readonly pages: PinnedPages,
    private readonly isWritable: boolean,
  ) {}

  /** `ib_reg_mr` of [start, start + bytes), page aligned: a region, or -errno. `isWritable`: local or remote write access. */
  static register(mm: Mm, start: number, bytes: number, isWritable: boolean): MemoryRegion | number {
    const { gup, ledger, world, profile } = mm.memory;
    const count = bytes / PAGE_SIZE;
    const refused = accountPinnedVm(mm, count);
    if (refused !== 0) return refused;
    // Before 6.2 a read-only region was pinned by a forced write, which unshares; since then a read-only pin does.
    const readOnly = profile.longtermReadUnsharesFiles ? 0 : FOLL_WRITE | FOLL_FORCE;
    const flags = FOLL_LONGTERM | (isWritable ? FOLL_WRITE : readOnly);
    const pages = newPinnedPages(count);
    const owner = ledger.owner('memory region');
    let done = 0;
    while (done < count) {
      const got = world.settle(
        gup.pinUserPagesFast(mm, start + done * PAGE_SIZE, count - done, flags, pages, done, owner),
      );
      if (got <= 0) {
        gup.unpinUserPages(pages, 0, done);
        unaccountPinnedVm(mm, count);
        return got === 0 ? -EFAULT : got;
      }
      done += got;
    }
    return new MemoryRegion(mm, pages, isWritable);
  }

  /** `ib_dereg_mr`. */
  deregister(): void {
    const { gup, world } = this.mm.memory;
    world.settle(gup.unpinUserPagesDirtyLock(this.pages, 0, this.pages.length, this.isWritable));
    unaccountPinnedVm(this.mm, this.pages.length);
  }
}
