/**
 * Binding a driver to its device and taking it away again.
 *
 * A probe that throws gives back everything it owned, newest first. A removal goes in this order, whoever asks for it:
 *
 *     1  programs can start nothing new            (open, ioctl, bios answer ENODEV)
 *     2  the device is unreachable, if pulled out  (registers, DMA, interrupts, its events)
 *     3  remove                                    (stops DMA, ends or awaits what is in flight)
 *     4  what the device owns, newest first        (one that fails does not stop the others)
 *     5  the leak report                           (findings that name the device)
 *
 * Source followed: `really_probe`, `__device_release_driver` (`drivers/base/dd.c`), `devres_release_all`.
 */
import type { ErrorCode, FindingSite, Task } from '@pincushion/sim';
import { EIO, ENODEV, PincushionError, UsageError, formatNs } from '@pincushion/sim';
import type { DriverClass } from './decorators';
import { driverMeta } from './decorators';
import type { Device } from './device';
import { DeviceServices } from './device-services';
import type { RemoveReason } from './driver';
import { watchOwnTasks } from './own-tasks';
import type { Platform } from './platform';
import { probeWithin } from './probe-watch';
import type { LeftRunning } from './services/device-work';

/**
 * Makes the driver and probes. Task context; `config` is checked already.
 * Throws what the wiring throws, DEVICE_GONE for a device that is not unbound, DRIVER_PROBE_FAILED with the cause when the
 * probe threw, and DRIVER_PROBE_STUCK when it did not end; the device is unbound then and owns nothing.
 */
export function* bindDriver(device: Device, cls: DriverClass, config: unknown, platform: Platform): Task {
  yield* device.lock.lock();
  try {
    if (device.state !== 'unbound') {
      throw new PincushionError('DEVICE_GONE', `a driver cannot be bound to a device that is ${device.state}`, {
        device: device.path,
        errno: ENODEV,
        expected: 'an unbound device',
        actual: device.state,
      });
    }
    if (device.notes !== null) device.renewDomain();
    device.services = new DeviceServices(device, platform);
    device.notes = device.services.log;
    const driver = device.services.wiring.build(cls, device.path);
    const name = driverMeta(cls)?.name ?? cls.name;
    Object.defineProperty(driver, 'config', { value: config, enumerable: true });
    Object.defineProperty(driver, 'device', { value: device });
    if (platform.memory.ledger.mode === 'full') watchOwnTasks(driver, device.world);
    device.driver = driver;
    device.driverName = name;
    device.config = config;
    device.state = 'probing';
    try {
      yield* probeWithin(device, driver.probe(), platform.probeLimitNs);
      device.state = 'bound';
    } catch (cause) {
      yield* takeAway(device);
      device.state = 'unbound';
      if (device.unplugged) leave(device);
      throw isProbeStuck(cause) ? cause : probeFailed(device, name, cause);
    }
  } finally {
    device.lock.unlock();
  }
}

/** Removes the driver of a device, if it has one. Task context. What goes wrong becomes findings of the world. */
export function* removeDriver(device: Device, why: RemoveReason): Task {
  device.services?.refuseNewWork();
  if (why === 'surprise') pullOut(device);
  yield* device.lock.lock();
  try {
    const { driver } = device;
    if (device.state === 'bound' && driver !== null) {
      device.state = 'removing';
      device.services?.refuseNewWork();
      try {
        yield* driver.remove(why);
      } catch (error) {
        report(device, 'DRIVER_REMOVE_FAILED', `remove of ${device.driverName} failed: ${messageOf(error)}`);
      }
      yield* takeAway(device);
      device.state = 'unbound';
    }
    if (why === 'shutdown') pullOut(device);
    if (device.unplugged && device.state !== 'gone') leave(device);
  } finally {
    device.lock.unlock();
  }
}

/** Runs a power or reset hook of a bound driver. Task context. Throws DRIVER_HOOK_FAILED with the cause. */
export function* callHook(device: Device, hook: 'suspend' | 'resume' | 'reset'): Task {
  yield* device.lock.lock();
  try {
    if (device.driver === null || device.state !== 'bound') return;
    yield* device.driver[hook]();
  } catch (cause) {
    throw new PincushionError('DRIVER_HOOK_FAILED', `${device.driverName} failed: ${messageOf(cause)}`, {
      device: device.path,
      hook,
      cause,
    });
  } finally {
    device.lock.unlock();
  }
}

/** From now on nothing reaches the hardware and the hardware reaches nothing. */
function pullOut(device: Device): void {
  if (device.unplugged) return;
  device.unplugged = true;
  device.domain.block();
  device.pci.pullOut(device.pciFunction);
  device.hardware.unplug();
  device.services?.cutOff();
  device.lines.cutOff();
}

/** Steps 4 and 5: releases what the device owns, and reports what is left. */
function* takeAway(device: Device): Task {
  const { services } = device;
  services?.refuseNewWork();
  yield* device.owned.releaseAll((resource, error) => {
    report(device, 'RESOURCE_RELEASE_FAILED', `release of ${resource.what} failed: ${messageOf(error)}`);
  });
  for (const transfer of device.transfers.list()) {
    reportLeft(device, 'DEVICE_TRANSFER_LEAK', transfer, 'is still in flight', 'begun');
  }
  for (const item of services?.work.busyItems() ?? []) {
    reportLeft(device, 'DEVICE_WORK_LEAK', item, 'is still queued or running', 'queued');
  }
  for (const timer of services?.work.pendingTimers() ?? []) {
    reportLeft(device, 'DEVICE_TIMER_LEAK', timer, 'is still running', 'started');
  }
  services?.work.stopAll();
  for (const interrupt of device.lines.attached()) {
    reportLeft(device, 'DEVICE_INTERRUPT_LEAK', interrupt, 'is still requested', 'requested');
  }
  device.lines.detachAll();
  services?.removeNodes();
  device.domain.detach();
  device.driver = null;
  device.driverName = '';
  device.services = null;
}

/** The end of a device. */
function leave(device: Device): void {
  device.state = 'gone';
  device.whenGone();
}

/** Something of the driver that outlives it: since when, and who started it. */
function reportLeft(device: Device, code: ErrorCode, left: LeftRunning, state: string, begun: string): void {
  const { what, sinceNs, startedBy } = left;
  const age = [`since ${formatNs(sinceNs)}, for ${formatNs(device.world.now - sinceNs)}`];
  const sites = startedBy === null ? [] : [{ what: begun, site: startedBy.site(), atNs: sinceNs }];
  report(device, code, `${what} ${state}`, age, sites);
}

function report(
  device: Device,
  code: ErrorCode,
  summary: string,
  details: readonly string[] = [],
  sites: readonly FindingSite[] = [],
): void {
  device.world.findings.report({
    code,
    summary: `${device.path}: ${summary}`,
    device: device.path,
    sites,
    details,
  });
}

function probeFailed(device: Device, name: string, cause: unknown): PincushionError {
  const facts = { device: device.path, hook: 'probe', errno: EIO, cause };
  const summary = `${name} could not be brought up: ${messageOf(cause)}`;
  // Bad input stays bad input, so that the command ends with its exit code.
  return cause instanceof UsageError
    ? new UsageError('DRIVER_PROBE_FAILED', summary, facts)
    : new PincushionError('DRIVER_PROBE_FAILED', summary, facts);
}

function isProbeStuck(error: unknown): boolean {
  return error instanceof PincushionError && error.code === 'DRIVER_PROBE_STUCK';
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
