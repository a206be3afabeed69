/** fork and exit. */
import { errnoName } from '@pincushion/sim';
import type { Operation } from '../operation';

export const processOperations: Readonly<Record<string, Operation>> = {
  fork: (machine, by, call) => {
    const name = call.text('c');
    const child = by.mm.fork(name);
    if (typeof child === 'number') return { res: errnoName(child) };
    machine.addProcess(by, name, child);
    return { res: 'ok' };
  },
  exit: (machine, by) => {
    by.alive = false;
    machine.settle(by.mm.exit());
    machine.closeAll(by);
    return { res: 'ok' };
  },
};
