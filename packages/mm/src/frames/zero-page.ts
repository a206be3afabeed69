/** The frame of the shared zero page (`ZERO_PAGE(0)`): what reads of untouched anonymous memory see. */
export const ZERO_PFN = 1;
