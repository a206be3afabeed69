/** The acts in their order. A new act is a file here and a line below. */
import type { Act } from './act';
import { caughtRedHanded } from './caught-red-handed';
import { directIoHolds } from './direct-io-holds';
import { forkCorruptsRdma } from './fork-corrupts-rdma';
import { o1TornWriteback } from './o1-torn-writeback';
import { o2DirtyBehindTheFileSystem } from './o2-dirty-behind-the-filesystem';
import { recordedWork } from './recorded-work';

export const acts: readonly Act[] = [
  recordedWork,
  caughtRedHanded,
  forkCorruptsRdma,
  o1TornWriteback,
  o2DirtyBehindTheFileSystem,
  directIoHolds,
];
