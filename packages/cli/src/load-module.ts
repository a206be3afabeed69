/**
 * Loads modules of the user: machine files, workload modules, plugins. `require` loads CommonJS and, since Node 20.19,
 * ES modules without top-level await. TypeScript needs somebody who strips the types: in a clone the repository's hook,
 * elsewhere a newer Node or a loader that the user has registered.
 */
import { createRequire } from 'node:module';
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { PincushionError, UsageError } from '@pincushion/sim';
import { messageWithPlace } from './outside-failure';

const MODULE_FILE = /\.[cm]?[jt]s$/;

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
    return asRecord(createRequire(absolute)(absolute));
  } catch (error) {
    if (error instanceof PincushionError) throw error;
    throw new UsageError(
      FAILURE_CODES[what],
      `${path}: the ${what} failed while it was loaded: ${messageWithPlace(error)}`,
      {
        ...(untranslated(path, error) ? { hint: NEEDS_TYPESCRIPT } : {}),
        cause: error,
      },
    );
  }
}

const NEEDS_TYPESCRIPT =
  'compiling it to JavaScript first, or a clone of the repository: this Node cannot load TypeScript by itself';

/** A Node without a TypeScript loader takes a .ts file for JavaScript and stumbles over its first type. */
function untranslated(path: string, error: unknown): boolean {
  return /\.[cm]?ts$/.test(path) && error instanceof SyntaxError;
}

function asRecord(loaded: unknown): Readonly<Record<string, unknown>> {
  return typeof loaded === 'object' && loaded !== null ? (loaded as Record<string, unknown>) : { default: loaded };
}
