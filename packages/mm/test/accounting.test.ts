import { ENOMEM, EPERM } from '@pincushion/sim';
import {
  PAGE_SIZE,
  User,
  UserAccount,
  accountLockedVm,
  accountPinnedVm,
  ioAccountMem,
  ioUnaccountMem,
  unaccountPinnedVm,
} from '../src/index';
import { anon, plain, setUp } from './machine-memory';

function limited(pages: number) {
  const machine = setUp();
  const account = new UserAccount(new User('somebody'));
  account.capIpcLock = false;
  account.rlimitMemlock = pages * PAGE_SIZE;
  machine.mm.user = account;
  return { ...machine, account };
}

describe('accounts of locked memory (section 18)', () => {
  it('of io_uring charge the user up to the limit, and pinned_vm along', () => {
    const { mm, account } = limited(8);
    expect(ioAccountMem(account, null, 2)).toBe(0);
    expect(ioAccountMem(account, mm, 6)).toBe(0);
    expect([account.lockedVm, mm.pinnedVm]).toEqual([8, 6]);
    expect(ioAccountMem(account, mm, 1)).toBe(-ENOMEM);
    expect([account.lockedVm, mm.pinnedVm]).toEqual([8, 6]);
    ioUnaccountMem(account, mm, 6);
    expect([account.lockedVm, mm.pinnedVm]).toEqual([2, 0]);
  });

  it('of io_uring charge nobody for a ring made with CAP_IPC_LOCK', () => {
    const { mm, account } = limited(0);
    expect(ioAccountMem(null, mm, 100)).toBe(0);
    expect([account.lockedVm, mm.pinnedVm]).toEqual([0, 100]);
  });

  it('of RDMA add first and look then, and allow nothing at a limit of 0', () => {
    const { mm, account } = limited(8);
    expect([accountPinnedVm(mm, 8), mm.pinnedVm]).toEqual([0, 8]);
    expect([accountPinnedVm(mm, 1), mm.pinnedVm]).toEqual([-ENOMEM, 8]);
    unaccountPinnedVm(mm, 8);
    account.rlimitMemlock = 0;
    expect([accountPinnedVm(mm, 1), mm.pinnedVm]).toEqual([-EPERM, 0]);
  });

  it('of VFIO share locked_vm with mlock, while those of others are budgets apart (fact 15)', () => {
    const { mm, account } = limited(8);
    plain(mm.mlock(anon(mm, 6), 6 * PAGE_SIZE));
    expect(accountLockedVm(mm, 3)).toBe(-ENOMEM);
    expect([accountLockedVm(mm, 2), mm.lockedVm]).toEqual([0, 8]);
    expect([ioAccountMem(account, mm, 8), accountPinnedVm(mm, 1)]).toEqual([0, -ENOMEM]);
    expect([accountLockedVm(mm, -2), mm.lockedVm]).toEqual([0, 6]);
  });

  it('belong to the user, so a child draws on the same, with a limit of its own', () => {
    const { mm, account } = limited(8);
    ioAccountMem(account, mm, 5);
    const child = mm.fork('child');
    if (typeof child === 'number') throw new Error('no child');
    expect([child.user.lockedVm, child.pinnedVm]).toEqual([5, 0]);
    expect(ioAccountMem(child.user, child, 4)).toBe(-ENOMEM);
    child.rlimitMemlock = 16 * PAGE_SIZE;
    expect(ioAccountMem(child.user, child, 4)).toBe(0);
    expect([account.lockedVm, mm.rlimitMemlock]).toEqual([9, 8 * PAGE_SIZE]);
  });
});
