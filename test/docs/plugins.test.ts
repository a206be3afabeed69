import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { AbstractClass, Task } from '@pincushion/driver';
import {
  BlockDisks,
  CharDevices,
  Cpus,
  DeviceClock,
  DeviceModel,
  DeviceWork,
  DmaMapper,
  Driver,
  Gup,
  HostFiles,
  Interrupts,
  Log,
  Memory,
  PLUGIN_KEYWORD,
  PackageField,
  Registers,
  driver,
  driverMeta,
  fieldDisagreements,
  parsePackageField,
} from '@pincushion/driver';
import { EchoNic, EchoNicHardware, plugin as echoPlugin } from '@pincushion/example-echo-nic';
import { plugin as nvmePlugin } from '@pincushion/nvme-p2p';
import { ERROR_CODES } from '@pincushion/sim';
import { testDevice } from '@pincushion/testing';
import { REPOSITORY, documents, inlineCode, readDocument, section, tableRows } from './documents';

const manual = readDocument('docs/reference/plugins.md');

/** A driver that asks for every service there is. */
class Greedy extends Driver {
  readonly services: readonly object[];

  constructor(
    gup: Gup,
    dma: DmaMapper,
    registers: Registers,
    interrupts: Interrupts,
    work: DeviceWork,
    disks: BlockDisks,
    chars: CharDevices,
    files: HostFiles,
    cpus: Cpus,
    clock: DeviceClock,
    log: Log,
    memory: Memory,
  ) {
    super();
    this.services = [gup, dma, registers, interrupts, work, disks, chars, files, cpus, clock, log, memory];
  }

  override *probe(): Task {
    // Takes nothing.
  }

  override *remove(): Task {
    // Has nothing.
  }
}

const SERVICES = [
  Gup,
  DmaMapper,
  Registers,
  Interrupts,
  DeviceWork,
  BlockDisks,
  CharDevices,
  HostFiles,
  Cpus,
  DeviceClock,
  Log,
  Memory,
] as const;

/** The driver of the echo NIC says which hardware there is to drive. */
const echo = driverMeta(EchoNic);
if (echo === null) throw new Error('the example has no driver');
driver({ ...echo, name: 'greedy', deps: SERVICES })(Greedy);

/** The names of methods and fields in the first words of the pieces of inline code of a cell. */
function members(cell: string): readonly string[] {
  return inlineCode(cell).map((code) => /^\w+/.exec(code)?.[0] ?? code);
}

describe('the table of services in docs/reference/plugins.md', () => {
  const documented = new Map<string, string[]>();
  let current = '';
  for (const [name, methods] of tableRows(section(manual, 'Services'))) {
    if (name !== '') current = name.replaceAll('`', '');
    documented.set(current, [...(documented.get(current) ?? []), ...members(methods)]);
  }

  it('has every service that a driver is offered, and none besides', () => {
    using bed = testDevice(Greedy, { hardware: EchoNicHardware });
    expect([...documented.keys()].sort()).toEqual([...(bed.device.services?.wiring.offered() ?? [])].sort());
  });

  it('names members that the services have', () => {
    using bed = testDevice(Greedy, { hardware: EchoNicHardware });
    const named = SERVICES.map((service: AbstractClass) => service.name);
    const missing = bed.driver.services.flatMap((service, i) =>
      (documented.get(named[i]) ?? ['any member'])
        .filter((name) => !(name in service))
        .map((name) => `${named[i]}.${name}`),
    );
    expect(missing).toEqual([]);
  });

  it('leaves out no method of an abstract service class', () => {
    const classes = ['gup', 'dma-mapper', 'registers', 'interrupts', 'device-work', 'block-disks', 'char-devices'];
    const sources = [...classes, 'machine-facts', 'host-files']
      .map((file) => readFileSync(join(REPOSITORY, `packages/driver/src/services/${file}.ts`), 'utf8'))
      .join('\n');
    const missing: string[] = [];
    for (const [, name, body] of sources.matchAll(/^export abstract class (\w+) \{([^]*?)^\}/gm)) {
      for (const [, method] of body.matchAll(/^ {2}abstract (\w+)\(/gm)) {
        if (documented.get(name)?.includes(method) !== true) missing.push(`${name}.${method}`);
      }
    }
    expect(missing).toEqual([]);
  });
});

describe('docs/reference/plugins.md', () => {
  it.each([
    ['The driver', Driver],
    ['The hardware', DeviceModel],
  ])('names methods that the base class has: %s', (heading, cls) => {
    const source = readFileSync(
      join(REPOSITORY, `packages/driver/src/${cls === Driver ? 'driver' : 'device-model'}.ts`),
    );
    const names = tableRows(section(manual, heading)).flatMap(([cell]) => members(cell));
    expect(names.length).toBeGreaterThan(3);
    const declared = (name: string) =>
      new RegExp(`^ {2}(?:(?:protected|abstract|get) )*\\*?${name}(?:<[^>]*>)?\\(`, 'm').test(source.toString('utf8'));
    expect(names.filter((name) => !declared(name))).toEqual([]);
  });
});

describe('the guarantees and duties in docs/reference/plugins.md', () => {
  const text = section(manual, 'What is guaranteed, and what is owed');

  it('name codes that exist', () => {
    const codes = inlineCode(text).filter((word) => /^[A-Z]+_[A-Z_]+$/.test(word) && !word.startsWith('FOLL_'));
    expect(codes.length).toBeGreaterThan(15);
    expect(codes.filter((code) => !Object.hasOwn(ERROR_CODES, code))).toEqual([]);
  });

  it('have each hook of a driver, and each operation of a character device, with its context', () => {
    const rows = tableRows(text).filter((row) => row.length === 4);
    expect(rows.every(([, context]) => /^(task|any|hardirq|softirq)/.test(context))).toBe(true);
    const called = rows.flatMap(([cell]) => members(cell));
    const bases = readFileSync(join(REPOSITORY, 'packages/driver/src/driver.ts'), 'utf8');
    const hooks = [...bases.matchAll(/^ {2}(?:abstract |\*)(\w+)\(/gm)].map(([, name]) => name);
    const chars = readFileSync(join(REPOSITORY, 'packages/driver/src/services/char-devices.ts'), 'utf8');
    const [, body] = /interface CharOperations \{([^]*?)^\}/m.exec(chars) ?? ['', ''];
    const operations = [...body.matchAll(/^ {2}(\w+)\??\(/gm)].map(([, name]) => name);
    expect([hooks.length, operations.length]).toEqual([5, 4]);
    expect([...hooks, ...operations].filter((name) => !called.includes(name))).toEqual([]);
  });
});

describe('the field of package.json', () => {
  interface Manifest {
    readonly keywords: readonly string[];
    readonly pincushion: unknown;
  }

  const [block] = manual.blocks.filter(({ language }) => language === 'json');
  const shown = JSON.parse(block.text) as Manifest;

  it.each([
    ['examples/echo-nic', echoPlugin],
    ['packages/nvme-p2p', nvmePlugin],
  ])('of %s says what its decorators say', (folder, plugin) => {
    const file = join(REPOSITORY, folder, 'package.json');
    const { keywords, pincushion } = JSON.parse(readFileSync(file, 'utf8')) as Manifest;
    expect(keywords).toContain(PLUGIN_KEYWORD);
    expect(fieldDisagreements(parsePackageField(pincushion, folder, file), plugin)).toEqual([]);
  });

  it('is shown as echo-nic has it, and has each of its fields in the table', () => {
    const file = readFileSync(join(REPOSITORY, 'examples/echo-nic/package.json'), 'utf8');
    expect(JSON.parse(file)).toMatchObject(shown);
    const rows = tableRows(section(manual, 'How a machine finds a plugin')).flatMap(([cell]) => inlineCode(cell));
    const tops = new Set(rows.map((row) => row.split(/[[.]/)[0]).filter((name) => name !== ''));
    expect([...tops].sort()).toEqual(Object.keys(PackageField.shape).sort());
  });

  it('that says something else than the decorators is told, each difference by itself', () => {
    const field = parsePackageField(shown.pincushion, 'echo', 'package.json');
    const [own] = field.drivers;
    const odd = {
      ...field,
      drivers: [{ name: own.name, match: [] }],
      hardware: [{ name: 'other', vendor: 1, device: 2 }],
    };
    expect(fieldDisagreements(odd, echoPlugin)).toEqual([
      'driver echo-nic has nothing in the field, 1af4:10e1 in its decorator',
      'hardware echo-nic is not in the field',
      'hardware other is in the field only',
    ]);
  });
});

describe('the TypeScript in the documents', () => {
  /** Each is a quotation of the file that the last link before it leads to. */
  const quotations = documents()
    .flatMap(({ path, blocks }) => blocks.map((block) => ({ ...block, path })))
    .filter(({ path, language }) => language === 'ts' && path !== 'docs/reference/machine.md')
    .filter(({ path, source }) => path.startsWith('docs/reference/') || source.endsWith('.ts'));

  it('is there', () => {
    expect(quotations.length).toBeGreaterThan(6);
  });

  it.each(quotations)('is what the linked file says: $where', ({ text, source }) => {
    expect(source).toMatch(/\.ts$/);
    const quoted = withoutIndentation(text);
    // Not toContain: it would print the whole file.
    const found = withoutIndentation(readFileSync(join(REPOSITORY, source), 'utf8')).includes(quoted);
    expect(found ? '' : `not in ${source}:\n${text}`).toBe('');
  });
});

/** The formatter takes the outer indentation of a quotation away. */
function withoutIndentation(text: string): string {
  return text.replace(/^\s+/gm, '');
}
