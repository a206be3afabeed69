/**
 * The write buffer: how much of it is free, who waits for room, and which flushes wait for what is on its way.
 *
 * Room is given in the order of the writes, when a write is let in, and comes back when its data are programmed. A write
 * that is longer than the buffer is let in once hardly anything else is there.
 * A flush waits for all programs that began before it. It closes an epoch; programs are counted by epoch, and epochs end
 * in order.
 */
import type { CommandTable } from './command-table';

const NONE = -1;
const EPOCHS_FIRST = 16;

export class WriteBuffer {
  /** Units that have room; negative while a write longer than the buffer is in it. */
  room: number;
  private readonly longWrite: number;
  private first = NONE;
  private last = NONE;
  /** By epoch, modulo the length: programs under way, and the flush that closed it. */
  private underWay = new Int32Array(EPOCHS_FIRST);
  private flushes = new Int32Array(EPOCHS_FIRST);
  private oldest = 0;
  private epoch = 0;

  /** @param units of the buffer @param shotUnits of a program: so much can lie in a begun one. */
  constructor(
    private readonly commands: CommandTable,
    private readonly units: number,
    shotUnits: number,
  ) {
    this.room = units;
    this.longWrite = units - shotUnits + 1;
  }

  /** Whether a write of so many units can be let in, if it is its turn. */
  takes(units: number): boolean {
    return this.room >= (units < this.longWrite ? units : this.longWrite);
  }

  /** The write whose turn is next, or -1. */
  get waiting(): number {
    return this.first;
  }

  wait(slot: number): void {
    this.commands.setNext(slot, NONE);
    if (this.first === NONE) this.first = slot;
    else this.commands.setNext(this.last, slot);
    this.last = slot;
  }

  /** The write whose turn it was is let in. */
  letIn(): void {
    this.first = this.commands.nextOf(this.first);
  }

  /** A program begins. Returns its epoch. */
  programBegins(): number {
    this.underWay[this.epoch % this.underWay.length]++;
    return this.epoch;
  }

  programEnded(epoch: number): void {
    this.underWay[epoch % this.underWay.length]--;
  }

  /** A flush waits for all programs until now; `flushed` may say at once that they have ended. */
  flush(slot: number): void {
    if (this.epoch + 1 - this.oldest >= this.flushes.length) this.grow();
    this.flushes[this.epoch % this.flushes.length] = slot;
    this.epoch++;
    this.underWay[this.epoch % this.underWay.length] = 0;
  }

  /** Takes out the oldest flush if all it waits for has ended; -1 when there is none such. */
  flushed(): number {
    const at = this.oldest % this.flushes.length;
    if (this.oldest === this.epoch || this.underWay[at] > 0) return NONE;
    this.oldest++;
    return this.flushes[at];
  }

  /** Nobody waits, everything is free. */
  reset(): void {
    this.room = this.units;
    this.first = NONE;
    this.oldest = 0;
    this.epoch = 0;
    this.underWay[0] = 0;
  }

  private grow(): void {
    const { underWay, flushes, oldest, epoch } = this;
    this.underWay = new Int32Array(2 * underWay.length);
    this.flushes = new Int32Array(2 * flushes.length);
    for (let e = oldest; e <= epoch; e++) {
      this.underWay[e % this.underWay.length] = underWay[e % underWay.length];
      this.flushes[e % this.flushes.length] = flushes[e % flushes.length];
    }
  }
}
