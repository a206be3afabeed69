/**
 * The plugins that a package brings along without being named by anybody: itself and its direct dependencies, as far as
 * they have the keyword `pincushion-driver` and the field `pincushion`. Only `package.json` files are read; whose code
 * runs is decided later, when a device matches.
 *
 * Followed for where a dependency lies: the lookup of `node_modules` by Node (`Module._nodeModulePaths`).
 */
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import type { PackageField } from '@pincushion/driver';
import { PLUGIN_KEYWORD, parsePackageField } from '@pincushion/driver';
import { UsageError } from '@pincushion/sim';
import { fileProblem } from './file-problem';

/** A package that was looked at, and what it says about its plugin. */
export interface FoundPackage {
  readonly name: string;
  /** Its package.json; null when it is a dependency that is not installed. */
  readonly manifest: string | null;
  readonly keyword: boolean;
  /** Whether it has a `pincushion` field. */
  readonly hasField: boolean;
  /** What the field says; null when there is none, or one that cannot be used. */
  readonly field: PackageField | null;
  /** What is wrong with the field. */
  readonly problem: UsageError | null;
}

export interface Discovery {
  /** The package.json whose dependencies were looked at; null when no folder above has one. */
  readonly manifest: string | null;
  /** The package itself, then its dependencies in the order in which they are written. */
  readonly packages: readonly FoundPackage[];
}

const DEPENDENCY_FIELDS = ['dependencies', 'optionalDependencies', 'peerDependencies', 'devDependencies'] as const;

/** What the package that `folder` belongs to brings along. Throws `UsageError` for its own package.json only. */
export function discoverPackages(folder: string): Discovery {
  const manifest = nearestManifest(resolve(folder));
  if (manifest === null) return { manifest, packages: [] };
  const own = readManifest(manifest);
  const require = createRequire(manifest);
  const names = new Set(DEPENDENCY_FIELDS.flatMap((field) => Object.keys(recordOf(own[field]))));
  const packages = [...names].map((name) => lookAt(name, installed(name, require)));
  return {
    manifest,
    packages: typeof own['name'] === 'string' ? [lookAt(own['name'], manifest), ...packages] : packages,
  };
}

/** The package.json of the package that a folder belongs to. */
function nearestManifest(folder: string): string | null {
  for (let at = folder; ; at = dirname(at)) {
    const manifest = join(at, 'package.json');
    if (existsSync(manifest)) return manifest;
    if (dirname(at) === at) return null;
  }
}

function installed(name: string, require: NodeJS.Require): string | null {
  const folders = require.resolve.paths(`${name}/package.json`) ?? [];
  return folders.map((folder) => join(folder, name, 'package.json')).find((path) => existsSync(path)) ?? null;
}

function lookAt(name: string, manifest: string | null): FoundPackage {
  const nothing = { name, manifest, keyword: false, hasField: false, field: null, problem: null };
  if (manifest === null) return nothing;
  let content: Readonly<Record<string, unknown>>;
  try {
    content = readManifest(manifest);
  } catch (error) {
    if (error instanceof UsageError) return { ...nothing, problem: error };
    throw error;
  }
  const keyword = Array.isArray(content['keywords']) && content['keywords'].includes(PLUGIN_KEYWORD);
  const hasField = Object.hasOwn(content, 'pincushion');
  if (!keyword || !hasField) return { ...nothing, keyword, hasField };
  try {
    const field = parsePackageField(content['pincushion'], name, manifest);
    return { ...nothing, keyword, hasField, field };
  } catch (error) {
    if (error instanceof UsageError) return { ...nothing, keyword, hasField, problem: error };
    throw error;
  }
}

function readManifest(path: string): Readonly<Record<string, unknown>> {
  try {
    return recordOf(JSON.parse(readFileSync(path, 'utf8')));
  } catch (cause) {
    const why = cause instanceof SyntaxError ? cause.message : fileProblem(cause);
    throw new UsageError('PACKAGE_FIELD_INVALID', `${path} cannot be read: ${why}`, {
      expected: 'a package.json',
      cause,
    });
  }
}

function recordOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}
