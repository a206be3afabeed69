/**
 * The scheme of Linux since 5.7: a pin of a small folio adds 1024 to its reference count, a pin of a large folio adds one
 * to the reference count and one to a counter of its own. A small folio with 1024 ordinary references looks pinned
 * (P-02); the opposite mistake cannot happen.
 * Source followed: mm/gup.c `try_grab_folio`, `gup_put_folio`; include/linux/mm.h `folio_maybe_dma_pinned` (6.18).
 */
import { ENOMEM } from '@pincushion/sim';
import type { FrameTable } from '../frames/frames';
import { PinScheme } from './pin-scheme';
import { FRAME_MASK } from './user-page';

/** Ordinary references that one pin of a small folio is worth. */
export const GUP_PIN_COUNTING_BIAS = 1024;

/** Constants of other modules are bound once: an imported binding read inside a loop is a property read. */
const MASK = FRAME_MASK;

export class BiasScheme extends PinScheme {
  readonly name = 'bias';
  readonly capabilities = { query: true, fastPath: true, irqRelease: true, exactLarge: true };
  private readonly refcount: Int32Array;
  private readonly pincount: Int32Array;

  constructor(private readonly frames: FrameTable) {
    super();
    this.refcount = frames.refcount;
    this.pincount = frames.pincount;
  }

  /**
   * The guard looks before adding and only for a count <= 0, so the pin that makes the signed count negative still
   * succeeds and the next one fails.
   */
  override acquire(frames: Int32Array, from: number, n: number): number {
    const refcount = this.refcount;
    for (let i = 0; i < n; i++) {
      const pfn = frames[from + i];
      const count = refcount[pfn];
      if (count <= 0) return i;
      refcount[pfn] = count + GUP_PIN_COUNTING_BIAS;
    }
    return n;
  }

  override release(frames: Int32Array, from: number, n: number): void {
    const refcount = this.refcount;
    for (let i = from; i < from + n; i++) {
      const pfn = frames[i] & MASK;
      const count = refcount[pfn];
      const left = (count - GUP_PIN_COUNTING_BIAS) | 0;
      if (left > 0) refcount[pfn] = left;
      else this.releaseLast(pfn, count, left);
    }
  }

  /** large folios have no bias. */
  override acquireFolio(head: number, pages: number): number {
    const count = this.refcount[head];
    if (count <= 0) return -ENOMEM;
    this.refcount[head] = count + pages;
    this.pincount[head] += pages;
    return 0;
  }

  override releaseFolio(head: number, pages: number): void {
    const count = this.refcount[head];
    const left = (count - pages) | 0;
    if (this.pincount[head] < pages || (count >= 0 && left < 0)) {
      this.frames.badRelease(head, pages);
      return;
    }
    this.pincount[head] -= pages;
    this.refcount[head] = left;
    if (left === 0) this.frames.free(head);
  }

  /** P-01. The count of a small folio is read as unsigned, so the answer survives the negative range. */
  override isPinned(pfn: number): 'no' | 'maybe' | 'yes' {
    const head = this.frames.headOf(pfn);
    if (this.frames.order[head] !== 0) return this.pincount[head] > 0 ? 'yes' : 'no';
    return this.refcount[head] >>> 0 >= GUP_PIN_COUNTING_BIAS ? 'maybe' : 'no';
  }

  /** The rare ends of a release: the last reference, a count in the negative range, a release too many. */
  private releaseLast(pfn: number, count: number, left: number): void {
    if (count >= 0 && left < 0) {
      this.frames.badRelease(pfn, 1);
      return;
    }
    this.refcount[pfn] = left;
    if (left === 0) this.frames.free(pfn);
  }
}
