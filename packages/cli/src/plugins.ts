/**
 * Loads plugins by their names: packages, looked up first from the machine file's folder, then from this command; or
 * module files, relative to the machine file (`./my-nic.ts`). No other plugin's code is run.
 */
import { createRequire } from 'node:module';
import { isAbsolute, join, resolve } from 'node:path';
import type { Plugin } from '@pincushion/driver';
import { nearestName } from '@pincushion/driver';
import { UsageError } from '@pincushion/sim';
import { isModulePath, loadModule } from './load-module';

/** The plugins that come with this command. */
const BUNDLED: readonly string[] = ['@pincushion/nvme-p2p'];

/** Loads each named plugin once; `source` says in messages where the names come from, `folder` is where they are looked up. */
export function loadPlugins(names: Iterable<string>, source: string, folder: string): readonly Plugin[] {
  return [...new Set(names)].map((name) => loadPlugin(locatePlugin(name, source, folder), name, source));
}

/** The plugin of a module file, under the name by which it was found. Throws `UsageError` PLUGIN_INVALID. */
export function loadPlugin(file: string, name: string, source: string): Plugin {
  const exported = loadModule(file, 'plugin');
  const plugin = exported['plugin'] ?? exported['default'];
  if (!isPlugin(plugin)) {
    throw new UsageError('PLUGIN_INVALID', `${source}: "${name}" is a module, but not a plugin`, {
      expected: 'a module that exports `plugin`, made by definePlugin()',
      actual: `a module that exports ${Object.keys(exported).join(', ') || 'nothing'}`,
    });
  }
  // A description names a plugin by where it is found; the machine knows it by that name.
  return plugin.name === name ? plugin : { ...plugin, name };
}

/** The file a plugin's name leads to. */
export function locatePlugin(name: string, source: string, folder: string): string {
  if (name.startsWith('.') || isAbsolute(name)) return resolve(folder, name);
  for (const from of [join(folder, 'machine'), __filename]) {
    try {
      return createRequire(from).resolve(name);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'MODULE_NOT_FOUND') throw error;
    }
  }
  throw new UsageError('PLUGIN_UNKNOWN', `${source}: there is no plugin "${name}"`, {
    expected: `a package installed beside the machine file, a module file such as ./my-nic.ts, or one of ${BUNDLED.join(', ')}`,
    hint: isModulePath(name)
      ? `./${name}`
      : (nearestName(name, BUNDLED) ?? 'npm install in the folder of the machine file'),
  });
}

function isPlugin(value: unknown): value is Plugin {
  if (typeof value !== 'object' || value === null) return false;
  const { name, drivers, hardware } = value as Partial<Record<keyof Plugin, unknown>>;
  return typeof name === 'string' && Array.isArray(drivers) && Array.isArray(hardware);
}
