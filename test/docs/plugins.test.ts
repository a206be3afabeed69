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
  Registers,
  driver,
  driverMeta,
} from '@pincushion/driver';
import { EchoNic, EchoNicHardware } from '@pincushion/example-echo-nic';
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
