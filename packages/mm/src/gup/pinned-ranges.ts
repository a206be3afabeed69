/**
 * Pins as ranges of frames in a row: what a device with scatter lists, or an IOMMU, wants to know, without an entry for
 * each page. A folio of 2 MiB is one range, and neighbours in memory are one range whatever folios they are.
 *
 * The kernel has pages in arrays only, and drivers put them together again (`sg_alloc_append_table_from_pages`); its
 * release by ranges (`unpin_user_page_range_dirty_lock`) is older than any way to take them so.
 * Context: any.
 */
import { newPinnedPages } from './user-page';
import type { PinnedPages } from './user-page';

const FIRST_ROOM = 16;

export class PinnedRanges {
  /** Ranges now. */
  count = 0;
  /** Pages of all ranges together. */
  pages = 0;
  /** For each range the entry of its first page, as in `PinnedPages`, and its length in pages. */
  private words = new Int32Array(2 * FIRST_ROOM);

  /** The entry of the first page of range `i`: frame number | `PIN_TAG`. */
  firstOf(i: number): number {
    return this.words[2 * i];
  }

  /** Pages of range `i`, at least 1. */
  pagesOf(i: number): number {
    return this.words[2 * i + 1];
  }

  /** An array with an entry for each page from page `from` on, in the order in which they were pinned. */
  toPages(from = 0): PinnedPages {
    const pages = newPinnedPages(this.pages - from);
    let page = -from;
    for (let i = 0; i < this.count; i++) {
      const first = this.words[2 * i];
      const n = this.words[2 * i + 1];
      for (let k = Math.max(0, -page); k < n; k++) pages[page + k] = first + k;
      page += n;
    }
    return pages;
  }

  /** For the memory manager: `n` pinned pages in a row, the first of which is `entry`. */
  append(entry: number, n: number): void {
    const words = this.words;
    const at = 2 * this.count;
    this.pages += n;
    if (at > 0 && words[at - 2] + words[at - 1] === entry) {
      words[at - 1] += n;
      return;
    }
    if (at === words.length) this.widen();
    this.words[at] = entry;
    this.words[at + 1] = n;
    this.count++;
  }

  /** For the memory manager: `n` pinned pages, `pages[from…from+n-1]`. */
  appendPages(pages: Int32Array, from: number, n: number): void {
    const end = from + n;
    let first = from;
    while (first < end) {
      const next = endOfRow(pages, first, end);
      this.append(pages[first], next - first);
      first = next;
    }
  }

  /** For the memory manager: forgets the last `n` pages, all in the last range, and returns the entry of the first of them. */
  dropLast(n: number): number {
    const at = 2 * this.count - 2;
    this.pages -= n;
    this.words[at + 1] -= n;
    const left = this.words[at + 1];
    if (left === 0) this.count--;
    return this.words[at] + left;
  }

  /** For the memory manager: forgets all. */
  clear(): void {
    this.count = 0;
    this.pages = 0;
  }

  private widen(): void {
    const wider = new Int32Array(2 * this.words.length);
    wider.set(this.words);
    this.words = wider;
  }
}

/** Where the row of frames that begins with `pages[from]` ends. */
function endOfRow(pages: Int32Array, from: number, end: number): number {
  for (let i = from + 1; i < end; i++) if (pages[i] !== pages[i - 1] + 1) return i;
  return end;
}
