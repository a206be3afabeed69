/**
 * References to user pages as their holders keep them.
 *
 * What `get*` gives and what `pin*` gives must go back through different functions (`put_page` and `unpin_user_page`),
 * and a mix-up shows only much later. So they are two types that do not convert into each other, and each entry of a
 * `PinnedPages` carries a tag in bit 30, which release functions test: a forced conversion fails at the call.
 * An entry of 0 is the kernel's NULL page. Frame numbers stay below 2^30, so a tagged entry is still an int32.
 * Source followed: the `struct user_page` proposal (tagged pointers) on top of Documentation/core-api/pin_user_pages.rst.
 */
declare const reference: unique symbol;

/** Pages taken by `pin*`; give them back to `unpin*`. Length in pages; entries are frame number | `PIN_TAG`, or 0. */
export type PinnedPages = Int32Array & { readonly [reference]: 'pin' };

/** Pages taken by `get*`; give them back to `putPages`. Length in pages; entries are plain frame numbers, or 0. */
export type GottenPages = Int32Array & { readonly [reference]: 'get' };

export const FRAME_MASK = 0x3fffffff;
export const PIN_TAG = 0x40000000;

/** An empty array with room for `count` pinned pages. */
export function newPinnedPages(count: number): PinnedPages {
  return new Int32Array(count) as PinnedPages;
}

/** An empty array with room for `count` gotten pages. */
export function newGottenPages(count: number): GottenPages {
  return new Int32Array(count) as GottenPages;
}

/** The frame number of an entry of either kind. */
export function frameOf(entry: number): number {
  return entry & FRAME_MASK;
}
