import { createColors } from 'picocolors';
import { ExitCode } from '../src/exit-codes';
import { runCommandLine } from '../src/program';

async function demo(name: string): Promise<string> {
  const said = { out: '', err: '' };
  const code = await runCommandLine(['demo', name], {
    out: (text) => void (said.out += text),
    err: (text) => void (said.err += text),
    colours: createColors(false),
    animated: false,
    columns: 100,
  });
  expect([code, said.err]).toEqual([ExitCode.done, '']);
  return said.out;
}

/** Cells of the table line that begins with `what`, in the part of the text that `part` begins. */
function line(text: string, part: string, what: string): readonly string[] {
  const found = text
    .slice(text.indexOf(part))
    .split('\n')
    .find((candidate) => candidate.trim().startsWith(what));
  if (found === undefined) throw new Error(`${part}: no line "${what}"`);
  return found.trim().slice(what.length).trim().split(/ {2,}/);
}

describe('the act fork-corrupts-rdma', () => {
  let text = '';
  beforeAll(async () => {
    text = await demo('fork-corrupts-rdma');
  });

  const received = 'the device has received the packet';

  it('tells of 5.4, from sources, that the write after fork moved the program away from its device', () => {
    const part = 'Linux 5.4 (from sources)';
    expect(line(text, part, 'fork')).toEqual(['page A "."', 'page A "."', 'page A "."']);
    expect(line(text, part, 'the program writes "w" to the page')).toEqual(['page B "w"', 'page A "."', 'page A "."']);
    expect(line(text, part, received)).toEqual(['page B "w"', 'page A "P"', 'page A "P"']);
  });

  it('tells of 6.18, recorded, that the child got its copy at the fork and the packet arrives', () => {
    const part = 'Linux 6.18 (recorded)';
    expect(line(text, part, 'fork')).toEqual(['page A "."', 'page B "."', 'page A "."']);
    expect(line(text, part, received)).toEqual(['page A "P"', 'page B "."', 'page A "P"']);
  });

  it('tells what 6.18 does not prevent: the program gives the page up under the pin', () => {
    const part = 'What 6.18 still does not prevent';
    expect(line(text, part, received)).toEqual(['page B "w"', '-', 'page A "P"']);
    expect(line(text, 'the packet is lost', 'munmap')).toEqual(['-', '-', 'page A "."']);
    expect(text.match(/✗/g)).toHaveLength(3);
    expect(text.match(/✓/g)).toHaveLength(1);
  });

  it('is the same story each time', async () => {
    expect(await demo('fork-corrupts-rdma')).toBe(text);
  });
});
