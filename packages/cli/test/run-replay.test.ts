/** A session of `run` as a replay file and back, where the command line cannot reach: stopped midway, and on images of disks. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describeMachine } from '../src/machine-file';
import { openWorkload } from '../src/open-workload';
import { SessionNotes, findingsOf, replayRun, runSubject } from '../src/replay/run-replay';
import { UsageError } from '@pincushion/sim';

const folder = mkdtempSync(join(tmpdir(), 'pincushion-replay-'));
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

function file(name: string, content: string | Buffer): string {
  writeFileSync(join(folder, name), content);
  return join(folder, name);
}

/** Ctrl-C after so many slices; never without a number. */
function stopping(after = Infinity) {
  let turns = 0;
  return {
    get requested() {
      return turns >= after;
    },
    turn: () => {
      turns++;
      return Promise.resolve();
    },
  };
}

const never = stopping();
const options = { seed: 3, run: { verify: true } };

/** Runs a session to its end or stop, and gives what its replay file would have. */
async function sessionOf(job: string, machineFile: string | undefined, stop = never) {
  const machine = describeMachine(machineFile);
  const notes = new SessionNotes();
  const progressed = (): void => {
    notes.slices++;
  };
  await findingsOf(openWorkload(job), machine, options, stop, notes, { progressed });
  return { notes, subject: runSubject(job, false, machine, options, notes, stop.requested) };
}

/** A machine whose disk is an image of 1 MiB. */
function imageMachine(name: string, writable: boolean): string {
  file(`${name}.img`, Buffer.alloc(1 << 20, 0x5a));
  const model = { namespaces: [{ image: `${name}.img`, writable }] };
  return file(`${name}.json`, JSON.stringify({ devices: [{ name: 'nvme0', plugin: '@pincushion/nvme-p2p', model }] }));
}

const small = file('small.fio', '[job]\nrw=randrw\nbs=4k\nsize=512k\nnumber_ios=50\n');
const REPLAY = join(folder, 'it.replay.json');

describe('a run that was stopped', () => {
  it('is stopped again at the same event, and has taken the same decisions until then', async () => {
    const long = file('long.fio', '[job]\nrw=randrw\nbs=4k\nsize=128m\niodepth=8\nnumber_ios=30000\n');
    const { notes, subject } = await sessionOf(long, undefined, stopping(1));
    expect(subject.stopAfter).toBe(1);
    const again = await replayRun(subject, REPLAY, never);
    expect(again.trail).toBe(notes.trailText);
    expect(again.differences).toEqual([]);
  }, 60_000);
});

describe('a run on an image of a disk', () => {
  it('names the image with a checksum, and says when it has another content', async () => {
    const { subject } = await sessionOf(small, imageMachine('read', false));
    expect(subject.images).toEqual([
      { path: 'read.img', bytes: 1 << 20, sha256: expect.stringMatching(/^\w{64}$/) as string },
    ]);
    expect((await replayRun(subject, REPLAY, never)).differences).toEqual([]);
    file('read.img', Buffer.alloc(1 << 20, 0x5b));
    expect((await replayRun(subject, REPLAY, never)).differences).toEqual([
      'the image read.img may have another content',
    ]);
    file('read.img', Buffer.alloc(2 << 20, 0x5a));
    expect((await replayRun(subject, REPLAY, never)).differences).toEqual([
      'the image read.img had 1048576 bytes and has 2097152',
    ]);
  }, 60_000);

  it('says of one that it writes to that it may have changed', async () => {
    const { subject } = await sessionOf(small, imageMachine('written', true));
    expect(subject.images).toEqual([{ path: 'written.img', bytes: 1 << 20, sha256: null }]);
    expect((await replayRun(subject, REPLAY, never)).differences).toEqual([
      'the image written.img may have another content',
    ]);
  }, 60_000);
});

describe('a run through a file system', () => {
  it('goes through it again, with the same decisions', async () => {
    const machine = describeMachine(undefined);
    const notes = new SessionNotes();
    const throughFs = { seed: 3, run: { through: 'fs:buffered' as const } };
    expect(await findingsOf(openWorkload(small), machine, throughFs, never, notes)).toEqual([]);
    const subject = runSubject(small, false, machine, throughFs, notes, false);
    expect(subject.through).toBe('fs:buffered');
    expect((await replayRun(subject, REPLAY, never)).trail).toBe(notes.trailText);
    const raw = await replayRun({ ...subject, through: 'raw' }, REPLAY, never);
    expect(raw.trail).not.toBe(notes.trailText);
  }, 60_000);
});

describe('what a run was made of', () => {
  it('is told when it is another workload, and refused when a plugin is not there', async () => {
    const { subject } = await sessionOf(small, undefined);
    const other = { ...subject, workload: { ...subject.workload, sha256: '0'.repeat(64) } };
    expect((await replayRun(other, REPLAY, never)).differences).toEqual([`${small} is not the same workload`]);
    const [nvme] = subject.plugins;
    const gone = replayRun({ ...subject, plugins: [{ ...nvme, name: 'no-such-nic' }] }, REPLAY, never);
    await expect(gone).rejects.toThrow(UsageError);
    await expect(gone).rejects.toThrow(
      /PLUGIN_UNKNOWN: .*it\.replay\.json: there is no plugin "no-such-nic".*npm install no-such-nic/,
    );
    const older = { ...subject, plugins: [{ ...nvme, sha256: '0', version: '0.0.9' }] };
    expect((await replayRun(older, REPLAY, never)).differences).toEqual([
      '@pincushion/nvme-p2p is not the same code: version 0.0.9 then, 0.1.0 now',
    ]);
  }, 60_000);
});
