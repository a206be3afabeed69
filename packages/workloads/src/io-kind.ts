/** The kinds of I/O a workload issues and a report counts. Numbers index arrays of statistics. */
export const IoKind = { read: 0, write: 1, flush: 2, discard: 3 } as const;
export type IoKind = (typeof IoKind)[keyof typeof IoKind];

/** Names of the kinds, by number, as reports print them. */
export const IO_KIND_NAMES = Object.freeze(['read', 'write', 'flush', 'discard'] as const);
export type IoKindName = (typeof IO_KIND_NAMES)[number];
