/**
 * Where the description of a machine comes from: a file of the user (YAML, JSON, or a module whose default export is the
 * description), or the machine that `run` uses when none is given.
 */
import { dirname, resolve } from 'node:path';
import type { MachineDescription } from '@pincushion/machine';
import { parseMachine, parseMachineText } from '@pincushion/machine';
import type { Plugin } from '@pincushion/driver';
import { UsageError } from '@pincushion/sim';
import { isModulePath, loadModule } from './load-module';
import { resolvePlugins } from './plugin-resolution';
import { readUserFile } from './read-file';

export interface DescribedMachine {
  readonly description: MachineDescription;
  readonly plugins: readonly Plugin[];
  /** The folder from which relative paths of the description start. */
  readonly folder: string;
}

/** The machine of `run` without `--machine`: room for every example, and as plain as it can be. */
const DEFAULT_MACHINE = {
  memory: { ram: '4GiB' },
  cpus: 4,
  devices: [{ name: 'nvme0', plugin: '@pincushion/nvme-p2p' }],
};
const DEFAULT_SOURCE = 'the default machine';

export function describeMachine(path: string | undefined): DescribedMachine {
  const { description, source, folder } = machineFile(path);
  return { ...resolvePlugins(description, source, folder), folder };
}

/** What a machine file says, before any plugin is looked for. */
export function machineFile(path: string | undefined): {
  readonly description: MachineDescription;
  /** For messages. */
  readonly source: string;
  readonly folder: string;
} {
  return path === undefined
    ? { description: parseMachine(DEFAULT_MACHINE, DEFAULT_SOURCE), source: DEFAULT_SOURCE, folder: process.cwd() }
    : { description: readDescription(path), source: path, folder: dirname(resolve(path)) };
}

function readDescription(path: string): MachineDescription {
  if (/\.(ya?ml|json)$/.test(path)) {
    return parseMachineText(readUserFile(path, 'machine file').toString('utf8'), path);
  }
  if (!isModulePath(path)) {
    throw new UsageError('MACHINE_INVALID', `${path}: a machine file is told by the end of its name`, {
      expected: '.yaml, .yml, .json, .ts or .js',
    });
  }
  const exported = loadModule(path, 'machine file');
  const description = exported['default'] ?? exported['machine'];
  if (description === undefined) {
    throw new UsageError('MACHINE_INVALID', `${path}: the module exports no machine`, {
      expected: 'a default export, or one named machine',
      actual: `exports ${Object.keys(exported).join(', ') || 'nothing'}`,
    });
  }
  return parseMachine(description, path);
}
