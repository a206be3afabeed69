/** A package of planted bugs outside of the repository, for `pincushion verify`. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { REPOSITORY } from './pincushion';

/** What `verify --json` prints, as far as tests look at it. */
export interface VerifyDocument {
  readonly drivers: readonly {
    readonly problems: readonly { readonly code: string; readonly trial: string; readonly repeat: string }[];
  }[];
}

const PLANTED = join(REPOSITORY, 'packages/testing/test/planted');

/** Makes the package: the drivers are classes of a file of the planted bugs; `pincushion` is the field of its `package.json`. */
export function packageOfBugs(folder: string, file: string, classes: readonly string[], pincushion: unknown): string {
  const path = join(folder, 'planted-bugs');
  mkdirSync(path);
  const manifest = { name: 'planted-bugs', exports: './index.js', keywords: ['pincushion-driver'], pincushion };
  writeFileSync(join(path, 'package.json'), JSON.stringify(manifest));
  writeFileSync(
    join(path, 'index.js'),
    `const { PortHardware, portExample } = require('${PLANTED}/port.ts');
     const { ${classes.join(', ')} } = require('${PLANTED}/${file}');
     const drivers = [${classes.join(', ')}];
     exports.plugin = { name: 'planted-bugs', api: 1, drivers, hardware: [PortHardware], example: portExample };`,
  );
  return path;
}
