/**
 * `pincushion explain CODE`: the manual's paragraph on an error or finding; outside a clone, the catalogue's sentence.
 * `explain bind` says rule by rule why a driver binds to a device or not, `explain errno` which rule refused a call, and `explain
 * p2p` which way leads from device to device.
 */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import type { Command } from 'commander';
import { Option } from 'commander';
import { parseScript } from '@pincushion/conformance';
import { kernelProfiles } from '@pincushion/mm';
import type { ErrorCode } from '@pincushion/sim';
import { ERROR_CODES } from '@pincushion/sim';
import { ExitCode } from '../exit-codes';
import { explainBind } from '../explain/bind';
import type { Refusal } from '../explain/errno';
import type { P2pExplanation } from '../explain/p2p';
import { explainP2p } from '../explain/p2p';
import { refusedProgram, refusedSteps } from '../explain/errno';
import type { Invocation } from '../invocation';
import { isModulePath } from '../load-module';
import { machineFile } from '../machine-file';
import { kernelName } from '../option-values';
import { unknownWord } from '../unknown-word';

const MANUAL = resolve(__dirname, '../../../../docs/reference/errors.md');

export function explainCommand(program: Command, invocation: Invocation): void {
  const { terminal } = invocation;
  const explain = program
    .command('explain')
    .summary('explain a code, why a driver binds, why a call is refused')
    .description(
      'Prints what the manual says about the code of an error or finding; or explains why a driver binds to a device, or ' +
        'why a call is refused.',
    )
    .argument('<code>', 'such as PIN_LEAK')
    .addHelpText('after', '\nExample:\n  pincushion explain PIN_LEAK\n')
    .action((word: string) => {
      const code = word.toUpperCase();
      const known = Object.keys(ERROR_CODES).sort();
      if (!isErrorCode(code)) throw unknownWord(`there is no error or finding "${word}"`, code, known, false);
      terminal.out(`${terminal.colours.bold(code)}\n\n${manualParagraph(code) ?? ERROR_CODES[code]}\n`);
    });
  bindCommand(explain, invocation);
  errnoCommand(explain, invocation);
  p2pCommand(explain, invocation);
}

function bindCommand(explain: Command, invocation: Invocation): void {
  const { terminal } = invocation;
  explain
    .command('bind')
    .summary('say rule by rule why a driver binds to a device, or does not')
    .description(
      'Looks for the driver of a device as `run` does, boots the device, and says how each rule on the way decided. Ends ' +
        'with 1 when no driver is bound.',
    )
    .argument('<device>', 'name of a device of the machine')
    .option('--machine <file>', 'machine file: .yaml, .yml, .json, .ts or .js')
    .addHelpText('after', '\nExample:\n  pincushion explain bind nvme0\n')
    .action((device: string, options: { readonly machine?: string }) => {
      const { green, red, bold, dim } = terminal.colours;
      const { driver, answers } = explainBind(device, options.machine);
      const verdict = driver === null ? red('no driver is bound') : green(`bound to driver ${driver}`);
      terminal.out(`${bold(device)}: ${verdict}\n`);
      for (const { rule, passed, text } of answers) {
        terminal.out(`  ${passed ? green('✓') : red('✗')} ${dim(rule.padEnd(9))} ${text}\n`);
      }
      if (driver === null) invocation.exitCode = ExitCode.findings;
    });
}

function errnoCommand(explain: Command, invocation: Invocation): void {
  const { terminal } = invocation;
  explain
    .command('errno')
    .summary('say by which rule a call is refused, and the facts')
    .description(
      'Runs a scenario in the language of `ask`, or the program that a module exports, and says of what is refused by ' +
        'which rule and on what facts.',
    )
    .argument('<scenario...>', 'the steps, or the file of a module that exports a program')
    .option('--machine <file>', 'machine of the program')
    .addOption(new Option('--kernel <name>', 'kernel of the scenario').argParser(kernelName).default('6.18'))
    .addHelpText('after', "\nExample:\n  pincushion explain errno 'mmap A anon 1 prot=r; pin p A 0 1'\n")
    .action((words: string[], options: { readonly machine?: string; readonly kernel: string }) => {
      const refusals = refusalsOf(words, options);
      for (const refusal of refusals) terminal.out(refusalText(refusal, invocation));
      if (refusals.length === 0) terminal.out('Nothing was refused.\n');
    });
}

function p2pCommand(explain: Command, invocation: Invocation): void {
  const { terminal } = invocation;
  explain
    .command('p2p')
    .summary('say which way a device reaches memory of another, or why not')
    .description(
      'Prints the route from a device to the memory of another, the steps on it, and the rule that allows or refuses it. ' +
        'Ends with 1 when it is refused.',
    )
    .argument('<provider>', 'device that has the memory')
    .argument('<client>', 'device that reads and writes it')
    .option('--machine <file>', 'machine file: .yaml, .yml, .json, .ts or .js')
    .option('--json', 'print one JSON document')
    .addHelpText('after', '\nExample:\n  pincushion explain p2p nvme0 nvme1 --machine my-machine.yaml\n')
    .action((provider: string, client: string, options: { readonly machine?: string; readonly json?: boolean }) => {
      const { description, source } = machineFile(options.machine);
      const found = explainP2p(description, source, provider, client);
      const document = { schemaVersion: 1, ...found };
      terminal.out(options.json === true ? `${JSON.stringify(document, null, 2)}\n` : p2pText(found, invocation));
      if (found.mapType === 'not-supported') invocation.exitCode = ExitCode.findings;
    });
}

const VERDICT = {
  'bus-address': 'by its bus address',
  'through-host-bridge': 'through the host bridge',
  'not-supported': 'not at all',
} as const;

function p2pText(found: P2pExplanation, { terminal }: Invocation): string {
  const { bold, green, red, yellow, dim } = terminal.colours;
  const { client, provider, mapType, route, hops, reason, rule, mapping, advice } = found;
  const colour = mapType === 'bus-address' ? green : mapType === 'through-host-bridge' ? yellow : red;
  const way = route.map(({ name, redirects }) => (redirects ? red(`${name} (ACS)`) : name)).join(' — ');
  const line = (what: string, text: string): string => `  ${dim(what.padEnd(8))} ${text}\n`;
  return (
    `${bold(client)} reaches memory of ${bold(provider)}: ${colour(VERDICT[mapType])}\n` +
    line('route', way) +
    line('hops', String(hops)) +
    line('rule', `${rule}: ${reason}`) +
    line('mapping', mapping) +
    (advice === null ? '' : line('advice', advice))
  );
}

function refusalsOf(words: readonly string[], options: { readonly machine?: string; readonly kernel: string }) {
  const [first] = words;
  if (words.length > 1 || !isModulePath(first)) {
    return refusedSteps(parseScript(words.join(' '), 'scenario'), kernelProfiles[options.kernel]);
  }
  const refusal = refusedProgram(first, options.machine);
  return refusal === null ? [] : [refusal];
}

function refusalText({ what, outcome, rule, facts }: Refusal, { terminal }: Invocation): string {
  const { bold, red, dim } = terminal.colours;
  const lines = [`${bold(what)}  →  ${red(outcome)}`];
  lines.push(rule === '' ? '  no rule of get_user_pages: the call itself refused' : `  refused by ${rule}`);
  for (const fact of facts) lines.push(dim(`    ${fact}`));
  return `${lines.join('\n')}\n`;
}

function isErrorCode(word: string): word is ErrorCode {
  return Object.hasOwn(ERROR_CODES, word);
}

/** The text below the heading that names the code, up to the next heading. */
function manualParagraph(code: string): string | null {
  let text: string;
  try {
    text = readFileSync(MANUAL, 'utf8');
  } catch {
    // Not in a clone: the manual is not part of the installed package.
    return null;
  }
  const lines = text.split('\n');
  const heading = lines.findIndex((line) => /^#+ /.test(line) && line.replace(/[#`\s]/g, '') === code);
  if (heading < 0) return null;
  const length = lines.slice(heading + 1).findIndex((line) => line.startsWith('#'));
  const end = length < 0 ? lines.length : heading + 1 + length;
  return (
    lines
      .slice(heading + 1, end)
      .join('\n')
      .trim() || null
  );
}
