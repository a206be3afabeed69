/**
 * Commands, their fields, features and log pages that this package knows.
 * Source: NVM Express Base Specification 1.4, sections 5 (admin commands) and 6 (NVM commands).
 */

export const AdminOpcode = {
  deleteSq: 0x00,
  createSq: 0x01,
  getLogPage: 0x02,
  deleteCq: 0x04,
  createCq: 0x05,
  identify: 0x06,
  abort: 0x08,
  setFeatures: 0x09,
  getFeatures: 0x0a,
  asyncEventRequest: 0x0c,
  namespaceAttachment: 0x15,
  doorbellBufferConfig: 0x7c,
  formatNvm: 0x80,
} as const;

export const NvmOpcode = {
  flush: 0x00,
  write: 0x01,
  read: 0x02,
  writeUncorrectable: 0x04,
  compare: 0x05,
  writeZeroes: 0x08,
  datasetManagement: 0x09,
  verify: 0x0c,
  copy: 0x19,
} as const;

/** For each of the 256 opcodes, whether it is one of a command set. */
export function knownOpcodes(commands: Readonly<Record<string, number>>): readonly boolean[] {
  const opcodes = Object.values(commands);
  return Object.freeze(Array.from({ length: 256 }, (_, opcode) => opcodes.includes(opcode)));
}

export const BROADCAST_NSID = 0xffffffff;

/** Command dword 0: opcode 7:0, FUSE 9:8, PSDT 15:14, command identifier 31:16. */
export const DW0_FUSE = 3 << 8;
export const DW0_PSDT = 3 << 14;

/** Command dword 12 of Read, Write and Write Zeroes: NLB 15:0 (0's based), DEAC 25, FUA 30. */
export const DW12_NLB_MASK = 0xffff;
export const DW12_FUA = 1 << 30;
export const DW12_DEAC = 1 << 25;

/** Dataset Management, command dword 11: deallocate. */
export const DSM_DEALLOCATE = 4;
/** A range of Dataset Management: context attributes, length in blocks (32 bits), starting LBA (64 bits). */
export const DSM_RANGE_BYTES = 16;
export const DSM_RANGES_MAX = 256;

/** Copy, a source range of format 0: starting LBA at byte 8, number of blocks (16 bits, 0's based) at byte 16. */
export const COPY_RANGE_BYTES = 32;
export const COPY_RANGES_MAX = 256;

/** Create queue, command dword 11: physically contiguous; interrupts enabled (completion queues). */
export const QUEUE_CONTIGUOUS = 1;
export const QUEUE_INTERRUPTS = 2;

/** Identify, command dword 10 bits 7:0: which structure. */
export const Cns = {
  namespace: 0x00,
  controller: 0x01,
  activeNamespaces: 0x02,
  namespaceDescriptors: 0x03,
  namespaceOfCommandSet: 0x05,
  controllerOfCommandSet: 0x06,
  activeNamespacesOfCommandSet: 0x07,
  allocatedNamespaces: 0x10,
  allocatedNamespace: 0x11,
  attachedControllers: 0x12,
  controllers: 0x13,
  allocatedNamespacesOfCommandSet: 0x1a,
  allocatedNamespaceOfCommandSet: 0x1b,
  commandSets: 0x1c,
} as const;

export const IDENTIFY_BYTES = 4096;

export const Feature = {
  arbitration: 0x01,
  powerManagement: 0x02,
  temperatureThreshold: 0x04,
  errorRecovery: 0x05,
  volatileWriteCache: 0x06,
  numberOfQueues: 0x07,
  interruptCoalescing: 0x08,
  interruptVector: 0x09,
  writeAtomicity: 0x0a,
  asyncEvents: 0x0b,
  timestamp: 0x0e,
  hostBehaviour: 0x16,
  commandSetProfile: 0x19,
} as const;

export const LogPage = {
  errorInformation: 0x01,
  smart: 0x02,
  firmwareSlots: 0x03,
  changedNamespaces: 0x04,
  commandEffects: 0x05,
} as const;

/** Get Log Page, command dword 10 bit 15: the asynchronous event of this log stays masked. */
export const RETAIN_ASYNC_EVENT = 1 << 15;

export const AsyncEventType = { error: 0, smart: 1, notice: 2 } as const;
/** Informations of a health event and of a notice. */
export const AsyncHealthInfo = { reliability: 0, temperature: 1, spare: 2 } as const;
export const AsyncNoticeInfo = { namespaceAttribute: 0 } as const;
/** Informations of an error event. */
export const AsyncErrorInfo = { invalidDoorbellRegister: 0, invalidDoorbellValue: 1 } as const;
