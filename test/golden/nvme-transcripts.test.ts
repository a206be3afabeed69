/** The transcripts of a reference NVMe controller, and what the manual says of the choices in which ours differs. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { CHOICES, readTranscript, replayTranscript } from '@pincushion/conformance';
import { REPOSITORY } from '../cli/pincushion';
import { REPLAY_MS, disagreements, recordings } from './replay';

const TRANSCRIPTS = recordings('nvme-qemu-7.2', /\.json$/);

describe('the NVMe controller', () => {
  it(
    'agrees with 15 transcripts of a reference controller in every step that the specification fixes',
    () => {
      expect(disagreements(TRANSCRIPTS, 15)).toBe('');
    },
    REPLAY_MS,
  );

  it('differs in a choice only where the manual says so, and in each that the manual has', () => {
    const manual = readFileSync(join(REPOSITORY, 'docs/reference/nvme.md'), 'utf8');
    const [, section = ''] = manual.split('### Choices that differ\n');
    const rows = [...section.split('\n## ')[0].matchAll(/^\| `([a-z-]+)`/gm)].map(([, id]) => id);
    expect(rows.sort()).toEqual(CHOICES.map(({ id }) => id).sort());
    const used = TRANSCRIPTS.flatMap((file) => {
      const transcript = readTranscript(file, readFileSync(join(REPOSITORY, file)));
      return replayTranscript(transcript).differences.map(({ choice }) => choice?.id);
    });
    expect([...new Set(used)].sort()).toEqual(rows);
  });
});
