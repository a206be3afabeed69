/** `pincushion machine show` and `pincushion machine schema`: what a machine file describes, and what one may say. */
import type { Command } from 'commander';
import { Machine, machineJsonSchema } from '@pincushion/machine';
import { World } from '@pincushion/sim';
import { NodeHostFiles } from '../host-files';
import { describeMachine } from '../machine-file';
import type { Invocation } from '../invocation';

export function machineCommand(program: Command, { terminal }: Invocation): void {
  const machine = program.command('machine').summary('show machines and what a machine file may say');
  machine
    .description('Shows machines, and what a machine file may say.')
    .addHelpText('after', '\nExample:\n  pincushion machine show my-machine.yaml\n');
  machine
    .command('show')
    .summary('show a machine as a tree, with all defaults')
    .description('Boots the machine of a file, or the default machine, and shows it as a tree with all defaults.')
    .argument('[file]', 'machine file: .yaml, .yml, .json, .ts or .js')
    .addHelpText('after', '\nExample:\n  pincushion machine show my-machine.yaml\n')
    .action((file: string | undefined) => {
      const { description, plugins, folder } = describeMachine(file);
      const hostFiles = new NodeHostFiles(folder);
      try {
        const world = new World();
        const booted = world.complete(Machine.boot(world, description, { plugins, hostFiles }), 'boot');
        terminal.out(booted.tree().trimEnd() + '\n');
      } finally {
        hostFiles.closeAll();
      }
    });
  machine
    .command('schema')
    .summary('print the JSON schema of machine files')
    .description('Prints the JSON schema of machine files, for editors and for tools that write such files.')
    .addHelpText('after', '\nExample:\n  pincushion machine schema > machine.schema.json\n')
    .action(() => {
      terminal.out(JSON.stringify(machineJsonSchema(), null, 2) + '\n');
    });
}
