/** `pincushion showcase`: all acts, then where to go next. `npm start` of a clone runs it. */
import type { Command } from 'commander';
import { EXAMPLE_JOB } from '../clone-examples';
import { ExitCode } from '../exit-codes';
import { Interruption } from '../interruption';
import type { Invocation } from '../invocation';
import type { Act } from '../showcase/act';
import { acts } from '../showcase/acts';
import type { Colours } from '../terminal';

export function showcaseCommand(program: Command, invocation: Invocation): void {
  const { terminal } = invocation;
  program
    .command('showcase')
    .summary('see what Pincushion does, in under a minute')
    .description('Runs the demos one after the other and says where to go next.')
    .addHelpText('after', '\nExample:\n  pincushion showcase\n')
    .action(async () => {
      const { bold, dim } = terminal.colours;
      terminal.out(`${bold('Pincushion')} emulates machines whose device drivers pin user memory.\n`);
      terminal.out(dim('Everything below happens now, in this process, in virtual time.\n'));
      for (const [i, act] of acts.entries()) {
        await perform(act, `${i + 1}. ${act.title}`, invocation);
        if (invocation.exitCode !== ExitCode.done) return;
      }
      terminal.out(whereNext(terminal.colours));
    });
}

/** Runs one act below its heading; Ctrl-C ends it, and the command with it. */
export async function perform(act: Act, title: string, invocation: Invocation): Promise<void> {
  const { colours, columns } = invocation.terminal;
  const rule = '─'.repeat(Math.max(3, Math.min(columns, 100) - title.length - 4));
  invocation.terminal.out(`\n${colours.bold(colours.cyan(`── ${title}`))} ${colours.dim(rule)}\n`);
  const interruption = new Interruption();
  try {
    await act.run(invocation.terminal, interruption);
    if (interruption.requested) invocation.exitCode = interruption.exitCode;
  } finally {
    interruption.dispose();
  }
}

function whereNext({ bold, cyan, dim }: Colours): string {
  const rows = [
    [`npx pincushion run ${EXAMPLE_JOB}`, 'a job file of your own starts like this one'],
    [`npx pincushion run ${EXAMPLE_JOB} --trace run.json`, 'see every pin live and die in ui.perfetto.dev'],
    ['npx pincushion machine show', 'the machine, with everything you can change'],
    ['examples/echo-nic', 'a whole driver, to read in ten minutes'],
    ['README.md, docs/', 'what to type for what; how it works inside'],
  ];
  const width = Math.max(...rows.map(([left]) => left.length));
  const lines = rows.map(([left, right]) => `  ${cyan(left.padEnd(width))}  ${dim(right)}\n`);
  return `\n${bold('Where to go next')}\n${lines.join('')}`;
}
