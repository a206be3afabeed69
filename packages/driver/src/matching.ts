/**
 * Which driver belongs to a piece of hardware: the one whose match table has its vendor and device id.
 *
 * Source followed: `pci_match_device` (`drivers/pci/pci-driver.c`); the first driver in the order of the plugins wins.
 */
import { UsageError } from '@pincushion/sim';
import type { DriverClass, HardwareMeta } from './decorators';
import { driverMeta } from './decorators';
import { idText } from './package-field';
import type { Plugin } from './plugin';

/** The driver for the hardware. Throws `UsageError` DRIVER_NO_MATCH that lists what there was to choose from. */
export function matchDriver(plugins: readonly Plugin[], hardware: HardwareMeta, devicePath: string): DriverClass {
  const known = new Set<string>();
  for (const plugin of plugins) {
    for (const cls of plugin.drivers) {
      const meta = driverMeta(cls);
      if (meta === null) continue;
      for (const { vendor, device } of meta.match) {
        if (vendor === hardware.vendor && device === hardware.device) return cls;
        known.add(`${meta.name} (${idText({ vendor, device })})`);
      }
    }
  }
  throw new UsageError('DRIVER_NO_MATCH', `no driver for ${hardware.name} ${idText(hardware)}`, {
    device: devicePath,
    expected: known.size === 0 ? 'a plugin with a driver' : `hardware of one of ${[...known].join(', ')}`,
    actual: `${hardware.name} ${idText(hardware)}`,
    hint: "adding the hardware's ids to the match table of its driver",
  });
}
