/**
 * Writing dirty pages of a file to its store.
 *
 * For each dirty folio in the range, lowest index first: wait for a write of it that is on its way, make it clean and
 * write-protect it (`folioClearDirtyForIo`), hand it to the file system with `PG_writeback` set. Pins are not looked at
 * (W-02): what a device writes meanwhile may or may not reach the store, and what it writes afterwards does not, until
 * somebody marks the folio dirty again.
 * Left out: several folios in flight, background writeback and its bandwidth, cgroups.
 * Source followed: mm/page-writeback.c `writeback_iter`, `folio_wait_writeback`, mm/filemap.c (6.18).
 */
import type { MaySleep } from '@pincushion/sim';
import type { AddressSpace } from './address-space';
import { eagerly, settled } from '../eager-task';
import { PG_readahead, PG_writeback } from '../frames/frames';
import { Mechanism } from '../mechanism';
import { cachedIndices, findFolio, folioClearDirtyForIo, folioWaitBit } from './page-cache';

/** Waits until no write of the folio is on its way. Also what stable pages wait for (W-08). 0. `folio_wait_writeback`. */
export function folioWaitWriteback(mapping: AddressSpace, head: number): MaySleep {
  return folioWaitBit(mapping, head, PG_writeback);
}

/** Waits until nothing of pages [start, end) is being written, now. 0. `filemap_fdatawait_range`. May sleep. */
export function waitWriteback(mapping: AddressSpace, start: number, end: number): MaySleep {
  return eagerly(mapping.memory.world, 'writeback', waitForPages(mapping, start, end));
}

function* waitForPages(mapping: AddressSpace, start: number, end: number) {
  const { flags } = mapping.memory.frames;
  for (;;) {
    const indices = cachedIndices(mapping, start, end);
    const busy = indices.find((index) => (flags[findFolio(mapping, index)] & PG_writeback) !== 0);
    if (busy === undefined) return 0;
    yield* settled(folioWaitWriteback(mapping, findFolio(mapping, busy)));
  }
}

/**
 * Writes what is dirty in pages [start, end) and waits for it (`filemap_write_and_wait_range`). 0, or the first error of
 * the store; the folios concerned are clean all the same, as in the kernel. Task context, may sleep.
 */
export function writeAndWaitRange(mapping: AddressSpace, start = 0, end = Infinity): MaySleep {
  mapping.memory.world.contexts.mightSleep('writeback');
  if (!mapping.canWriteback || mapping.dirty.size === 0) return 0;
  return eagerly(mapping.memory.world, 'writeback', writePages(mapping, start, end));
}

/** An error of one folio does not keep the others from being written. */
function* writePages(mapping: AddressSpace, start: number, end: number) {
  const indices = [...mapping.dirty].filter((index) => index >= start && index < end).sort((a, b) => a - b);
  let result = 0;
  for (const index of indices) {
    const head = findFolio(mapping, index);
    if (head === 0) continue;
    yield* settled(folioWaitWriteback(mapping, head));
    if (findFolio(mapping, index) !== head || !folioClearDirtyForIo(mapping.memory, head)) continue;
    const error = yield* settled(writeFolio(mapping, head, index));
    if (result === 0) result = error;
  }
  return result;
}

/** Writes one folio that was made clean for it. The reference keeps it alive if it is truncated meanwhile. */
function writeFolio(mapping: AddressSpace, head: number, index: number): MaySleep {
  const { frames } = mapping.memory;
  const { mechanisms } = mapping.memory;
  if (mechanisms.on) mechanisms.emit(Mechanism.cleaned, head, 0, 0);
  frames.get(head, 1);
  frames.flags[head] |= PG_writeback;
  const written = mapping.ops.writepage?.(mapping, head, index) ?? 0;
  if (typeof written === 'number') return endWriteback(mapping, head, written);
  return eagerly(mapping.memory.world, 'writeback', writeSleeping(mapping, head, written));
}

function* writeSleeping(mapping: AddressSpace, head: number, pending: MaySleep) {
  return endWriteback(mapping, head, yield* settled(pending));
}

/** `folio_end_writeback`. */
function endWriteback(mapping: AddressSpace, head: number, result: number): number {
  const { frames } = mapping.memory;
  frames.flags[head] &= ~(PG_writeback | PG_readahead);
  mapping.folioWaiters.wakeAll();
  frames.put(head, 1);
  return result;
}
