/** What `@hardware` says about BARs, once the settings of a device are known. */
import { pciMemoryFor } from '@pincushion/dma';
import type { BarSpec } from '@pincushion/dma';
import { PAGE_SIZE } from '@pincushion/mm';
import { PincushionError } from '@pincushion/sim';
import { parseConfig } from './config';
import type { BarMeta, HardwareClass, HardwareMeta } from './decorators';
import { hardwareMeta } from './decorators';

/**
 * The BARs of a device. @param model its checked settings
 * Throws DRIVER_METADATA_INVALID for a size that no BAR can have.
 */
export function barSpecs(meta: HardwareMeta, model: unknown, devicePath: string): BarSpec[] {
  return meta.bars.map((bar, index) => {
    const isMemory = bar.memory === true;
    const bytes = bytesOf(bar, model);
    const isSize = Number.isSafeInteger(bytes) && bytes >= 0 && (!isMemory || bytes === 0 || isMemorySize(bytes));
    if (!isSize) {
      throw new PincushionError('DRIVER_METADATA_INVALID', `BAR ${index} of ${meta.name} has an impossible size`, {
        device: devicePath,
        expected: isMemory ? 'a power of two of at least 4096 bytes, or 0 for no such BAR' : 'bytes, 0 or more',
        actual: String(bytes),
      });
    }
    return { bytes, isMemory, isPrefetchable: isMemory && bar.prefetchable !== false };
  });
}

/**
 * Sizes of the memory BARs that a device of this hardware has. @param model settings as the machine file has them
 * Throws as `barSpecs`, and `UsageError` DRIVER_CONFIG_INVALID for settings that do not fit.
 */
export function memoryBarBytes(hardware: HardwareClass, model: unknown, devicePath: string): number[] {
  const meta = hardwareMeta(hardware);
  if (meta === null || !meta.bars.some((bar) => bar.memory === true)) return [];
  const specs = barSpecs(meta, parseModel(meta, model, devicePath), devicePath);
  return specs.filter(({ isMemory, bytes }) => isMemory && bytes > 0).map(({ bytes }) => bytes);
}

/** Room that the memory of one device of this hardware takes, bytes: for a machine that it is plugged into later. Throws as `memoryBarBytes`. */
export function hotplugBytes(hardware: HardwareClass, model: unknown, devicePath: string): number {
  return pciMemoryFor(memoryBarBytes(hardware, model, devicePath));
}

/** The settings of a hardware model, checked, with defaults. Throws `UsageError` DRIVER_CONFIG_INVALID. */
export function parseModel({ config }: HardwareMeta, model: unknown, device: string): unknown {
  return config === undefined
    ? {}
    : parseConfig(config, model ?? {}, { code: 'DRIVER_CONFIG_INVALID', where: 'model', device });
}

function bytesOf({ bytes }: BarMeta, model: unknown): number {
  return typeof bytes === 'number' ? bytes : (bytes as (model: unknown) => number)(model);
}

function isMemorySize(bytes: number): boolean {
  let power = PAGE_SIZE;
  while (power < bytes) power *= 2;
  return power === bytes;
}
