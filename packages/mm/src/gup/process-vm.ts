/**
 * process_vm_readv and process_vm_writev: one process copies from or to the memory of another.
 *
 * The kernel itself reads or writes the pages, so it pins them for the time of the copy and dirties what it wrote (the
 * fifth case of section 22). Permissions are those of the other process's areas: nothing is forced. A read pins for
 * reading and so unshares a page that is shared after fork (fact 8).
 * Left out: several pieces in one call, permission to look into another process (ptrace).
 * Source followed: mm/process_vm_access.c `process_vm_rw_single_vec` (6.18).
 */
import { EFAULT } from '@pincushion/sim';
import type { MaySleep } from '@pincushion/sim';
import { eagerly, settled } from '../eager-task';
import { FOLL_WRITE } from './gup-flags';
import type { Mm } from '../process/mm';
import { PAGE_SIZE } from '../frames/page-size';
import { frameOf, newPinnedPages } from './user-page';

/** Pages pinned at a time (`PVM_MAX_KMALLOC_PAGES` pages of pointers). */
const STEP_PAGES = 1024;

/** Copies `n` bytes of the process `remote` at `address` to `into[at…]`. Bytes copied, or -EFAULT for none. Task context. */
export function processVmReadv(remote: Mm, address: number, into: Uint8Array, at = 0, n = into.length - at): MaySleep {
  return access(remote, address, into, at, n, false);
}

/** Copies `n` bytes of `from[at…]` to the process `remote` at `address`. Bytes copied, or -EFAULT for none. Task context. */
export function processVmWritev(remote: Mm, address: number, from: Uint8Array, at = 0, n = from.length - at): MaySleep {
  return access(remote, address, from, at, n, true);
}

function access(remote: Mm, address: number, buffer: Uint8Array, at: number, n: number, write: boolean): MaySleep {
  remote.memory.world.contexts.mightSleep('process_vm');
  return n <= 0 ? 0 : eagerly(remote.memory.world, 'process_vm', copy(remote, address, buffer, at, n, write));
}

function* copy(remote: Mm, address: number, buffer: Uint8Array, at: number, n: number, write: boolean) {
  const { gup, ledger, bytes } = remote.memory;
  const owner = ledger.owner('process_vm');
  const flags = write ? FOLL_WRITE : 0;
  let done = 0;
  while (done < n) {
    const offset = (address + done) % PAGE_SIZE;
    const first = address + done - offset;
    const wanted = Math.min(STEP_PAGES, Math.ceil((offset + n - done) / PAGE_SIZE));
    const pages = newPinnedPages(wanted);
    const lock = { locked: 1 };
    const pinned = yield* settled(gup.pinUserPagesRemote(remote, first, wanted, flags, pages, 0, owner, lock));
    if (pinned <= 0) return done > 0 ? done : -EFAULT;
    for (let i = 0; i < pinned; i++) {
      const from = i === 0 ? offset : 0;
      const length = Math.min(PAGE_SIZE - from, n - done);
      if (write) bytes.write(frameOf(pages[i]), from, buffer, at + done, length);
      else bytes.read(frameOf(pages[i]), from, buffer, at + done, length);
      done += length;
    }
    yield* settled(gup.unpinUserPagesDirtyLock(pages, 0, pinned, write));
  }
  return done;
}
