/** `pincushion replay` from outside: a finding is made in one folder and run again in another, from the line that was printed. */
import { cpSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import type { Ended } from './pincushion';
import { REPOSITORY, manyCommandLines, temporaryFolder } from './pincushion';

const folder = temporaryFolder();
/** Where findings are made, where their files are carried, and where the driver is mended. */
const [made, elsewhere, mended] = ['made', 'elsewhere', 'mended'].map((name) => {
  mkdirSync(join(folder, name));
  return join(folder, name);
});

const ECHO_NIC = JSON.stringify(require.resolve('@pincushion/example-echo-nic'));
const pluginModule = (name: string): string => `exports.plugin = require(${ECHO_NIC}).${name};\n`;

/** A program that deregisters its buffer while the NIC still receives into it. */
const HASTY = `
const { EchoSocket } = require(${ECHO_NIC});
exports.default = function* (world) {
  const program = world.process('hasty');
  const area = program.mmap(8192, 3, 0x22);
  const address = typeof area === 'number' ? area : yield* area;
  const socket = yield* EchoSocket.open(program);
  yield* socket.register(address, 8192);
  yield* socket.send(0, 4096);
  world.spawn('receive', (function* () { yield* socket.receive(4096, 4096); })());
  yield* world.sleep(1500 + world.choose(5));
  yield* socket.deregister();
};
`;

function write(name: string, content: string | Buffer, into = made): string {
  writeFileSync(join(into, name), content);
  return name;
}

write('nic.cjs', pluginModule('buggyPlugin'));
write('nic.yaml', 'memory: { ram: 64MiB }\nledger: full\ndevices: [{ name: nic0, plugin: ./nic.cjs }]\n');
write('hasty.cjs', HASTY);
write('mistaken.cjs', 'exports.default = function* (world) {\n  world.nothing.here();\n};\n');
write('small job.fio', '[job]\nrw=randwrite\nbs=4k\nsize=1m\nnumber_ios=200\n');
write('taken', 'no folder');
const recording = readFileSync(join(REPOSITORY, 'test/golden/linux-6.18/zero.jsonl'), 'utf8');
write('wrong.jsonl', recording.replace('"res":"ok"', '"res":"ENOTTY"'));

/** A completion that comes a little later: nothing is found of it. */
const HARMLESS = 'completion@20=late:2us';
/** Drivers with a bug each. */
const PLANTED = join(REPOSITORY, 'packages/testing/test/planted/plugin.ts');

const FINDINGS = {
  hasty: ['run', 'hasty.cjs', '--machine', 'nic.yaml'],
  hastyJson: ['run', 'hasty.cjs', '--machine', 'nic.yaml', '--json', '--replay-dir', 'json-replays'],
  mistaken: ['run', 'mistaken.cjs'],
  unplugged: ['run', 'small job.fio', '--fault', `${HARMLESS},device@t=1ms=gone`, '--seed', '9'],
  fuzz: ['fuzz', '--kernel', '5.4', '--first', '7', '--programs', '1'],
  conformance: ['conformance', 'wrong.jsonl', '--show', '0'],
  verify: ['verify', PLANTED, '--driver', 'never-unpins', '--only', 'example'],
  none: ['run', 'hasty.cjs', '--machine', 'nic.yaml', '--no-replay', '--replay-dir', 'none'],
  noFolder: ['run', 'hasty.cjs', '--machine', 'nic.yaml', '--replay-dir', 'taken'],
} as const;

/** The line to copy, as words after `npx pincushion`. */
function again({ out, err }: Ended): readonly string[] {
  const [, command] = /^ *again: npx pincushion (replay .*)$/m.exec(out + err) ?? [];
  return ((command as string | undefined) ?? '').match(/'[^']*'|\S+/g)?.map((word) => word.replace(/^'|'$/g, '')) ?? [];
}

type Json = Record<string, unknown>;

/** A copy of a replay file with something changed; its name. */
function changed(name: string, path: string, change: (file: Json, subject: Json) => void): string {
  const file = JSON.parse(readFileSync(join(elsewhere, path), 'utf8')) as Json;
  change(file, file['subject'] as Json);
  return write(name, JSON.stringify(file), elsewhere);
}

describe('pincushion replay', () => {
  let found: Record<keyof typeof FINDINGS, Ended>;
  let replayed: Record<string, Ended>;

  beforeAll(async () => {
    const all = await manyCommandLines(Object.values(FINDINGS), made);
    found = Object.fromEntries(Object.keys(FINDINGS).map((name, i) => [name, all[i]])) as typeof found;

    // Another machine has the files and the modules, and nothing else: no job file, no recording, no machine file.
    for (const place of [elsewhere, mended]) {
      cpSync(join(made, 'pincushion-replays'), join(place, 'pincushion-replays'), { recursive: true });
      for (const module of ['nic.cjs', 'hasty.cjs', 'mistaken.cjs']) cpSync(join(made, module), join(place, module));
    }
    write('nic.cjs', pluginModule('plugin'), mended);
    rmSync(made, { recursive: true });

    const [, hasty] = again(found.hasty);
    const trail = (file: Json, text: string): void => void (file['trail'] = { text });
    const other = changed('other.replay.json', hasty, (file) => {
      const { text } = file['trail'] as { text: string };
      trail(
        file,
        text.replace(/ 0\.\.4 (\d)/, (_, value) => ` 0..4 ${(Number(value) + 1) % 5}`),
      );
    });
    const forced = changed('forced.replay.json', hasty, (file, subject) => {
      const { text } = file['trail'] as { text: string };
      const value = (Number(/ 0\.\.4 (\d)/.exec(text)?.[1]) + 1) % 5;
      subject['forced'] = [`workload.module 0 0 ${value}`];
    });
    const lines: Record<string, readonly string[]> = {
      hasty: again(found.hasty),
      hastyJson: [...again(found.hasty), '--json'],
      mistaken: again(found.mistaken),
      unplugged: [...again(found.unplugged), '--trace', 'unplugged.json'],
      fuzz: again(found.fuzz),
      verify: again(found.verify),
      conformance: again(found.conformance),
      other: ['replay', other],
      forced: ['replay', forced],
      traceOfFuzz: [...again(found.fuzz), '--trace', 'fuzz.json'],
      noModule: [
        'replay',
        changed('no-module.replay.json', hasty, (_, subject) => {
          (subject['workload'] as Json)['name'] = 'nowhere.cjs';
        }),
      ],
      ...hostile(hasty),
    };
    const ends = await manyCommandLines(Object.values(lines), elsewhere);
    const [fixed] = await manyCommandLines([again(found.hasty)], mended);
    replayed = { ...Object.fromEntries(Object.keys(lines).map((name, i) => [name, ends[i]])), fixed };
  }, 120_000);

  it('is the last line of a command that found something, and the only one that differs with --no-replay', () => {
    expect(found.hasty.out).toMatch(
      /\nagain: npx pincushion replay pincushion-replays\/run-hasty-1-[A-Z_]+-\w{6}\.replay\.json\n$/,
    );
    expect(found.hastyJson.err).toMatch(/^again: npx pincushion replay json-replays\//);
    expect(JSON.parse(found.hastyJson.out)).toHaveProperty('findings');
    expect(found.mistaken.err).toMatch(/TASK_FAILED.*\nagain: npx pincushion replay /);
    expect(found.unplugged.out).toMatch(
      /\nagain: npx pincushion replay pincushion-replays\/run-small-job-9-IO_FAILED-\w+\.replay\.json\n$/,
    );
    expect(found.fuzz.out).toMatch(
      /\nagain: npx pincushion replay .*\nagain: npx pincushion ask 'P mmap .*' --paranoid --kernel 5\.4\n$/,
    );
    expect(found.none.out).not.toMatch(/again:/);
    expect(Object.values(found).map(({ code }) => code)).toEqual(Object.values(found).map(() => 1));
  });

  it('says on stderr when the file cannot be written, and the finding is told all the same', () => {
    expect(found.noFolder.out).toMatch(/DMA_AFTER_UNPIN/);
    expect(found.noFolder.err).toMatch(/no replay file: FILE_UNWRITABLE: taken/);
  });

  it.each([
    ['hasty', 'UNPINNED_WHILE_MAPPED, DMA_AFTER_UNPIN'],
    ['mistaken', 'TASK_FAILED'],
    ['unplugged', 'IO_FAILED'],
    ['fuzz', 'MEMORY_INVALID'],
    ['verify', 'PIN_LEAK'],
    ['conformance', 'KERNEL_DISAGREEMENT'],
  ])('shows the finding of %s again in another folder', (name, codes) => {
    const { code, out, err } = replayed[name];
    expect(err).toBe('');
    expect(out).toContain(`reproduced: ${codes}`);
    expect(out).not.toMatch(/REPLAY_DIVERGED|differs|new$/m);
    expect(code).toBe(1);
  });

  it('has only the rules of a fault plan that the finding needs', () => {
    const file = JSON.parse(readFileSync(join(elsewhere, again(found.unplugged)[1]), 'utf8')) as { subject: Json };
    expect(file.subject['faults']).toMatch(/^device@t=/);
  });

  it('gives the same as a document', () => {
    const report = JSON.parse(replayed['hastyJson'].out) as Json;
    expect(report).toMatchObject({ reproduced: true, diverged: null, differences: [], command: 'run' });
    expect(report['found']).toEqual(report['expected']);
  });

  it('writes a trace of a finding of run, and of nothing else', () => {
    expect(existsSync(join(elsewhere, 'unplugged.json'))).toBe(true);
    expect(replayed['traceOfFuzz'].err).toMatch(/ARGUMENT_INVALID: --trace is for findings of run/);
    expect(replayed['traceOfFuzz'].code).toBe(2);
  });

  it('says that the finding does not show any more, and what differs, when the driver was mended', () => {
    const { code, out } = replayed['fixed'];
    expect(out).toMatch(/differs: \.\/nic\.cjs is not the same code/);
    expect(out).toMatch(/not reproduced: UNPINNED_WHILE_MAPPED, DMA_AFTER_UNPIN does not show/);
    expect(code).toBe(0);
  });

  it('names the decision at which a run leaves its trail: REPLAY_DIVERGED', () => {
    for (const name of ['other', 'forced']) {
      const { code, out } = replayed[name];
      expect(out).toMatch(
        /REPLAY_DIVERGED at decision 1, at [\d.]+ µs\n {2}recorded {2}\d of 0\.\.4 by workload\.module 0 decision 0, at \d+ ns\n {2}here {6}\d of 0\.\.4 by/,
      );
      expect(code).toBe(1);
    }
  });

  it('names the module that is not there', () => {
    expect(replayed['noModule'].err).toMatch(
      /FILE_UNREADABLE: no-module\.replay\.json needs the workload module nowhere\.cjs/,
    );
    expect(replayed['noModule'].code).toBe(2);
  });

  it.each([
    ['empty', /REPLAY_INVALID: empty\.replay\.json: this is no replay file, or it is cut off/],
    ['cut', /REPLAY_INVALID: cut\.replay\.json: this is no replay file, or it is cut off/],
    ['list', /REPLAY_INVALID: list\.replay\.json: this is no replay file/],
    ['newer', /REPLAY_INVALID: .* another version of Pincushion.*schemaVersion 1.*got 2/],
    ['command', /REPLAY_INVALID: .*subject/],
    ['field', /REPLAY_INVALID: .*subject\.sede is not known/],
    ['seed', /REPLAY_INVALID: .*subject\.seed/],
    ['code', /REPLAY_INVALID: .*expected\[0\]\.code/],
    ['machine', /MACHINE_INVALID: machine\.replay\.json: subject\.machine/],
    ['forcedWrong', /CHOICES_UNREADABLE: line 3 /],
    ['faults', /FAULT_PLAN_INVALID/],
    ['gzip', /REPLAY_INVALID: .* cannot be unpacked/],
    ['bomb', /REPLAY_INVALID: .* cannot be unpacked/],
    ['trail', /CHOICES_UNREADABLE: line 1 of the trail/],
    ['kernel', /REPLAY_INVALID: .*subject\.kernel .*6\.18/],
  ])('refuses a file that is %s, with exit code 2 and nothing on stdout', (name, message) => {
    const { code, out, err } = replayed[name];
    expect(err).toMatch(message);
    expect(err).not.toMatch(/internal error/);
    expect([code, out]).toEqual([2, '']);
  });

  it('leaves nothing half-written', () => {
    expect(readdirSync(join(elsewhere, 'pincushion-replays')).filter((name) => name.endsWith('.part'))).toEqual([]);
  });

  /** Files that are wrong in one thing each. */
  function hostile(good: string): Record<string, readonly string[]> {
    const text = readFileSync(join(elsewhere, good), 'utf8');
    const [, fuzz] = again(found.fuzz);
    const wrong = (name: string, change: (file: Json, subject: Json) => void, of = good): [string, string[]] => [
      name,
      ['replay', changed(`${name}.replay.json`, of, change)],
    ];
    const raw = (name: string, content: string): [string, string[]] => [
      name,
      ['replay', write(`${name}.replay.json`, content, elsewhere)],
    ];
    const member = gzipSync(Buffer.alloc(30 * 1024 * 1024));
    const bomb = Buffer.concat(Array.from({ length: 10 }, () => member)).toString('base64');
    return Object.fromEntries([
      raw('empty', ''),
      raw('cut', text.slice(0, text.length >> 1)),
      raw('list', '[1, 2]'),
      wrong('newer', (file) => (file['schemaVersion'] = 2)),
      wrong('command', (_, subject) => (subject['command'] = 'rm')),
      wrong('field', (_, subject) => (subject['sede'] = 1)),
      wrong('seed', (_, subject) => (subject['seed'] = -1)),
      wrong('code', (file) => ((file['expected'] as Json[])[0]['code'] = 'NO_SUCH_CODE')),
      wrong('machine', (_, subject) => ((subject['machine'] as Json)['cpus'] = 'many')),
      wrong('forcedWrong', (_, subject) => (subject['forced'] = ['a b c'])),
      wrong('faults', (_, subject) => (subject['faults'] = 'nothing@all')),
      wrong('gzip', (file) => (file['trail'] = { gzip: 'aGVsbG8=' })),
      wrong('bomb', (file) => (file['trail'] = { gzip: bomb })),
      wrong('trail', (file) => (file['trail'] = { text: 'something else' })),
      wrong('kernel', (_, subject) => (subject['kernel'] = '9.9'), fuzz),
    ]);
  }
});
