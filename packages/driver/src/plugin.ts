/** A plugin: the drivers and hardware models one package brings, as data. Nothing runs before a device matches. */
import type { DriverClass, HardwareClass } from './decorators';
import { driverMeta, hardwareMeta } from './decorators';
import { notDecorated } from './decorator-errors';
import { checkOneCopy } from './package-copies';
import { UsageError } from '@pincushion/sim';

export interface Plugin {
  readonly name: string;
  /** Version of the plugin contract: 1. */
  readonly api: 1;
  readonly drivers: readonly DriverClass[];
  readonly hardware: readonly HardwareClass[];
}

/** Checks a plugin where it is written: version of the contract, and a decorator on each class. */
export function definePlugin(plugin: Plugin): Plugin {
  return checkPlugin(plugin);
}

/** The same check for a plugin that came from elsewhere. Throws `UsageError`. */
export function checkPlugin(plugin: Plugin): Plugin {
  checkOneCopy();
  if ((plugin.api as number) !== 1) {
    throw new UsageError('DRIVER_API_MISMATCH', `plugin ${plugin.name} was made for another version of Pincushion`, {
      expected: 'api: 1',
      actual: `api: ${String(plugin.api)}`,
    });
  }
  for (const cls of plugin.drivers) if (driverMeta(cls) === null) throw notDecorated(cls, 'driver');
  for (const cls of plugin.hardware) if (hardwareMeta(cls) === null) throw notDecorated(cls, 'hardware');
  return plugin;
}
