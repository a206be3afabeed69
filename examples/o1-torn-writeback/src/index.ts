/** A page that is written to disk while a device still writes to it. */
export { ChecksummedBlocks } from './checksummed-blocks';
export { writeWhileDeviceWrites } from './torn-writeback';
export type { Moment, Outcome, Setting } from './torn-writeback';
