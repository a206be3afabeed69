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
export { Process } from './process';
export { Duration, Size } from './sizes';
