/** Bad input ends with exit code 2 and a message that says what is wrong; nothing hangs, and nothing half-written is left behind. */
import { readdirSync } from 'node:fs';
import { cases, complaint, folder, wordsOf } from './bad-inputs';
import { manyCommandLines } from './pincushion';

describe('bad input', () => {
  const before = readdirSync(folder);

  it('ends with exit code 2 and a clear message on stderr, and leaves nothing behind', async () => {
    const ended = await manyCommandLines(
      cases.map(([, words]) => wordsOf(words)),
      folder,
    );
    const complaints = cases.map(([what, , messages], i) => complaint(what, messages, ended[i]));
    expect(complaints.filter((text) => text !== '').join('\n')).toBe('');
    expect(readdirSync(folder)).toEqual(before);
  }, 60_000);
});
