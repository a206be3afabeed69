/**
 * Commands that end before their time: aborted by the host, or because their queue is deleted.
 * While the event of such a command is still to come, its slot stays taken and another one carries the completion.
 */
import { SQE_WORDS } from '../../spec/registers';
import { SLOT_ABORTED, SLOT_BUSY, SLOT_HELD } from './command-slots';
import type { CommandSlots } from './command-slots';

export class EarlyEnd {
  constructor(
    private readonly slots: CommandSlots,
    /** Completes the command of a slot that no event names. */
    private readonly complete: (slot: number, status: number) => undefined,
  ) {}

  /** All commands of a queue. */
  ofQueue(queueId: number, status: number): void {
    const { slots } = this;
    for (let slot = 0; slot < slots.count; slot++) {
      const state = slots.stateOf(slot);
      const isLive = state === SLOT_BUSY || state === SLOT_HELD;
      if (isLive && slots.queueOf(slot) === queueId) this.of(slot, status);
    }
  }

  /** One command; false when it is not there (any more). */
  ofCommand(queueId: number, cid: number, status: number): boolean {
    const slot = this.slots.find(queueId, cid);
    if (slot >= 0) this.of(slot, status);
    return slot >= 0;
  }

  private of(slot: number, status: number): void {
    const { slots } = this;
    if (slots.stateOf(slot) === SLOT_HELD) {
      this.complete(slot, status);
      return;
    }
    const stand = slots.alloc(slots.queueOf(slot));
    slots.words.copyWithin(slots.at(stand), slots.at(slot), slots.at(slot) + SQE_WORDS);
    slots.setState(slot, SLOT_ABORTED);
    this.complete(stand, status);
  }
}
