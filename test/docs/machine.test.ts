import { runInThisContext } from 'node:vm';
import { transformSync } from '@swc/core';
import * as machinePackage from '@pincushion/machine';
import {
  Machine,
  MachineDescription,
  O_CREAT,
  machineJsonSchema,
  parseMachine,
  parseMachineText,
} from '@pincushion/machine';
import { MAP_ANONYMOUS, MAP_PRIVATE, PROT_READ, PROT_WRITE } from '@pincushion/mm';
import { ControllerConfig, NvmeDriverConfig, plugin as nvmePlugin } from '@pincushion/nvme-p2p';
import { World, parseDuration, parseSize } from '@pincushion/sim';
import type { Block } from './documents';
import { documents, readDocument, section, tableRows } from './documents';

const manual = readDocument('docs/reference/machine.md');

/** Path and default of each row of a table. */
function rowsOf(heading: string): ReadonlyMap<string, string> {
  const rows = tableRows(section(manual, heading));
  return new Map(rows.map(([path, standard]) => [path.replaceAll('`', ''), standard.replaceAll('`', '')]));
}

interface Schema {
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly items?: Schema;
  readonly additionalProperties?: unknown;
}

function leaves(schema: Schema, path: string): readonly string[] {
  if (schema.properties !== undefined) {
    return Object.entries(schema.properties).flatMap(([name, below]) =>
      leaves(below, path === '' ? name : `${path}.${name}`),
    );
  }
  return schema.items === undefined ? [path] : leaves(schema.items, `${path}[]`);
}

function valueAt(value: unknown, path: string): unknown {
  let at = value;
  for (const name of path.replaceAll('[]', '.0').split('.')) at = (at as Record<string, unknown> | undefined)?.[name];
  return at;
}

/** A default as it is written, as the value that it stands for. */
function meaning(written: string, value: unknown): unknown {
  if (typeof value !== 'number')
    return written === '{}' ? {} : ['true', 'false'].includes(written) ? written === 'true' : written;
  return parseSize(written) ?? parseDuration(written);
}

/** Defaults that are said in words. */
const IN_WORDS = /^(|required|none|the only one|64 GiB)$/;

function expectDefaults(rows: ReadonlyMap<string, string>, value: unknown, prefix: string): void {
  const compared = [...rows].filter(([path, standard]) => path.startsWith(prefix) && !IN_WORDS.test(standard));
  expect(compared.length).toBeGreaterThan(3);
  for (const [path, standard] of compared) {
    const real = valueAt(value, path.slice(prefix.length));
    expect([path, meaning(standard, real)]).toEqual([path, real]);
  }
}

describe('docs/reference/machine.md', () => {
  const fields = rowsOf('Fields');
  const nvme = rowsOf('The NVMe device');

  it('has every field of a machine file, and none besides', () => {
    expect([...fields.keys()].sort()).toEqual([...leaves(machineJsonSchema(), '')].sort());
  });

  it('has the defaults of a machine file', () => {
    const device = { name: 'a', plugin: 'b' };
    const mount = { device: 'c', at: '/d' };
    expectDefaults(fields, MachineDescription.parse({ devices: [device], mounts: [mount] }), '');
  });

  it('has every setting of the NVMe device with its default', () => {
    const model = ControllerConfig.parse({ namespaces: [{}] });
    const config = NvmeDriverConfig.parse({});
    expectDefaults(nvme, model, 'model.');
    expectDefaults(nvme, config, 'config.');
    const expected = [
      ...Object.keys(ControllerConfig.shape)
        .filter((name) => name !== 'latency' && name !== 'namespaces')
        .map((name) => `model.${name}`),
      ...Object.keys(model.latency).map((name) => `model.latency.${name}`),
      ...Object.keys(ControllerConfig.shape.namespaces.unwrap().element.shape).map(
        (name) => `model.namespaces[].${name}`,
      ),
      ...Object.keys(NvmeDriverConfig.shape).map((name) => `config.${name}`),
    ];
    expect([...nvme.keys()].sort()).toEqual(expected.sort());
  });

  it('has the same machine as YAML and as TypeScript', () => {
    const [yaml] = manual.blocks.filter(({ language }) => language === 'yaml');
    const [module] = manual.blocks.filter(({ language }) => language === 'ts');
    expect(parseMachine(exportedBy(module), module.where)).toEqual(parseMachineText(yaml.text, yaml.where));
  });
});

describe('the machine with a file system in docs/reference/machine.md', () => {
  it('boots, and a process does what is written there', () => {
    const [{ where, text }] = manual.blocks.filter(
      (block) => block.language === 'yaml' && block.text.includes('mounts:'),
    );
    const world = new World();
    const machine = world.complete(Machine.boot(world, parseMachineText(text, where), { plugins: [nvmePlugin] }));
    const process = machine.process('program');
    const buffer = world.settle(process.mmap(4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS));
    const fd = world.complete(process.open('/mnt/data', O_CREAT));
    expect(world.complete(process.pwrite(fd, buffer, 4096, 0))).toBe(4096);
    expect(world.complete(process.fsync(fd))).toBe(0);
    world.complete(machine.shutdown());
    expect(world.findings.all).toEqual([]);
  });
});

describe('the machine files in the documents', () => {
  const blocks = documents().flatMap((document) => document.blocks.filter(({ language }) => language === 'yaml'));

  it('are there', () => {
    expect(blocks.length).toBeGreaterThan(0);
  });

  it.each(blocks)('can be read, with the settings of their NVMe devices: $where', ({ where, text }) => {
    for (const { plugin, model, config } of parseMachineText(text, where).devices) {
      if (plugin !== '@pincushion/nvme-p2p') continue;
      expect(ControllerConfig.safeParse(model).error).toBeUndefined();
      expect(NvmeDriverConfig.safeParse(config).error).toBeUndefined();
    }
  });
});

/** The default export of a TypeScript block that imports `@pincushion/machine` only. */
function exportedBy({ text }: Block): unknown {
  const { code } = transformSync(text, { jsc: { parser: { syntax: 'typescript' } }, module: { type: 'commonjs' } });
  const load = runInThisContext(`(function (require, exports) { ${code}\n})`) as (
    require: (name: string) => unknown,
    exports: object,
  ) => void;
  const exported: { default?: unknown } = {};
  load((name) => {
    expect(name).toBe('@pincushion/machine');
    return machinePackage;
  }, exported);
  return exported.default;
}
