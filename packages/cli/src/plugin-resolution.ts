/**
 * Which plugins a machine is bound with. What the description says wins: the `plugin` of a device, or the `plugins` of
 * the machine. A device without the first in a machine without the second is bound by what the direct dependencies say
 * about themselves in `package.json`; code is loaded only of the package that has the hardware or the driver.
 */
import { createRequire } from 'node:module';
import { join } from 'node:path';
import type { HardwareMeta, Plugin } from '@pincushion/driver';
import { driverMeta, fieldDisagreements, hardwareMeta, idText, nearestName } from '@pincushion/driver';
import type { DeviceDescription, MachineDescription } from '@pincushion/machine';
import { ambiguous, hardwareOf, pluginOf } from '@pincushion/machine';
import { UsageError } from '@pincushion/sim';
import type { Discovery, FoundPackage } from './discovery';
import { discoverPackages } from './discovery';
import { loadPlugin, locatePlugin } from './plugins';

/** A rule by which a driver is found for a device, in the order in which they are asked. */
export type BindRule =
  | 'list'
  | 'keyword'
  | 'field'
  | 'api'
  | 'hardware'
  | 'match'
  | 'load'
  | 'decorator'
  | 'model'
  | 'config'
  | 'services'
  | 'probe'
  | 'machine';

/** Hears how each rule decided. */
export type BindWitness = (rule: BindRule, passed: boolean, text: string) => undefined;

export interface ResolvedPlugins {
  /** The description, with a plugin for each device. */
  readonly description: MachineDescription;
  /** In the order in which their drivers are asked. */
  readonly plugins: readonly Plugin[];
}

/**
 * The plugins of a described machine. Throws `UsageError`: PLUGIN_UNKNOWN, PLUGIN_INVALID, PLUGIN_AMBIGUOUS,
 * PACKAGE_FIELD_INVALID, DRIVER_API_MISMATCH, MACHINE_INVALID.
 */
export function resolvePlugins(
  description: MachineDescription,
  source: string,
  folder: string,
  witness: BindWitness = () => undefined,
): ResolvedPlugins {
  const resolution = new Resolution(description.plugins, source, folder, witness);
  const devices = description.devices.map((device) => resolution.resolve(device));
  return { description: { ...description, devices }, plugins: resolution.plugins };
}

class Resolution {
  private readonly byName = new Map<string, Plugin>();
  private discovery: Discovery | null = null;

  constructor(
    private readonly listed: readonly string[] | undefined,
    private readonly source: string,
    private readonly folder: string,
    private readonly witness: BindWitness,
  ) {
    for (const name of listed ?? []) this.loadNamed(name);
  }

  get plugins(): readonly Plugin[] {
    return [...this.byName.values()];
  }

  /** The device with its plugin; what binds it is loaded. */
  resolve(device: DeviceDescription): DeviceDescription {
    const plugin = this.pluginFor(device);
    const meta = hardwareMeta(hardwareOf(device, plugin));
    if (meta !== null && this.listed === undefined && !this.plugins.some((known) => matches(known, meta)))
      this.discoverDriver(device.name, meta);
    return { ...device, plugin: plugin.name };
  }

  private pluginFor(device: DeviceDescription): Plugin {
    const { source, listed } = this;
    if (device.plugin !== undefined) {
      this.witness('list', true, `${source} names plugin ${device.plugin} for it`);
      return this.loadNamed(device.plugin);
    }
    if (listed === undefined) return this.discoverHardware(device);
    this.witness('list', true, `${source} lists its plugins, and no dependency is looked at: ${words(listed)}`);
    return pluginOf(device, this.plugins);
  }

  private loadNamed(name: string): Plugin {
    return this.load(name, () => locatePlugin(name, this.source, this.folder));
  }

  private load(name: string, locate: () => string): Plugin {
    const known = this.byName.get(name);
    if (known !== undefined) return known;
    const file = locate();
    const plugin = loadPlugin(file, name, this.source);
    this.witness('load', true, `${name}: ${file} exports a plugin`);
    this.byName.set(name, plugin);
    return plugin;
  }

  /** The package whose field has the hardware that a device names. */
  private discoverHardware(device: DeviceDescription): Plugin {
    const where = `device ${device.name}`;
    const wanted = device.hardware ?? '';
    const packages = this.usablePackages();
    const found = packages.filter(({ field }) => field?.hardware.some(({ name }) => name === wanted) === true);
    if (found.length > 1) {
      throw ambiguous(
        `${where}: hardware ${wanted}`,
        found.map(({ name }) => name),
      );
    }
    if (found.length === 1) {
      this.witness('hardware', true, `${found[0].name} has hardware ${wanted}`);
      return this.loadFound(found[0]);
    }
    this.blameOtherApi();
    const known = packages.flatMap(({ field }) => field?.hardware.map(({ name }) => name) ?? []);
    const nearest = nearestName(wanted, known);
    throw new UsageError('MACHINE_INVALID', `${where}: no dependency brings hardware ${wanted}`, {
      expected: known.length === 0 ? `a package with hardware among ${this.place()}` : `one of ${words(known)}`,
      actual: wanted,
      hint: nearest ?? 'plugin at the device, with the name of a package or of a module file',
    });
  }

  /** The package whose field has a driver for hardware that its own plugin has none for. */
  private discoverDriver(deviceName: string, meta: HardwareMeta): void {
    const found = this.usablePackages().filter(({ field }) => field?.drivers.some(({ match }) => hasIds(match, meta)));
    if (found.length > 1) {
      throw ambiguous(
        `device ${deviceName}: a driver for ${meta.name} ${idText(meta)}`,
        found.map(({ name }) => name),
      );
    }
    if (found.length === 0) {
      this.witness('match', false, `no dependency has a driver for ${meta.name} ${idText(meta)}`);
      this.blameOtherApi();
      return;
    }
    this.witness('match', true, `${found[0].name} has a driver for ${meta.name} ${idText(meta)}`);
    this.loadFound(found[0]);
  }

  private loadFound({ name, field, manifest }: FoundPackage): Plugin {
    const plugin = this.load(name, () => this.entryOf(name, field?.entry ?? '.'));
    const problems = field === null ? [] : fieldDisagreements(field, plugin);
    if (problems.length > 0) {
      throw new UsageError('PACKAGE_FIELD_INVALID', `${name} (${manifest ?? name}): ${problems.join('; ')}`, {
        expected: 'the same in the field pincushion as in the decorators',
      });
    }
    this.witness('decorator', true, `${name}: its package.json and its decorators say the same`);
    return plugin;
  }

  private entryOf(name: string, entry: string): string {
    const manifest = this.discovery?.manifest ?? join(this.folder, 'package.json');
    try {
      return createRequire(manifest).resolve(name + entry.slice(1));
    } catch (cause) {
      throw new UsageError('PLUGIN_INVALID', `${name} has no module "${entry}" that could be loaded`, {
        expected: 'the entry that its package.json names in the field pincushion, among its exports',
        actual: cause instanceof Error ? cause.message.split('\n')[0] : String(cause),
        cause,
      });
    }
  }

  /** The packages of which a device may take its hardware or driver. Reads them at the first call. */
  private usablePackages(): readonly FoundPackage[] {
    const first = this.discovery === null;
    this.discovery ??= discoverPackages(this.folder);
    const { packages } = this.discovery;
    if (first) this.tell(this.discovery);
    for (const { keyword, problem } of packages) {
      if (keyword && problem !== null && problem.code !== 'DRIVER_API_MISMATCH') throw problem;
    }
    return packages.filter(({ field }) => field !== null);
  }

  /** When nothing else was found, a package of another version of the contract is the likely reason. */
  private blameOtherApi(): void {
    const { packages } = this.discovery ?? { packages: [] };
    const other = packages.find(({ problem }) => problem?.code === 'DRIVER_API_MISMATCH');
    if (other?.problem) throw other.problem;
  }

  private place(): string {
    return this.discovery?.manifest ?? `the packages above ${this.folder}, which are none`;
  }

  private tell({ manifest, packages }: Discovery): void {
    const { witness, source } = this;
    const looked = `${source} names no plugin for it: the direct dependencies are looked at`;
    witness('list', manifest !== null, `${looked}, of ${manifest ?? `no package.json above ${this.folder}`}`);
    const marked = packages.filter(({ keyword }) => keyword);
    const absent = packages.filter((found) => found.manifest === null).map(({ name }) => name);
    const names = marked.length === 0 ? 'none has it' : words(marked.map(({ name }) => name));
    const notInstalled = absent.length === 0 ? '' : `; not installed: ${words(absent)}`;
    witness('keyword', marked.length > 0, `"pincushion-driver": ${names} (of ${packages.length})${notInstalled}`);
    for (const found of packages) if (found.keyword || found.hasField) this.tellField(found);
  }

  private tellField({ name, keyword, field, problem }: FoundPackage): void {
    const { witness } = this;
    if (!keyword) witness('keyword', false, `${name} has a field pincushion, and no keyword "pincushion-driver"`);
    else if (problem?.code === 'DRIVER_API_MISMATCH') witness('api', false, problem.message);
    else if (problem !== null) witness('field', false, problem.message);
    else if (field === null) witness('field', false, `${name} has the keyword, and no field pincushion`);
    else {
      witness('api', true, `${name} is for api ${field.api}, as this is`);
      const drivers = field.drivers.map((driver) => `driver ${driver.name} (${driver.match.map(idText).join(', ')})`);
      const models = field.hardware.map((model) => `hardware ${model.name} (${idText(model)})`);
      witness('field', true, `${name} has ${words([...drivers, ...models])}`);
    }
  }
}

function matches(plugin: Plugin, meta: HardwareMeta): boolean {
  return plugin.drivers.some((cls) => hasIds(driverMeta(cls)?.match ?? [], meta));
}

function hasIds(match: readonly { readonly vendor: number; readonly device: number }[], meta: HardwareMeta): boolean {
  return match.some(({ vendor, device }) => vendor === meta.vendor && device === meta.device);
}

function words(list: readonly string[]): string {
  return list.length === 0 ? 'nothing' : list.join(', ');
}
