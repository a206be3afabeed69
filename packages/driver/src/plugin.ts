/** A plugin: the drivers and hardware models one package brings, as data. Nothing runs before a device matches. */
import type { DriverClass, HardwareClass } from './decorators';
import { driverMeta, hardwareMeta } from './decorators';
import { notDecorated } from './decorator-errors';
import { checkOneCopy } from './package-copies';
import { PLUGIN_API, otherApi } from './plugin-api';
import type { Task } from '@pincushion/sim';
import type { UserProgram } from './user-program';

/**
 * A small program that uses a device as its users do, from open to close, in a few calls. `pincushion verify` runs it
 * while it pulls the device out, fails allocations, loses interrupts and so on, at each step in turn.
 * @param device name of the device in its machine, which names of nodes may be made of.
 * @returns 0 or more when all went well; what the device refused, as -errno, otherwise. An exception counts as one of the driver.
 */
export type ExampleProgram = (program: UserProgram, device: string) => Task<number>;

export interface Plugin {
  readonly name: string;
  /** Version of the plugin contract: 1. */
  readonly api: 1;
  readonly drivers: readonly DriverClass[];
  readonly hardware: readonly HardwareClass[];
  /** What `pincushion verify` runs. */
  readonly example?: ExampleProgram;
}

/** Checks a plugin where it is written: version of the contract, and a decorator on each class. */
export function definePlugin(plugin: Plugin): Plugin {
  return checkPlugin(plugin);
}

/** The same check for a plugin that came from elsewhere. Throws `UsageError`. */
export function checkPlugin(plugin: Plugin): Plugin {
  checkOneCopy();
  if ((plugin.api as unknown) !== PLUGIN_API) throw otherApi(`plugin ${plugin.name}`, plugin.api);
  for (const cls of plugin.drivers) if (driverMeta(cls) === null) throw notDecorated(cls, 'driver');
  for (const cls of plugin.hardware) if (hardwareMeta(cls) === null) throw notDecorated(cls, 'hardware');
  return plugin;
}
