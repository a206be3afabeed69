/** Block layer after Linux: bio, completion, user-buffer extraction, direct I/O on raw devices. */
export { Bio, BioOp, BioPages, BioState, REQ_FUA, REQ_SYNC } from './bio';
export type { BioVec } from './bio';
export { BioPool } from './bio-pool';
export { DirectIo } from './direct-io';
export { Disk } from './disk';
export type { QueueLimits } from './disk';
export { HardwareQueue } from './hardware-queue';
export { bioCheckPagesDirty, bioPutPages, bioReleasePages, bioSetPagesDirty } from './release';
export { BlkStatus, blkStatusToErrno } from './status';
export { bioEndIo, submitBio } from './submit';
export { bioAddUserPages } from './user-buffer';
