/**
 * The driver's side of the ring: jobs go in at the tail, and come out when the fence in memory says so. A job's place in the
 * ring is its own until its fence has passed.
 */
import type { ManagedCoherent, Registers, Transfer } from '@pincushion/driver';
import { EIO } from '@pincushion/driver';
import { COMMAND_WORDS, Control, RESULTS_AT, RING_ENTRIES, Register, Result } from './my-device.hardware';

/** A command as the hardware reads it; addresses are those of the bus. */
export interface Command {
  readonly operation: number;
  readonly bytes: number;
  readonly source: number;
  readonly destination: number;
  readonly value: number;
}

interface Slot {
  fence: number;
  transfer: Transfer | null;
  result: number;
}

export class CommandRing {
  private readonly slots: readonly Slot[] = Array.from({ length: RING_ENTRIES }, () => ({
    fence: 0,
    transfer: null,
    result: 0,
  }));
  private tail = 0;
  private head = 0;
  /** Of the job submitted last. */
  private last = 0;

  constructor(
    private readonly registers: Registers,
    private readonly commands: ManagedCoherent,
    private readonly fences: ManagedCoherent,
  ) {}

  /** Gives the hardware an empty ring. Fences go on where they were. */
  start(): void {
    this.tail = 0;
    this.head = 0;
    this.fences.words[0] = this.last;
    this.registers.write64lohi(Register.ring, this.commands.iova);
    this.registers.write64lohi(Register.fences, this.fences.iova);
    this.registers.write32(Register.control, Control.start);
  }

  /** The oldest job that has not ended; null when the ring is empty. */
  get oldest(): Transfer | null {
    return this.slots[this.head].transfer;
  }

  /** No job fits until the oldest has ended: a ring of n entries holds n - 1. */
  get full(): boolean {
    return (this.tail + 1) % RING_ENTRIES === this.head;
  }

  /** Any context; not when `full`. Returns the fence. */
  submit(command: Command, transfer: Transfer): number {
    const { commands, slots } = this;
    const fence = (this.last + 1) | 0;
    this.last = fence;
    const slot = slots[this.tail];
    slot.fence = fence;
    slot.transfer = transfer;
    const words = [command.operation, command.bytes, ...halves(command.source), ...halves(command.destination)];
    commands.words.set([...words, command.value, fence], this.tail * COMMAND_WORDS);
    this.tail = (this.tail + 1) % RING_ENTRIES;
    this.registers.write32(Register.tail, this.tail);
    return fence;
  }

  /** Ends the jobs whose fence has passed. Any context. Whether there were any. */
  reap(): boolean {
    const { slots, fences } = this;
    const passed = fences.words[0];
    const before = this.head;
    if (passed - this.last > 0) return false; // never given out: the hardware is broken
    while (this.head !== this.tail && slots[this.head].fence - passed <= 0) {
      this.end(fences.words[RESULTS_AT + this.head] === Result.ok ? 0 : -EIO);
    }
    return this.head !== before;
  }

  /** Stops the hardware and ends all jobs with a result. Any context. */
  abort(result: number): undefined {
    this.registers.write32(Register.control, Control.stop);
    while (this.head !== this.tail) this.end(result);
  }

  /** The job of a fence while it has not ended, else its result; 0 for fences that are forgotten. */
  look(fence: number): Transfer | number {
    const slot = this.slots.find((one) => one.fence === fence);
    return slot === undefined ? 0 : (slot.transfer ?? slot.result);
  }

  private end(result: number): void {
    const slot = this.slots[this.head];
    this.head = (this.head + 1) % RING_ENTRIES;
    slot.result = result;
    const { transfer } = slot;
    slot.transfer = null;
    transfer?.done(result);
  }
}

function halves(address: number): readonly [number, number] {
  return [address | 0, Math.floor(address / 0x1_0000_0000)];
}
