/**
 * The `pincushion` command: its subcommands, its help, and how each way of ending becomes an exit code.
 * A wrong word on the command line, a UsageError (bad file, bad value) and an unreadable input end with 2; an error of
 * the emulated world ends with 1; anything else is our own fault, is shown with its stack and ends with 70.
 */
import { Command, CommanderError } from 'commander';
import { PincushionError, UsageError } from '@pincushion/sim';
import { EXAMPLE_JOB } from './clone-examples';
import { askCommand } from './commands/ask';
import { benchCommand } from './commands/bench';
import { conformanceCommand } from './commands/conformance';
import { demoCommand } from './commands/demo';
import { explainCommand } from './commands/explain';
import { fuzzCommand } from './commands/fuzz';
import { machineCommand } from './commands/machine';
import { newCommand } from './commands/new';
import { replayCommand } from './commands/replay';
import { runWorkloadsCommand } from './commands/run';
import { serveCommand } from './commands/serve';
import { showcaseCommand } from './commands/showcase';
import { verifyCommand } from './commands/verify';
import { ExitCode } from './exit-codes';
import type { Invocation } from './invocation';
import type { Terminal } from './terminal';
import { readVersion } from './version';

const SUBCOMMANDS = [
  runWorkloadsCommand,
  benchCommand,
  machineCommand,
  askCommand,
  conformanceCommand,
  fuzzCommand,
  verifyCommand,
  replayCommand,
  serveCommand,
  newCommand,
  demoCommand,
  showcaseCommand,
  explainCommand,
] as const;

/** Runs one command line (without `node` and the script) to its end; never throws. */
export async function runCommandLine(words: readonly string[], terminal: Terminal): Promise<number> {
  const invocation: Invocation = { terminal, exitCode: ExitCode.done, again: null };
  try {
    const program = buildProgram(invocation);
    if (words.length === 0) program.outputHelp();
    else await program.parseAsync([...words], { from: 'user' });
    return invocation.exitCode;
  } catch (error) {
    const code = reportError(error, terminal);
    if (invocation.again !== null) terminal.err(`again: ${invocation.again}\n`);
    return code;
  }
}

function buildProgram(invocation: Invocation): Command {
  const { terminal } = invocation;
  const program = new Command('pincushion')
    .description('Emulated machines whose device drivers pin user memory.')
    .version(readVersion(), '-V, --version', 'print the version')
    .helpOption('-h, --help', 'show this help')
    .helpCommand('help [command]', 'show the help of a command')
    .addHelpText('after', `\nExample:\n  pincushion run ${EXAMPLE_JOB} --trace run.json\n`);
  for (const subcommand of SUBCOMMANDS) subcommand(program, invocation);
  forEachCommand(program, (command) => {
    command
      .exitOverride()
      .showSuggestionAfterError(true)
      .configureOutput({
        writeOut: (text) => {
          terminal.out(text);
        },
        writeErr: (text) => {
          terminal.err(text);
        },
        getOutHelpWidth: () => terminal.columns,
      });
  });
  return program;
}

function forEachCommand(command: Command, visit: (command: Command) => void): void {
  visit(command);
  for (const child of command.commands) forEachCommand(child, visit);
}

function reportError(error: unknown, terminal: Terminal): ExitCode {
  const { red, dim } = terminal.colours;
  if (error instanceof CommanderError) {
    // Commander has written its message; help and version arrive here as well, with exit code 0.
    if (error.exitCode === 0) return ExitCode.done;
    if (error.code !== 'commander.help')
      terminal.err(dim('`pincushion --help` lists the commands and options.') + '\n');
    return ExitCode.usage;
  }
  if (error instanceof UsageError) {
    terminal.err(`${red('error:')} ${error.message}\n`);
    return ExitCode.usage;
  }
  if (error instanceof PincushionError && error.code !== 'INTERNAL') {
    terminal.err(`${red('failed:')} ${error.message}\n`);
    return ExitCode.findings;
  }
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
  terminal.err(
    `${red('internal error:')} ${text}\n` +
      'This is a fault of Pincushion, not of your input. Please report it with the command line and the text above.\n' +
      dim(`pincushion ${readVersion()}, node ${process.version}, ${process.platform} ${process.arch}`) +
      '\n',
  );
  return ExitCode.internal;
}
