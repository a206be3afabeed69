/** The disks of a machine as NBD clients see them. */
import type { Machine } from '@pincushion/machine';
import type { NbdExport } from './nbd-protocol';

/** All disks, the first of them the default one; or the one named. Throws `UsageError` DEVICE_UNKNOWN with the nearest name. */
export function exportsOf(machine: Machine, only: string | undefined): readonly NbdExport[] {
  const names = only === undefined ? machine.diskNames : [machine.disk(only).name];
  return names.map((name) => {
    const disk = machine.disk(name);
    return {
      name,
      description: `disk ${name} of an emulated machine`,
      size: disk.capacitySectors * 512,
      blockBytes: disk.limits.logicalBlockBytes,
    };
  });
}
