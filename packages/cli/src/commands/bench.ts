/** `pincushion bench`: runs the benchmarks, each round in a fresh process, and prints the medians. */
import Table from 'cli-table3';
import type { Command } from 'commander';
import { Option } from 'commander';
import type { Benchmark, Effort } from '../bench/benchmark';
import { benchmarks } from '../bench/benchmarks';
import { measureInFreshProcess } from '../bench/fresh-process';
import type { BenchReport } from '../bench/report';
import { describeHost, isMissed, ResultTable } from '../bench/report';
import { C_REFERENCE, RUNNING_KERNEL, Yardstick } from '../bench/yardstick';
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
  readonly againstKernel?: string | true;
  readonly inThisProcess?: string;
}

export function benchCommand(program: Command, invocation: Invocation): void {
  const list = benchmarks.map(({ name, what }) => `  ${name.padEnd(32)}${what}`).join('\n');
  program
    .command('bench')
    .summary('measure the emulator')
    .description('Runs benchmarks, all unless some are named, each round in a fresh process; figures are medians.')
    .argument('[names...]', 'names, or beginnings of names such as nvme')
    .option('--json', 'print one JSON document')
    .addOption(new Option('--rounds <n>', 'rounds of each benchmark').argParser(wholeNumber(1, 99)).default(5))
    .option('--quick', 'a small part of the work: to see that everything runs, not to quote')
    .option('--against-c [binary]', 'ratios to the compiled reference (built with cc unless a binary is given)')
    .option('--against-kernel [binary]', 'ratios to the running kernel (asked by a program that is built likewise)')
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
      const isJudged = report.ratios !== undefined && !options.quick;
      if (isJudged && [...report.results, ...report.ratios].some(isMissed)) invocation.exitCode = ExitCode.findings;
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
  const yardsticks = prepareYardsticks(options);
  const table = new ResultTable();
  const machine = describeHost();
  try {
    for (let round = 1; round <= options.rounds; round++) {
      for (const { name } of chosen) {
        if (terminal.animated) terminal.err(`\r\x1b[Kround ${round} of ${options.rounds}: ${name}`);
        table.add(await measureInFreshProcess(name, effort));
        for (const yardstick of yardsticks) await yardstick.afterBenchmark(name);
      }
      for (const yardstick of yardsticks) await yardstick.afterRound(chosen.map(({ name }) => name));
    }
  } finally {
    for (const yardstick of yardsticks) yardstick.dispose();
    if (terminal.animated) terminal.err('\r\x1b[K');
  }
  const report: BenchReport = { schemaVersion: 1, machine, results: table.results() };
  if (yardsticks.length === 0) return report;
  return { ...report, ratios: yardsticks.flatMap((yardstick) => yardstick.ratios(table)) };
}

function prepareYardsticks({ againstC, againstKernel }: BenchOptions): readonly Yardstick[] {
  const prepared: Yardstick[] = [];
  if (againstC !== undefined) prepared.push(Yardstick.prepare(C_REFERENCE, againstC));
  if (againstKernel !== undefined) prepared.push(Yardstick.prepare(RUNNING_KERNEL, againstKernel));
  return prepared;
}

function renderReport(report: BenchReport, colours: Colours): string {
  const { machine } = report;
  const table = new Table({ ...PLAIN_TABLE, colAligns: ['left', 'right', 'left', 'left'] });
  table.push(['benchmark', 'median', '', 'lowest to highest'].map((head) => colours.dim(head)));
  for (const result of report.results) {
    const { name, value, unit, rounds, atMost } = result;
    const [low, high] = [Math.min(...rounds), Math.max(...rounds)].map(figure);
    const shown = isMissed(result) ? colours.red(figure(value)) : colours.bold(figure(value));
    const promise = atMost === undefined ? '' : `, promised at most ${atMost}`;
    table.push([name, shown, unit, colours.dim(`${low} to ${high}${promise}`)]);
  }
  let text = `${machine.cpu}, ${machine.cores} cores, node ${machine.node}, ${machine.platform}\n${table.toString()}\n`;
  if (report.ratios !== undefined && report.ratios.length > 0) {
    const ratios = new Table({ ...PLAIN_TABLE, colAligns: ['left', 'right', 'left'] });
    ratios.push(['ratio', 'median', 'promised'].map((head) => colours.dim(head)));
    for (const ratio of report.ratios) {
      const { name, against, value, atLeast } = ratio;
      const kept = !isMissed(ratio);
      const verdict = `at least ${atLeast}${kept ? '' : ', missed'}`;
      ratios.push([`${name} / ${against}`, (kept ? colours.green : colours.red)(figure(value)), verdict]);
    }
    text += `\n${ratios.toString()}\n`;
  }
  return text;
}

function figure(value: number): string {
  return value >= 1000 ? Math.round(value).toLocaleString('en') : String(value);
}
