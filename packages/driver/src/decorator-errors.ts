/** What to say when a class carries no decorator, or a decorator on the wrong class. */
import { UsageError } from '@pincushion/sim';
import { Driver } from './driver';
import { DeviceModel } from './device-model';
import { driverMeta, hardwareMeta } from './decorators';

/** The error for a class that was given as a driver or hardware model and says nothing about itself. */
export function notDecorated(cls: unknown, kind: 'driver' | 'hardware'): UsageError {
  if (typeof cls !== 'function') {
    return new UsageError('PLUGIN_INVALID', `a ${kind} of a plugin is no class`, {
      expected: `a class with @${kind}({ … })`,
      actual: cls === undefined ? 'undefined, as a wrong or circular import gives' : typeof cls,
    });
  }
  const base = Object.getPrototypeOf(cls) as { name?: string };
  const inherits = (kind === 'driver' ? driverMeta(base) : hardwareMeta(base)) !== null;
  const right = kind === 'driver' ? Driver : DeviceModel;
  const summary = inherits
    ? `class ${cls.name} extends the ${kind} ${String(base.name)} and has no decorator of its own`
    : `class ${cls.name} has no @${kind} decorator`;
  return new UsageError('DRIVER_METADATA_INVALID', summary, {
    expected: `@${kind}({ … }) on the class itself; decorators are not inherited`,
    actual: Object.prototype.isPrototypeOf.call(right, cls) ? 'none' : `none, and no ${right.name} either`,
    hint: `@${kind}({ name: '…', … }) above class ${cls.name}`,
  });
}
