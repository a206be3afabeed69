/**
 * Buffer heads: what a file system knows about each block of a folio.
 *
 * A folio has buffers from the first write to it (write(2), or the first write through a mapping) until they are released:
 * `PG_private` and one reference. A folio that was only read has none. Buffers belong to a place in the file, so they stay
 * valid when the folio is moved to other frames.
 * Left out: the list of a buffer's users, journal heads, buffers of metadata.
 * Source followed: fs/buffer.c `create_empty_buffers`, `try_to_free_buffers`, include/linux/buffer_head.h (6.18).
 */

/** The block of the folio holds what the file says. */
export const BH_Uptodate = 1 << 0;
/** The block has to be written. */
export const BH_Dirty = 1 << 1;
/** The block has a place: on disk, or (`BH_Delay`) a reservation. */
export const BH_Mapped = 1 << 2;
/** A block on disk is reserved and will be taken when the buffer is written. */
export const BH_Delay = 1 << 3;
/** The block has a place on disk, but what is there does not count (an unwritten extent): it reads as zeros. */
export const BH_Unwritten = 1 << 4;

export class FolioBuffers {
  /** `BH_*` of each block of the folio. */
  readonly state: Uint8Array;
  /** Where each block lies on disk; only with `BH_Mapped` and without `BH_Delay`. */
  readonly block: Float64Array;

  /** `blocks` of the folio; `isUptodate`: the folio has its content. `create_empty_buffers`. */
  constructor(blocks: number, isUptodate: boolean, isDirty: boolean) {
    this.state = new Uint8Array(blocks).fill((isUptodate ? BH_Uptodate : 0) | (isDirty ? BH_Dirty : 0));
    this.block = new Float64Array(blocks);
  }

  /** Whether each block has all the bits. */
  all(bits: number): boolean {
    return this.state.every((state) => (state & bits) === bits);
  }

  /** Whether any block has one of the bits. */
  any(bits: number): boolean {
    return this.state.some((state) => (state & bits) !== 0);
  }

  set(i: number, bits: number): void {
    this.state[i] |= bits;
  }

  clear(i: number, bits: number): void {
    this.state[i] &= ~bits;
  }

  has(i: number, bits: number): boolean {
    return (this.state[i] & bits) === bits;
  }
}
