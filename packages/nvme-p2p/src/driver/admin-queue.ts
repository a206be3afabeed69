/**
 * The driver's admin queue pair: one command at a time is a task, and what cannot wait (Abort, asynchronous event requests)
 * is a plain call with a callback.
 *
 * Depth 32, as in Linux (NVME_AQ_DEPTH). A command that takes longer than the timeout is given up with -ETIMEDOUT, and who
 * made the queue hears of it; a request for asynchronous events may take for ever. A command identifier says how often its
 * place was used, so that a completion that comes twice does not end the next command.
 *
 *   stopped   the controller is not enabled, or about to be reset: commands wait, those outstanding ended with -ECANCELED
 *   open      commands go to the controller
 *   closed    for ever: every command ends with -ECANCELED
 *
 * Source followed: `nvme_submit_sync_cmd` (drivers/nvme/host/core.c), `nvme_alloc_admin_tag_set` (pci.c), `nvme_find_rq`
 * with its `genctr` (nvme.h).
 */
import type { DeviceClock, DeviceTimer, Registers, Task, World } from '@pincushion/driver';
import { ECANCELED, ETIMEDOUT, WaitQueue } from '@pincushion/driver';
import { REG_DOORBELLS } from '../spec/registers';
import type { SharedMemory } from './queue-setup';

export const ADMIN_DEPTH = 32;

/** An admin command; what is left out is 0. */
export interface AdminCommand {
  readonly opcode: number;
  readonly nsid?: number;
  /** Bus address of the data. */
  readonly prp1?: number;
  readonly prp2?: number;
  /** Bus address of metadata in a buffer of its own. */
  readonly mptr?: number;
  readonly cdw2?: number;
  readonly cdw3?: number;
  readonly cdw10?: number;
  readonly cdw11?: number;
  readonly cdw12?: number;
  readonly cdw13?: number;
  readonly cdw14?: number;
  readonly cdw15?: number;
}

export interface AdminReply {
  /** Status of the command, 0 for success; or -ETIMEDOUT, -ECANCELED. */
  readonly status: number;
  /** Dword 0 of the completion. */
  readonly result: number;
}

type Done = (reply: AdminReply) => undefined;

interface Pending {
  readonly done: Done;
  readonly deadlineNs: number;
}

const HIGH_WORD = 0x1_0000_0000;
/** A command identifier: the place of the command, above it four bits that count how often the place was used. */
const PLACE_BITS = 12;
const GENERATION_MASK = 0xf;

export class AdminQueue {
  private readonly pending: (Pending | null)[] = new Array<Pending | null>(ADMIN_DEPTH - 1).fill(null);
  private readonly generation = new Uint8Array(ADMIN_DEPTH - 1);
  private readonly changed: WaitQueue;
  private tail = 0;
  private head = 0;
  private phase = 1;
  private stopped = true;
  private closed = false;

  /** @param timedOut a command was given up; softirq context */
  constructor(
    world: World,
    name: string,
    private readonly submissions: SharedMemory,
    private readonly completions: SharedMemory,
    private readonly registers: Registers,
    private readonly clock: DeviceClock,
    private readonly timer: DeviceTimer,
    private readonly timeoutNs: number,
    private readonly timedOut: () => undefined,
  ) {
    this.changed = new WaitQueue(world, `${name}: admin command`);
  }

  get submissionsIova(): number {
    return this.submissions.iova;
  }

  get completionsIova(): number {
    return this.completions.iova;
  }

  /** Rings empty, before the controller is enabled. */
  clear(): void {
    this.submissions.words.fill(0);
    this.completions.words.fill(0);
    this.tail = 0;
    this.head = 0;
    this.phase = 1;
  }

  /** The controller is ready: commands that wait go to it. Any context. */
  open(): void {
    this.stopped = this.closed;
    this.changed.wakeAll();
  }

  /** Everything outstanding ends with -ECANCELED; what comes waits until `open` or `close`. Any context. */
  stop(): void {
    this.stopped = true;
    this.timer.cancel();
    for (let cid = 0; cid < this.pending.length; cid++) this.finish(cid, -ECANCELED, 0);
  }

  /** Everything outstanding ends with -ECANCELED, and so does everything to come. Any context. */
  close(): void {
    this.closed = true;
    this.stop();
    this.changed.wakeAll();
  }

  /** Sends a command and waits for its reply. Task context. */
  *run(command: AdminCommand, timeoutNs = this.timeoutNs): Task<AdminReply> {
    const got: { reply: AdminReply | null } = { reply: null };
    const done = (reply: AdminReply): undefined => {
      got.reply = reply;
      this.changed.wakeAll();
    };
    while (!this.send(command, timeoutNs, done)) {
      yield* this.changed.waitUntil(() => this.closed || (!this.stopped && this.pending.includes(null)));
    }
    yield* this.changed.waitUntil(() => got.reply !== null);
    return got.reply as AdminReply;
  }

  /**
   * Sends a command; `done` hears of its end in the context of the interrupt, exactly once. Any context.
   * @returns false when the queue is full or stopped: nothing was sent.
   */
  send(command: AdminCommand, timeoutNs: number, done: Done): boolean {
    if (this.closed) {
      done({ status: -ECANCELED, result: 0 });
      return true;
    }
    if (this.stopped) return false;
    const cid = this.pending.indexOf(null);
    if (cid < 0) return false;
    this.pending[cid] = { done, deadlineNs: this.clock.now + timeoutNs };
    const { generation } = this;
    generation[cid] = (generation[cid] + 1) & GENERATION_MASK;
    const { words } = this.submissions;
    const at = this.tail << 4;
    putCommand(words, at, command, cid | (generation[cid] << PLACE_BITS));
    this.tail = (this.tail + 1) % ADMIN_DEPTH;
    if (timeoutNs !== Infinity && !this.timer.pending) this.timer.start(timeoutNs);
    this.registers.write32(REG_DOORBELLS, this.tail);
    return true;
  }

  /** Hardirq: takes the completions. */
  poll(): undefined {
    const { words } = this.completions;
    let moved = false;
    for (;;) {
      const at = this.head << 2;
      const last = words[at + 3];
      if (((last >>> 16) & 1) !== this.phase) break;
      const result = words[at];
      if (++this.head === ADMIN_DEPTH) {
        this.head = 0;
        this.phase ^= 1;
      }
      moved = true;
      this.complete(last & 0xffff, last >>> 17, result);
    }
    if (!moved) return;
    this.registers.write32(REG_DOORBELLS + 4, this.head);
    this.changed.wakeAll();
  }

  /** Softirq, from the timer. */
  checkTimeouts(): undefined {
    if (this.stopped) return;
    this.poll();
    const { now } = this.clock;
    let nextNs = Infinity;
    let late = 0;
    for (let cid = 0; cid < this.pending.length; cid++) {
      const leftNs = (this.pending[cid]?.deadlineNs ?? Infinity) - now;
      if (leftNs <= 0) {
        this.giveUp(cid);
        late++;
      } else if (leftNs < nextNs) {
        nextNs = leftNs;
      }
    }
    if (nextNs !== Infinity) this.timer.start(nextNs);
    if (late > 0) this.timedOut();
  }

  /** Nobody waits for the command any more, but its identifier stays taken: its completion may still come. */
  private giveUp(cid: number): void {
    const pending = this.pending[cid];
    this.pending[cid] = { done: () => undefined, deadlineNs: Infinity };
    pending?.done({ status: -ETIMEDOUT, result: 0 });
  }

  /** One that is not for the command in its place now is a stray. */
  private complete(id: number, status: number, result: number): void {
    const cid = id & ((1 << PLACE_BITS) - 1);
    if (cid < this.pending.length && this.generation[cid] === id >>> PLACE_BITS) this.finish(cid, status, result);
  }

  private finish(cid: number, status: number, result: number): void {
    const pending = this.pending[cid];
    if (pending === null) return;
    this.pending[cid] = null;
    pending.done({ status, result });
  }
}

/** The 16 words of a command. */
export function putCommand(words: Int32Array, at: number, command: AdminCommand, commandId: number): void {
  words[at] = command.opcode | (commandId << 16);
  words[at + 1] = (command.nsid ?? 0) | 0;
  words[at + 2] = (command.cdw2 ?? 0) | 0;
  words[at + 3] = (command.cdw3 ?? 0) | 0;
  putAddress(words, at + 4, command.mptr ?? 0);
  putAddress(words, at + 6, command.prp1 ?? 0);
  putAddress(words, at + 8, command.prp2 ?? 0);
  words[at + 10] = (command.cdw10 ?? 0) | 0;
  words[at + 11] = (command.cdw11 ?? 0) | 0;
  words[at + 12] = (command.cdw12 ?? 0) | 0;
  words[at + 13] = (command.cdw13 ?? 0) | 0;
  words[at + 14] = (command.cdw14 ?? 0) | 0;
  words[at + 15] = (command.cdw15 ?? 0) | 0;
}

function putAddress(words: Int32Array, at: number, address: number): void {
  words[at] = address | 0;
  words[at + 1] = (address / HIGH_WORD) | 0;
}
