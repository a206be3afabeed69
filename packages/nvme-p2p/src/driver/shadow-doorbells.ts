/**
 * Shadow doorbells: ring positions left in memory, so that the controller need not be told of each.
 *
 * ```
 * shadow page   host writes the position of each ring          laid out as the doorbell registers
 * event page    controller writes: "wake me when it passes this"
 * ```
 * A doorbell register is written only when the new position passes the one that the controller wants to hear of. What is
 * offered by virtual controllers, for which a register access is dear (OACS bit 8, Doorbell Buffer Config).
 * Source followed: `nvme_dbbuf_update_and_check_event`, `nvme_dbbuf_need_event`, `nvme_dbbuf_dma_alloc` (Linux 6.18,
 * drivers/nvme/host/pci.c).
 */
import type { SharedMemory } from './queue-setup';

export const SHADOW_BYTES = 4096;
const POSITION = 0xffff;

export class ShadowDoorbells {
  constructor(
    private readonly shadow: SharedMemory,
    private readonly events: SharedMemory,
  ) {}

  /** Bus addresses of both pages, as Doorbell Buffer Config wants them. */
  get shadowIova(): number {
    return this.shadow.iova;
  }

  get eventsIova(): number {
    return this.events.iova;
  }

  /** What was left of an earlier life of the controller must not be seen. Before Doorbell Buffer Config. */
  clear(): void {
    this.shadow.words.fill(0);
    this.events.words.fill(0);
  }

  /** Leaves a position. Any context. @param at dword of the doorbell @returns whether the register must be written, too */
  leave(at: number, position: number): boolean {
    const old = this.shadow.words[at];
    this.shadow.words[at] = position;
    const event = this.events.words[at];
    return ((position - event - 1) & POSITION) < ((position - old) & POSITION);
  }
}
