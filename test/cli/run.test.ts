/** `pincushion run` from outside: what it prints, what it writes, how it ends. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { RunReport } from '@pincushion/workloads';
import type { Ended } from './pincushion';
import { manyCommandLines, pincushion, REPOSITORY, temporaryFolder } from './pincushion';

const folder = temporaryFolder();

function file(name: string, content: string | Buffer): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

function job(name: string, ...lines: string[]): string {
  return file(`${name}.fio`, ['[job]', ...lines, ''].join('\n'));
}

/** The one document of `--json`, without what the host's clock said. */
function withoutWall(document: string): string {
  const report = JSON.parse(document) as Record<string, unknown>;
  expect(report).toHaveProperty('schemaVersion', 1);
  return JSON.stringify(report, (key, value: unknown) => (key === 'wall' ? undefined : value));
}

const mixed = job('mixed', 'rw=randrw', 'bs=4k', 'size=1m', 'iodepth=4', 'verify=crc32c');
const sqlite = join(REPOSITORY, 'examples/traces/sqlite-wal.blkparse.txt.gz');

/** A program that pins two pages and forgets them. */
const forgetful = file(
  'forgetful.cjs',
  `const { newPinnedPages } = require(${JSON.stringify(require.resolve('@pincushion/mm'))});
   exports.default = function* (world) {
     const program = world.process('forgetful');
     const { memory } = world.machine;
     const area = program.mmap(8192, 3, 0x22);
     const address = typeof area === 'number' ? area : yield* area;
     const owner = memory.ledger.owner('forgetful');
     const pinned = memory.gup.pinUserPagesFast(program.mm, address, 2, 1, newPinnedPages(2), 0, owner);
     if (typeof pinned !== 'number') yield* pinned;
   };`,
);
const mistaken = file('mistaken.cjs', 'exports.default = function* (world) {\n  world.nothing.here();\n};\n');

/** A machine whose disk is an image file of 1 MiB of 0x5a. */
function imageMachine(name: string, writable: boolean): string {
  file(`${name}.img`, Buffer.alloc(1 << 20, 0x5a));
  const model = { namespaces: [{ image: `${name}.img`, writable }] };
  return file(`${name}.json`, JSON.stringify({ devices: [{ name: 'nvme0', plugin: '@pincushion/nvme-p2p', model }] }));
}

/** The command lines that need no process of their own run in one, one after the other. */
const LINES = {
  sameSeed: ['run', mixed, '--seed', '7', '--json'],
  otherSeed: ['run', mixed, '--seed', '8', '--json'],
  inWords: ['run', mixed],
  several: ['run', mixed, sqlite, '--closed-loop', '--iodepth', '8', '--json'],
  traceJson: ['run', mixed, '--trace', join(folder, 'trace.json')],
  traceLines: ['run', mixed, '--trace', join(folder, 'trace.jsonl')],
  leak: ['run', forgetful],
  leakJson: ['run', forgetful, '--json'],
  mistake: ['run', mistaken],
  imageKept: ['run', mixed, '--machine', imageMachine('kept', false)],
  imageWritten: ['run', mixed, '--machine', imageMachine('written', true)],
} as const;

describe('pincushion run', () => {
  let ended: Record<keyof typeof LINES, Ended>;
  beforeAll(async () => {
    const all = await manyCommandLines(Object.values(LINES), folder);
    ended = Object.fromEntries(Object.keys(LINES).map((name, i) => [name, all[i]])) as typeof ended;
  }, 60_000);

  it('gives the same JSON for the same seed in another process, and another one for another seed', async () => {
    const alone = await pincushion(LINES.sameSeed);
    for (const { code, err } of [alone, ended.sameSeed, ended.otherSeed]) expect([code, err]).toEqual([0, '']);
    const first = withoutWall(alone.out);
    expect(withoutWall(ended.sameSeed.out)).toBe(first);
    expect(withoutWall(ended.otherSeed.out).replaceAll('"seed":8', '"seed":7')).not.toBe(first);
  }, 60_000);

  it('says in words how many I/Os were done and that the pins were given back', () => {
    const { code, out } = ended.inWords;
    expect(code).toBe(0);
    expect(out).toMatch(/mixed\.fio/);
    expect(out).toMatch(/pins +([\d,]+) pages taken, \1 given back/);
    expect(out).not.toMatch(/undefined|NaN|\[object/);
  });

  it('runs several workloads and puts all of them into one document', () => {
    const { code, out } = ended.several;
    expect(code).toBe(0);
    expect(withoutWall(out)).toMatch(/mixed\.fio.*sqlite-wal\.blkparse\.txt\.gz/);
  });

  it.each([
    ['trace.json', 'traceJson'],
    ['trace.jsonl', 'traceLines'],
  ] as const)('writes a whole trace to %s', (name, line) => {
    expect(ended[line].code).toBe(0);
    const events = parseTrace(join(folder, name));
    expect(events.length).toBeGreaterThan(256);
    expect(events.every((event) => typeof event === 'object' && event !== null && 'ph' in event)).toBe(true);
  });

  it('ends with 1 and names the leak when a program leaves pages pinned', () => {
    expect(ended.leak.out).toMatch(/PIN_LEAK/);
    expect(ended.leak.code).toBe(1);
    expect((JSON.parse(ended.leakJson.out) as RunReport).findings).toMatchObject([{ code: 'PIN_LEAK' }]);
    expect(ended.leakJson.code).toBe(1);
  });

  it('ends with 1 and the place of the mistake when a workload module throws', () => {
    const { code, err } = ended.mistake;
    expect(err).toMatch(/TASK_FAILED: a workload or driver failed: .*mistaken\.cjs:2:/);
    expect(err).not.toMatch(/internal error/);
    expect(code).toBe(1);
  });

  it('keeps writes in an image file when the machine file says so, and leaves it alone otherwise', () => {
    const untouched = Buffer.alloc(1 << 20, 0x5a);
    expect([ended.imageKept.code, ended.imageWritten.code]).toEqual([0, 0]);
    expect(readFileSync(join(folder, 'kept.img')).equals(untouched)).toBe(true);
    expect(readFileSync(join(folder, 'written.img')).equals(untouched)).toBe(false);
    expect(readFileSync(join(folder, 'written.img'))).toHaveLength(1 << 20);
  });

  it('ends with 130 on Ctrl-C, with the summary so far and a whole trace', async () => {
    const endless = job('endless', 'rw=randrw', 'bs=4k', 'size=64m', 'iodepth=8', 'time_based=1', 'runtime=10h');
    const path = join(folder, 'interrupted.json');
    let sent = false;
    const { code, out } = await pincushion(['run', endless, '--trace', path], {
      onErr: (text, kill) => {
        if (sent || !text.includes('endless.fio')) return;
        sent = true;
        setTimeout(() => {
          kill('SIGINT');
        }, 300);
      },
    });
    expect(code).toBe(130);
    expect(out).toMatch(/interrupted/);
    expect(out).toMatch(/endless\.fio/);
    expect(parseTrace(path).length).toBeGreaterThan(0);
    expect(readdirSync(folder).filter((name) => name.endsWith('.part'))).toEqual([]);
  }, 60_000);
});

describe('the recorded traces', () => {
  it('run to their last I/O with data checking on, lose nothing and leak nothing, in far less than 15 s', async () => {
    const names = ['sqlite-wal', 'untar-python-tree', 'postgres-pgbench'];
    const files = names.map((name) => join(REPOSITORY, `examples/traces/${name}.blkparse.txt.gz`));
    const { code, out, err } = await pincushion(['run', ...files, '--json']);
    expect(err).toBe('');
    expect(code).toBe(0);
    const report = JSON.parse(out) as RunReport;
    const iosOf = (jobs: RunReport['workloads'][0]['jobs']): number =>
      jobs.flatMap(({ io }) => Object.values(io)).reduce((n, { ios }) => n + ios, 0);
    expect(report.workloads.map(({ jobs }) => iosOf(jobs))).toEqual([3_312, 5_314, 33_659]);
    expect(report.workloads.map(({ verified }) => verified.on)).toEqual([true, true, true]);
    expect(report.totals.failed).toBe(0);
    expect(report.findings).toEqual([]);
    expect(report.pins.released).toBe(report.pins.acquired);
    expect(report.mappings.undone).toBe(report.mappings.made);
    expect(report.wall.elapsedMs).toBeLessThan(15_000);
  }, 60_000);
});

function parseTrace(path: string): readonly unknown[] {
  const text = readFileSync(path, 'utf8');
  if (path.endsWith('.jsonl')) {
    return text
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as unknown);
  }
  const document = JSON.parse(text) as { traceEvents: unknown[] } | unknown[];
  return Array.isArray(document) ? document : document.traceEvents;
}
