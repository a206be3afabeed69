/** Transcripts of an NVMe controller: how binding a step is, and what a broken file is answered with. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { conformanceReport, isRecording, isTranscript, readRecording, readTranscript } from '../src/index';
import { renderConformance, replayTranscript, transcriptAgrees } from '../src/index';

const FOLDER = join(__dirname, '../../../test/golden/nvme-qemu-7.2');

type Steps = Record<string, unknown>[];

/** A golden transcript, with its steps as `change` leaves them. */
function altered(file: string, change: (steps: Steps) => undefined = () => undefined) {
  const document = JSON.parse(readFileSync(join(FOLDER, file), 'utf8')) as { steps: Steps };
  change(document.steps);
  return readTranscript(file, Buffer.from(JSON.stringify(document)));
}

function stepNamed(steps: Steps, name: string): Record<string, unknown> {
  const found = steps.find((step) => step['name'] === name || step['why'] === name);
  if (found === undefined) throw new Error(`no step ${name}`);
  return found;
}

describe('a transcript', () => {
  it('is told from other recordings by its content', () => {
    const data = readFileSync(join(FOLDER, '10-interrupts.json'));
    expect([isTranscript(data), isRecording(data)]).toEqual([true, true]);
    expect(isTranscript(Buffer.from('{"name": "x", "steps": []}'))).toBe(false);
    expect(() => readRecording('x.json', data)).toThrow('this is no recording that can be replayed');
  });

  it('agrees, and says how many steps were compared and how binding they are', () => {
    const result = replayTranscript(altered('13-media-errors.json'));
    expect(transcriptAgrees(result)).toBe(true);
    expect(result.compared).toEqual({ spec: 12, choice: 3, quirk: 3 });
  });

  it('disagrees when a step that the specification fixes differs', () => {
    const transcript = altered('10-interrupts.json', (steps) => {
      stepNamed(steps, 'vector 0 fired')['hex'] = '01'.repeat(20);
    });
    const [difference] = replayTranscript(transcript).differences;
    expect(difference).toMatchObject({ name: 'vector 0 fired', basis: 'spec', choice: null });
    expect(renderConformance([], { tier: 5, show: 1 }, undefined, [replayTranscript(transcript)])).toContain(
      'reference  0101010101',
    );
    expect(conformanceReport([], 5, [replayTranscript(transcript)])).toMatchObject({ scenarios: 1, agree: 0 });
  });

  it('disagrees when a choice differs that the manual does not have', () => {
    const transcript = altered('02-identify.json', (steps) => {
      stepNamed(steps, 'AERL')['hex'] = '07';
    });
    const result = replayTranscript(transcript);
    expect(transcriptAgrees(result)).toBe(false);
    expect(result.differences.filter(({ choice }) => choice === null).map(({ name }) => name)).toEqual(['AERL']);
    expect(result.differences.map(({ choice }) => choice?.id)).toContain('lba-formats');
  });

  it('holds a quirk to what the specification asks for, not to what the reference did', () => {
    const name = 'PRP1 beyond RAM';
    const transcript = altered('05-io-bad.json', (steps) => {
      stepNamed(steps, name)['spec'] = { sct: 0, sc: '0x00' };
    });
    const differing = replayTranscript(transcript).differences.filter(({ choice }) => choice === null);
    expect(differing).toMatchObject([{ name, basis: 'quirk', got: 'status 0/04h', expected: 'status 0/00h' }]);
  });

  it('may end commands that are inside together in any order, but each with its own status', () => {
    const swapped = altered('03-queues.json', (steps) => {
      const [a, b] = [stepNamed(steps, 'completion 0'), stepNamed(steps, 'completion 2')];
      [a['cqe'], b['cqe']] = [b['cqe'], a['cqe']];
    });
    expect(transcriptAgrees(replayTranscript(swapped))).toBe(true);
    const wrong = altered('03-queues.json', (steps) => {
      const step = stepNamed(steps, 'completion 1');
      step['cqe'] = { ...(step['cqe'] as object), sc: '0x02' };
    });
    expect(transcriptAgrees(replayTranscript(wrong))).toBe(false);
  });

  it('sees that something completes where nothing may', () => {
    const transcript = altered('08-events.json', (steps) => {
      stepNamed(steps, 'read log 1')['cqe'] = null;
    });
    expect(replayTranscript(transcript).differences[0]).toMatchObject({ expected: 'nothing completes' });
  });

  it.each<[string, (steps: Steps) => undefined, string]>([
    ['an unknown kind of step', (steps) => void (steps[2]['t'] = 'dance'), 'step 3: unknown kind of step'],
    [
      'a step without its value',
      (steps) => void Reflect.deleteProperty(steps[0], 'v'),
      'step 1: "v" is a hexadecimal number',
    ],
    ['a width that no access has', (steps) => void (steps[0]['w'] = 3), 'step 1: "w" is the width of an access'],
    ['an unknown basis', (steps) => void (steps[0]['basis'] = 'hearsay'), 'step 1: "basis" says how binding a step is'],
  ])('with %s is refused with RECORDING_INVALID', (_what, change, message) => {
    expect(() => altered('01-registers.json', change)).toThrow(message);
  });

  it('of a reference with an option that has no counterpart is refused', () => {
    const data = readFileSync(join(FOLDER, '10-interrupts.json'), 'utf8').replace('mdts=5', 'zoned.auto=on');
    expect(() => replayTranscript(readTranscript('x.json', Buffer.from(data)))).toThrow(
      'the reference\'s option "zoned.auto" has no counterpart here',
    );
  });
});
