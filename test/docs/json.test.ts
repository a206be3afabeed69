import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Transcript } from '@pincushion/conformance';
import {
  ask,
  askReport,
  conformanceReport,
  parseScript,
  randomReport,
  readRecording,
  readTranscript,
  replayRecording,
  replayTranscript,
  runRandomPrograms,
} from '@pincushion/conformance';
import { processTerminal, runCommandLine } from '@pincushion/cli';
import { Machine, parseMachine } from '@pincushion/machine';
import { linux54 } from '@pincushion/mm';
import { plugin } from '@pincushion/nvme-p2p';
import { World } from '@pincushion/sim';
import { TraceExport, WorkloadRun, parseFioJob, reportJsonSchema } from '@pincushion/workloads';
import { REPOSITORY, inlineCode, readDocument, section, tableRows } from './documents';

const manual = readDocument('docs/reference/json.md');

/** Paths in the first column of the tables of a section. */
function documented(heading: string): readonly string[] {
  return tableRows(section(manual, heading)).map(([cell]) => cell.replaceAll('`', ''));
}

interface Schema {
  readonly type?: string;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly items?: Schema;
  readonly anyOf?: readonly Schema[];
}

/** Paths of all leaves of a JSON schema: `a.b`, `list[].c`; a list of plain values is a leaf `list[]`. */
function leaves(schema: Schema, path = ''): readonly string[] {
  if (schema.properties !== undefined) {
    return Object.entries(schema.properties).flatMap(([name, below]) =>
      leaves(below, path === '' ? name : `${path}.${name}`),
    );
  }
  return schema.items === undefined ? [path] : leaves(schema.items, `${path}[]`);
}

/** The same for a value. */
function leavesOf(value: unknown, path = ''): readonly string[] {
  if (Array.isArray(value)) return [...new Set(value.flatMap((entry) => leavesOf(entry, `${path}[]`)))];
  if (typeof value !== 'object' || value === null) return [path];
  return Object.entries(value).flatMap(([name, below]) => leavesOf(below, path === '' ? name : `${path}.${name}`));
}

/** The rows for a whole list say where its fields are described. */
const isRowOfAList = (path: string, all: readonly string[]): boolean =>
  path.endsWith('[]') && all.some((other) => other.startsWith(`${path}.`));

/** What a command says on stdout. */
async function saidBy(words: readonly string[]): Promise<string> {
  let out = '';
  await runCommandLine(words, { ...processTerminal(), out: (text) => void (out += text), err: () => undefined });
  return out;
}

function golden(file: string): string {
  return readFileSync(join(REPOSITORY, 'test/golden/linux-6.18', file), 'utf8');
}

/** One that differs, and in a documented choice, too. */
function alteredTranscript(): Transcript {
  const file = join(REPOSITORY, 'test/golden/nvme-qemu-7.2/07-features-logs.json');
  return readTranscript('07.json', Buffer.from(readFileSync(file, 'utf8').replace('"cid": 1,', '"cid": 2,')));
}

describe('docs/reference/json.md', () => {
  it('has every field of the document of run --json, and none besides', () => {
    const kinds = leaves(reportJsonSchema()).map((path) => path.replace(/\.io\.[a-z]+\./, '.io.<kind>.'));
    const expected = new Set(kinds);
    const rows = documented('pincushion run --json');
    const fields = rows.filter((path) => !isRowOfAList(path, rows));
    expect([...fields].sort()).toEqual([...expected].sort());
  });

  it('says what is measured on the host and that nothing else is', () => {
    expect(section(manual, 'pincushion run --json')).toMatch(/Only the fields of `wall` depend on the host/);
  });

  it('has every field of the document of bench --json, and none besides', () => {
    const committed = ['ground-floor', 'memory-manager'].map((name): unknown =>
      JSON.parse(readFileSync(join(REPOSITORY, `bench/results/${name}.json`), 'utf8')),
    );
    const expected = new Set(committed.flatMap((report) => [...leavesOf(report)]));
    expect([...documented('pincushion bench --json')].sort()).toEqual([...expected].sort());
  });

  it('has every field of the document of conformance --json, and none besides', () => {
    const scenario = golden('unmap.jsonl').replace('"op":"w"', '"op":"frobnicate"');
    const cases = '{"kernel": "6.1", "cases": [{"name": "x", "errno": 22, "group": "dax"}]}';
    const recordings = [
      readRecording('unmap.jsonl', Buffer.from(scenario)),
      readRecording('pin-cases.json', Buffer.from(cases)),
    ];
    const expected = leavesOf(
      conformanceReport(
        recordings.map((recording) => replayRecording(recording)),
        1,
        [replayTranscript(alteredTranscript())],
      ),
    );
    const rows = documented('pincushion conformance --json');
    const fields = rows.filter((path) => !isRowOfAList(path, rows));
    expect([...fields].sort()).toEqual([...expected].sort());
  });

  it('has every field of the document of verify --json, and none besides', async () => {
    let out = '';
    const words = [
      'verify',
      'packages/testing/test/planted/plugin.ts',
      '--driver',
      'never-unpins',
      '--only',
      'example',
      '--no-replay',
    ];
    await runCommandLine([...words, '--json'], { ...processTerminal(), out: (text) => void (out += text) });
    const rows = documented('pincushion verify --json');
    // The sites are described where the findings of `run` are.
    const expected = leavesOf(JSON.parse(out)).map((path) => path.replace(/(sites\[\])\..*/, '$1'));
    expect([...rows].sort()).toEqual([...new Set(expected)].sort());
  }, 30_000);

  it('has every field of the document of verify --contract --json, and none besides', async () => {
    let out = '';
    const words = ['verify', 'packages/testing/test/planted/plugin.ts', '--driver', 'never-unpins', '--limit', '3'];
    const terminal = { ...processTerminal(), out: (text: string) => void (out += text) };
    await runCommandLine([...words, '--contract', '--json'], terminal);
    const rows = documented('pincushion verify --contract --json');
    const expected = leavesOf(JSON.parse(out)).map((path) => path.replace(/(\.rows\[\]\.rows\[\]).*/, '$1'));
    expect([...rows].sort()).toEqual([...new Set(expected)].sort());
  }, 30_000);

  it('has every field of the document of ask --json, and none besides', () => {
    const script = parseScript(
      'file F ext4 1; mmap B fshared F 1; r B 0; pin p B 0 1; vmsplice q B 0 1; pipedrain q; w B 0 1',
      'test',
    );
    const expected = leavesOf(askReport(script, { name: '6.18', basis: 'recorded' }, ask(script)))
      .map((path) => path.replace(/^(steps\[\]\.(?:a|views|frames|accounts))\..*/, '$1'))
      .concat('steps[].contradictions[]');
    expect([...documented('pincushion ask --json')].sort()).toEqual([...new Set(expected)].sort());
  });

  it('has every field of the document of fuzz --json, and none besides', () => {
    const how = { seed: 1, programs: 50, operations: 40, profile: linux54 };
    const expected = leavesOf(randomReport(runRandomPrograms(how), { ...how, kernel: '5.4' }));
    expect([...documented('pincushion fuzz --json')].sort()).toEqual([...expected].sort());
  });

  it('has every field of the document of explain p2p --json, and none besides', async () => {
    const said = await saidBy([
      ...['explain', 'p2p', 'nvme0', 'nvme1', '--json'],
      ...['--machine', join(REPOSITORY, 'examples/p2p-copy/machine.yaml')],
    ]);
    expect([...documented('pincushion explain p2p --json')].sort()).toEqual([...leavesOf(JSON.parse(said))].sort());
  });

  it('has every field of the document of replay --json, and none besides', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'pincushion-json-'));
    try {
      writeFileSync(join(folder, 'small.fio'), '[job]\nrw=randwrite\nbs=4k\nsize=1m\nnumber_ios=200\n');
      const gone = ['--fault', 'device@t=1ms=gone', '--replay-dir', folder, '--json'];
      await saidBy(['run', join(folder, 'small.fio'), ...gone]);
      const [name] = readdirSync(folder).filter((each) => each.endsWith('.replay.json'));
      const file = JSON.parse(readFileSync(join(folder, name), 'utf8')) as Record<string, unknown>;
      const made = { ...(file['made'] as object), pincushion: '0.0.0' };
      const trail = { text: 'pincushion-trail 1\nend 0 0 00000000\n' };
      writeFileSync(join(folder, name), JSON.stringify({ ...file, made, trail }));
      const report = JSON.parse(await saidBy(['replay', join(folder, name), '--json'])) as unknown;
      const rows = documented('pincushion replay --json').filter((path) => path !== 'diverged');
      expect([...rows].sort()).toEqual([...leavesOf(report)].sort());
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  }, 60_000);

  it('shows JSON that can be read', () => {
    const blocks = manual.blocks.filter(({ language }) => language === 'json');
    expect(blocks.length).toBeGreaterThan(0);
    for (const { text } of blocks) expect(() => JSON.parse(text) as unknown).not.toThrow();
  });
});

interface TraceEvent {
  readonly ph: string;
  readonly pid: number;
  readonly name?: string;
  readonly args?: Readonly<Record<string, unknown>>;
}

/** The trace of a small job on a machine with one NVMe device. */
function recordTrace(): readonly TraceEvent[] {
  const world = new World({ seed: 1 });
  const devices = [{ name: 'nvme0', plugin: plugin.name }];
  const machine = world.complete(Machine.boot(world, parseMachine({ devices }, 'test'), { plugins: [plugin] }), 'boot');
  let text = '';
  const trace = new TraceExport(machine, {
    format: 'jsonl',
    sink: (chunk) => {
      text += chunk;
    },
  });
  new WorkloadRun(machine, parseFioJob('[job]\nrw=randrw\nnumber_ios=20\nsize=1m\nfsync=5\n', 'test')).finish();
  trace.close();
  return text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as TraceEvent);
}

describe('the trace file in docs/reference/json.md', () => {
  const events = recordTrace();
  const rows = tableRows(section(manual, 'The trace file'));
  const words = (cell: string): readonly string[] => inlineCode(cell);

  it('has the phases that are written, and none besides', () => {
    const phases = rows.filter(([cell]) => /^(`[A-Za-z]`(, )?)+$/.test(cell)).flatMap(([cell]) => words(cell));
    expect([...phases].sort()).toEqual([...new Set(events.map(({ ph }) => ph))].sort());
  });

  it('has the groups of tracks by their numbers', () => {
    const groups = new Set(rows.filter(([pid]) => /^\d$/.test(pid)).map(([pid, name]) => `${pid} ${words(name)[0]}`));
    const named = events.filter(({ name }) => name === 'process_name');
    expect([...groups]).toEqual(named.map(({ pid, args }) => `${pid} ${String(args?.['name'])}`));
  });

  it('has the slices that are written, with their arguments', () => {
    const slices = new Map(
      rows
        .filter((row) => row.length === 3)
        .flatMap(([names, args]) => words(names).map((name) => [name, words(args)])),
    );
    const written = new Map(events.filter(({ ph }) => ph === 'B').map(({ name = '', args = {} }) => [name, args]));
    expect(written.size).toBeGreaterThan(8);
    for (const [name, args] of written) {
      if (/^nvme:/.test(name)) continue; // a driver's own tracepoint
      const documentedArgs = slices.get(name)?.filter((word) => /^[a-z]+$/i.test(word));
      expect([name, documentedArgs]).toEqual([name, Object.keys(args)]);
    }
  });
});
