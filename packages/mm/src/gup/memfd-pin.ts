/**
 * memfd_pin_folios: pins the memory of a file, for a driver that was given the file and not a mapping (udmabuf).
 *
 * One pin per folio, not per page, under the rules of long-term pins (E-11). What the file lacks in the range is allocated,
 * so a hole costs memory. Only files that are memory: tmpfs, memfd, hugetlb.
 * Source followed: mm/gup.c `memfd_pin_folios`, mm/memfd.c `memfd_alloc_folio` (6.18).
 */
import { EAGAIN, EINVAL, ENOMEM } from '@pincushion/sim';
import type { MaySleep } from '@pincushion/sim';
import { eagerly, settled } from '../eager-task';
import type { MappableFile } from '../page-cache/file';
import { PG_uptodate } from '../frames/frames';
import { LONGTERM_ROUNDS } from './slow-grab';
import { HugetlbFile } from '../huge/hugetlb-file';
import type { Memory } from '../memory';
import { findFolio } from '../page-cache/page-cache';
import { PAGE_SIZE } from '../frames/page-size';
import { ShmemFile, shmemGetFolio } from '../page-cache/shmem';
import type { PinnedPages } from './user-page';
import { Gfp } from '../frames/zone';

/**
 * Pins the folios that hold bytes [start, end] of `file`, the end included, into `folios[0…max-1]`. Returns how many; fewer
 * than the range has when `max` is less. `offset[0]` becomes the byte of the first folio at which the range begins. -EINVAL:
 * no such file, an impossible range; -ENOMEM: no memory, or a folio that may not stay where it is could not be moved. Given
 * back by `unpinFolios`. Task context.
 */
export function memfdPinFolios(
  memory: Memory,
  file: MappableFile | null,
  start: number,
  end: number,
  folios: PinnedPages,
  max: number,
  offset: Int32Array,
  owner: number,
): MaySleep {
  memory.world.contexts.mightSleep('memfd_pin_folios');
  if (!(start >= 0) || start > end || max <= 0) return -EINVAL;
  if (!(file instanceof ShmemFile) && !(file instanceof HugetlbFile)) return -EINVAL;
  if (end >= file.size) return -EINVAL;
  return eagerly(memory.world, 'memfd_pin_folios', pinRange(memory, file, start, end, folios, max, offset, owner));
}

type MemoryFile = ShmemFile | HugetlbFile;

function* pinRange(
  memory: Memory,
  file: MemoryFile,
  start: number,
  end: number,
  folios: PinnedPages,
  max: number,
  offset: Int32Array,
  owner: number,
) {
  const { gup, frames } = memory;
  const pageBytes = file instanceof HugetlbFile ? file.pageBytes : PAGE_SIZE;
  for (let round = 0; round < LONGTERM_ROUNDS; round++) {
    let n = 0;
    for (let page = Math.floor(start / pageBytes); n < max && page <= Math.floor(end / pageBytes); page++) {
      const head = yield* settled(folioOf(memory, file, page));
      const error = head < 0 ? head : gup.pinFolio(folios, n, head, owner);
      if (error < 0) {
        gup.unpinFolios(folios, 0, n);
        return error;
      }
      if (n === 0) offset[0] = start - (frames.index[head] >>> 0) * PAGE_SIZE;
      n++;
    }
    const checked = yield* settled(gup.settleLongterm(folios, n));
    if (checked !== -EAGAIN) return checked;
  }
  return gup.neverSettled();
}

/** The folio of one page of the file, made when there is none: its head, or -errno. */
function folioOf(memory: Memory, file: MemoryFile, page: number): MaySleep {
  if (file instanceof ShmemFile) {
    const known = findFolio(file.mapping, page);
    return known !== 0 ? known : shmemGetFolio(file.mapping, page, Gfp.kernel);
  }
  const known = file.find(page);
  return known !== 0 ? known : newHugetlbFolio(memory, file, page);
}

/** `memfd_alloc_folio` of a hugetlb file: the page is reserved and taken in one step. */
function newHugetlbFolio(memory: Memory, file: HugetlbFile, page: number): number {
  if (file.reservations.reserveShared(page, 1) !== 0) return -ENOMEM;
  const head = file.pool.take(true, true);
  if (head < 0) return head;
  memory.frames.flags[head] |= PG_uptodate;
  file.add(page, head);
  memory.frames.put(head, 1);
  return head;
}
