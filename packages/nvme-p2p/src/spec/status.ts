/**
 * Status of a completed command: status code type << 8 | status code, as both stand in a completion entry.
 * `DNR` (do not retry) is added where another try would end the same way.
 * Source: NVM Express Base Specification 1.4, section 4.6.1.
 */

/** Do not retry: bit 14 of the 15-bit status field. */
export const DNR = 0x4000;
/** Status code type and status code of a status field, without DNR, MORE and CRD. */
export const STATUS_MASK = 0x7ff;

export const NvmeStatus = {
  success: 0x000,
  // Generic command status.
  invalidOpcode: 0x001 | DNR,
  invalidField: 0x002 | DNR,
  /** Fused commands are not supported: a host may send the command again by itself, so DNR is clear. */
  invalidFuse: 0x002,
  /** A kind of data pointer that there is not. Read and Write add DNR. */
  invalidPointerKind: 0x002,
  commandIdConflict: 0x003 | DNR,
  dataTransferError: 0x004 | DNR,
  internalError: 0x006,
  abortRequested: 0x007,
  abortedSqDeletion: 0x008,
  invalidNamespace: 0x00b | DNR,
  commandSequence: 0x00c | DNR,
  invalidSglSegment: 0x00d | DNR,
  invalidSglCount: 0x00e | DNR,
  invalidSglLength: 0x00f | DNR,
  invalidSglType: 0x011 | DNR,
  invalidCmbUse: 0x012 | DNR,
  invalidPrpOffset: 0x013 | DNR,
  /** Of no version 1.4 feature; as the reference controller has it. */
  combinationRejected: 0x02b | DNR,
  lbaOutOfRange: 0x080 | DNR,
  formatInProgress: 0x084,
  // Command specific status.
  invalidCompletionQueue: 0x100 | DNR,
  invalidQueueId: 0x101 | DNR,
  invalidQueueSize: 0x102 | DNR,
  asyncEventLimit: 0x105,
  invalidInterruptVector: 0x108 | DNR,
  invalidFormat: 0x10a | DNR,
  invalidQueueDeletion: 0x10c,
  featureNotSaveable: 0x10d | DNR,
  featureNotChangeable: 0x10e | DNR,
  featureNotPerNamespace: 0x10f | DNR,
  alreadyAttached: 0x118 | DNR,
  notAttached: 0x11a | DNR,
  controllerListInvalid: 0x11c | DNR,
  sizeLimitExceeded: 0x183 | DNR,
  // Media errors.
  writeFault: 0x280,
  unrecoveredRead: 0x281,
  compareFailure: 0x285,
  deallocatedBlock: 0x287 | DNR,
} as const;
