/** The NVMe driver on its controller, with a program whose memory and disk I/O the tests use. */
import type { HardwareClass, HostFiles, MaySleep } from '@pincushion/driver';
import { MAP_ANONYMOUS, MAP_PRIVATE, PROT_READ, PROT_WRITE } from '@pincushion/driver';
import { testDevice } from '@pincushion/testing';
import { NvmeController, NvmeDriver } from '../src/index';

export interface DriverBedOptions {
  readonly model?: Record<string, unknown>;
  readonly config?: Record<string, unknown>;
  readonly cpus?: number;
  readonly seed?: number;
  readonly hostFiles?: HostFiles;
  readonly iommu?: { readonly mode: 'strict' | 'lazy' };
}

export function driverBed(options: DriverBedOptions = {}) {
  return driverBedOn(NvmeController, options);
}

/** The same on another model of a controller. */
export function driverBedOn<H extends HardwareClass>(model: H, options: DriverBedOptions = {}) {
  const bed = testDevice(NvmeDriver, {
    hardware: model,
    name: 'nvme0',
    memoryBytes: 256 * 1024 * 1024,
    cpus: options.cpus ?? 2,
    seed: options.seed ?? 1,
    model: { namespaces: [{ capacity: '64MiB' }], ...options.model },
    config: options.config ?? {},
    ...(options.hostFiles === undefined ? {} : { hostFiles: options.hostFiles }),
    ...(options.iommu === undefined ? {} : { iommu: options.iommu }),
  });
  const disk = bed.process.directIo('nvme0n1');
  const settle = (result: MaySleep): number => (typeof result === 'number' ? result : bed.run(result));
  return Object.assign(bed, {
    disk,
    settle,
    /** A buffer of the program. */
    buffer(bytes: number): number {
      return settle(bed.process.mmap(bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS));
    },
    store(address: number, bytes: Uint8Array): void {
      settle(bed.process.write(address, bytes));
    },
    load(address: number, n: number): Uint8Array {
      const into = new Uint8Array(n);
      settle(bed.process.read(address, into));
      return into;
    },
    write: (address: number, bytes: number, sector: number) => bed.run(disk.write(address, bytes, sector)),
    read: (address: number, bytes: number, sector: number) => bed.run(disk.read(address, bytes, sector)),
    /** Submits and keeps the results by token. */
    results: keepResults(disk),
    submit: (op: number, address: number, bytes: number, sector: number, cpu: number, token: number) =>
      settle(disk.submit(op, address, bytes, sector, cpu, token)),
  });
}

function keepResults(disk: { onDone: (token: number, result: number) => undefined }): Map<number, number[]> {
  const results = new Map<number, number[]>();
  disk.onDone = (token, result) => {
    results.set(token, [...(results.get(token) ?? []), result]);
    return undefined;
  };
  return results;
}
