/**
 * Where a new package gets Pincushion from: a version in the registry, or a folder with the tarballs of all packages, for
 * machines without a registry and for versions that are in none. With tarballs every package of Pincushion is named, also those
 * that only others need, since nothing else would tell npm where they are.
 */
import { existsSync, readdirSync, statSync } from 'node:fs';
import { join, relative, resolve, sep } from 'node:path';
import { UsageError } from '@pincushion/sim';

const TARBALL = /^pincushion-([a-z0-9-]+?)-(\d+\.\d+\.\d+.*)\.tgz$/;
/** A version, a range of one, or a tag such as `next`. */
const VERSION = /^([\^~]?\d+(\.\d+){0,2}([-+][\w.+-]+)?|[a-z][\w-]*)$/;

export interface PincushionSource {
  /** What to write beside a dependency on one of our packages, in the package.json of `folder`. */
  specifier(packageName: string, folder: string): string;
  /** Our packages that have to be named even where only others need them. */
  readonly packages: readonly string[];
}

/** `text`: a version or tag, or the path of a folder. Throws `UsageError` ARGUMENT_INVALID. */
export function pincushionSource(text: string): PincushionSource {
  const path = resolve(text);
  if (existsSync(path) && statSync(path).isDirectory()) return fromTarballs(path, text);
  if (VERSION.test(text)) return { specifier: () => text, packages: [] };
  throw new UsageError('ARGUMENT_INVALID', `there is no Pincushion at "${text}"`, {
    expected: 'a version such as ^0.1.0, or a folder with the tarballs of all packages',
    actual: text,
    hint: 'node scripts/pack.mjs FOLDER in a clone, which makes the tarballs',
  });
}

function fromTarballs(path: string, text: string): PincushionSource {
  const files = new Map<string, string>();
  for (const file of readdirSync(path)) {
    const name = TARBALL.exec(file)?.[1];
    if (name !== undefined) files.set(`@pincushion/${name}`, file);
  }
  if (!files.has('@pincushion/driver')) {
    throw new UsageError('ARGUMENT_INVALID', `${text} has no tarballs of Pincushion`, {
      expected: 'pincushion-driver-VERSION.tgz and those of the other packages',
      actual: [...files.values()].join(', ') || 'none',
      hint: `node scripts/pack.mjs ${text} in a clone, which makes them`,
    });
  }
  return {
    specifier: (packageName, folder) => {
      const file = files.get(packageName);
      if (file === undefined) {
        throw new UsageError('ARGUMENT_INVALID', `${text} has no tarball of ${packageName}`, {
          expected: 'the tarballs of all packages, of one version',
          actual: [...files.values()].join(', '),
        });
      }
      return `file:${relative(folder, join(path, file)).split(sep).join('/')}`;
    },
    packages: [...files.keys()].sort(),
  };
}
