import { createColors } from 'picocolors';
import { ExitCode } from '../src/exit-codes';
import { runCommandLine } from '../src/program';
import type { Terminal } from '../src/terminal';

interface Ended {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

async function pincushion(words: readonly string[], changes: Partial<Terminal> = {}): Promise<Ended> {
  const said = { out: '', err: '' };
  const terminal: Terminal = {
    out: (text) => void (said.out += text),
    err: (text) => void (said.err += text),
    colours: createColors(false),
    animated: false,
    columns: 100,
    ...changes,
  };
  const code = await runCommandLine(words, terminal);
  return { code, ...said };
}

describe('the command', () => {
  it('shows its help when nothing is asked', async () => {
    const { code, out } = await pincushion([]);
    expect(code).toBe(ExitCode.done);
    expect(out).toMatch(/Usage: pincushion/);
  });

  it.each([
    ['run'],
    ['bench'],
    ['machine'],
    ['machine', 'show'],
    ['machine', 'schema'],
    ['demo'],
    ['showcase'],
    ['explain'],
  ])('shows an example in the help of %s %s', async (...words) => {
    const { code, out } = await pincushion([...words, '--help']);
    expect(code).toBe(ExitCode.done);
    expect(out).toMatch(new RegExp(`Examples?:\\n  pincushion ${words.join(' ')}`));
  });

  it.each([
    [['rnu'], /unknown command 'rnu'\n\(Did you mean run\?\)/],
    [['machine', 'sohw'], /unknown command 'sohw'\n\(Did you mean show\?\)/],
    [['bench', '--jsno'], /unknown option '--jsno'\n\(Did you mean --json\?\)/],
  ])('suggests the nearest word for %s', async (words, message) => {
    const { code, err } = await pincushion(words);
    expect(code).toBe(ExitCode.usage);
    expect(err).toMatch(message);
  });

  it('ends with 70, the stack and a request to report when the fault is its own', async () => {
    const { code, err } = await pincushion(['machine', 'schema'], {
      out: () => {
        throw new TypeError('planted');
      },
    });
    expect(code).toBe(ExitCode.internal);
    expect(err).toMatch(/internal error: TypeError: planted\n\s+at /);
    expect(err).toMatch(/Please report it/);
    expect(err).toMatch(/node v\d+/);
  });

  it('explains a code, in whatever case it is written', async () => {
    const { code, out } = await pincushion(['explain', 'pin_leak']);
    expect(code).toBe(ExitCode.done);
    expect(out).toMatch(/^PIN_LEAK\n\n.*pinned/);
  });

  it('lists its demos', async () => {
    const { out } = await pincushion(['demo']);
    expect(out).toMatch(/recorded-work/);
    expect(out).toMatch(/caught-red-handed/);
    expect(out).toMatch(/fork-corrupts-rdma/);
  });
});
