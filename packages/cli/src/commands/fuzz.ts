/** `pincushion fuzz`: random programs on fresh machines, with every check on; a failure is cut down to a scenario. */
import type { Command } from 'commander';
import { Option } from 'commander';
import { randomReport, renderRandomReport, runRandomPrograms } from '@pincushion/conformance';
import { kernelProfiles } from '@pincushion/mm';
import { ExitCode } from '../exit-codes';
import type { Invocation } from '../invocation';
import { kernelName, wholeNumber } from '../option-values';
import type { ReplayOptions } from '../replay/replay-folder';
import { ReplayFolder, addReplayOptions, tellAgain } from '../replay/replay-folder';
import { askLine, programReplay } from '../replay/scenario-replay';

interface FuzzOptions extends ReplayOptions {
  readonly seed: number;
  readonly programs: number;
  readonly operations: number;
  readonly first: number;
  readonly kernel: string;
  readonly json?: true;
}

const SEED_MOST = 2 ** 32 - 1;
const PROGRAMS_MOST = 1e9;

export function fuzzCommand(program: Command, invocation: Invocation): void {
  const { terminal } = invocation;
  const command = program
    .command('fuzz')
    .summary('run random programs and look for contradictions in memory')
    .description(
      'Runs random sequences of all operations that scenarios have, each on a fresh machine, and looks after every step ' +
        'whether anything in memory contradicts itself or content appears where it should not. The first program that ' +
        'fails is cut down to the steps that matter and printed as a scenario; then the command ends with 1.',
    )
    .addOption(new Option('--programs <n>', 'programs to run').argParser(wholeNumber(1, PROGRAMS_MOST)).default(1000))
    .addOption(new Option('--operations <n>', 'steps of each').argParser(wholeNumber(1, 1000)).default(40))
    .addOption(new Option('--seed <n>', 'seed of all programs').argParser(wholeNumber(0, SEED_MOST)).default(1))
    .addOption(
      new Option('--first <n>', 'number of the first program').argParser(wholeNumber(0, PROGRAMS_MOST)).default(0),
    )
    .addOption(new Option('--kernel <name>', 'kernel to behave like').argParser(kernelName).default('6.18'))
    .option('--json', 'print one JSON document');
  addReplayOptions(command)
    .addHelpText('after', '\nExample:\n  pincushion fuzz --programs 200 --seed 7\n')
    .action((options: FuzzOptions) => {
      const { kernel, seed, programs, operations, first } = options;
      const how = { seed, programs, operations, first, profile: kernelProfiles[kernel] };
      const run = runRandomPrograms(how);
      const report = randomReport(run, { ...how, kernel });
      terminal.out(options.json ? JSON.stringify(report, null, 2) + '\n' : renderRandomReport(report));
      const replays = new ReplayFolder(options, terminal);
      for (const { program: number, script, shrunkTo } of run.failures) {
        const line = replays.write(programReplay(seed, number, kernel, script, shrunkTo));
        tellAgain([line, askLine(script, kernel)], terminal, options.json);
      }
      if (report.failures.length > 0) invocation.exitCode = ExitCode.findings;
    });
}
