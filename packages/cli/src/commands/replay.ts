/** `pincushion replay`: runs a finding again from the file that a command wrote, and says whether it shows again. */
import type { Command } from 'commander';
import { UsageError } from '@pincushion/sim';
import { ExitCode } from '../exit-codes';
import { Interruption } from '../interruption';
import type { Invocation } from '../invocation';
import { renderReplay } from '../replay/render';
import type { Replayed } from '../replay/replayed';
import { environmentDifferences, replayReport } from '../replay/replayed';
import type { ReplayDocument } from '../replay/replay-file';
import { readReplay } from '../replay/replay-file';
import { replayRun } from '../replay/run-replay';
import { replayDisagreements, replayProgram, replayScenarioByHand } from '../replay/scenario-replay';
import { replayTrial } from '../replay/trial-replay';
import { TraceRecording } from '../trace-recording';

interface ReplayCommandOptions {
  readonly trace?: string;
  readonly json?: true;
}

export function replayCommand(program: Command, invocation: Invocation): void {
  const { terminal } = invocation;
  program
    .command('replay')
    .summary('run a finding again')
    .description(
      'Runs a finding again from the file that run, verify, fuzz, ask or conformance wrote, on this machine or another. Ends ' +
        'with 1 when it shows again or something else is found, and with 0 when nothing is.',
    )
    .argument('<file>', 'a replay file (.replay.json)')
    .option('--trace <file>', 'write a trace of a run: .json opens in ui.perfetto.dev, .jsonl has an event a line')
    .option('--json', 'print one JSON document')
    .addHelpText(
      'after',
      '\nExample:\n  pincushion replay pincushion-replays/run-mixed-verify-1-PIN_LEAK-3fa9c1.replay.json\n',
    )
    .action(async (file: string, options: ReplayCommandOptions) => {
      const document = readReplay(file);
      const interruption = new Interruption();
      try {
        const replayed = await replay(document, file, options.trace, interruption);
        const differences = [...environmentDifferences(document), ...replayed.differences];
        const report = replayReport(file, document, { ...replayed, differences });
        terminal.out(options.json ? JSON.stringify(report, null, 2) + '\n' : renderReplay(report, terminal.colours));
        if (report.found.length > 0 || report.unexplained) invocation.exitCode = ExitCode.findings;
        if (interruption.requested) invocation.exitCode = interruption.exitCode;
      } finally {
        interruption.dispose();
      }
    });
}

async function replay(
  { subject }: ReplayDocument,
  file: string,
  traceFile: string | undefined,
  interruption: Interruption,
): Promise<Replayed> {
  if (traceFile !== undefined && subject.command !== 'run') {
    throw new UsageError('ARGUMENT_INVALID', `--trace is for findings of run; ${file} has one of ${subject.command}`);
  }
  switch (subject.command) {
    case 'run': {
      const trace = traceFile === undefined ? null : new TraceRecording(traceFile);
      try {
        const replayed = await replayRun(subject, file, interruption, {
          booted: (machine) => trace?.attach(machine),
        });
        trace?.finish();
        return replayed;
      } finally {
        trace?.discard();
      }
    }
    case 'verify':
      return replayTrial(subject, file);
    case 'fuzz':
      return replayProgram(subject, file);
    case 'ask':
      return replayScenarioByHand(subject, file);
    case 'conformance':
      return replayDisagreements(subject, file);
  }
}
