/**
 * How a machine writes dirty pages of files back: what it does about pinned pages, what a pin does that meets a page on its
 * way to the store, and when dirty pages are written without anybody asking.
 *
 * The first value of each list is what Linux does. The others were proposed and never merged (W-07).
 */

/**
 * What writeback does with a page that a device may be writing to:
 *
 * | value    | background writeback                  | fsync and the like                     |
 * | -------- | ------------------------------------- | -------------------------------------- |
 * | `linux`  | writes it like any other (W-02)       | the same                               |
 * | `bounce` | writes a copy; the page stays dirty   | the same                               |
 * | `skip`   | leaves it for later                   | writes it as it is (W-06)              |
 * | `wait`   | leaves it for later                   | waits until the last pin has gone      |
 *
 * `bounce`: J. Glisse and J. Kara 2018; `skip`: J. Kara 2018; `wait`: J. Hubbard 2021.
 */
export const PINNED_WRITEBACK = ['linux', 'bounce', 'skip', 'wait'] as const;
export type PinnedWriteback = (typeof PINNED_WRITEBACK)[number];

/**
 * A get or pin for writing that meets a page under writeback: takes it, is refused with -EBUSY, or waits. J. Glisse proposed in
 * December 2018 that writeback bounces pages that are pinned, and that GUP refuses or waits for those under writeback: the one
 * does not see a pin that comes a moment later, so `bounce` comes with `wait` unless a machine says otherwise.
 */
export const GUP_UNDER_WRITEBACK = ['ignore', 'busy', 'wait'] as const;
export type GupUnderWriteback = (typeof GUP_UNDER_WRITEBACK)[number];

/**
 * How direct I/O holds the pages of its buffer: by a pin (6.5, O-01), by a plain reference (before), or by a plain reference
 * because a pin is to mean that user space decides how long it lasts (J. Hubbard 2021; not adopted).
 */
export const DIRECT_IO_HOLDS = ['pin', 'get', 'pin-longterm-only'] as const;
export type DirectIoHold = (typeof DIRECT_IO_HOLDS)[number];

export interface WritebackSettings {
  readonly pinned: PinnedWriteback;
  readonly gup: GupUnderWriteback;
  /** Dirty pages are written in the background, and those who make too many have to wait. */
  readonly flusher: boolean;
  /** `vm.dirty_ratio`: percent of the memory that can be dirty, above which who dirties pages waits until it is less. */
  readonly dirtyRatio: number;
  /** `vm.dirty_background_ratio`: percent above which dirty pages are written at once. */
  readonly dirtyBackgroundRatio: number;
  /** `vm.dirty_writeback_centisecs`: how often the flusher looks for old dirty pages while there are dirty ones. */
  readonly flushIntervalNs: number;
  /** `vm.dirty_expire_centisecs`: a file that has been dirty for so long is written. */
  readonly dirtyExpireNs: number;
}

/** What is not given: Linux's values, and with `bounce` the other half of what was proposed with it. */
export function writebackSettings(given: Partial<WritebackSettings> = {}): WritebackSettings {
  return { ...WRITEBACK_DEFAULTS, gup: given.pinned === 'bounce' ? 'wait' : WRITEBACK_DEFAULTS.gup, ...given };
}

/** Linux's values, without a flusher. */
export const WRITEBACK_DEFAULTS: WritebackSettings = {
  pinned: 'linux',
  gup: 'ignore',
  flusher: false,
  dirtyRatio: 20,
  dirtyBackgroundRatio: 10,
  flushIntervalNs: 5e9,
  dirtyExpireNs: 30e9,
};
