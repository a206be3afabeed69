/**
 * Knows when this package has been loaded twice.
 *
 * Classes are tokens, so a second copy of the package (a plugin that brought its own) makes every service "missing"
 * although it is there. Each copy writes its version and place into one registry on `globalThis` when it is loaded.
 * This is the one piece of state outside a world besides the preemption point: copies do not see each other otherwise.
 */
import { createRequire } from 'node:module';
import { UsageError } from '@pincushion/sim';

export interface PackageCopy {
  readonly version: string;
  readonly path: string;
}

const REGISTRY = Symbol.for('pincushion.driver');

interface Registered {
  [REGISTRY]: PackageCopy[] | undefined;
}

function registry(): PackageCopy[] {
  return ((globalThis as unknown as Registered)[REGISTRY] ??= []);
}

/** Called once when the package is loaded. */
export function registerCopy(): void {
  const { version } = createRequire(__filename)('../package.json') as { version: string };
  const copies = registry();
  if (!copies.some((copy) => copy.path === __dirname)) copies.push({ version, path: __dirname });
}

/** Throws `UsageError` DRIVER_DUPLICATE_PACKAGE when more than one copy has been loaded. */
export function checkOneCopy(): void {
  const copies = registry();
  if (copies.length > 1) throw duplicatePackage(copies);
}

export function duplicatePackage(copies: readonly PackageCopy[] = registry()): UsageError {
  const list = copies.map((copy) => `${copy.version} at ${copy.path}`).join(', ');
  return new UsageError('DRIVER_DUPLICATE_PACKAGE', '@pincushion/driver has been loaded more than once', {
    expected: 'one copy in the process: a service class of another copy is a different class',
    actual: list,
    hint:
      'naming @pincushion/driver in the peerDependencies of the plugin instead of its dependencies, ' +
      'then npm ls @pincushion/driver to see that one copy is left',
  });
}
