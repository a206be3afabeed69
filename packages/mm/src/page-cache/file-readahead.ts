/**
 * What the kernel remembers of how a file is read, to read ahead of its reader (readahead.ts).
 *
 * Source followed: include/linux/fs.h `struct file_ra_state` (6.18).
 */
/** All in pages. */
export class FileReadahead {
  /** The current window. */
  start = 0;
  size = 0;
  /** So many pages before the end of the window the next one is read. */
  asyncSize = 0;
  /** The page at which the last read(2) ended; none yet. */
  previous = -2;

  /**
   * Pages that the last window had to get from the store while the page it was read for needed nothing from there. A fault
   * does not wait for them, so it does not find them yet: stores that answer at once are taken to answer after the fault.
   */
  readonly onTheirWay = new Set<number>();

  /** `pages`: the largest window, 0 for none; the kernel's default is 128 KiB (`bdi->ra_pages`). */
  constructor(public pages = 32) {}
}
