/** `pincushion verify PACKAGE`: runs the suite that every driver must pass on the drivers of a package. */
import type { Command } from 'commander';
import { Option } from 'commander';
import { UsageError } from '@pincushion/sim';
import type { VerifyReport } from '@pincushion/testing';
import { VERIFY_TRIALS_MAX } from '@pincushion/testing';
import { ExitCode } from '../exit-codes';
import type { Invocation } from '../invocation';
import { wholeNumber } from '../option-values';
import { OutputFile } from '../output-file';
import { readUserFile } from '../read-file';
import { driversOf, pluginFile } from '../verify/drivers';
import type { VerifyDocument } from '../verify/result';
import { newProblems, problemsIn, renderJunit, renderVerify, verifyDocument } from '../verify/result';
import { verifyUnderWatch } from '../verify/supervise';

interface VerifyCommandOptions {
  readonly driver?: string;
  readonly only?: string;
  readonly limit: number;
  readonly seed: number;
  readonly watchdog: number;
  readonly baseline?: string;
  readonly junit?: string;
  readonly json?: true;
}

export function verifyCommand(program: Command, invocation: Invocation): void {
  const { terminal } = invocation;
  program
    .command('verify')
    .summary('run the suite that every driver must pass')
    .description(
      'Verifies the drivers of a package: pulls the device out at each step of the example program, fails each allocation, ' +
        'pin and mapping, loses interrupts, lets the hardware lie. Ends with 1 when a problem was found.',
    )
    .argument('<package>', 'folder of a package, module file, or name of a package')
    .option('--driver <name>', 'only this driver of the package')
    .option('--only <trial>', 'one check (unplug) or one trial of it (unplug@17)')
    .addOption(
      new Option('--limit <n>', 'trials of one check at most')
        .argParser(wholeNumber(1, 1e6))
        .default(VERIFY_TRIALS_MAX),
    )
    .addOption(new Option('--seed <n>', 'seed of every choice').argParser(wholeNumber(0, 0xffffffff)).default(1))
    .addOption(
      new Option('--watchdog <s>', 'seconds after which a trial hangs').argParser(wholeNumber(1, 3600)).default(20),
    )
    .option('--baseline <file>', 'problems in this document of an earlier --json do not count')
    .option('--junit <file>', 'write the result as JUnit XML')
    .option('--json', 'print one JSON document instead of the report')
    .addHelpText('after', '\nExample:\n  pincushion verify examples/echo-nic --only unplug\n')
    .action(async (word: string, options: VerifyCommandOptions) => {
      const file = pluginFile(word);
      const drivers = driversOf(file, word, options.driver);
      const baseline = options.baseline === undefined ? new Set<string>() : readBaseline(options.baseline);
      const junit = options.junit === undefined ? null : new OutputFile(options.junit);
      try {
        const reports: VerifyReport[] = [];
        for (const { name, plugin } of drivers) {
          if (plugin.example === undefined)
            terminal.err(`${word} has no example: only probe and removal are verified\n`);
          reports.push(
            await verifyOne(file, name, options, (trial) => {
              progress(name, trial);
            }),
          );
        }
        const document = verifyDocument(word, options.seed, reports, baseline);
        junit?.write(renderJunit(document));
        junit?.finish();
        terminal.out(
          options.json ? JSON.stringify(document, null, 2) + '\n' : renderVerify(document, terminal.colours),
        );
        if (newProblems(document).length > 0) invocation.exitCode = ExitCode.findings;
      } finally {
        if (terminal.animated) terminal.err('\r\x1b[K');
        junit?.discard();
      }
    });

  function progress(driver: string, trial: string): void {
    if (terminal.animated) terminal.err(`\r\x1b[K${driver} ${trial}`);
  }
}

function verifyOne(
  file: string,
  driver: string,
  { seed, limit, only, watchdog }: VerifyCommandOptions,
  onTrial: (trial: string) => void,
): Promise<VerifyReport> {
  const order = { file, driver, seed, limit, skip: [], ...(only === undefined ? {} : { only }) };
  return verifyUnderWatch(order, { watchdogMs: watchdog * 1000, onTrial });
}

function readBaseline(path: string): ReadonlySet<string> {
  try {
    return problemsIn(JSON.parse(readUserFile(path, 'baseline').toString('utf8')) as VerifyDocument);
  } catch (error) {
    if (error instanceof UsageError) throw error;
    throw new UsageError('ARGUMENT_INVALID', `${path} is no document of verify --json`, { cause: error });
  }
}
