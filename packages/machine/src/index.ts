/** The composition root: boots a machine out of a description; processes and their system calls. */
export {
  MachineDescription,
  byName,
  defineMachine,
  machineJsonSchema,
  parseMachine,
  parseMachineText,
  pinSchemeOf,
} from './description';
export type { DeviceDescription, MachineInput } from './description';
export { ambiguous, hardwareOf, pluginOf } from './hardware-choice';
export { Machine } from './machine';
export type { BootOptions } from './machine';
export { MountTable } from './mount-table';
export type { MountedFiles, OpenedFile } from './mount-table';
export { pciRoute } from './pci-topology';
export {
  MFD_HUGETLB,
  MFD_HUGE_1GB,
  MFD_HUGE_2MB,
  O_APPEND,
  O_CREAT,
  O_DIRECT,
  O_EXCL,
  O_TRUNC,
  Process,
} from './process';
export { Duration, Size } from './sizes';
