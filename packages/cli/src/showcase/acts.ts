/** The acts in their order. A new act is a file here and a line below. */
import type { Act } from './act';
import { caughtRedHanded } from './caught-red-handed';
import { forkCorruptsRdma } from './fork-corrupts-rdma';
import { recordedWork } from './recorded-work';

export const acts: readonly Act[] = [recordedWork, caughtRedHanded, forkCorruptsRdma];
