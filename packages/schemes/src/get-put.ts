/**
 * S1, the status quo before 2019: a pin is an ordinary reference, taken like get_page and dropped like put_page.
 *
 * It costs nothing and knows nothing: there is no state that tells a pin from any other reference, so the query has no
 * answer and says 'no'. Whoever asks before writing back, forking or migrating a page acts as if nobody held it; that is
 * the bug the other schemes were invented for.
 * Source: Linux up to 5.5 mm/gup.c (FOLL_GET as the only kind), include/linux/mm.h (get_page, put_page).
 */
import { FRAME_MASK, PinScheme } from '@pincushion/mm';
import type { FrameTable } from '@pincushion/mm';
import { ENOMEM } from '@pincushion/sim';

/** Constants of other modules are bound once: an imported binding read inside a loop is a property read. */
const MASK = FRAME_MASK;

export class GetPutScheme extends PinScheme {
  readonly name = 'get-put';
  readonly capabilities = { query: false, fastPath: true, irqRelease: true, exactLarge: false };
  private readonly refcount: Int32Array;

  constructor(private readonly frames: FrameTable) {
    super();
    this.refcount = frames.refcount;
  }

  /** One reference each, with try_get_page's guard: a count that is not positive refuses. */
  override acquire(frames: Int32Array, from: number, n: number): number {
    const refcount = this.refcount;
    for (let i = 0; i < n; i++) {
      const pfn = frames[from + i];
      const count = refcount[pfn];
      if (count <= 0) return i;
      refcount[pfn] = count + 1;
    }
    return n;
  }

  override release(frames: Int32Array, from: number, n: number): void {
    const refcount = this.refcount;
    for (let i = from; i < from + n; i++) {
      const pfn = frames[i] & MASK;
      const count = refcount[pfn];
      if (count > 1) refcount[pfn] = count - 1;
      else this.releaseLast(pfn, count, 1);
    }
  }

  override acquireFolio(head: number, pages: number): number {
    const count = this.refcount[head];
    if (count <= 0) return -ENOMEM;
    this.refcount[head] = count + pages;
    return 0;
  }

  override releaseFolio(head: number, pages: number): void {
    const count = this.refcount[head];
    if (count > pages) this.refcount[head] = count - pages;
    else this.releaseLast(head, count, pages);
  }

  /** Without state there is no query; 'no' is what such a kernel acts on. */
  override isPinned(_pfn: number): 'no' | 'maybe' | 'yes' {
    return 'no';
  }

  /** The rare ends of a release: the last reference, a count in the negative range, a release too many. */
  private releaseLast(pfn: number, count: number, pages: number): void {
    const left = (count - pages) | 0;
    if (count >= 0 && left < 0) {
      this.frames.badRelease(pfn, pages);
      return;
    }
    this.refcount[pfn] = left;
    if (left === 0) this.frames.free(pfn);
  }
}
