/**
 * Lets an installed command load TypeScript: plugins, workload modules and machine files as their authors write them. swc
 * strips the types and writes the decorator metadata that services are found by, which a Node that strips types by itself does
 * not. In a clone the repository's own hook does this before anything else is loaded.
 *
 * A file is compiled to CommonJS, whatever `type` its package.json says, so there is no top-level await in it. Nothing checks its
 * types; `tsc` does.
 */
import Module, { createRequire } from 'node:module';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import type * as Swc from '@swc/core';

const TYPESCRIPT = /\.[cm]?ts$/;

/** As scripts/swc-options.cjs has them for the repository. */
export const SWC_OPTIONS: Swc.Options = {
  swcrc: false,
  jsc: {
    target: 'es2022',
    parser: { syntax: 'typescript', decorators: true },
    transform: { legacyDecorator: true, decoratorMetadata: true, useDefineForClassFields: false },
    keepClassNames: true,
  },
  module: { type: 'commonjs', ignoreDynamic: false },
  sourceMaps: 'inline',
};

interface LoadedModule {
  _compile(code: string, filename: string): void;
}

/** What Node has for loaders of CommonJS; stable since its beginnings, and without types. */
interface ModuleLoader {
  readonly _extensions: Record<string, (module: LoadedModule, filename: string) => void>;
  _resolveFilename(request: string, parent: { readonly filename?: string } | undefined, ...rest: unknown[]): string;
}

const loader = Module as unknown as ModuleLoader;

/** From now on `require` loads TypeScript. Twice is once. */
export function loadTypeScriptSources(): void {
  if (__filename.endsWith('.ts') || loader._extensions['.ts'] === compile) return;
  for (const extension of ['.ts', '.cts', '.mts']) loader._extensions[extension] = compile;
  const resolveFilename = loader._resolveFilename.bind(loader);
  loader._resolveFilename = (request, parent, ...rest) =>
    resolveFilename(sourceOf(request, parent?.filename) ?? request, parent, ...rest);
  process.setSourceMapsEnabled(true);
}

/** Throws when swc has no binary for this platform, and for what is no TypeScript. */
function compile(module: LoadedModule, filename: string): void {
  // Loaded when it is needed only: it takes a tenth of a second.
  const { transformSync } = createRequire(__filename)('@swc/core') as typeof Swc;
  module._compile(transformSync(readFileSync(filename, 'utf8'), { ...SWC_OPTIONS, filename }).code, filename);
}

/** The TypeScript file that an import means which names the JavaScript to be made of it (`./nic.js`), or null. */
function sourceOf(request: string, from: string | undefined): string | null {
  if (from === undefined || !TYPESCRIPT.test(from) || !/^\.\.?\/.*\.[cm]?js$/.test(request)) return null;
  const path = resolve(dirname(from), request);
  const source = path.replace(/js$/, 'ts');
  return existsSync(path) || !existsSync(source) ? null : source;
}
