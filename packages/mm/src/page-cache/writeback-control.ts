/**
 * What all writeback of one machine shares: its settings, how many pages are dirty and on their way, what the policies
 * have cost, and who waits for a page to be given back.
 *
 * Source followed: mm/page-writeback.c `global_dirty_limits`, `global_dirtyable_memory` (6.18).
 */
import { WaitQueue } from '@pincushion/sim';
import type { Task, World } from '@pincushion/sim';
import type { Flusher } from './flusher';
import type { Memory } from '../memory';
import type { WritebackSettings } from './writeback-settings';

/** Since the start; for reports. */
export interface WritebackCounts {
  /** Pages given to a store. */
  written: number;
  /** Of these, copies of pages that a device may have been writing to: an extra page and an extra copy each. */
  bounced: number;
  /** Of these, pages that a device may have been writing to and that were written as they were. */
  writtenPinned: number;
  /** Times background writeback left a page for later because it was held. */
  deferred: number;
  /** Times an fsync waited for a page to be given back, and how long in all and at most. */
  waits: number;
  waitedNs: number;
  waitedNsMax: number;
  /** Times a get or pin met a page under writeback and was refused, or waited. */
  gupBusy: number;
  gupWaits: number;
  /** Bios of direct reads of which a page was cleaned meanwhile, so that a work item had to dirty and release them (B-09). */
  biosDeferred: number;
  /** Times who dirtied pages was made to wait, and how long in all. */
  throttled: number;
  throttledNs: number;
}

export class WritebackControl {
  /** Pages of files that have to be written (`NR_FILE_DIRTY`). */
  dirtyPages = 0;
  /** Pages on their way to a store (`NR_WRITEBACK`). */
  writebackPages = 0;
  /** Pages in the caches of files with a store. */
  cachedPages = 0;
  /** Pages made dirty since somebody looked whether there are too many. */
  dirtiedSinceLook = 0;
  /** There were too many at the last look (`dirty_exceeded`). */
  dirtyExceeded = false;
  /** Somebody waits for a reference to go: releases tell it by `released`. */
  waiting = false;
  /** GUP looks at `PG_writeback`. */
  readonly guardsGup: boolean;
  readonly flushers: Flusher[] = [];
  readonly counts: WritebackCounts = {
    written: 0,
    bounced: 0,
    writtenPinned: 0,
    deferred: 0,
    waits: 0,
    waitedNs: 0,
    waitedNsMax: 0,
    gupBusy: 0,
    gupWaits: 0,
    biosDeferred: 0,
    throttled: 0,
    throttledNs: 0,
  };
  private readonly releaseQueues = new Set<WaitQueue>();
  private readonly progress: WaitQueue;
  /** Goes up with each `progressed`. */
  private progressMade = 0;

  constructor(
    private readonly memory: Memory,
    readonly settings: WritebackSettings,
  ) {
    this.guardsGup = settings.gup !== 'ignore';
    this.progress = new WaitQueue(memory.world, 'dirty pages to be written, of which there are too many');
  }

  get world(): World {
    return this.memory.world;
  }

  /** Pages that may be dirty before those who dirty more have to wait, and before the flusher begins. */
  limits(): { readonly hard: number; readonly background: number } {
    const dirtyable = this.memory.framesFree + this.cachedPages;
    const hard = Math.max(1, Math.floor((dirtyable * this.settings.dirtyRatio) / 100));
    const background = Math.floor((dirtyable * this.settings.dirtyBackgroundRatio) / 100);
    return { hard, background: Math.min(background, Math.floor(hard / 2)) };
  }

  /** Lets the flushers write what is dirty: memory is short, or too much is dirty. Any context. `wakeup_flusher_threads`. */
  wakeFlushers(): void {
    for (const flusher of this.flushers) flusher.wake();
  }

  /**
   * Waits until `isFree()` holds; it is asked whenever a reference to a user page was given back or a page has left its
   * file. `what` is for the report if that never comes. The nanoseconds waited. Task context.
   */
  *waitForRelease(what: string, isFree: () => boolean): Task<number> {
    const { world } = this.memory;
    const since = world.now;
    const queue = new WaitQueue(world, what);
    this.releaseQueues.add(queue);
    this.waiting = true;
    yield* queue.waitUntil(isFree);
    this.releaseQueues.delete(queue);
    this.updateWaiting();
    return world.now - since;
  }

  /** A reference was given back, or a page has left its file. Called while `waiting`. Any context. */
  released(): void {
    for (const queue of this.releaseQueues) queue.wakeAll();
    for (const flusher of this.flushers) flusher.unpark();
    this.progressed();
    this.updateWaiting();
  }

  /**
   * Waits until a flusher has written something, for at most `ns`; without end when all that is dirty is held, so that the
   * report of a machine that stands still names the writer. Task context.
   */
  *waitForProgress(ns: number): Task {
    if (this.flushers.every((flusher) => flusher.isStalled)) yield* this.progress.wait();
    else {
      const before = this.progressMade;
      yield* this.progress.waitUntilTimeout(() => this.progressMade !== before, ns);
    }
  }

  /** Something was written, or may be now. Any context. */
  progressed(): void {
    this.progressMade++;
    this.progress.wakeAll();
  }

  /** A flusher has left pages for later; it wants to know when a reference goes. */
  updateWaiting(): void {
    this.waiting = this.releaseQueues.size > 0 || this.flushers.some((flusher) => flusher.isParked);
  }
}
