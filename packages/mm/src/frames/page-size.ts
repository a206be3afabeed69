/** The size of a page. */
export const PAGE_SHIFT = 12;
export const PAGE_SIZE = 4096;
/** The order of a folio that one PMD maps: 2 MiB. */
export const PMD_ORDER = 9;
