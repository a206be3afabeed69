/**
 * Which kernel a machine behaves like, as a flat record of named behaviours; each says since when and by which rule.
 *
 * The mechanisms ask a behaviour by its name where it matters, never for a version. 6.18 is recorded, 6.1 agrees with the
 * recorded registrations of that kernel, 5.4 is written from sources and has not been compared with a running kernel.
 * Rule ids: section 1 of the rules (the version table) and the ids named here.
 */
export interface KernelProfile {
  readonly name: string;
  /** Where the behaviour comes from: compared with recordings, or read in sources. */
  readonly basis: 'recorded' | 'partly recorded' | 'from sources';
  /**
   * How a write fault on an anonymous page finds out that nobody else has it. `mapcount`: nobody else maps it (before 5.9);
   * `refcount`: nobody else refers to it (5.9); `exclusive`: the page says so, else by reference count (5.19, X-04).
   */
  readonly cowReuse: 'mapcount' | 'refcount' | 'exclusive';
  /** Fork copies pages that may be pinned at once, for the child (5.9, section 11). */
  readonly forkCopiesPinned: boolean;
  /** The same for hugetlb pages (5.12). */
  readonly forkCopiesPinnedHugetlb: boolean;
  /** Fork during a fast pin makes it go the slow way (5.11, Q-06). */
  readonly writeProtectSeq: boolean;
  /** FOLL_PIN exists; before, registrations and direct I/O take plain references (5.6). */
  readonly pinsExist: boolean;
  /** Direct I/O pins its pages (6.5, O-01); before, it takes plain references. */
  readonly directIoPins: boolean;
  /** FOLL_PIN does not count the zero page (6.5, R-04). */
  readonly zeroPageUncounted: boolean;
  /** A read-only pin of a shared anonymous page unshares it (5.19, 6.3). */
  readonly readPinUnshares: boolean;
  /** A read-only long-term pin of a private file mapping gets an anonymous page of its own (6.2, 6.3). */
  readonly longtermReadUnsharesFiles: boolean;
  /** Long-term write pins of shared mappings with dirty tracking are refused (6.5, V-06). */
  readonly longtermRefusesDirtyTracked: boolean;
  /** Long-term pins move pages out of ZONE_MOVABLE, not only out of CMA (5.13, L-01). */
  readonly longtermLeavesMovable: boolean;
  /** Reclaim does not put pinned anonymous pages into swap (5.11, section 14). */
  readonly reclaimSkipsPinned: boolean;
  /** Reclaim leaves the buffers of pinned folios alone (6.4; 6.1.28 of the stable series, so profile 6.1 is the kernel before). */
  readonly reclaimKeepsPinnedBuffers: boolean;
  /** What writeback does that meets a dirty page of a file without buffers: the kernel stops, or it warns (5.18, W-03). */
  readonly dirtyWithoutBuffers: 'bug' | 'warn';
  /** Large folios count pins exactly; before 5.7 there was no such count. */
  readonly largeFolioPincount: boolean;
  /** A large folio mapped by one process only is reused by its write faults (6.15, X-04). */
  readonly largeFolioReuse: boolean;
  /** A write to a shared huge page copies one small page of it (5.8); before, all of it. */
  readonly hugeCowSplits: boolean;
  /** A write to the huge zero folio gets a huge page (6.13, and before 5.8); else one small page. */
  readonly hugeZeroWriteStaysHuge: boolean;
  /** Splitting a large folio turns its pages of zeros into the zero page (6.12). */
  readonly splitDropsZeros: boolean;
  /** Collapsing small pages takes at least one that is mapped writable (before 6.18). */
  readonly collapseNeedsWritable: boolean;
  /** Idle FS-DAX pages have no reference (6.15, D-03); before, one. */
  readonly daxIdleAtZero: boolean;
  /** GUP-fast refuses a folio without mapping whenever it looks at it (6.18, Q-04). */
  readonly fastRefusesNoMapping: boolean;
  /** Programs can map memory of PCI devices for peer-to-peer, and FOLL_PCI_P2PDMA exists (6.2, PP-01). */
  readonly userMapsPeerMemory: boolean;
}

export const linux618: KernelProfile = {
  name: '6.18',
  basis: 'recorded',
  cowReuse: 'exclusive',
  forkCopiesPinned: true,
  forkCopiesPinnedHugetlb: true,
  writeProtectSeq: true,
  pinsExist: true,
  directIoPins: true,
  zeroPageUncounted: true,
  readPinUnshares: true,
  longtermReadUnsharesFiles: true,
  longtermRefusesDirtyTracked: true,
  longtermLeavesMovable: true,
  reclaimSkipsPinned: true,
  reclaimKeepsPinnedBuffers: true,
  dirtyWithoutBuffers: 'warn',
  largeFolioPincount: true,
  largeFolioReuse: true,
  hugeCowSplits: true,
  hugeZeroWriteStaysHuge: true,
  splitDropsZeros: true,
  collapseNeedsWritable: false,
  daxIdleAtZero: true,
  fastRefusesNoMapping: true,
  userMapsPeerMemory: true,
};

export const linux61: KernelProfile = {
  ...linux618,
  name: '6.1',
  basis: 'partly recorded',
  directIoPins: false,
  zeroPageUncounted: false,
  longtermReadUnsharesFiles: false,
  longtermRefusesDirtyTracked: false,
  reclaimKeepsPinnedBuffers: false,
  largeFolioReuse: false,
  hugeZeroWriteStaysHuge: false,
  splitDropsZeros: false,
  collapseNeedsWritable: true,
  daxIdleAtZero: false,
  userMapsPeerMemory: false,
};

export const linux54: KernelProfile = {
  ...linux61,
  name: '5.4',
  basis: 'from sources',
  cowReuse: 'mapcount',
  forkCopiesPinned: false,
  forkCopiesPinnedHugetlb: false,
  writeProtectSeq: false,
  pinsExist: false,
  readPinUnshares: false,
  longtermLeavesMovable: false,
  reclaimSkipsPinned: false,
  dirtyWithoutBuffers: 'bug',
  largeFolioPincount: false,
  hugeCowSplits: false,
  hugeZeroWriteStaysHuge: true,
};

/** By the name a machine description says. */
export const kernelProfiles: Readonly<Record<string, KernelProfile>> = {
  [linux618.name]: linux618,
  [linux61.name]: linux61,
  [linux54.name]: linux54,
};
