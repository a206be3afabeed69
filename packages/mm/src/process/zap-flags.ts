/**
 * What an unmapping leaves in place (`struct zap_details`).
 * Source followed: include/linux/mm.h `struct zap_details`, `ZAP_FLAG_*` (6.18).
 */

/** Private copies stay: only pages of the file are unmapped, as when a hole is punched (`!even_cows`). */
export const ZAP_KEEP_COWS = 1 << 0;
/** Guard pages and userfaultfd markers go, too: the area itself is going (`ZAP_FLAG_DROP_MARKER`). */
export const ZAP_DROP_MARKERS = 1 << 1;
