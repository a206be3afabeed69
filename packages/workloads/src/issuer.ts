/**
 * An issuer: one thread of a process that submits I/Os from a source and looks after them until they are done.
 *
 *     source ──take──▶ issue ──IoTarget.submit──▶ (a file,) block layer, driver, device
 *                                                       │ interrupt
 *     statistics, check ◀──reap──  ring of done  ◀── onDone
 *
 * I/Os are slots, indices into typed arrays; the slot is the token of `IoTarget`. There is no task for an I/O: the thread
 * sleeps until a completion or the next due time wakes it, then reaps all that is done and issues all that is due.
 *
 * A write with flags goes the way of Linux block/blk-flush.c on a disk without FUA: flush, data, flush, each step after the
 * one before has completed, and its latency is that of the whole sequence.
 */
import { BioOp } from '@pincushion/block';
import { Context, EFAULT } from '@pincushion/sim';
import type { Blocker, MaySleep, Task, Thread, World } from '@pincushion/sim';
import { TRACE_FUA, TRACE_PREFLUSH } from './block-trace';
import { BufferPool, POOL_FULL, POOL_NEEDS_AREA } from './buffer-pool';
import type { ContentModel } from './content-model';
import { IoKind } from './io-kind';
import type { IoSource } from './io-source';
import { AFTER_COMPLETION, NO_MORE } from './io-source';
import type { IoStatistics } from './io-statistics';
import type { IoTarget } from './io-target';
import { POISON_BYTE } from './sector-content';

const SECTOR = 512;
const NOT_ARMED = Infinity;
const NO_SLOT = -1;
const NO_BUFFER = 0;

/** The steps of one I/O. */
const Step = { preflush: 0, data: 1, postflush: 2 } as const;

/** What all issuers of a run share. */
export interface IssuerSurroundings {
  readonly world: World;
  readonly statistics: IoStatistics;
  /** Null: content is neither written nor checked. */
  readonly model: ContentModel | null;
  /** Called for the first failed I/Os and for each lost one. */
  readonly problems: IoProblems;
}

/** Where an issuer tells what went wrong. */
export interface IoProblems {
  failed(diskName: string, kind: IoKind, sector: number, sectors: number, result: number): void;
  lost(diskName: string, kind: IoKind, sector: number, sectors: number, issuedNs: number): void;
}

export interface IssuerOptions {
  readonly name: string;
  /** Number of the writer in the content of its sectors. */
  readonly writer: number;
  /** Limit of the buffers in flight, bytes. */
  readonly bufferBytesMax: number;
}

export class Issuer {
  private readonly pool: BufferPool;
  /** The thread while it sleeps. A blocker of its own, because a wait queue makes a task for each sleep. */
  private sleeper: Thread | null = null;
  private readonly idle: Blocker;
  private readonly timer: number;
  private armedNs = NOT_ARMED;
  private woken = false;
  private stopping = false;
  private inFlight = 0;
  /** An I/O that was taken from the source and waits for a buffer. */
  private held = NO_SLOT;

  // Slots.
  private slots = 0;
  private freeSlots: number[] = [];
  private kind = new Uint8Array(0);
  private step = new Uint8Array(0);
  private flags = new Uint8Array(0);
  private cpu = new Uint16Array(0);
  private sector = new Float64Array(0);
  private sectors = new Int32Array(0);
  private address = new Float64Array(0);
  /** Generation of a write or discard, ticket of a read. */
  private mark = new Float64Array(0);
  private issuedNs = new Float64Array(0);
  private doneNs = new Float64Array(0);
  private result = new Float64Array(0);
  /** Slots whose step is over, in the order of completion. A slot has one step in flight, so the ring never overflows. */
  private done = new Int32Array(0);
  private doneHead = 0;
  private doneTail = 0;

  private words = new Uint32Array(0);
  private bytes = new Uint8Array(0);
  private poison = new Uint8Array(0);

  constructor(
    private readonly around: IssuerSurroundings,
    private readonly source: IoSource,
    private readonly io: IoTarget,
    private readonly options: IssuerOptions,
  ) {
    this.pool = new BufferPool(io.mm, options.bufferBytesMax);
    this.idle = {
      waitingFor: `I/O of ${options.name}`,
      block: (thread) => {
        if (this.somethingToDo()) return false;
        this.sleeper = thread;
        return true;
      },
    };
    this.timer = around.world.handler(`workload:${options.name}`, Context.softirq, () => {
      this.armedNs = NOT_ARMED;
      this.wakeUp();
      return undefined;
    });
    io.onDone = (token, result) => {
      this.onDone(token, result);
    };
    this.growSlots(64);
  }

  /** I/Os submitted and not yet over. */
  get outstanding(): number {
    return this.inFlight;
  }

  /** Issues no more; the thread ends when what is in flight has ended. */
  stop(): void {
    this.stopping = true;
    this.wakeUp();
  }

  /** Reports every I/O in flight as lost: nothing is left that could complete it. */
  reportLost(): void {
    const free = new Set(this.freeSlots);
    for (let slot = 0; slot < this.slots; slot++) {
      if (free.has(slot)) continue;
      const kind = this.kind[slot] as IoKind;
      this.around.problems.lost(this.io.disk.name, kind, this.sector[slot], this.sectors[slot], this.issuedNs[slot]);
    }
  }

  /** The thread's body: until the source has no more and everything has ended. Task context. */
  *run(): Task {
    const { world } = this.around;
    this.source.start(world.now);
    for (;;) {
      this.woken = false;
      while (this.doneHead !== this.doneTail) {
        const slot = this.done[this.doneHead];
        this.doneHead = (this.doneHead + 1) % this.done.length;
        const r = this.reap(slot);
        if (typeof r !== 'number') yield* r;
      }
      if (this.held === NO_SLOT) {
        const due = this.stopping ? NO_MORE : this.source.dueNs(world.now, this.inFlight);
        if (due === NO_MORE) {
          if (this.inFlight === 0) break;
        } else if (due <= world.now) {
          this.held = this.takeNext();
        } else if (due !== AFTER_COMPLETION) {
          this.arm(due);
        }
      }
      if (this.held !== NO_SLOT) {
        const r = this.issueHeld();
        if (typeof r !== 'number') {
          yield* r;
          continue;
        }
        if (r === 0) continue;
      }
      if (!this.somethingToDo()) yield this.idle;
    }
    yield* this.pool.release();
  }

  /** Moves the source's next I/O into a slot. */
  private takeNext(): number {
    const { source } = this;
    source.take();
    if (this.freeSlots.length === 0) this.growSlots(this.slots * 2);
    const slot = this.freeSlots.pop() ?? 0;
    this.kind[slot] = source.kind;
    this.sector[slot] = source.sector;
    this.sectors[slot] = source.sectors;
    this.flags[slot] = source.kind === IoKind.write ? source.flags : 0;
    this.cpu[slot] = source.cpu;
    this.mark[slot] = 0;
    this.issuedNs[slot] = this.around.world.now;
    this.inFlight++;
    this.around.statistics.issued();
    return slot;
  }

  /** Gives the held I/O a buffer and starts it. POOL_FULL: it stays held until buffers come back. */
  private issueHeld(): MaySleep {
    const slot = this.held;
    const kind = this.kind[slot];
    if (kind === IoKind.read || kind === IoKind.write) {
      const address = this.pool.take(this.sectors[slot] * SECTOR);
      if (address === POOL_FULL) return POOL_FULL;
      if (address === POOL_NEEDS_AREA) return this.growPool(slot);
      this.address[slot] = address;
    }
    this.held = NO_SLOT;
    if (kind === IoKind.flush) {
      this.step[slot] = Step.data;
      return this.submitted(slot, this.io.flush(this.cpu[slot], slot));
    }
    if ((this.flags[slot] & TRACE_PREFLUSH) !== 0) {
      this.step[slot] = Step.preflush;
      return this.submitted(slot, this.io.flush(this.cpu[slot], slot));
    }
    return this.submitData(slot);
  }

  private *growPool(slot: number): Task<number> {
    const r = yield* this.pool.grow(this.sectors[slot] * SECTOR);
    if (r < 0) {
      this.held = NO_SLOT;
      this.fail(slot, r);
    }
    return 0;
  }

  /** The data step: content into the buffer, then the I/O itself. */
  private submitData(slot: number): MaySleep {
    const { model } = this.around;
    const sector = this.sector[slot];
    const sectors = this.sectors[slot];
    this.step[slot] = Step.data;
    if (this.kind[slot] === IoKind.discard) {
      if (model !== null) this.mark[slot] = model.beginZero(sector, sectors);
      return this.submitted(slot, this.io.discard(sector, sectors, this.cpu[slot], slot));
    }
    if (model === null) return this.submitPages(slot);
    const length = sectors * SECTOR;
    this.growScratch(length);
    if (this.kind[slot] === IoKind.write) {
      const generation = model.beginWrite(sector, sectors);
      this.mark[slot] = generation;
      model.fill(this.words, 0, sector, sectors, generation, this.options.writer);
    } else {
      this.mark[slot] = model.beginRead();
    }
    const from = this.kind[slot] === IoKind.write ? this.bytes : this.poison;
    const r = this.io.mm.write(this.address[slot], from, 0, length);
    return typeof r === 'number' ? this.stored(slot, r) : this.storeLater(slot, r);
  }

  private *storeLater(slot: number, storing: Task<number>): Task<number> {
    const n = yield* storing;
    const r = this.stored(slot, n);
    return typeof r === 'number' ? r : yield* r;
  }

  private stored(slot: number, n: number): MaySleep {
    if (n === this.sectors[slot] * SECTOR) return this.submitPages(slot);
    return this.submitted(slot, n < 0 ? n : -EFAULT);
  }

  private submitPages(slot: number): MaySleep {
    const op = this.kind[slot] === IoKind.write ? BioOp.write : BioOp.read;
    const bytes = this.sectors[slot] * SECTOR;
    const r = this.io.submit(op, this.address[slot], bytes, this.sector[slot], this.cpu[slot], slot);
    return typeof r === 'number' ? this.submitted(slot, r) : this.submitLater(slot, r);
  }

  private *submitLater(slot: number, submitting: Task<number>): Task<number> {
    return this.submitted(slot, yield* submitting);
  }

  /** A step that was refused is over at once; one that was taken is over with `onDone`. */
  private submitted(slot: number, r: number): number {
    if (r < 0) this.onDone(slot, r);
    return 0;
  }

  /** By the target, in whatever context the device completes, usually hardirq. */
  private onDone(slot: number, result: number): undefined {
    const { model, world } = this.around;
    this.result[slot] = result;
    this.doneNs[slot] = world.now;
    const kind = this.kind[slot];
    if (model !== null && this.step[slot] === Step.data && (kind === IoKind.write || kind === IoKind.discard)) {
      model.endWrite(this.mark[slot], this.sector[slot], this.sectors[slot], this.isWhole(slot));
    }
    this.done[this.doneTail] = slot;
    this.doneTail = (this.doneTail + 1) % this.done.length;
    this.wakeUp();
    return undefined;
  }

  /** True when the step that just ended did all it was asked for. */
  private isWhole(slot: number): boolean {
    const kind = this.kind[slot];
    const moves = this.step[slot] === Step.data && (kind === IoKind.read || kind === IoKind.write);
    return moves ? this.result[slot] === this.sectors[slot] * SECTOR : this.result[slot] >= 0;
  }

  /** A step of an I/O is over: the next step, or the end. */
  private reap(slot: number): MaySleep {
    const kind = this.kind[slot];
    if (!this.isWhole(slot)) {
      this.fail(slot, this.result[slot]);
      return 0;
    }
    if (this.step[slot] === Step.preflush) return this.submitData(slot);
    if (this.step[slot] === Step.data && (this.flags[slot] & TRACE_FUA) !== 0) {
      this.step[slot] = Step.postflush;
      return this.submitted(slot, this.io.flush(this.cpu[slot], slot));
    }
    if (kind === IoKind.read && this.around.model !== null) {
      const length = this.sectors[slot] * SECTOR;
      this.growScratch(length);
      const r = this.io.mm.read(this.address[slot], this.bytes, 0, length);
      if (typeof r !== 'number') return this.checkLater(slot, r);
      this.check(slot, r);
    }
    this.finish(slot, true);
    return 0;
  }

  private *checkLater(slot: number, loading: Task<number>): Task<number> {
    this.check(slot, yield* loading);
    this.finish(slot, true);
    return 0;
  }

  private check(slot: number, loaded: number): void {
    const { model } = this.around;
    const sectors = Math.floor(Math.max(0, loaded) / SECTOR);
    if (model === null) return;
    model.check(this.words, 0, this.sector[slot], sectors, this.mark[slot]);
    model.endRead(this.mark[slot]);
  }

  private fail(slot: number, result: number): void {
    const kind = this.kind[slot] as IoKind;
    this.around.problems.failed(this.io.disk.name, kind, this.sector[slot], this.sectors[slot], result);
    if (kind === IoKind.read && this.around.model !== null) this.around.model.endRead(this.mark[slot]);
    this.doneNs[slot] = this.around.world.now;
    this.finish(slot, false);
  }

  private finish(slot: number, ok: boolean): void {
    const kind = this.kind[slot] as IoKind;
    const bytes = this.sectors[slot] * SECTOR;
    if (this.address[slot] !== NO_BUFFER) this.pool.give(this.address[slot], bytes);
    this.address[slot] = NO_BUFFER;
    this.freeSlots.push(slot);
    this.inFlight--;
    this.around.statistics.completed(kind, bytes, this.doneNs[slot] - this.issuedNs[slot], ok);
    this.source.completed(this.around.world.now, this.inFlight);
  }

  private somethingToDo(): boolean {
    return this.woken || this.doneHead !== this.doneTail;
  }

  private arm(dueNs: number): void {
    if (this.armedNs <= dueNs) return;
    this.armedNs = dueNs;
    this.around.world.schedule(dueNs - this.around.world.now, this.timer, 0);
  }

  private wakeUp(): void {
    this.woken = true;
    if (this.sleeper === null) return;
    const sleeper = this.sleeper;
    this.sleeper = null;
    this.around.world.wake(sleeper);
  }

  /** More slots, before all are in use. The ring has one place more than there are slots: full and empty differ. */
  private growSlots(slots: number): void {
    for (let slot = slots - 1; slot >= this.slots; slot--) this.freeSlots.push(slot);
    const done = new Int32Array(slots + 1);
    let waiting = 0;
    for (; this.doneHead !== this.doneTail; this.doneHead = (this.doneHead + 1) % this.done.length) {
      done[waiting++] = this.done[this.doneHead];
    }
    this.done = done;
    this.doneHead = 0;
    this.doneTail = waiting;
    this.kind = longer(this.kind, new Uint8Array(slots));
    this.step = longer(this.step, new Uint8Array(slots));
    this.flags = longer(this.flags, new Uint8Array(slots));
    this.cpu = longer(this.cpu, new Uint16Array(slots));
    this.sector = longer(this.sector, new Float64Array(slots));
    this.sectors = longer(this.sectors, new Int32Array(slots));
    this.address = longer(this.address, new Float64Array(slots).fill(NO_BUFFER));
    this.mark = longer(this.mark, new Float64Array(slots));
    this.issuedNs = longer(this.issuedNs, new Float64Array(slots));
    this.doneNs = longer(this.doneNs, new Float64Array(slots));
    this.result = longer(this.result, new Float64Array(slots));
    this.slots = slots;
  }

  private growScratch(bytes: number): void {
    if (bytes <= this.bytes.length) return;
    let length = Math.max(65536, this.bytes.length);
    while (length < bytes) length *= 2;
    this.words = new Uint32Array(length / 4);
    this.bytes = new Uint8Array(this.words.buffer);
    this.poison = new Uint8Array(length).fill(POISON_BYTE);
  }
}

function longer<T extends { set(from: T): void }>(from: T, to: T): T {
  to.set(from);
  return to;
}
