/**
 * Ranges of one domain that are unmapped but may still be in the IOTLB, waiting for the flush (lazy mode only).
 *
 * Their IOVAs are not given out again before the flush. A flush comes when the queue is full or when the oldest range
 * has waited for the flush time.
 * Left out on purpose: one queue per CPU.
 * Source: Linux 6.18 drivers/iommu/dma-iommu.c (queue_iova, fq_flush_timeout; IOVA_FQ_SIZE, IOVA_FQ_TIMEOUT).
 */

/** IOVA_DEFAULT_FQ_SIZE. */
const FLUSH_QUEUE_RANGES = 256;
/** IOVA_DEFAULT_FQ_TIMEOUT. */
export const FLUSH_NS = 10_000_000;

export class FlushQueue {
  readonly firsts = new Int32Array(FLUSH_QUEUE_RANGES);
  readonly pages = new Int32Array(FLUSH_QUEUE_RANGES);
  count = 0;

  /** Returns true when the queue is full now and has to be flushed. */
  add(page: number, pages: number): boolean {
    this.firsts[this.count] = page;
    this.pages[this.count] = pages;
    this.count++;
    return this.count === FLUSH_QUEUE_RANGES;
  }
}
