/**
 * The end of an I/O command when something is planted: a fault of a test (`PlannedFaults`), or a fault plan (`StruckCommands`).
 */
import { NvmeStatus } from '../../spec/status';
import { SLOT_HELD } from '../queues/command-slots';
import type { CommandSlots } from '../queues/command-slots';
import type { IoCommands } from '../commands/io-commands';
import type { PlannedFaults } from './planned-faults';
import { FAILED } from './struck-commands';
import type { StruckCommands } from './struck-commands';

/** What a command that ends may do to the controller. */
export interface CommandEnd {
  complete(slot: number, status: number): void;
  fail(): void;
}

export class FaultDetour {
  constructor(
    private readonly end: CommandEnd,
    private readonly slots: CommandSlots,
    private readonly faults: PlannedFaults,
    private readonly io: IoCommands,
    private readonly struck: StruckCommands,
  ) {}

  finish(slot: number): void {
    const { faults, slots } = this;
    if (faults.stall > 0) {
      faults.stall--;
      slots.setState(slot, SLOT_HELD);
    } else if (faults.loseCompletions > 0) {
      faults.loseCompletions--;
      if (slots.statusOf(slot) === NvmeStatus.success) this.io.execute(slot);
      slots.release(slot);
    } else if (faults.failCommands > 0) {
      faults.failCommands--;
      this.end.complete(slot, faults.failStatus);
    } else {
      this.finishStruck(slot);
    }
  }

  /** While a fault plan is armed. */
  private finishStruck(slot: number): void {
    const { slots } = this;
    const refusal = slots.statusOf(slot);
    const status = refusal === NvmeStatus.success ? this.struck.execute(slot) : refusal;
    if (status >= 0) {
      this.end.complete(slot, status);
    } else if (status === FAILED) {
      slots.release(slot);
      this.end.fail();
    } else {
      slots.setState(slot, SLOT_HELD);
    }
  }
}
