/** `pincushion demo [NAME]`: the acts of the showcase, one at a time. */
import type { Command } from 'commander';
import type { Invocation } from '../invocation';
import { acts } from '../showcase/acts';
import { unknownWord } from '../unknown-word';
import { perform } from './showcase';

export function demoCommand(program: Command, invocation: Invocation): void {
  const { terminal } = invocation;
  program
    .command('demo')
    .summary('list the demos, or run one')
    .description('Lists the demos; with a name, runs that one.')
    .argument('[name]', 'name of a demo')
    .addHelpText('after', `\nExample:\n  pincushion demo ${acts[0].name}\n`)
    .action(async (name: string | undefined) => {
      if (name === undefined) {
        const width = Math.max(...acts.map((act) => act.name.length));
        for (const act of acts) terminal.out(`  ${terminal.colours.bold(act.name.padEnd(width))}  ${act.title}\n`);
        return;
      }
      const act = acts.find((candidate) => candidate.name === name);
      if (act === undefined) {
        throw unknownWord(
          `there is no demo "${name}"`,
          name,
          acts.map((candidate) => candidate.name),
        );
      }
      await perform(act, act.title, invocation);
    });
}
