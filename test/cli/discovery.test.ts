/** What binds a device that names no plugin: direct dependencies by keyword and field, and no code before a match. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Ended } from './pincushion';
import { REPOSITORY, manyCommandLines, temporaryFolder } from './pincushion';

const folder = temporaryFolder();
const loadedFile = join(folder, 'loaded.txt');
const echoNic = JSON.stringify(join(REPOSITORY, 'examples/echo-nic/src/index.ts'));
const IDS = { vendor: '0x1af4', device: '0x10e1' };
const DRIVERS = [{ name: 'echo-nic', match: [IDS] }];
const HARDWARE = [{ name: 'echo-nic', ...IDS }];
const FIELD = { api: 1, drivers: DRIVERS, hardware: HARDWARE };
const NIC = { devices: [{ name: 'nic0', hardware: 'echo-nic' }] };

interface Installed {
  readonly keywords?: readonly string[];
  readonly field?: unknown;
  /** What the module exports as `plugin`; the whole echo-nic unless given. */
  readonly exports?: string;
  /** Whether the project depends on it; else it is only there. */
  readonly direct?: boolean;
  readonly here?: boolean;
}

/** A project with packages in its node_modules, and a machine file. Each package notes when it is loaded. */
function project(name: string, packages: Readonly<Record<string, Installed>>, machine: object = NIC): string {
  const root = join(folder, name);
  mkdirSync(root, { recursive: true });
  const direct = Object.entries(packages).filter(([, installed]) => installed.direct ?? true);
  const dependencies = Object.fromEntries(direct.map(([dependency]) => [dependency, '*']));
  writeFileSync(join(root, 'package.json'), JSON.stringify({ name: `project-${name}`, dependencies }));
  writeFileSync(join(root, 'machine.json'), JSON.stringify({ memory: { ram: '64MiB' }, ...machine }));
  for (const [dependency, installed] of Object.entries(packages)) {
    if (installed.here === false) continue;
    const at = join(root, 'node_modules', dependency);
    mkdirSync(at, { recursive: true });
    const { keywords = ['pincushion-driver'], field } = installed;
    const manifest = {
      name: dependency,
      main: 'index.js',
      keywords,
      ...(field === undefined ? {} : { pincushion: field }),
    };
    writeFileSync(join(at, 'package.json'), JSON.stringify(manifest));
    writeFileSync(
      join(at, 'index.js'),
      `require('node:fs').appendFileSync(${JSON.stringify(loadedFile)}, '${name}/${dependency} ');
       const { plugin } = require(${echoNic});
       exports.plugin = ${installed.exports ?? 'plugin'};`,
    );
  }
  return join(name, 'machine.json');
}

const show = (file: string): readonly string[] => ['machine', 'show', file];
const bind = (file: string): readonly string[] => ['explain', 'bind', 'nic0', '--machine', file];

/** All command lines of this file run in one process, which is most of what they cost. */
const lines: (readonly string[])[] = [];
let ended: readonly Ended[] = [];

/** Asks for command lines; what they said is there when the tests run. */
function ask(...asked: readonly (readonly string[])[]): () => readonly Ended[] {
  const first = lines.push(...asked) - asked.length;
  return () => ended.slice(first, first + asked.length);
}

/** Which packages of a project were loaded. */
function loaded(name: string): readonly string[] {
  const notes = existsSync(loadedFile) ? readFileSync(loadedFile, 'utf8').trim().split(' ') : [];
  return notes.filter((note) => note.startsWith(`${name}/`)).map((note) => note.slice(name.length + 1));
}

beforeAll(async () => {
  ended = await manyCommandLines(lines, folder);
}, 120_000);

describe('a device that names only its hardware', () => {
  const one = project('one', {
    'other-nic': { field: { api: 1, hardware: [{ name: 'other-nic', vendor: 1, device: 2 }] } },
    'my-nic': { field: FIELD },
    'no-keyword': { keywords: [], field: FIELD },
    'no-field': {},
    'not-installed': { field: FIELD, here: false },
    'somebody-elses': { field: FIELD, direct: false },
  });
  const two = project('two', {
    'echo-card': { field: { api: 1, hardware: HARDWARE }, exports: '{ ...plugin, drivers: [] }' },
    'echo-driver': { field: { api: 1, drivers: DRIVERS }, exports: '{ ...plugin, hardware: [] }' },
  });
  const listed = project(
    'listed',
    { 'my-nic': { field: { api: 'none' } }, 'two-nic': { field: FIELD } },
    { ...NIC, plugins: ['./own.js'] },
  );
  writeFileSync(join(folder, 'listed/own.js'), `exports.plugin = require(${echoNic}).plugin;\n`);
  const ofOne = ask(show(one), bind(one));
  const ofTwo = ask(show(two));
  const ofListed = ask(show(listed), bind(listed));

  it('is bound by the direct dependency that has it, and no code of another package runs', () => {
    const [shown] = ofOne();
    expect(shown).toMatchObject({ code: 0, err: '' });
    expect(shown.out).toMatch(/nic0[^]*hardware echo-nic 1af4:10e1[^]*driver echo-nic[^]*\/dev\/echo0/);
    expect(loaded('one')).toEqual(['my-nic']);
  });

  it('is explained: each package that was looked at, and each rule that was asked', () => {
    const [, explained] = ofOne();
    expect(explained).toMatchObject({ code: 0, err: '' });
    const rules = explained.out.split('\n').map((line) => line.trim().replaceAll(/ {2,}/g, ' '));
    expect(rules.slice(0, 10)).toEqual([
      'nic0: bound to driver echo-nic',
      expect.stringMatching(
        /^✓ list .* names no plugin for it: the direct dependencies are looked at, of .*package\.json/,
      ),
      '✓ keyword "pincushion-driver": other-nic, my-nic, no-field (of 6); not installed: not-installed',
      '✓ api other-nic is for api 1, as this is',
      '✓ field other-nic has hardware other-nic (0001:0002)',
      '✓ api my-nic is for api 1, as this is',
      '✓ field my-nic has driver echo-nic (1af4:10e1), hardware echo-nic (1af4:10e1)',
      '✗ keyword no-keyword has a field pincushion, and no keyword "pincushion-driver"',
      '✗ field no-field has the keyword, and no field pincushion',
      '✓ hardware my-nic has hardware echo-nic',
    ]);
    expect(explained.out).not.toContain('somebody-elses');
    expect(explained.out).toMatch(/✓ load {6}my-nic: .*index\.js exports a plugin\n.*✓ decorator .*\n.*✓ hardware/);
    expect(explained.out).toMatch(/✓ model .*\n.*✓ config .*"node":"echo0".*\n.*✓ services .*\n.*✓ probe/);
  });

  it('takes its driver from another dependency when its own package has none', () => {
    const [{ code, out }] = ofTwo();
    expect([code, loaded('two')]).toEqual([0, ['echo-card', 'echo-driver']]);
    expect(out).toContain('driver echo-nic');
  });

  it('is bound with what the machine lists, and then no dependency is looked at', () => {
    const [shown, explained] = ofListed();
    expect(shown.out).toContain('driver echo-nic');
    expect(loaded('listed')).toEqual([]);
    expect(explained.out).toMatch(/✓ list {6}.* lists its plugins, and no dependency is looked at: \.\/own\.js/);
  });
});

describe('a dependency that cannot be used', () => {
  const refusals: readonly (readonly [string, Readonly<Record<string, Installed>>, RegExp])[] = [
    [
      'is for another version of the contract: both numbers are named',
      { 'new-nic': { field: { ...FIELD, api: 2, somethingNew: true } } },
      /DRIVER_API_MISMATCH: new-nic was made for another version .* Expected api: 1; got api: 2\. Try a newer Pincushion/,
    ],
    [
      'has a bad field: the package and the place are named',
      { 'bad-nic': { field: { ...FIELD, hardware: [{ name: 'echo-nic', vendor: 'intel', device: 1 }] } } },
      /PACKAGE_FIELD_INVALID: bad-nic \(.*package\.json\): pincushion\.hardware\[0\]\.vendor is not allowed.*got "intel"/,
    ],
    [
      'has a field that is not known',
      { 'bad-nic': { field: { ...FIELD, driver: [] } } },
      /PACKAGE_FIELD_INVALID: bad-nic .*pincushion\.driver is not known\. Expected one of api, entry, drivers, hardware/,
    ],
    [
      'says something else than its decorators',
      { 'odd-nic': { field: { ...FIELD, drivers: [{ name: 'echo-nic', match: [{ vendor: 1, device: 2 }] }] } } },
      /PACKAGE_FIELD_INVALID: odd-nic .*driver echo-nic has 0001:0002 in the field, 1af4:10e1 in its decorator/,
    ],
    [
      'has the hardware as another one has: both are named',
      { 'nic-a': { field: FIELD }, 'nic-b': { field: FIELD } },
      /PLUGIN_AMBIGUOUS: device nic0: hardware echo-nic comes from 2 plugins\. Expected one of them; got nic-a, nic-b/,
    ],
    [
      'has no such entry',
      { 'my-nic': { field: { ...FIELD, entry: './plugin' } } },
      /PLUGIN_INVALID: my-nic has no module "\.\/plugin" that could be loaded/,
    ],
    [
      'is not there at all: the known hardware is listed',
      { 'other-nic': { field: { api: 1, hardware: [{ name: 'echo-nik', vendor: 1, device: 2 }] } } },
      /MACHINE_INVALID: device nic0: no dependency brings hardware echo-nic\. Expected one of echo-nik; .* Try echo-nik/,
    ],
  ];

  const answers = refusals.map(([, packages], index) => {
    const file = project(`bad-${index}`, packages);
    return ask(show(file), bind(file));
  });
  const versions = project('versions', { 'new-nic': { field: { ...FIELD, api: 2 } }, 'my-nic': { field: FIELD } });
  const ofVersions = ask(show(versions));

  it.each(refusals.map(([what], index) => [what, index] as const))('%s', (_what, index) => {
    const [shown, explained] = answers[index]();
    const [, , message] = refusals[index];
    expect(shown).toMatchObject({ code: 2, out: '' });
    expect(shown.err).toMatch(message);
    // The explanation is an answer, with the same sentence at the rule that decided.
    expect(explained).toMatchObject({ code: 1, err: '' });
    expect(explained.out).toMatch(/^nic0: no driver is bound\n/);
    expect(explained.out.split('\n').at(-2)).toMatch(/^ {2}✗ /);
    expect(explained.out).toMatch(message);
  });

  it('of another version does no harm when something else fits', () => {
    const [{ code, out }] = ofVersions();
    expect([code, loaded('versions')]).toEqual([0, ['my-nic']]);
    expect(out).toContain('driver echo-nic');
  });
});

describe('pincushion explain bind', () => {
  const packages = { 'my-nic': { field: FIELD } };
  const nic = { name: 'nic0', hardware: 'echo-nic' };
  const both = [nic, { ...nic, name: 'nic1' }];
  const device = (name: string, devices: readonly object[]): string => project(name, packages, { devices });
  const answers = ask(
    bind(device('config', [{ ...nic, config: { nood: 'x' } }])),
    bind(device('model', [{ ...nic, model: { nsPerByte: -1 } }])),
    bind(device('twice', both)),
    ['explain', 'bind', 'nic1', '--machine', device('second', both)],
    ['explain', 'bind', 'nic7', '--machine', device('name', [nic])],
  );

  it('says which rule decides: configuration, probe, another device, or a name that is not there', () => {
    const [config, model, twice, second, name] = answers();
    const last = ({ out }: Ended): string => out.split('\n').at(-2) ?? '';
    expect(last(config)).toMatch(/✗ config {4}DRIVER_CONFIG_INVALID: config\.nood is not known.*Try node/);
    expect(last(model)).toMatch(/✗ model {5}DRIVER_CONFIG_INVALID: model\.nsPerByte is too small/);
    expect(last(twice)).toMatch(
      /✗ machine {3}the machine does not boot, because of another device: .*\/dev\/echo0 exists/,
    );
    expect(twice.out).toMatch(/^nic0: bound to driver echo-nic\n/);
    expect(last(second)).toMatch(/✗ probe {5}DRIVER_PROBE_FAILED: .*DEVICE_DUPLICATE.*\/dev\/echo0/);
    expect(name).toMatchObject({ code: 2, out: '' });
    expect(name.err).toMatch(/DEVICE_UNKNOWN: .* has no device nic7\. Expected one of nic0/);
  });
});
