/**
 * Loads modules of the user: machine files, workload modules, plugins. `require` loads CommonJS and, since Node 20.19,
 * ES modules without top-level await. TypeScript needs somebody who strips the types: in a clone the repository's hook,
 * elsewhere `loadTypeScriptSources`.
 */
import { createRequire } from 'node:module';
import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { PincushionError, UsageError } from '@pincushion/sim';
import { messageWithPlace } from './outside-failure';
import { loadTypeScriptSources } from './typescript-sources';

const MODULE_FILE = /\.[cm]?[jt]s$/;
const TYPESCRIPT_FILE = /\.[cm]?ts$/;

export function isModulePath(path: string): boolean {
  return MODULE_FILE.test(path);
}

/** What a module is loaded for, and the code of the error when that fails. */
const FAILURE_CODES = {
  'machine file': 'MACHINE_INVALID',
  'workload module': 'WORKLOAD_INVALID',
  plugin: 'PLUGIN_INVALID',
} as const;

/** What a module file exports. */
export function loadModule(path: string, what: keyof typeof FAILURE_CODES): Readonly<Record<string, unknown>> {
  const absolute = resolve(path);
  if (!existsSync(absolute)) {
    throw new UsageError('FILE_UNREADABLE', `${path}: the ${what} cannot be read: there is no such file or folder`);
  }
  try {
    if (TYPESCRIPT_FILE.test(path)) loadTypeScriptSources();
    return asRecord(createRequire(absolute)(absolute));
  } catch (error) {
    if (error instanceof PincushionError) throw error;
    throw new UsageError(
      FAILURE_CODES[what],
      `${path}: the ${what} failed while it was loaded: ${messageWithPlace(error)}`,
      {
        cause: error,
      },
    );
  }
}

function asRecord(loaded: unknown): Readonly<Record<string, unknown>> {
  return typeof loaded === 'object' && loaded !== null ? (loaded as Record<string, unknown>) : { default: loaded };
}

/**
 * The file that a package is loaded from which lies in a folder of its own: its sources, where `exports` names them under the
 * condition `pincushion-source`, so that what is verified is what was just written; otherwise what everybody gets. `entry`:
 * the subpath of its exports. Throws what Node throws for a package that cannot be found.
 */
export function packageModule(folder: string, entry = '.'): string {
  const manifest = resolve(folder, 'package.json');
  const { name, exports } = JSON.parse(readFileSync(manifest, 'utf8')) as PackageManifest;
  const source = exports?.[entry]?.['pincushion-source'];
  if (typeof source === 'string' && existsSync(join(folder, source))) return resolve(folder, source);
  return createRequire(manifest).resolve(name + entry.slice(1));
}

interface PackageManifest {
  readonly name: string;
  readonly exports?: Readonly<Record<string, Readonly<Record<string, unknown>> | undefined>>;
}
