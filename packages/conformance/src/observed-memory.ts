/**
 * A memory that remembers which frames were freed, so that the observer can tell a frame that lives on from one that was
 * freed and handed out again between two snapshots. The recorder could only infer this.
 */
import { Memory } from '@pincushion/mm';

export class ObservedMemory extends Memory {
  /** Frames freed since `forgetFreed`. */
  readonly freed = new Set<number>();

  override folioFreed(head: number): undefined {
    const end = head + (1 << this.frames.order[head]);
    for (let pfn = head; pfn < end; pfn++) this.freed.add(pfn);
    super.folioFreed(head);
    return undefined;
  }

  forgetFreed(): void {
    this.freed.clear();
  }
}
