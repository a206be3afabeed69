/** Runs command lines (a JSON array of arrays, as the only argument) in this process; prints how each ended, as JSON. */
import { processTerminal, runCommandLine } from '@pincushion/cli';
import type { Ended } from './pincushion';

async function runAll(lines: readonly (readonly string[])[]): Promise<readonly Ended[]> {
  const ended: Ended[] = [];
  for (const words of lines) {
    const said = { out: '', err: '' };
    const terminal = {
      ...processTerminal(),
      out: (text: string) => void (said.out += text),
      err: (text: string) => void (said.err += text),
    };
    const code = await runCommandLine(words, terminal);
    ended.push({ code, ...said });
  }
  return ended;
}

void runAll(JSON.parse(process.argv[2]) as string[][]).then((ended) => {
  process.stdout.write(JSON.stringify(ended));
});
