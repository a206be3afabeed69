/**
 * Access to the memory of a process from outside, as debuggers have it: /proc/pid/mem and ptrace.
 *
 * Permissions of the areas do not count (FOLL_FORCE): reads go through areas without read permission, writes into read-only
 * private areas, where they break the sharing as the process's own write would (6.2). Shared mappings that may not be
 * written are refused. The pages are held by plain references for the time of the copy, so a read unshares nothing.
 * Left out: `vm_ops->access` of device mappings (a refusal), permission to look into another process.
 * Source followed: mm/memory.c `__access_remote_vm`, fs/proc/base.c `mem_rw`, mm/gup.c `get_dump_page` (6.18).
 */
import { EIO } from '@pincushion/sim';
import type { MaySleep } from '@pincushion/sim';
import { eagerly, settled } from '../eager-task';
import { FOLL_DUMP, FOLL_FORCE, FOLL_WRITE } from './gup-flags';
import type { Mm } from '../process/mm';
import { PAGE_SIZE } from '../frames/page-size';
import { newGottenPages } from './user-page';
import type { GottenPages } from './user-page';

/**
 * Copies `n` bytes between the process's memory at `address` and `buffer[at…]`, into the process with FOLL_WRITE in
 * `flags` (FOLL_FORCE is the caller's choice). Bytes copied, short at the first page that is refused, 0 for none. Task
 * context. `access_remote_vm`.
 */
export function accessRemoteVm(
  mm: Mm,
  address: number,
  buffer: Uint8Array,
  at: number,
  n: number,
  flags: number,
): MaySleep {
  mm.memory.world.contexts.mightSleep('access_remote_vm');
  return eagerly(mm.memory.world, 'access_remote_vm', copy(mm, address, buffer, at, n, flags));
}

/** read(2) of /proc/pid/mem at `address`: bytes, or -EIO for none. Task context. */
export function readProcMem(mm: Mm, address: number, into: Uint8Array, at = 0, n = into.length - at): MaySleep {
  return eagerly(mm.memory.world, '/proc/pid/mem', orEio(accessRemoteVm(mm, address, into, at, n, FOLL_FORCE), n));
}

/** write(2) to /proc/pid/mem at `address`: bytes, or -EIO for none. Task context. */
export function writeProcMem(mm: Mm, address: number, from: Uint8Array, at = 0, n = from.length - at): MaySleep {
  const flags = FOLL_FORCE | FOLL_WRITE;
  return eagerly(mm.memory.world, '/proc/pid/mem', orEio(accessRemoteVm(mm, address, from, at, n, flags), n));
}

/**
 * The page at `address` for a core dump, referenced, into `page[0]`: 1; or 0 where a dump has a hole: nothing was ever
 * there, or only zeros, or its own protection keys deny it. Given back by `putPages`. Task context. `get_dump_page`.
 */
export function getDumpPage(mm: Mm, address: number, page: GottenPages, owner: number): MaySleep {
  const { gup, world } = mm.memory;
  // It is the dying process that looks, so what its protection keys deny is a hole, too (V-09).
  const got = gup.getUserPages(mm, address, 1, FOLL_FORCE | FOLL_DUMP, page, 0, owner);
  return eagerly(world, 'get_dump_page', oneOrNone(got));
}

function* copy(mm: Mm, address: number, buffer: Uint8Array, at: number, n: number, flags: number) {
  const { gup, ledger, bytes } = mm.memory;
  const owner = ledger.owner('access_remote_vm');
  const page = newGottenPages(1);
  let done = 0;
  while (done < n) {
    const offset = (address + done) % PAGE_SIZE;
    const length = Math.min(PAGE_SIZE - offset, n - done);
    const got = yield* settled(gup.getUserPagesRemote(mm, address + done - offset, 1, flags, page, 0, owner));
    if (got <= 0) break;
    if ((flags & FOLL_WRITE) !== 0) {
      bytes.write(page[0], offset, buffer, at + done, length);
      yield* settled(gup.setPageDirtyLock(page[0]));
    } else bytes.read(page[0], offset, buffer, at + done, length);
    gup.putPages(page, 0, 1);
    done += length;
  }
  return done;
}

function* orEio(pending: MaySleep, n: number) {
  const copied = yield* settled(pending);
  return copied === 0 && n > 0 ? -EIO : copied;
}

function* oneOrNone(pending: MaySleep) {
  return (yield* settled(pending)) === 1 ? 1 : 0;
}
