/** `pvr`, `pvw`, `memr`, `memw`: one byte of another process, by process_vm_readv/writev and by /proc/pid/mem. */
import { errnoName } from '@pincushion/sim';
import type { MaySleep } from '@pincushion/sim';
import { processVmReadv, processVmWritev, readProcMem, writeProcMem } from '@pincushion/mm';
import type { Mm } from '@pincushion/mm';
import type { Operation } from '../operation';

type Transfer = (mm: Mm, address: number, byte: Uint8Array) => MaySleep;

function remote(transfer: Transfer, isRead: boolean, whenGone: string): Operation {
  return (machine, _by, call) => {
    const target = machine.process(call.text('t'));
    if (target === null) return { res: 'ESRCH' };
    if (!target.alive) return { res: whenGone };
    const byte = Uint8Array.of(call.number('v', 0) & 255);
    const moved = machine.settle(transfer(target.mm, call.address, byte));
    if (moved < 0) return { res: errnoName(moved) };
    if (moved === 0) return { res: 'EIO' };
    return { res: isRead ? byte[0] : 'ok' };
  };
}

export const remoteOperations: Readonly<Record<string, Operation>> = {
  pvr: remote(processVmReadv, true, 'ESRCH'),
  pvw: remote(processVmWritev, false, 'ESRCH'),
  memr: remote(readProcMem, true, 'ENOENT'),
  memw: remote(writeProcMem, false, 'ENOENT'),
};
