/** `pincushion ask`: runs a scenario written by hand and shows page tables, counts, bytes and rules after each step. */
import { readFileSync, statSync } from 'node:fs';
import type { Command } from 'commander';
import { Option } from 'commander';
import {
  HOW_TO_RECORD,
  OPERATIONS,
  OPERATION_GROUPS,
  ask,
  askReport,
  parseScript,
  renderAsk,
  scriptText,
  signature,
} from '@pincushion/conformance';
import { kernelProfiles } from '@pincushion/mm';
import { UsageError } from '@pincushion/sim';
import { ExitCode } from '../exit-codes';
import { fileProblem } from '../file-problem';
import type { Invocation } from '../invocation';
import { kernelName } from '../option-values';
import { readUserFile } from '../read-file';
import type { ReplayOptions } from '../replay/replay-folder';
import { ReplayFolder, addReplayOptions, tellAgain } from '../replay/replay-folder';
import { scenarioReplay } from '../replay/scenario-replay';

interface AskCommandOptions extends ReplayOptions {
  readonly file?: string;
  readonly kernel: string;
  readonly json?: true;
  readonly record?: true;
  readonly paranoid?: true;
}

export function askCommand(program: Command, invocation: Invocation): void {
  const { terminal } = invocation;
  const command = program
    .command('ask')
    .summary('run a scenario written by hand, step by step')
    .description(
      'Runs a scenario written by hand on a fresh machine. After each step it shows what acted and by which rule, the ' +
        'page tables, and the frames with their counts and bytes. Steps are parted by ";" or lines; the first process is ' +
        'P, and "C1: w A 0 7" lets its child C1 act.',
    )
    .argument('[scenario...]', 'the steps; the path of a file that has them; or - for standard input')
    .option('--file <path>', 'read the steps from a file')
    .addOption(new Option('--kernel <name>', 'kernel to behave like').argParser(kernelName).default('6.18'))
    .option('--json', 'print one JSON document')
    .option('--record', 'print the script that asks a real kernel, and run nothing')
    .option('--paranoid', 'look after each step whether anything in memory contradicts itself');
  addReplayOptions(command)
    .addHelpText(
      'after',
      `\n${operationsHelp()}\nExample:\n  pincushion ask 'mmap A anon 1; pin p A 0 1; fork C1; w A 0 7'\n`,
    )
    .action((words: string[], options: AskCommandOptions) => {
      const { text, where } = source(words, options.file);
      const script = parseScript(text, where);
      if (options.record) {
        terminal.out(scriptText(script));
        terminal.err(HOW_TO_RECORD);
        return;
      }
      const kernel = kernelProfiles[options.kernel];
      const steps = ask(script, { profile: kernel, paranoid: options.paranoid ?? false });
      const report = askReport(script, kernel, steps);
      const { bold, dim, green, red } = terminal.colours;
      if (options.json) terminal.out(JSON.stringify(report, null, 2) + '\n');
      else terminal.out(renderAsk(kernel, steps, { heading: bold, quiet: dim, good: green, bad: red }));
      if (report.contradictions === 0) return;
      const contradictions = steps.flatMap((step) => step.contradictions);
      const again = new ReplayFolder(options, terminal).write(scenarioReplay(script, options.kernel, contradictions));
      tellAgain([again], terminal, options.json);
      invocation.exitCode = ExitCode.findings;
    });
}

/** The text of the scenario and what to call it in messages. */
function source(words: readonly string[], file: string | undefined): { text: string; where: string } {
  if (file !== undefined && words.length > 0) {
    throw new UsageError('ARGUMENT_INVALID', 'a scenario is given twice, by --file and on the command line', {
      expected: 'one of them',
    });
  }
  if (file !== undefined) return { text: readUserFile(file, 'scenario').toString('utf8'), where: file };
  if (words.length === 0) {
    throw new UsageError('ARGUMENT_INVALID', 'there is nothing to ask', {
      expected: "steps, as in 'mmap A anon 1; w A 0 7'",
      hint: 'pincushion ask --help',
    });
  }
  if (words.length === 1 && words[0] === '-') return { text: readStandardInput(), where: 'standard input' };
  if (words.length === 1 && isFile(words[0])) {
    return { text: readUserFile(words[0], 'scenario').toString('utf8'), where: words[0] };
  }
  return { text: words.join(' '), where: 'scenario' };
}

function isFile(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isFile() ?? false;
}

function readStandardInput(): string {
  try {
    return readFileSync(0, 'utf8');
  } catch (error) {
    throw new UsageError('FILE_UNREADABLE', `standard input cannot be read: ${fileProblem(error)}`, { cause: error });
  }
}

/** Every operation with its arguments in their order. */
function operationsHelp(): string {
  const width = 34;
  const lines = ['Operations, with their arguments in order (all of them may also be given as name=value):'];
  for (const group of OPERATION_GROUPS) {
    lines.push(`  ${group}`);
    for (const [name, rule] of Object.entries(OPERATIONS)) {
      if (rule.group === group) lines.push(`    ${signature(name).padEnd(width)} ${rule.summary}`);
    }
  }
  lines.push(
    'Arguments: r region, i first page, n number of pages, v byte, id name of a buffer, transfer or pipe, p page of it,',
    '  f file, c child, t process; prot r, rw or none; kind anon, anonsh, fpriv, fshared, hugetlb or hugetlbsh;',
    '  fs ext4, tmpfs, memfd or hugetlb.',
  );
  return `${lines.join('\n')}\n`;
}
