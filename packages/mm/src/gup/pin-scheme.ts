/**
 * The seam for pin tracking: how a pin is written into the page metadata, and what can be asked about it later.
 *
 * `gup` calls `acquire` and `release` once per run of order-0 folios inside one page-table leaf (at most 512 entries),
 * and `acquireFolio`/`releaseFolio` once per run of pages of one large folio. A scheme reads and writes the frame table
 * only; the shared zero page never reaches it.
 */
export interface PinSchemeCapabilities {
  /** `isPinned` gives information at all. */
  readonly query: boolean;
  /** `acquire` may be called by the fast walk, without locks. */
  readonly fastPath: boolean;
  /** `release` may be called in interrupt context. */
  readonly irqRelease: boolean;
  /** `isPinned` of a large folio is exact. */
  readonly exactLarge: boolean;
}

export abstract class PinScheme {
  abstract readonly name: string;
  abstract readonly capabilities: PinSchemeCapabilities;

  /**
   * Takes one pin on each of `n` order-0 folios, `frames[from…from+n-1]` (plain frame numbers, none tagged).
   * Stops at the first frame whose count refuses (refcount <= 0). Returns how many were taken, 0…n. `frames` may be the
   * page table itself: only read it. Any context.
   */
  abstract acquire(frames: Int32Array, from: number, n: number): number;

  /**
   * Gives back one pin on each of `n` order-0 folios. Entries may carry `PIN_TAG`: mask with `FRAME_MASK`. A frame whose
   * count reaches zero is freed through `FrameTable.free` at once, in array order. A release that nobody can owe (the
   * count would pass below zero) leaves the count alone and goes to `FrameTable.badRelease`. Any context.
   */
  abstract release(frames: Int32Array, from: number, n: number): void;

  /** Takes `pages` pins on the large folio at `head`. Returns 0, or -ENOMEM when its count refuses. Any context. */
  abstract acquireFolio(head: number, pages: number): number;

  /** Gives back `pages` pins on the large folio at `head`; frees it at zero. Any context. */
  abstract releaseFolio(head: number, pages: number): void;

  /** Whether the folio that `pfn` belongs to has a pin, as far as the scheme can tell. Any context. */
  abstract isPinned(pfn: number): 'no' | 'maybe' | 'yes';
}
