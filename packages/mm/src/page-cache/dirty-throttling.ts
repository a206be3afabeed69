/**
 * Who makes pages dirty faster than they can be written has to wait.
 *
 * Below the middle between the background limit and the hard one nobody waits. Above it a writer sleeps after each few
 * pages for as long as the device needs to write them, less above the middle and more near the limit, so that the number
 * of dirty pages comes to rest between the two; at the limit it sleeps until something was written.
 * Left out: limits per device and per control group, the smoothing of the rates over time, `IOCB_NOWAIT`.
 * Source followed: mm/page-writeback.c `balance_dirty_pages`, `wb_position_ratio`, `wb_min_pause` (6.18).
 */
import type { MaySleep, Task } from '@pincushion/sim';
import { sleeping } from '@pincushion/sim';
import type { AddressSpace } from './address-space';
import type { Flusher } from './flusher';
import type { WritebackControl } from './writeback-control';

/** Pages between two looks (`nr_dirtied_pause` at first), and when there were too many at the last one. */
const PAGES_BETWEEN = 32;
const PAGES_BETWEEN_WHEN_EXCEEDED = 8;
/** `MAX_PAUSE`, and the shortest pause worth it. */
const PAUSE_NS_MAX = 200e6;
const PAUSE_NS_MIN = 10e6;

/**
 * To be called after a page of the file was made dirty, with no locks held. 0, or a task that sleeps as long as the writer
 * has to. Task context. `balance_dirty_pages_ratelimited`.
 */
export function balanceDirtyPages(mapping: AddressSpace): MaySleep {
  const { writeback, world } = mapping.memory;
  const { flusher } = mapping;
  if (flusher === null || !writeback.settings.flusher) return 0;
  writeback.dirtiedSinceLook++;
  const between = writeback.dirtyExceeded ? PAGES_BETWEEN_WHEN_EXCEEDED : PAGES_BETWEEN;
  if (writeback.dirtiedSinceLook < between) return 0;
  const { background, hard } = writeback.limits();
  const dirty = writeback.dirtyPages + writeback.writebackPages;
  if (writeback.dirtyPages > background) flusher.wake();
  writeback.dirtyExceeded = dirty > (background + hard) / 2;
  if (!writeback.dirtyExceeded) {
    writeback.dirtiedSinceLook = 0;
    return 0;
  }
  return sleeping(world, 'balance_dirty_pages', () => pause(writeback, flusher, world.now)[Symbol.iterator]());
}

function* pause(writeback: WritebackControl, flusher: Flusher, since: number): Task<number> {
  const { world } = writeback;
  const pages = writeback.dirtiedSinceLook;
  writeback.dirtiedSinceLook = 0;
  for (;;) {
    const { background, hard } = writeback.limits();
    const free = (background + hard) / 2;
    const dirty = writeback.dirtyPages + writeback.writebackPages;
    if (dirty <= free) break;
    flusher.wake();
    if (dirty >= hard) {
      yield* writeback.waitForProgress(PAUSE_NS_MAX);
      continue;
    }
    // `wb_position_ratio`, here a straight line: 2 at the middle, 0 at the limit.
    const ratio = (2 * (hard - dirty)) / (hard - free);
    const ns = (pages * 1e9) / (flusher.pagesPerSecond * ratio);
    yield* world.sleep(Math.round(Math.min(PAUSE_NS_MAX, Math.max(PAUSE_NS_MIN, ns))));
    break;
  }
  writeback.counts.throttled++;
  writeback.counts.throttledNs += world.now - since;
  return 0;
}
