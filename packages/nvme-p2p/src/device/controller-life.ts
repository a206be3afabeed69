/**
 * The life of a controller between power-on and power-off, as the host steers it with CC.
 *
 *             EN 0 -> 1: settings fit              SHN: shut down
 *   disabled ------------------------> ready ------------------------> ready, shutdown complete
 *      ^  ^            \                 |                                     |
 *      |  |             \ they do not    | the bus refuses a ring              |
 *      |  |              v               v                                     |
 *      |  +--EN 1 -> 0-- fatal (CFS) <---+                                     |
 *      +---------EN 1 -> 0: queues are gone, commands dropped------------------+
 *
 * Source: NVM Express Base Specification 1.4, sections 3.1.5, 3.1.6, 7.3 and 7.6.
 */
import {
  CC_EN,
  CC_SHN_MASK,
  CC_SHN_SHIFT,
  CSTS_CFS,
  CSTS_RDY,
  CSTS_SHST_COMPLETE,
  CSTS_SHST_MASK,
} from '../spec/registers';
import { SLOT_ABORTED, SLOT_BUSY, SLOT_HELD } from './queues/command-slots';
import type { CommandSlots } from './queues/command-slots';
import type { CommandTiming } from './timing/command-timing';
import type { ControllerParts } from './controller-parts';
import type { NamespaceTable } from './media/namespace-table';
import type { PlannedFaults } from './faults/planned-faults';
import { CompletionQueue, SubmissionQueue } from './queues/queues';

/** The queues of the controller. */
export interface QueueOwner {
  readonly submissionQueues: (SubmissionQueue | null)[];
  readonly completionQueues: (CompletionQueue | null)[];
}

export class ControllerLife {
  constructor(
    private readonly owner: QueueOwner,
    private readonly parts: ControllerParts,
    private readonly slots: CommandSlots,
    private readonly table: NamespaceTable,
    private readonly timing: CommandTiming,
    private readonly faults: PlannedFaults,
  ) {}

  /** A write to CC: shut down, enable, reset. */
  configure(value: number): void {
    const { registers } = this.parts;
    const wasEnabled = (registers.cc & CC_EN) !== 0;
    const hadShutdown = ((registers.cc >>> CC_SHN_SHIFT) & CC_SHN_MASK) !== 0;
    const shutdown = ((value >>> CC_SHN_SHIFT) & CC_SHN_MASK) !== 0;
    registers.cc = value;
    if (shutdown && !hadShutdown) {
      for (const namespace of this.table.allocated) namespace?.flush();
      registers.csts |= CSTS_SHST_COMPLETE;
    } else if (!shutdown) {
      registers.csts &= ~CSTS_SHST_MASK;
    }
    if ((value & CC_EN) !== 0) {
      if (!wasEnabled) this.enable();
    } else if (wasEnabled) {
      this.stopCommands();
      registers.disable();
    }
  }

  /** Queues are gone, commands inside are dropped without a word; features are as after power-on. */
  stopCommands(): void {
    const { slots, parts, owner } = this;
    for (const queue of owner.completionQueues) {
      if (queue !== null) parts.completions.dropWaiting(queue);
    }
    owner.submissionQueues.fill(null);
    owner.completionQueues.fill(null);
    for (let slot = 0; slot < slots.count; slot++) {
      if (slots.stateOf(slot) === SLOT_BUSY) slots.setState(slot, SLOT_ABORTED);
      else if (slots.stateOf(slot) === SLOT_HELD) slots.release(slot);
    }
    parts.events.reset();
    parts.features.reset();
    parts.gathering.reset();
    parts.shadows.reset();
    parts.queues.queuesMade = false;
    this.timing.reset();
  }

  /** Something happened that the controller cannot tell the host through its queues. */
  fail(): void {
    const { slots } = this;
    const { registers } = this.parts;
    registers.csts = (registers.csts & ~CSTS_RDY) | CSTS_CFS;
    for (let slot = 0; slot < slots.count; slot++) {
      if (slots.stateOf(slot) === SLOT_BUSY) slots.setState(slot, SLOT_ABORTED);
    }
  }

  private enable(): void {
    const { parts, owner } = this;
    const { registers, io } = parts;
    if (!registers.enableAllowed || this.faults.refuseEnable) {
      registers.csts = CSTS_CFS;
      return;
    }
    const completions = new CompletionQueue(0, registers.adminCqBase, registers.adminCqSize, 0, true);
    owner.completionQueues[0] = completions;
    owner.submissionQueues[0] = new SubmissionQueue(0, registers.adminSqBase, registers.adminSqSize, completions);
    io.pageBytes = registers.pageBytes;
    io.writeCache = parts.features.writeCacheOn;
    io.adminOnly = registers.adminOnly;
    parts.pointer.pageBytes = parts.transfer.pageBytes = parts.queues.pageBytes = registers.pageBytes;
    registers.csts = CSTS_RDY;
  }
}
