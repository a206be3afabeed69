/**
 * `testDevice`: one driver on its hardware, alone on a small machine, with a virtual clock and a back door.
 *
 * The memory manager, IOMMU and interrupts are the real ones, unless a test puts a fake in the place of a service. Leaving the `using` block (or `close`)
 * ends the processes, removes the device, lets virtual time run until that is done, and throws for whatever was left
 * behind: pins, mappings, bios, timers, tasks.
 */
import type { Device, Driver, DriverClass, HardwareBench, HardwareClass, HostFiles } from '@pincushion/driver';
import { callHook, driverMeta } from '@pincushion/driver';
import type { MachineInput, Process } from '@pincushion/machine';
import { Machine, parseMachine } from '@pincushion/machine';
import type { LedgerMode } from '@pincushion/mm';
import type { ErrorCode, Finding, Task } from '@pincushion/sim';
import { FaultPlan, PincushionError, UsageError, World, parseDuration } from '@pincushion/sim';
import type { z } from 'zod';
import type { Fake } from './fake';
import { leakCheck } from './leak-check';
import { PageUnderTest } from './page-under-test';

/** More than any driver needs to end; fewer than a person waits for. */
const EVENTS_AFTER_SHUTDOWN_MAX = 1_000_000;

/** What may be written as the configuration of a driver: what its schema takes. */
export type ConfigOf<C extends DriverClass> =
  InstanceType<C> extends Driver<infer S>
    ? unknown extends z.input<S>
      ? Readonly<Record<string, unknown>>
      : z.input<S>
    : never;

export interface TestDeviceOptions<H extends HardwareClass = HardwareClass, C extends DriverClass = DriverClass> {
  readonly hardware: H;
  /** Configuration of the driver, as its schema takes it. */
  readonly config?: ConfigOf<C>;
  /** Settings of the hardware model. */
  readonly model?: Record<string, unknown>;
  /** Default 1. */
  readonly seed?: number;
  /** Default 64 MiB. */
  readonly memoryBytes?: number;
  /** The rest of the memory, as a machine file has it: swap, movable, cma, hugetlb, thp. */
  readonly memory?: Omit<NonNullable<MachineInput['memory']>, 'ram'>;
  /** Whose memory management is modelled, as in a machine file. */
  readonly kernel?: NonNullable<MachineInput['kernel']>;
  /** Stand-ins for kernel services, made by `fake`. */
  readonly fakes?: readonly Fake[];
  /** What goes wrong, from the probe on; text or `FaultPlan`. For faults after the probe see `DeviceBed.arm`. */
  readonly faults?: FaultPlan | string;
  /** The world to live in instead of a new one; then `seed` is that world's. */
  readonly world?: World;
  /** Default 2. */
  readonly cpus?: number;
  /** Name of the device; default `dev0`. */
  readonly name?: string;
  /** Default `full`: findings have call sites. */
  readonly ledger?: LedgerMode;
  /** Default `strict`. */
  readonly iommu?: { readonly mode?: 'strict' | 'lazy' };
  readonly hostFiles?: HostFiles;
  /** How long a probe may take in virtual time: `'5ms'`, or nanoseconds. Default 120 s. */
  readonly probeLimit?: string | number;
}

export interface DeviceBed<D, H> {
  readonly world: World;
  readonly machine: Machine;
  readonly device: Device;
  readonly driver: D;
  readonly hardware: H;
  /** A user program. */
  readonly process: Process;
  readonly findings: readonly Finding[];
  /** What the hardware does on its bus, done by the test: interrupts, DMA, registers, completions one by one. */
  readonly bus: HardwareBench;
  /** The page of a program that an address lies in; of `process` unless another one is given. */
  page(address: number, process?: Process): PageUnderTest;
  /** Arms a fault plan now: its counts begin here. */
  arm(faults: FaultPlan | string): void;
  /** Calls a hook of the driver, as a machine that sleeps, wakes up or recovers from a bus error does. */
  suspend(): void;
  resume(): void;
  reset(): void;
  /** Runs a task to its end, in virtual time. */
  run<T>(task: Task<T>): T;
  /** Lets virtual time pass: `'2us'`, or nanoseconds. */
  advance(duration: string | number): void;
  /** Pulls the device out, and lets the removal run to its end. */
  unplug(): void;
  /** Says that this finding is planted: without it, `close` fails. */
  expectFinding(code: ErrorCode): void;
  /** Ends everything and throws `FindingsError` for what was left behind. Twice is once. */
  close(): void;
  [Symbol.dispose](): void;
}

/** Boots the bed. Throws what `Machine.boot` throws. */
export function testDevice<C extends DriverClass, H extends HardwareClass>(
  DriverClass: C,
  options: TestDeviceOptions<H, C>,
): DeviceBed<InstanceType<C>, InstanceType<H>> {
  return new Bed<InstanceType<C>, InstanceType<H>>(DriverClass, options, options.config ?? {});
}

class Bed<D, H> implements DeviceBed<D, H> {
  readonly world: World;
  readonly machine: Machine;
  readonly device: Device;
  readonly driver: D;
  readonly hardware: H;
  readonly process: Process;
  readonly bus: HardwareBench;
  private readonly expected = new Set<string>();
  private closed = false;

  constructor(cls: DriverClass, options: Omit<TestDeviceOptions, 'config'>, config: unknown) {
    const { seed = 1, memoryBytes = 64 * 1024 * 1024, cpus = 2, ledger = 'full', hostFiles } = options;
    const name = options.name ?? 'dev0';
    const description = parseMachine(
      {
        memory: { ...options.memory, ram: memoryBytes },
        ...(options.kernel === undefined ? {} : { kernel: options.kernel }),
        cpus,
        ledger,
        iommu: { mode: options.iommu?.mode ?? 'strict' },
        devices: [{ name, plugin: 'tested', model: options.model ?? {}, config }],
      },
      `testDevice(${driverMeta(cls)?.name ?? cls.name})`,
    );
    this.world = options.world ?? new World({ seed });
    if (options.faults !== undefined) this.arm(options.faults);
    const plugin = { name: 'tested', api: 1, drivers: [cls], hardware: [options.hardware] } as const;
    const boot = Machine.boot(this.world, description, {
      plugins: [plugin],
      ...(hostFiles === undefined ? {} : { hostFiles }),
      ...(options.probeLimit === undefined ? {} : { probeLimitNs: durationNs('probeLimit', options.probeLimit) }),
      overrides: (wiring) => {
        for (const standIn of options.fakes ?? []) standIn.install(wiring);
      },
    });
    this.machine = this.world.complete(boot, 'boot');
    this.device = this.machine.device(name);
    this.driver = this.device.driver as D;
    this.hardware = this.device.hardware as H;
    this.bus = this.device.hardware.bench();
    this.process = this.machine.process('program');
  }

  get findings(): readonly Finding[] {
    return this.world.findings.all;
  }

  page(address: number, process: Process = this.process): PageUnderTest {
    return new PageUnderTest(this.machine.memory, process.mm, address);
  }

  arm(faults: FaultPlan | string): void {
    this.world.faults.armPlan(typeof faults === 'string' ? FaultPlan.parse(faults) : faults);
  }

  suspend(): void {
    this.run(callHook(this.device, 'suspend'));
  }

  resume(): void {
    this.run(callHook(this.device, 'resume'));
  }

  reset(): void {
    this.run(callHook(this.device, 'reset'));
  }

  run<T>(task: Task<T>): T {
    return this.world.complete(task, 'test');
  }

  advance(duration: string | number): void {
    this.world.run({ untilNs: this.world.now + durationNs('advance', duration) });
  }

  unplug(): void {
    this.run(this.device.remove('surprise'));
  }

  expectFinding(code: ErrorCode): void {
    this.expected.add(code);
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.bus.releaseCompletions();
    this.run(this.machine.shutdown());
    if (this.world.run({ events: EVENTS_AFTER_SHUTDOWN_MAX }) === 'limit') {
      throw new PincushionError('TASK_STUCK', 'the world does not come to rest after the device is gone', {
        expected: `nothing left to happen after ${EVENTS_AFTER_SHUTDOWN_MAX} events`,
        actual: 'something that starts itself again and again',
      });
    }
    leakCheck(this.world, this.expected);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

function durationNs(what: string, duration: string | number): number {
  const ns = parseDuration(duration);
  if (ns !== null) return ns;
  throw new UsageError('ARGUMENT_INVALID', `${what} cannot understand the duration`, {
    expected: 'nanoseconds, or a text such as 2us',
    actual: String(duration),
  });
}
