/**
 * Which hardware model a device of a description is, and which plugin brings it.
 *
 * A device names its plugin, or only the hardware: then it is the one plugin that has a model of that name.
 */
import type { HardwareClass, Plugin } from '@pincushion/driver';
import { hardwareMeta } from '@pincushion/driver';
import { UsageError } from '@pincushion/sim';
import type { DeviceDescription } from './description';
import { byName } from './description';

/** The plugin that brings a device's hardware. Throws `UsageError` PLUGIN_UNKNOWN, MACHINE_INVALID, PLUGIN_AMBIGUOUS. */
export function pluginOf(device: DeviceDescription, plugins: readonly Plugin[]): Plugin {
  const where = `device ${device.name}`;
  if (device.plugin !== undefined) {
    return byName(plugins, device.plugin, { code: 'PLUGIN_UNKNOWN', what: 'plugin', where });
  }
  const models = plugins.flatMap((plugin) => modelsOf(plugin).map(({ name }) => ({ name, plugin })));
  const model = byName(models, device.hardware ?? '', { code: 'MACHINE_INVALID', what: 'hardware model', where });
  const same = models.filter(({ name }) => name === model.name);
  if (same.length === 1) return model.plugin;
  throw ambiguous(
    `${where}: hardware ${model.name}`,
    same.map(({ plugin }) => plugin.name),
  );
}

/** The hardware model a device means: the one it names, or the only one of its plugin. Throws `UsageError` MACHINE_INVALID. */
export function hardwareOf({ name, hardware }: DeviceDescription, plugin: Plugin): HardwareClass {
  const models = modelsOf(plugin);
  const where = `device ${name}`;
  if (hardware !== undefined) {
    return byName(models, hardware, { code: 'MACHINE_INVALID', what: 'hardware model', where }).cls;
  }
  if (models.length === 1) return models[0].cls;
  throw new UsageError('MACHINE_INVALID', `${where}: plugin ${plugin.name} has ${models.length} hardware models`, {
    expected: models.length === 0 ? 'a plugin with one' : `hardware: ${models.map((model) => model.name).join(' or ')}`,
    actual: 'no choice',
  });
}

/** The error for something that several plugins bring, where nothing says which is meant. */
export function ambiguous(what: string, plugins: readonly string[]): UsageError {
  return new UsageError('PLUGIN_AMBIGUOUS', `${what} comes from ${plugins.length} plugins`, {
    expected: 'one of them',
    actual: plugins.join(', '),
    hint: `plugin: '${plugins[0]}' at the device, or a list of plugins for the machine`,
  });
}

function modelsOf(plugin: Plugin): readonly { readonly name: string; readonly cls: HardwareClass }[] {
  return plugin.hardware.map((cls) => ({ name: hardwareMeta(cls)?.name ?? cls.name, cls }));
}
