/**
 * How much memory a process may keep from being paged out, and who is charged for it.
 *
 * Three counters that never meet: `mm->locked_vm` (mlock, VFIO), `mm->pinned_vm` (RDMA, and io_uring for show), and
 * `locked_vm` of the user (io_uring). Each alone is compared with RLIMIT_MEMLOCK, so the same memory may count twice or
 * escape (section 18). GUP itself accounts for nothing: who takes long-term pins calls one of these before, and gives
 * back after.
 * Left out: other users of the user's counter (perf, XDP), user namespaces.
 * Source followed: mm/mlock.c `can_do_mlock`, mm/util.c `__account_locked_vm`, io_uring/rsrc.c `__io_account_mem`,
 * drivers/infiniband/core/umem.c `ib_umem_get` (6.18).
 */
import { ENOMEM, EPERM } from '@pincushion/sim';
import type { Mm } from './mm';
import { PAGE_SIZE } from '../frames/page-size';

/** A user of the machine (`struct user_struct`), common to all his processes. */
export class User {
  /** `user->locked_vm`, in pages. */
  lockedVm = 0;

  constructor(readonly name: string) {}
}

/** What one process may lock: its limit, its capability and the user it is charged to. Inherited by a child. */
export class UserAccount {
  /** RLIMIT_MEMLOCK in bytes. */
  rlimitMemlock = Infinity;
  /** CAP_IPC_LOCK: limits do not count. */
  capIpcLock = true;

  constructor(public user: User) {}

  /** Pages charged to the user, by all his processes. */
  get lockedVm(): number {
    return this.user.lockedVm;
  }

  set lockedVm(pages: number) {
    this.user.lockedVm = pages;
  }

  /** The account of a forked child: the same user, limits of its own that begin as the parent's. */
  inherit(): UserAccount {
    const child = new UserAccount(this.user);
    child.rlimitMemlock = this.rlimitMemlock;
    child.capIpcLock = this.capIpcLock;
    return child;
  }

  /** The limit in whole pages. */
  get limitPages(): number {
    return Math.floor(this.rlimitMemlock / PAGE_SIZE);
  }
}

/** Whether the process may lock anything at all. */
export function canDoMlock(mm: Mm): boolean {
  return mm.user.rlimitMemlock !== 0 || mm.user.capIpcLock;
}

/** Whether `pages` more fit `locked_vm`; for areas that will be locked when they are made. `mlock_future_ok`. */
export function mlockFutureOk(mm: Mm, pages: number): boolean {
  return mm.user.capIpcLock || mm.lockedVm + pages <= mm.user.limitPages;
}

/** As VFIO does: `pages` more (less when negative) of `locked_vm`. 0 or -ENOMEM. `__account_locked_vm`. */
export function accountLockedVm(mm: Mm, pages: number): number {
  if (pages > 0 && !mlockFutureOk(mm, pages)) return -ENOMEM;
  mm.lockedVm += pages;
  return 0;
}

/** As RDMA does before it pins: adds first and looks then. 0, -EPERM (nothing may be locked) or -ENOMEM. */
export function accountPinnedVm(mm: Mm, pages: number): number {
  if (!canDoMlock(mm)) return -EPERM;
  mm.pinnedVm += pages;
  if (mm.user.capIpcLock || mm.pinnedVm <= mm.user.limitPages) return 0;
  mm.pinnedVm -= pages;
  return -ENOMEM;
}

/** Gives back what `accountPinnedVm` took. */
export function unaccountPinnedVm(mm: Mm, pages: number): void {
  mm.pinnedVm -= pages;
}

/**
 * As io_uring does: the user is charged, unless the ring was made with CAP_IPC_LOCK (`user` null), and `pinned_vm` of the
 * mm counts along without a limit; memory of the ring itself is not in `pinned_vm` (`mm` null). 0 or -ENOMEM.
 */
export function ioAccountMem(account: UserAccount | null, mm: Mm | null, pages: number): number {
  if (account !== null) {
    if (account.user.lockedVm + pages > account.limitPages) return -ENOMEM;
    account.user.lockedVm += pages;
  }
  if (mm !== null) mm.pinnedVm += pages;
  return 0;
}

/** Gives back what `ioAccountMem` took. `io_unaccount_mem`. */
export function ioUnaccountMem(account: UserAccount | null, mm: Mm | null, pages: number): void {
  if (account !== null) account.user.lockedVm -= pages;
  if (mm !== null) mm.pinnedVm -= pages;
}
