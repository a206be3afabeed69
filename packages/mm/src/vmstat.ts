/**
 * Counters of /proc/vmstat, exact at every moment. The kernel's lag by up to a second because each CPU batches its share
 * that lag is not modelled.
 */
export class Vmstat {
  /** Pages taken by FOLL_PIN, counted again for each pin of the same page; undone fast pins count too. */
  nrFollPinAcquired = 0;
  /** Pages given back by unpin. */
  nrFollPinReleased = 0;
  /** Pages that a fast call of GUP left to the slow walk; no counter of the kernel. */
  gupSlowPages = 0;
  /** Page faults handled. */
  pgfault = 0;
  /** Huge anonymous folios made by a fault. */
  thpFaultAlloc = 0;
  /** Faults that wanted a huge folio and found none. */
  thpFaultFallback = 0;
  /** Huge folios made by collapsing small pages. */
  thpCollapseAlloc = 0;
  /** Huge mappings split into page-table entries. */
  thpSplitPmd = 0;
  /** Large folios split into small ones. */
  thpSplitPage = 0;
  /** Large folios that were to be split and could not. */
  thpSplitPageFailed = 0;
  /** Pages moved for long-term pins, compaction, offlining or CMA. */
  pgmigrateSuccess = 0;
  /** Pages that were to be moved and stayed. */
  pgmigrateFail = 0;
  /** Pages read from swap. */
  pswpin = 0;
  /** Pages written to swap. */
  pswpout = 0;
  /** Pages given up because nobody had written to them since MADV_FREE. */
  pglazyfreed = 0;
  /** Frames handed out by the page allocator. */
  pgalloc = 0;
  /** Frames given back to the page allocator. */
  pgfree = 0;
}
