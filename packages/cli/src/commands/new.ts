/** `pincushion new driver NAME`: writes a package with a driver, its hardware, a library, tests and a workload. */
import { basename, relative, resolve } from 'node:path';
import type { Command } from 'commander';
import type { Invocation } from '../invocation';
import { checkFree, writeFolder } from '../new-driver/package-folder';
import { parsePackageName } from '../new-driver/package-name';
import { pincushionSource } from '../new-driver/pincushion-source';
import type { DriverKind } from '../new-driver/template';
import { DRIVER_KINDS, instantiate, templateDependencies } from '../new-driver/template';
import { unknownWord } from '../unknown-word';
import { readVersion } from '../version';

interface NewDriverOptions {
  readonly kind: string;
  readonly dir?: string;
  readonly pincushion?: string;
}

/** In a clone, whose packages may be newer than any that npm can find. */
const FROM_SOURCE = __filename.endsWith('.ts');
const NOT_PUBLISHED =
  'This command runs from a clone. When npm does not find its packages: `node scripts/pack.mjs FOLDER` makes them, and\n' +
  '--pincushion FOLDER takes them from there.';

const KINDS_TEXT = `
Kinds:
  blank  the smallest that is complete: pins a buffer, lets the hardware write to it, gives it back
  rdma   memory regions that stay pinned, work requests, a completion queue that programs read
  gpu    buffers made of a program's own memory (userptr), a command ring, fences
  nvme   a disk: a queue pair in host memory, PRP lists, completions by phase
  dax    memory of a device that programs map, and make durable without a system call for each store

Example:
  pincushion new driver my-nic --kind rdma
`;

export function newCommand(program: Command, { terminal }: Invocation): void {
  const create = program
    .command('new')
    .summary('write a new package')
    .description('Writes a new package that is complete: it builds, and its tests and `pincushion verify` pass.')
    .addHelpText('after', '\nExample:\n  pincushion new driver my-nic --kind rdma\n');
  create
    .command('driver')
    .summary('write a package with a driver')
    .description(
      'Writes a package with a driver, its hardware model, a library, tests, an example and a workload. ' +
        'It passes its own tests and `pincushion verify` as it is.',
    )
    .argument('<name>', 'name of the package, such as my-nic or @acme/my-nic')
    .option('--kind <kind>', `what to start from: ${DRIVER_KINDS.join(', ')}`, 'blank')
    .option('--dir <folder>', 'where to write it (default: a folder of its name)')
    .option('--pincushion <spec>', 'version of Pincushion, or a folder with its tarballs (default: this version)')
    .addHelpText('after', KINDS_TEXT)
    .action((text: string, options: NewDriverOptions) => {
      const name = parsePackageName(text, templateDependencies());
      const { kind } = options;
      if (!isDriverKind(kind)) throw unknownWord(`there is no kind of driver "${kind}"`, kind, DRIVER_KINDS);
      const shown = options.dir ?? name.base;
      const folder = resolve(shown);
      checkFree(folder, shown);
      const version = readVersion();
      const source = pincushionSource(options.pincushion ?? `^${version}`);
      const files = instantiate(kind, name, folder, source, version);
      writeFolder(folder, shown, files);
      const { bold, dim } = terminal.colours;
      const lines = [
        `${bold(name.full)}: a driver of the kind ${kind}, in ${shown}`,
        ...files.map(({ path }) => `  ${path}`),
        '',
        'next',
        ...(relative(process.cwd(), folder) === '' ? [] : [`  cd ${shown}`]),
        '  npm install',
        '  npm test',
        '  npx pincushion verify .',
        '',
        dim(`${basename(folder)}/HACKING.md says what else there is.`),
        ...(FROM_SOURCE && options.pincushion === undefined ? [dim(NOT_PUBLISHED)] : []),
      ];
      terminal.out(lines.join('\n') + '\n');
    });
}

function isDriverKind(word: string): word is DriverKind {
  return (DRIVER_KINDS as readonly string[]).includes(word);
}
