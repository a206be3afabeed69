/** `pincushion verify PACKAGE`: runs the suite that every driver must pass on the drivers of a package. */
import type { Command } from 'commander';
import { Option } from 'commander';
import { UsageError } from '@pincushion/sim';
import type { DriverContract, VerifyReport } from '@pincushion/testing';
import { VERIFY_TRIALS_MAX } from '@pincushion/testing';
import { renderContract } from '../contract/render';
import { ExitCode } from '../exit-codes';
import type { Invocation } from '../invocation';
import { wholeNumber } from '../option-values';
import { OutputFile } from '../output-file';
import { readUserFile } from '../read-file';
import type { ReplayOptions } from '../replay/replay-folder';
import { ReplayFolder, addReplayOptions } from '../replay/replay-folder';
import { replayOfTrial } from '../replay/trial-replay';
import { annotations } from '../verify/annotations';
import type { VerifiableDriver } from '../verify/drivers';
import { driversOf, pluginFile } from '../verify/drivers';
import { asksForPackage, withPackageCheck } from '../verify/package-check';
import type { KnownProblem, VerifyDocument } from '../verify/result';
import { newProblems, problemsIn, renderJunit, renderVerify, verifyDocument, withLines } from '../verify/result';
import { contractUnderWatch, verifyUnderWatch } from '../verify/supervise';
import type { VerifyOrder } from '../verify/worker';

interface VerifyCommandOptions extends ReplayOptions {
  readonly driver?: string;
  readonly only?: string;
  readonly limit: number;
  readonly seed: number;
  readonly watchdog: number;
  readonly baseline?: string;
  readonly junit?: string;
  readonly github?: true;
  readonly contract?: true;
  readonly json?: true;
}

/** What is verified: a package as it was named, its module, the drivers that were asked for. */
interface Verified {
  readonly word: string;
  readonly file: string;
  readonly drivers: readonly VerifiableDriver[];
}

export function verifyCommand(program: Command, invocation: Invocation): void {
  const { terminal } = invocation;
  const command = program
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
    .option('--github', 'print problems as annotations of GitHub too; by itself where GITHUB_ACTIONS is true')
    .addOption(
      new Option('--contract', 'print the kernel calls of the driver, with their C names, instead').conflicts([
        'only',
        'baseline',
        'junit',
        'github',
      ]),
    );
  addReplayOptions(command)
    .option('--json', 'print one JSON document instead of the report')
    .addHelpText('after', '\nExample:\n  pincushion verify examples/echo-nic --only unplug\n')
    .action(async (word: string, options: VerifyCommandOptions) => {
      const file = pluginFile(word);
      const verified = { word, file, drivers: driversOf(file, word, options.driver) };
      for (const { plugin } of verified.drivers) {
        if (plugin.example === undefined) terminal.err(`${word} has no example: only probe and removal are verified\n`);
      }
      try {
        if (options.contract === true) await tellContracts(verified, options);
        else await tellProblems(verified, options);
      } finally {
        if (terminal.animated) terminal.err('\r\x1b[K');
      }
    });

  async function tellProblems(verified: Verified, options: VerifyCommandOptions): Promise<void> {
    const { word, file } = verified;
    const baseline = options.baseline === undefined ? new Set<string>() : readBaseline(options.baseline);
    const junit = options.junit === undefined ? null : new OutputFile(options.junit);
    try {
      const reports = await reportsOf(verified, options);
      const document = await withReplays(verified, options, verifyDocument(word, options.seed, reports, baseline));
      junit?.write(renderJunit(document));
      junit?.finish();
      terminal.out(options.json ? JSON.stringify(document, null, 2) + '\n' : renderVerify(document, terminal.colours));
      const fresh = newProblems(document);
      if (options.github === true || process.env['GITHUB_ACTIONS'] === 'true') {
        const lines = annotations(fresh, file, process.env['GITHUB_WORKSPACE'] ?? process.cwd());
        // The runner reads both streams; beside a document it has to be this one.
        if (options.json) terminal.err(lines);
        else terminal.out(lines);
      }
      if (fresh.length > 0) invocation.exitCode = ExitCode.findings;
    } finally {
      junit?.discard();
    }
  }

  async function reportsOf(
    { file, drivers }: Verified,
    options: VerifyCommandOptions,
  ): Promise<readonly VerifyReport[]> {
    const packageCheck = asksForPackage(options.only);
    const reports: VerifyReport[] = [];
    for (const { name, plugin } of drivers) {
      const report =
        packageCheck === 'alone'
          ? { driver: name, seed: options.seed, checks: [], problems: [] }
          : await verifyUnderWatch(orderOf(file, name, options), supervisionOf(name, options));
      const isFirst = reports.length === 0;
      reports.push(isFirst && packageCheck !== 'no' ? withPackageCheck(report, file, plugin) : report);
    }
    return reports;
  }

  /** Each new problem of a trial with a file of its own, and the line that runs it. */
  async function withReplays(
    { word, file }: Verified,
    options: VerifyCommandOptions,
    document: VerifyDocument,
  ): Promise<VerifyDocument> {
    const replays = new ReplayFolder(options, terminal);
    const watchdogMs = options.watchdog * 1000;
    const lines = new Map<KnownProblem, string>();
    for (const { driver, problems } of document.drivers) {
      for (const problem of problems) {
        if (problem.known || asksForPackage(problem.trial) === 'alone') continue;
        const failed = { word, file, driver, seed: options.seed, watchdogMs, problem };
        const line = await replayOfTrial(replays, failed);
        if (line !== null) lines.set(problem, line);
      }
    }
    return withLines(document, lines);
  }

  async function tellContracts({ word, file, drivers }: Verified, options: VerifyCommandOptions): Promise<void> {
    const contracts: DriverContract[] = [];
    for (const { name } of drivers) {
      contracts.push(await contractUnderWatch(orderOf(file, name, options), supervisionOf(name, options)));
    }
    const document = { schemaVersion: 1, package: word, seed: options.seed, drivers: contracts };
    terminal.out(
      options.json
        ? JSON.stringify(document, null, 2) + '\n'
        : contracts.map((contract) => renderContract(contract, terminal.colours)).join('\n'),
    );
  }

  function supervisionOf(driver: string, { watchdog }: VerifyCommandOptions) {
    const onTrial = (trial: string): void => {
      if (terminal.animated) terminal.err(`\r\x1b[K${driver} ${trial}`);
    };
    return { watchdogMs: watchdog * 1000, onTrial };
  }
}

function orderOf(file: string, driver: string, { seed, limit, only }: VerifyCommandOptions): VerifyOrder {
  return { file, driver, seed, limit, skip: [], ...(only === undefined ? {} : { only }) };
}

function readBaseline(path: string): ReadonlySet<string> {
  try {
    return problemsIn(JSON.parse(readUserFile(path, 'baseline').toString('utf8')) as VerifyDocument);
  } catch (error) {
    if (error instanceof UsageError) throw error;
    throw new UsageError('ARGUMENT_INVALID', `${path} is no document of verify --json`, { cause: error });
  }
}
