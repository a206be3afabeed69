/**
 * The flusher of a file system: writes dirty pages that nobody asked to be written (`struct bdi_writeback`).
 *
 * It wakes `flushIntervalNs` after a file became dirty, and again as long as files are dirty; files that have been dirty for
 * `dirtyExpireNs` are written then. When more than the background limit of all memory is dirty it writes at once, the
 * file that has been dirty for the longest first. A pass runs in a thread of its own; with nothing dirty nothing is
 * scheduled, so a machine comes to rest.
 * A file whose dirty pages are all held (policies `skip`, `wait`, and `bounce` after a copy was written) is parked: it is
 * looked at again when a reference is given back or a page of it gets dirty.
 * Left out: one work list for several file systems of a device, inodes themselves (only their pages), sync(2) by work items,
 * the order by expiry within a pass, bandwidth per file.
 * Source followed: fs/fs-writeback.c `wb_workfn`, `wb_do_writeback`, `wb_check_old_data_flush`, `writeback_sb_inodes`,
 * mm/page-writeback.c `wb_update_write_bandwidth` (6.18).
 */
import { Context } from '@pincushion/sim';
import type { Task } from '@pincushion/sim';
import type { AddressSpace } from './address-space';
import { settled } from '../eager-task';
import type { Memory } from '../memory';
import { writeInBackground } from './writeback';
import type { BackgroundPass } from './writeback';

/** Pages of a file that are written before the next one has its turn (`MAX_WRITEBACK_PAGES`, 4 MiB). */
const PAGES_PER_TURN = 1024;
/** What a device is believed to write before it was measured: 100 MB/s, in pages (`INIT_BW`). */
const FIRST_PAGES_PER_SECOND = 25_600;
const NO_EVENT = -1;

export class Flusher {
  /** Pages written per second of virtual time, as measured by its passes (`avg_write_bandwidth`). */
  pagesPerSecond = FIRST_PAGES_PER_SECOND;
  /** Files with dirty pages, the longest dirty first, and since when (`b_dirty`). */
  private readonly dirtied = new Map<AddressSpace, number>();
  /** Those of which nothing can be written now. */
  private readonly parked = new Set<AddressSpace>();
  private alarm = NO_EVENT;
  private isRunning = false;
  /** It was woken while it ran. */
  private wokenAgain = false;

  /** `name`: of the file system, for reports. */
  constructor(
    private readonly memory: Memory,
    readonly name: string,
  ) {
    memory.writeback.flushers.push(this);
  }

  /** It has files of which it can write nothing until a reference is given back. */
  get isParked(): boolean {
    return this.parked.size > 0;
  }

  /** Nothing it could write: all that is dirty is held. */
  get isStalled(): boolean {
    return !this.isRunning && this.parked.size === this.dirtied.size;
  }

  /** A page of the file has become dirty. Any context. `__mark_inode_dirty`. */
  pageDirtied(mapping: AddressSpace): void {
    if (!this.memory.writeback.settings.flusher) return;
    if (!this.dirtied.has(mapping)) this.dirtied.set(mapping, this.memory.world.now);
    this.parked.delete(mapping);
    this.arm();
  }

  /** Writes in the background now. Any context. `wb_start_background_writeback`. */
  wake(): void {
    if (this.isRunning) {
      this.wokenAgain = true;
      return;
    }
    if (this.isStalled) return;
    this.disarm();
    this.isRunning = true;
    this.memory.world.spawn(this.work(), { name: `flusher of ${this.name}` });
  }

  /** A reference was given back somewhere: what was held may be free. Any context. */
  unpark(): void {
    if (this.parked.size === 0) return;
    this.parked.clear();
    this.arm();
  }

  private arm(): void {
    if (this.alarm !== NO_EVENT || this.isRunning || this.isStalled) return;
    this.alarm = this.memory.world.after(this.memory.writeback.settings.flushIntervalNs, Context.softirq, () => {
      this.alarm = NO_EVENT;
      this.wake();
      return undefined;
    });
  }

  private disarm(): void {
    if (this.alarm !== NO_EVENT) this.memory.world.cancel(this.alarm);
    this.alarm = NO_EVENT;
  }

  /** `wb_workfn`. */
  private *work(): Task {
    do {
      yield* this.flushOld();
      yield* this.flushAboveLimit();
    } while (this.takeWake() && this.isAboveLimit());
    this.isRunning = false;
    this.forgetClean();
    this.memory.writeback.updateWaiting();
    this.memory.writeback.progressed();
    this.arm();
  }

  /** Whether it was woken since it began, or since this was last asked. */
  private takeWake(): boolean {
    const woken = this.wokenAgain;
    this.wokenAgain = false;
    return woken;
  }

  /** `wb_check_old_data_flush`: files that have been dirty for long. */
  private *flushOld(): Task {
    const { now } = this.memory.world;
    const before = now - this.memory.writeback.settings.dirtyExpireNs;
    for (const [mapping, sinceNs] of [...this.dirtied]) {
      if (sinceNs > before || this.parked.has(mapping)) continue;
      while ((yield* this.turn(mapping)) === PAGES_PER_TURN);
    }
  }

  /** `wb_check_background_flush`: the oldest first, until less than the limit is dirty. */
  private *flushAboveLimit(): Task {
    while (this.isAboveLimit()) {
      let written = 0;
      for (const mapping of [...this.dirtied.keys()]) {
        if (!this.parked.has(mapping) && this.isAboveLimit()) written += yield* this.turn(mapping);
      }
      if (written === 0) return;
    }
  }

  private isAboveLimit(): boolean {
    return this.memory.writeback.dirtyPages > this.memory.writeback.limits().background;
  }

  /** One turn of a file: pages written. It goes to the end of the line when something of it is still dirty. */
  private *turn(mapping: AddressSpace): Task<number> {
    const { world, writeback } = this.memory;
    const pass: BackgroundPass = { written: 0, held: 0 };
    const since = world.now;
    yield* settled(writeInBackground(mapping, PAGES_PER_TURN, pass));
    this.measure(pass.written, world.now - since);
    this.dirtied.delete(mapping);
    if (mapping.dirty.size > 0) this.dirtied.set(mapping, world.now); // `redirty_tail_locked`
    if (mapping.dirty.size > 0 && pass.held >= mapping.dirty.size) this.parked.add(mapping);
    if (pass.written > 0) writeback.progressed();
    return pass.written;
  }

  /** Three quarters of what was known, a quarter of what was seen. */
  private measure(pages: number, elapsedNs: number): void {
    if (pages === 0 || elapsedNs === 0) return;
    this.pagesPerSecond = Math.max(1, 0.75 * this.pagesPerSecond + (0.25 * pages * 1e9) / elapsedNs);
  }

  private forgetClean(): void {
    for (const mapping of [...this.dirtied.keys()]) {
      if (mapping.dirty.size > 0) continue;
      this.dirtied.delete(mapping);
      this.parked.delete(mapping);
    }
  }
}
