/**
 * Whether a large folio is mapped by more than one process, as exactly as the kernel knows it.
 *
 * Each large folio remembers two of the address spaces that map it and how many mappings they have. A third is not
 * remembered, so when the two leave first, the folio still counts as shared although only one is left: it errs towards a
 * needless copy, never towards a missing one. Small folios need none of this: they count mappings, see `rmap.ts`.
 * Any context. Source followed: include/linux/rmap.h `folio_add_return_large_mapcount`, `folio_sub_return_large_mapcount`
 * (6.18, CONFIG_MM_ID).
 */
import type { Mm } from '../process/mm';

class Slots {
  first: Mm | null = null;
  second: Mm | null = null;
  firstCount = 0;
  secondCount = 0;
  shared = false;
}

export class MmIds {
  private readonly slots = new Map<number, Slots>();

  /** `n` mappings by `mm` have been added to the folio at `head`; it has `mapcount` now. */
  added(head: number, mm: Mm, n: number, mapcount: number): void {
    let at = this.slots.get(head);
    if (at === undefined) {
      at = new Slots();
      this.slots.set(head, at);
    }
    if (at.first === mm) at.firstCount += n;
    else if (at.second === mm) at.secondCount += n;
    else if (at.first === null) {
      at.first = mm;
      at.firstCount = n;
      if (mapcount !== n) at.shared = true;
    } else if (at.second === null) {
      at.second = mm;
      at.secondCount = n;
      at.shared = true;
    }
  }

  /** `n` mappings by `mm` have gone; `mapcount` are left. */
  removed(head: number, mm: Mm, n: number, mapcount: number): void {
    const at = this.slots.get(head);
    if (at === undefined) return;
    if (mapcount <= 0) {
      this.slots.delete(head);
      return;
    }
    if (at.first === mm) {
      at.firstCount -= n;
      if (at.firstCount > 0) return;
      at.first = null;
      at.firstCount = 0;
    } else if (at.second === mm) {
      at.secondCount -= n;
      if (at.secondCount > 0) return;
      at.second = null;
      at.secondCount = 0;
    }
    if (at.firstCount === mapcount || at.secondCount === mapcount) at.shared = false;
  }

  /** The folio is no longer a large one. */
  forget(head: number): void {
    this.slots.delete(head);
  }

  /** FOLIO_MM_IDS_SHARED_BITNUM. */
  isShared(head: number): boolean {
    return this.slots.get(head)?.shared === true;
  }
}
