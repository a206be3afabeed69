/**
 * Why a driver binds to a device of a machine, or does not: each rule that is asked on the way, and how it decided.
 *
 * The way is walked for real: plugins are looked for as `run` does it, then the device is booted, alone at first.
 */
import type { Plugin } from '@pincushion/driver';
import { driverMeta, hardwareMeta, idText, nearestName } from '@pincushion/driver';
import type { MachineDescription } from '@pincushion/machine';
import { Machine, hardwareOf, pluginOf } from '@pincushion/machine';
import type { ErrorCode } from '@pincushion/sim';
import { PincushionError, UsageError, World, formatNs } from '@pincushion/sim';
import { NodeHostFiles } from '../host-files';
import { machineFile } from '../machine-file';
import type { BindRule } from '../plugin-resolution';
import { resolvePlugins } from '../plugin-resolution';

interface RuleAnswer {
  readonly rule: BindRule;
  readonly passed: boolean;
  readonly text: string;
}

export interface BindExplanation {
  readonly device: string;
  /** Name of the driver; null when none was bound. */
  readonly driver: string | null;
  /** The rules in the order in which they were asked; the last one decides when no driver was bound. */
  readonly answers: readonly RuleAnswer[];
}

/** Which rule an error comes from that is no rule of its own. */
const RULE_OF: Partial<Record<ErrorCode, BindRule>> = {
  PLUGIN_UNKNOWN: 'list',
  PLUGIN_INVALID: 'load',
  FILE_UNREADABLE: 'load',
  PLUGIN_AMBIGUOUS: 'match',
  PACKAGE_FIELD_INVALID: 'field',
  DRIVER_API_MISMATCH: 'api',
  MACHINE_INVALID: 'hardware',
  DRIVER_NO_MATCH: 'match',
  DRIVER_METADATA_INVALID: 'decorator',
  DRIVER_METADATA_MISSING: 'services',
  DRIVER_SERVICE_MISSING: 'services',
  DRIVER_DUPLICATE_PACKAGE: 'services',
};

/** Explains one device of a machine file. Throws `UsageError` for a machine file or device that cannot be. */
export function explainBind(deviceName: string, machinePath: string | undefined): BindExplanation {
  const { description, source, folder } = machineFile(machinePath);
  const device = description.devices.find(({ name }) => name === deviceName);
  if (device === undefined) throw noDevice(deviceName, description, source);
  const answers: RuleAnswer[] = [];
  const add = (rule: BindRule, passed: boolean, text: string): undefined => {
    answers.push({ rule, passed, text });
    return undefined;
  };
  let driver: string | null = null;
  try {
    const alone = resolvePlugins({ ...description, devices: [device] }, source, folder, add);
    matchByDecorator(alone.description, alone.plugins, add);
    driver = boot(alone.description, alone.plugins, folder, add);
    if (description.devices.length > 1) {
      const whole = resolvePlugins(description, source, folder);
      bootBesideOthers(whole.description, whole.plugins, folder, deviceName, add);
    }
  } catch (error) {
    if (!(error instanceof PincushionError) || error.code === 'INTERNAL') throw error;
    add(ruleOf(error), false, error.message);
    driver = null;
  }
  return { device: deviceName, driver, answers };
}

type Add = (rule: BindRule, passed: boolean, text: string) => undefined;

/** What the decorators say, driver by driver, up to the first that has the ids of the hardware. */
function matchByDecorator({ devices }: MachineDescription, plugins: readonly Plugin[], add: Add): void {
  const [device] = devices;
  const own = pluginOf(device, plugins);
  const model = hardwareMeta(hardwareOf(device, own));
  if (model === null) return;
  add('hardware', true, `${own.name} has ${model.name} ${idText(model)}`);
  for (const plugin of new Set([own, ...plugins])) {
    for (const cls of plugin.drivers) {
      const meta = driverMeta(cls);
      if (meta === null) continue;
      const ids = meta.match.map(idText);
      const matches = ids.includes(idText(model));
      add('match', matches, `driver ${meta.name} of ${plugin.name} is for ${ids.join(', ') || 'nothing'}`);
      if (matches) return;
    }
  }
}

/** Boots a machine with this device only; the name of its driver. */
function boot(description: MachineDescription, plugins: readonly Plugin[], folder: string, add: Add): string {
  const world = new World();
  const hostFiles = new NodeHostFiles(folder);
  try {
    const machine = world.complete(Machine.boot(world, description, { plugins, hostFiles }), 'boot');
    const [device] = machine.devices;
    add('model', true, `the settings of the hardware fit its schema: ${JSON.stringify(device.hardware.settings)}`);
    add('config', true, `the configuration of ${device.driverName} fits its schema: ${JSON.stringify(device.config)}`);
    add('services', true, `all services are offered that the constructor of ${device.driverName} asks for`);
    add('probe', true, `${device.driverName} was up after ${formatNs(world.now)}`);
    const { driverName } = device;
    world.complete(machine.shutdown(), 'shutdown');
    return driverName;
  } finally {
    hostFiles.closeAll();
  }
}

/** A device may come up alone and not beside the others, for example when two want the same name under /dev. */
function bootBesideOthers(
  description: MachineDescription,
  plugins: readonly Plugin[],
  folder: string,
  deviceName: string,
  add: Add,
): void {
  const world = new World();
  const hostFiles = new NodeHostFiles(folder);
  try {
    const machine = world.complete(Machine.boot(world, description, { plugins, hostFiles }), 'boot');
    add('machine', true, `it comes up beside the other devices (${description.devices.length - 1})`);
    world.complete(machine.shutdown(), 'shutdown');
  } catch (error) {
    if (!(error instanceof PincushionError) || error.device === deviceName) throw error;
    add('machine', false, `the machine does not boot, because of another device: ${error.message}`);
  } finally {
    hostFiles.closeAll();
  }
}

function ruleOf(error: PincushionError): BindRule {
  if (error.code === 'DRIVER_CONFIG_INVALID') return error.message.includes(' model') ? 'model' : 'config';
  return RULE_OF[error.code] ?? 'probe';
}

function noDevice(name: string, { devices }: MachineDescription, source: string): UsageError {
  const names = devices.map((device) => device.name);
  const nearest = nearestName(name, names);
  return new UsageError('DEVICE_UNKNOWN', `${source} has no device ${name}`, {
    expected: names.length === 0 ? 'a machine with devices' : `one of ${names.join(', ')}`,
    actual: name,
    ...(nearest === null ? {} : { hint: nearest }),
  });
}
