/**
 * Errors of writeback, told once to each who has the file open.
 *
 * Writeback happens behind the back of those who wrote, so its error is kept with the file. Each opener remembers how far
 * he has seen (`f_wb_err`); who asks gets the last error that is newer, once. An error that nobody has been told of yet is
 * also told to who opens the file after it. One number holds the errno and a counter that goes up with each error
 * that comes after the last one was seen, so nothing has to be counted while nobody looks.
 * Source followed: lib/errseq.c, mm/filemap.c `file_check_and_advance_wb_err` (6.18).
 */

/** Below it the errno; the bit: somebody was told. */
const SEEN = 1 << 12;
const ERRNO_MASK = SEEN - 1;
/** What the counter goes up by. */
const STEP = 1 << 13;

/** How far one opener has seen (`f_wb_err`). */
export interface ErrSeqCursor {
  since: number;
}

export class ErrSeq {
  private value = 0;

  /** Notes an error, -errno. Any context. `errseq_set`. */
  set(error: number): void {
    if (error >= 0) return;
    const wasSeen = (this.value & SEEN) !== 0;
    this.value = this.value - (this.value % STEP) + -error + (wasSeen ? STEP : 0);
  }

  /** Where an opener begins: errors that somebody was told of are none of his. `errseq_sample`. */
  sample(): ErrSeqCursor {
    return { since: (this.value & SEEN) === 0 ? 0 : this.value };
  }

  /** The error that came since `cursor`, or 0; the next call with it gives 0. `errseq_check_and_advance`. */
  checkAndAdvance(cursor: ErrSeqCursor): number {
    if (this.value === cursor.since) return 0;
    if ((this.value & SEEN) === 0) this.value += SEEN;
    cursor.since = this.value;
    return -(this.value & ERRNO_MASK);
  }
}
