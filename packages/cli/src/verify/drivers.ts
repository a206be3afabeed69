/**
 * The drivers of a package, each with the hardware it is verified on: the first model of the plugin that it matches.
 *
 * A package is named by its folder, by a module file, or as `import` would name it from here.
 */
import { existsSync, statSync } from 'node:fs';
import { resolve } from 'node:path';
import type { DriverClass, HardwareClass, Plugin } from '@pincushion/driver';
import { driverMeta, hardwareMeta } from '@pincushion/driver';
import { UsageError } from '@pincushion/sim';
import { packageModule } from '../load-module';
import { loadPlugins, locatePlugin } from '../plugins';
import { unknownWord } from '../unknown-word';

export interface VerifiableDriver {
  readonly name: string;
  readonly driver: DriverClass;
  readonly hardware: HardwareClass;
  readonly plugin: Plugin;
}

/** The file of the module that exports the plugin. Throws `UsageError` PLUGIN_UNKNOWN. */
export function pluginFile(word: string): string {
  const path = resolve(word);
  if (!existsSync(path)) return locatePlugin(word, 'verify', process.cwd());
  if (!statSync(path).isDirectory()) return path;
  try {
    return packageModule(path);
  } catch (cause) {
    throw new UsageError('PLUGIN_UNKNOWN', `${word} is a folder without a package that could be loaded`, {
      expected: 'a package.json with a name and exports',
      cause,
    });
  }
}

/** All drivers of a plugin, or the one of that name. Throws `UsageError`. */
export function driversOf(file: string, word: string, only?: string): readonly VerifiableDriver[] {
  const [plugin] = loadPlugins([file], word, process.cwd());
  const drivers = plugin.drivers.map((driver) => ({
    name: driverMeta(driver)?.name ?? driver.name,
    driver,
    hardware: hardwareFor(driver, plugin, word),
    plugin,
  }));
  if (only === undefined) return drivers;
  const named = drivers.filter(({ name }) => name === only);
  if (named.length > 0) return named;
  throw unknownWord(
    `${word} has no driver "${only}"`,
    only,
    drivers.map(({ name }) => name),
  );
}

function hardwareFor(driver: DriverClass, { hardware }: Plugin, word: string): HardwareClass {
  const meta = driverMeta(driver);
  const match = meta?.match ?? [];
  const found = hardware.find((cls) => {
    const model = hardwareMeta(cls);
    return match.some(({ vendor, device }) => vendor === model?.vendor && device === model.device);
  });
  if (found !== undefined) return found;
  throw new UsageError(
    'PLUGIN_INVALID',
    `${word}: no hardware model that driver ${meta?.name ?? driver.name} matches`,
    {
      expected: 'a model in `hardware` with the ids of one entry of `match`',
      actual: hardware.map((cls) => hardwareMeta(cls)?.name ?? cls.name).join(', ') || 'none',
    },
  );
}
