/** Some bad inputs once more, each in a process of its own, through the shell's door. */
import { readdirSync } from 'node:fs';
import { cases, complaint, folder, wordsOf } from './bad-inputs';
import { pincushion, twoAtATime } from './pincushion';

const ALONE = [
  'a missing file',
  'a truncated gzip',
  'a block size of 0',
  'an unknown command',
  'two devices with one name',
];

describe('bad input', () => {
  const before = readdirSync(folder);

  it('is refused in a process of its own as well', async () => {
    const alone = cases.filter(([what]) => ALONE.includes(what));
    expect(alone).toHaveLength(ALONE.length);
    const complaints = await twoAtATime(alone, async ([what, words, messages]) =>
      complaint(what, messages, await pincushion(wordsOf(words), { cwd: folder })),
    );
    expect(complaints.filter((text) => text !== '').join('\n')).toBe('');
    expect(readdirSync(folder)).toEqual(before);
  }, 60_000);
});
