/** The composition root: boots a machine out of a description; processes and their system calls. */
export {
  MachineDescription,
  defineMachine,
  machineJsonSchema,
  parseMachine,
  parseMachineText,
  pinSchemeOf,
} from './description';
export type { DeviceDescription, MachineInput } from './description';
export { Machine } from './machine';
export type { BootOptions } from './machine';
export { MountTable } from './mount-table';
export type { MountedFiles } from './mount-table';
export {
  FALLOC_FL_KEEP_SIZE,
  FALLOC_FL_PUNCH_HOLE,
  MFD_HUGETLB,
  MFD_HUGE_1GB,
  MFD_HUGE_2MB,
  O_CREAT,
  O_EXCL,
  O_TRUNC,
  Process,
} from './process';
export { Duration, Size } from './sizes';
