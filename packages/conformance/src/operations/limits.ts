/** mlock, munlock, RLIMIT_MEMLOCK, and giving up CAP_IPC_LOCK. */
import { User, UserAccount } from '@pincushion/mm';
import type { Operation } from '../operation';

export const limitOperations: Readonly<Record<string, Operation>> = {
  mlock: (machine, by, call) => machine.ok(by.mm.mlock(call.address, call.length, call.number('onfault', 0))),
  munlock: (machine, by, call) => machine.ok(by.mm.munlock(call.address, call.length)),
  rlimit: (_machine, by, call) => {
    by.mm.user.rlimitMemlock = call.number('kb', 64) * 1024;
    return { res: 'ok' };
  },
  /** A user of one's own, without the capability. From now on the recorder notes what users are charged. */
  dropcap: (machine, by) => {
    const account = new UserAccount(new User('recorded user'));
    account.rlimitMemlock = by.mm.user.rlimitMemlock;
    account.capIpcLock = false;
    by.mm.user = account;
    machine.dropped = true;
    return { res: 'ok' };
  },
};
