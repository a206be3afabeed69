/**
 * The templates of new packages: real packages, compiled and tested where they lie (`templates/`), in which the names are those
 * of `my-device`. A new package has what all kinds share and what its kind has, with its own names in their place.
 */
import { readFileSync, readdirSync } from 'node:fs';
import { join, sep } from 'node:path';
import type { PackageName } from './package-name';
import type { PincushionSource } from './pincushion-source';

// The same step up from src/new-driver/ and from dist/new-driver/.
const TEMPLATES = join(__dirname, '../../templates');
const SHARED = 'shared';
/** npm does not pack a file of its real name. */
const RENAMED: Readonly<Record<string, string>> = { gitignore: '.gitignore' };

export const DRIVER_KINDS = ['blank', 'rdma', 'gpu', 'nvme', 'dax'] as const;
export type DriverKind = (typeof DRIVER_KINDS)[number];

/** A file of the new package: its path in it, with `/`, and its text. */
export interface NewFile {
  readonly path: string;
  readonly text: string;
}

interface Manifest {
  name: string;
  description: string;
  peerDependencies: Record<string, string>;
  devDependencies: Record<string, string>;
  overrides: Record<string, string>;
}

/** Packages that every new package depends on: their names are taken. */
export function templateDependencies(): readonly string[] {
  const { dependencies, devDependencies } = JSON.parse(readTemplate(SHARED, 'package.json')) as Record<
    'dependencies' | 'devDependencies',
    Record<string, string>
  >;
  return Object.keys({ ...dependencies, ...devDependencies });
}

/** All files of a new package, sorted by path. `folder`: where it will be; `version`: of this command. */
export function instantiate(
  kind: DriverKind,
  name: PackageName,
  folder: string,
  pincushion: PincushionSource,
  version: string,
): readonly NewFile[] {
  const files = new Map<string, NewFile>();
  for (const part of [SHARED, kind]) {
    for (const path of filesBelow(join(TEMPLATES, part))) {
      const renamed = withNames(RENAMED[path] ?? path, name);
      files.set(renamed, { path: renamed, text: withNames(readTemplate(part, path), name) });
    }
  }
  const manifest = JSON.parse(readTemplate(SHARED, 'package.json').replaceAll('my-device', name.base)) as Manifest;
  files.set('package.json', {
    path: 'package.json',
    text: JSON.stringify(withSources(manifest, name, folder, pincushion, version), null, 2) + '\n',
  });
  return [...files.values()].sort((a, b) => (a.path < b.path ? -1 : 1));
}

function withSources(
  manifest: Manifest,
  name: PackageName,
  folder: string,
  pincushion: PincushionSource,
  version: string,
): Manifest {
  const { peerDependencies, devDependencies, overrides } = manifest;
  for (const ours of Object.keys(peerDependencies)) peerDependencies[ours] = `^${version}`;
  const named = Object.keys(devDependencies).filter((other) => other.startsWith('@pincushion/'));
  for (const ours of named) devDependencies[ours] = pincushion.specifier(ours, folder);
  const others = pincushion.packages.filter((other) => !named.includes(other));
  for (const ours of others) overrides[ours] = pincushion.specifier(ours, folder);
  return { ...manifest, name: name.full };
}

function withNames(text: string, { base, pascal }: PackageName): string {
  return text.replaceAll('my-device', base).replaceAll('MyDevice', pascal);
}

function readTemplate(part: string, path: string): string {
  return readFileSync(join(TEMPLATES, part, path), 'utf8');
}

function filesBelow(folder: string): readonly string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) =>
      join(entry.parentPath, entry.name)
        .slice(folder.length + 1)
        .split(sep)
        .join('/'),
    );
}
