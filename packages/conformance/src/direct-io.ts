/**
 * Direct I/O of a file on a file system with a store, from and to the memory of a process; the file itself is not here.
 *
 * The pages are pinned, dirtied at submission and again at the end when the device wrote them, and unpinned. A range that
 * cannot be pinned to its end is transferred as far as it could and fails as a whole. Kernels before 6.5 took plain
 * references instead of pins.
 * Source followed: fs/iomap/direct-io.c `iomap_dio_bio_iter`, block/bio.c `bio_iov_iter_get_pages`,
 * `bio_set_pages_dirty` (6.18).
 */
import { EFAULT } from '@pincushion/sim';
import type { MaySleep } from '@pincushion/sim';
import { FOLL_WRITE, PAGE_SIZE, frameOf, newGottenPages, newPinnedPages } from '@pincushion/mm';
import type { Memory, Mm } from '@pincushion/mm';

/** BIO_MAX_VECS: pages that one bio can hold. */
const PAGES_PER_BIO = 256;

interface DirectIoMachine {
  readonly memory: Memory;
  settle(result: MaySleep): number;
}

/**
 * Moves `pages` pages from `address` on, page aligned; `each` is told the frame of every page while the device has it.
 * `isRead`: the device writes memory. Pages moved, all of them, or -errno of the first that could not be had.
 */
export function directIo(
  machine: DirectIoMachine,
  mm: Mm,
  address: number,
  pages: number,
  isRead: boolean,
  each: (pfn: number, page: number) => undefined,
): number {
  const { profile } = machine.memory;
  const move = profile.directIoPins ? movePinned : moveGotten;
  let done = 0;
  while (done < pages) {
    const wanted = Math.min(pages - done, PAGES_PER_BIO);
    const first = done;
    const got = move(machine, mm, address + first * PAGE_SIZE, wanted, isRead, (pfn, k) => {
      each(pfn, first + k);
      return undefined;
    });
    if (got <= 0) return got === 0 ? -EFAULT : got;
    done += got;
  }
  return done;
}

type Move = typeof directIo;

const movePinned: Move = (machine, mm, address, pages, isRead, each) => {
  const { gup, ledger } = machine.memory;
  const pins = newPinnedPages(pages);
  const owner = ledger.owner('direct I/O');
  const got = machine.settle(gup.pinUserPagesFast(mm, address, pages, isRead ? FOLL_WRITE : 0, pins, 0, owner));
  for (let k = 0; k < got; k++) {
    if (isRead) gup.markDirty(pins[k]);
    each(frameOf(pins[k]), k);
  }
  if (got > 0) machine.settle(gup.unpinUserPagesDirtyLock(pins, 0, got, isRead));
  return got;
};

const moveGotten: Move = (machine, mm, address, pages, isRead, each) => {
  const { gup, ledger } = machine.memory;
  const gotten = newGottenPages(pages);
  const owner = ledger.owner('direct I/O');
  const got = machine.settle(gup.getUserPagesFast(mm, address, pages, isRead ? FOLL_WRITE : 0, gotten, 0, owner));
  for (let k = 0; k < got; k++) {
    if (isRead) gup.markDirty(gotten[k]);
    each(gotten[k], k);
    if (isRead) machine.settle(gup.setPageDirtyLock(gotten[k]));
  }
  if (got > 0) gup.putPages(gotten, 0, got);
  return got;
};
