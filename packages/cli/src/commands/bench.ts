/** `pincushion bench`: runs the benchmarks, each round in a fresh process, and prints the medians. */
import Table from 'cli-table3';
import type { Command } from 'commander';
import { Option } from 'commander';
import { CompiledReference } from '../bench/against-c';
import type { Benchmark, Effort } from '../bench/benchmark';
import { benchmarks } from '../bench/benchmarks';
import { measureInFreshProcess } from '../bench/fresh-process';
import type { BenchReport } from '../bench/report';
import { describeHost, ResultTable } from '../bench/report';
import { ExitCode } from '../exit-codes';
import { wholeNumber } from '../option-values';
import type { Invocation } from '../invocation';
import { PLAIN_TABLE } from '../table-style';
import type { Colours } from '../terminal';
import { unknownWord } from '../unknown-word';

interface BenchOptions {
  readonly json?: true;
  readonly rounds: number;
  readonly quick?: true;
  readonly againstC?: string | true;
  readonly inThisProcess?: string;
}

export function benchCommand(program: Command, invocation: Invocation): void {
  const list = benchmarks.map(({ name, what }) => `  ${name.padEnd(26)}${what}`).join('\n');
  program
    .command('bench')
    .summary('measure the emulator')
    .description('Runs benchmarks, all unless some are named, each round in a fresh process; figures are medians.')
    .argument('[names...]', 'names, or beginnings of names such as nvme')
    .option('--json', 'print one JSON document')
    .addOption(new Option('--rounds <n>', 'rounds of each benchmark').argParser(wholeNumber(1, 99)).default(5))
    .option('--quick', 'a small part of the work: to see that everything runs, not to quote')
    .option('--against-c [binary]', 'ratios to the compiled reference (built with cc unless a binary is given)')
    .addOption(new Option('--in-this-process <name>').hideHelp())
    .addHelpText('after', `\nBenchmarks:\n${list}\n\nExample:\n  pincushion bench queue --rounds 7 --json\n`)
    .action(async (names: string[], options: BenchOptions) => {
      const effort: Effort = options.quick ? 'quick' : 'full';
      if (options.inThisProcess !== undefined) {
        const [benchmark] = select([options.inThisProcess]);
        invocation.terminal.out(JSON.stringify(benchmark.measure(effort)) + '\n');
        return;
      }
      const report = await runBenchmarks(select(names), effort, options, invocation);
      if (options.json) invocation.terminal.out(JSON.stringify(report, null, 2) + '\n');
      else invocation.terminal.out(renderReport(report, invocation.terminal.colours));
      if (options.againstC !== undefined && !options.quick && report.ratios?.some((r) => r.value < (r.atLeast ?? 0))) {
        invocation.exitCode = ExitCode.findings;
      }
    });
}

function select(names: readonly string[]): readonly Benchmark[] {
  if (names.length === 0) return benchmarks;
  for (const name of names) {
    if (!benchmarks.some((benchmark) => matches(benchmark, name))) {
      throw unknownWord(
        `there is no benchmark "${name}"`,
        name,
        benchmarks.map((benchmark) => benchmark.name),
      );
    }
  }
  return benchmarks.filter((benchmark) => names.some((name) => matches(benchmark, name)));
}

/** A name, or a beginning of it that ends at a dot: `nvme`, `nvme.read4k`. */
function matches(benchmark: Benchmark, name: string): boolean {
  return benchmark.name === name || benchmark.name.startsWith(`${name}.`);
}

async function runBenchmarks(
  chosen: readonly Benchmark[],
  effort: Effort,
  options: BenchOptions,
  { terminal }: Invocation,
): Promise<BenchReport> {
  const reference = options.againstC === undefined ? null : CompiledReference.prepare(options.againstC);
  const table = new ResultTable();
  const machine = describeHost();
  try {
    for (let round = 1; round <= options.rounds; round++) {
      for (const { name } of chosen) {
        if (terminal.animated) terminal.err(`\r\x1b[Kround ${round} of ${options.rounds}: ${name}`);
        table.add(await measureInFreshProcess(name, effort));
      }
      await reference?.measure();
    }
  } finally {
    reference?.dispose();
    if (terminal.animated) terminal.err('\r\x1b[K');
  }
  const report: BenchReport = { schemaVersion: 1, machine, results: table.results() };
  return reference === null ? report : { ...report, ratios: reference.ratios(table) };
}

function renderReport(report: BenchReport, colours: Colours): string {
  const { machine } = report;
  const table = new Table({ ...PLAIN_TABLE, colAligns: ['left', 'right', 'left', 'left'] });
  table.push(['benchmark', 'median', '', 'lowest to highest'].map((head) => colours.dim(head)));
  for (const { name, value, unit, rounds } of report.results) {
    const [low, high] = [Math.min(...rounds), Math.max(...rounds)];
    table.push([name, colours.bold(figure(value)), unit, colours.dim(`${figure(low)} to ${figure(high)}`)]);
  }
  let text = `${machine.cpu}, ${machine.cores} cores, node ${machine.node}, ${machine.platform}\n${table.toString()}\n`;
  if (report.ratios !== undefined && report.ratios.length > 0) {
    const ratios = new Table({ ...PLAIN_TABLE, colAligns: ['left', 'right', 'left'] });
    ratios.push(['ratio', 'median', 'promised'].map((head) => colours.dim(head)));
    for (const { name, against, value, atLeast } of report.ratios) {
      const kept = atLeast === null || value >= atLeast;
      const verdict = atLeast === null ? '' : `at least ${atLeast}${kept ? '' : ', missed'}`;
      ratios.push([`${name} / ${against}`, (kept ? colours.green : colours.red)(figure(value)), verdict]);
    }
    text += `\n${ratios.toString()}\n`;
  }
  return text;
}

function figure(value: number): string {
  return value >= 1000 ? Math.round(value).toLocaleString('en') : String(value);
}
