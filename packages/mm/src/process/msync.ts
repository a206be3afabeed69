/**
 * msync: shared mappings of files are written back by the files' fsync for the range.
 *
 * Works on both sides of a hole and says -ENOMEM at the end. MS_ASYNC does nothing: dirty pages are known already.
 * Source followed: mm/msync.c (6.18).
 */
import { EBUSY, EINVAL, ENOMEM } from '@pincushion/sim';
import type { MaySleep } from '@pincushion/sim';
import { eagerly, settled } from '../eager-task';
import type { Mm } from './mm';
import { PAGE_SIZE } from '../frames/page-size';
import { VM_LOCKED, VM_SHARED } from './vma-flags';
import type { Vma } from './vma';

export const MS_ASYNC = 1;
export const MS_INVALIDATE = 2;
export const MS_SYNC = 4;

/** msync(2) on [start, end), page aligned. 0, -EINVAL, -EBUSY, -ENOMEM or what the file says. Task context, may sleep. */
export function msyncRange(mm: Mm, start: number, end: number, flags: number): MaySleep {
  const isBoth = (flags & (MS_ASYNC | MS_SYNC)) === (MS_ASYNC | MS_SYNC);
  if ((flags & ~(MS_ASYNC | MS_INVALIDATE | MS_SYNC)) !== 0 || isBoth) return -EINVAL;
  return eagerly(mm.memory.world, 'msync', syncAreas(mm, start, end, flags));
}

function* syncAreas(mm: Mm, start: number, end: number, flags: number) {
  let result = 0;
  let at = start;
  while (at < end) {
    const vma = mm.vmas.all[mm.vmas.indexAfter(at)] as Vma | undefined;
    if (vma === undefined) return -ENOMEM;
    if (at < vma.start) {
      if (vma.start >= end) return -ENOMEM;
      at = vma.start;
      result = -ENOMEM;
    }
    if ((flags & MS_INVALIDATE) !== 0 && (vma.flags & VM_LOCKED) !== 0) return -EBUSY;
    const to = Math.min(end, vma.end);
    if ((flags & MS_SYNC) !== 0 && (vma.flags & VM_SHARED) !== 0 && vma.backing?.fsync !== undefined) {
      const from = vma.pageIndexOf(at) * PAGE_SIZE;
      const error = yield* settled(vma.backing.fsync(from, from + (to - at)));
      if (error < 0) return error;
    }
    at = to;
  }
  return result;
}
