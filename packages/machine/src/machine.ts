/**
 * A machine: the composition root.
 *
 * `boot` makes memory, IOMMU and interrupt controller out of a description, plugs in the devices in their order, and
 * probes their drivers. Everything of it hangs on this object, so that several machines can live in one world.
 */
import type { Disk } from '@pincushion/block';
import { Iommu, PciFabric, pciMemoryFor } from '@pincushion/dma';
import type { Device, DeviceNode, HostFiles, Plugin } from '@pincushion/driver';
import {
  Bus,
  Cpus,
  DeviceClock,
  DeviceNodes,
  HostFiles as HostFilesService,
  InterruptController,
  MachineCpus,
  PROBE_LIMIT_NS,
  RefusingHostFiles,
  Wiring,
  WorldClock,
  memoryBarBytes,
} from '@pincushion/driver';
import type { LedgerMode, Mm } from '@pincushion/mm';
import { HUGETLB_1G_ORDER, HUGETLB_2M_ORDER, Memory, kernelProfiles } from '@pincushion/mm';
import { schemes } from '@pincushion/schemes';
import type { Task, World } from '@pincushion/sim';
import { PincushionError, UsageError, sleeping } from '@pincushion/sim';
import type { DeviceDescription, MachineDescription } from './description';
import { byName, pinSchemeOf } from './description';
import { hardwareOf, pluginOf } from './hardware-choice';
import { DiskMount } from './disk-mount';
import { DiskSwapStore } from './disk-swap';
import { MountTable } from './mount-table';
import { pciLayout } from './pci-topology';
import { Process } from './process';
import { machineTree } from './show';

/** The memory of PCI devices comes in blocks of the page allocator. */
const PCI_BLOCK = 4 * 1024 * 1024;

export interface BootOptions {
  /** Put before device names in reports; for worlds with several machines. */
  readonly name?: string;
  /** The plugins that the description may name. */
  readonly plugins: readonly Plugin[];
  /** Files of the host for hardware models; refused by default. */
  readonly hostFiles?: HostFiles;
  /** Instead of what the description says. */
  readonly ledger?: LedgerMode;
  /** How long a probe may take, virtual nanoseconds; 120 seconds unless given. */
  readonly probeLimitNs?: number;
  /** Offers further services to drivers, or others in place of the machine's. */
  readonly overrides?: (wiring: Wiring) => undefined;
}

export class Machine {
  readonly memory: Memory;
  readonly iommu: Iommu;
  readonly pci: PciFabric;
  readonly nodes = new DeviceNodes();
  /** Where the files of its processes are: a tmpfs at `/tmp`, and what was mounted. */
  readonly files: MountTable;
  readonly bus: Bus;
  /** What the description has mounted, in its order. */
  readonly mounts: DiskMount[] = [];
  private readonly controller: InterruptController;
  private readonly processes = new Set<Process>();
  private nextPid = 1;
  private off = false;

  private constructor(
    readonly world: World,
    readonly description: MachineDescription,
    readonly name: string,
    options: BootOptions,
  ) {
    const { cpus, iommu } = description;
    const pciBytes = pciMemoryOf(description, options.plugins, name);
    this.memory = makeMemory(world, description, name === '' ? 'machine' : name, pciBytes, options.ledger);
    if (this.memory.ledger.mode === 'full') world.lockOrder.watch();
    this.files = new MountTable(this.memory);
    this.pci = new PciFabric(this.memory, pciLayout(description.pci));
    this.iommu = new Iommu(this.memory, { mode: iommu.mode, flushNs: iommu.flush, pci: this.pci });
    this.controller = new InterruptController(world, cpus);
    const hostFiles = options.hostFiles ?? new RefusingHostFiles();
    const wiring = Wiring.root().provide(DeviceClock, new WorldClock(world)).child();
    wiring
      .provide(Cpus, new MachineCpus(world, cpus))
      .provide(HostFilesService, hostFiles)
      .provide(Memory, this.memory);
    options.overrides?.(wiring);
    this.bus = new Bus(
      {
        world,
        memory: this.memory,
        iommu: this.iommu,
        pci: this.pci,
        interrupts: this.controller,
        nodes: this.nodes,
        hostFiles,
        wiring,
        machineName: name,
        probeLimitNs: options.probeLimitNs ?? PROBE_LIMIT_NS,
      },
      options.plugins,
    );
  }

  /**
   * Boots a machine. Task context. When a device cannot be brought up, the ones before it are removed again and the
   * error goes on: `UsageError` PLUGIN_UNKNOWN, PLUGIN_AMBIGUOUS, MACHINE_INVALID, DRIVER_CONFIG_INVALID, DRIVER_NO_MATCH, and what
   * `Bus.probe` and `DiskMount.mount` throw.
   */
  static boot(world: World, description: MachineDescription, options: BootOptions): Task<Machine> {
    return sleeping(world, 'Machine.boot', function* (): Task<Machine> {
      const machine = new Machine(world, description, options.name ?? '', options);
      try {
        for (const device of description.devices) yield* machine.addDevice(device, options.plugins);
        machine.swapOn();
        yield* machine.mountAll();
      } catch (error) {
        yield* machine.powerOff();
        throw error;
      }
      return machine;
    });
  }

  /** swapon(8) of the disk that the description names. Throws `UsageError` DEVICE_UNKNOWN with the nearest name. */
  private swapOn(): void {
    const { swap, swapDevice } = this.description.memory;
    if (swapDevice === undefined) return;
    const store = new DiskSwapStore(this.memory, this.disk(swapDevice), swap === 0 ? Infinity : swap);
    this.memory.swap.on(store, store.slots);
  }

  private *mountAll(): Task {
    for (const mount of this.description.mounts) {
      this.mounts.push(yield* DiskMount.mount(this.memory, this.files, mount, this.disk(mount.device)));
    }
  }

  private *addDevice(description: DeviceDescription, plugins: readonly Plugin[]): Task {
    const plugin = pluginOf(description, plugins);
    const hardware = hardwareOf(description, plugin);
    const { name, model, config, port } = description;
    const at = port === undefined ? {} : { port };
    const device = this.bus.plugIn({ name, hardware, plugin: plugin.name, model, ...at });
    yield* this.bus.probe(device, config);
  }

  get devices(): readonly Device[] {
    return this.bus.devices;
  }

  /** Interrupts delivered since boot. */
  get interrupts(): number {
    return this.controller.count;
  }

  /** Starts a process. Any context. By default the processes are spread over the CPUs. */
  process(name: string, options: { readonly cpu?: number; readonly mm?: Mm } = {}): Process {
    const pid = this.nextPid++;
    const process = new Process(this, pid, name, (options.cpu ?? pid - 1) % this.description.cpus, options.mm);
    this.processes.add(process);
    return process;
  }

  /** By the process itself, at its end. */
  forget(process: Process): void {
    this.processes.delete(process);
  }

  /** Throws `UsageError` DEVICE_UNKNOWN with the nearest name. */
  device(name: string): Device {
    return byName(this.devices, name, { code: 'DEVICE_UNKNOWN', what: 'device', where: 'machine' });
  }

  /** A disk by the name of its node: `nvme0n1`. Throws `UsageError` DEVICE_UNKNOWN with the nearest name. */
  disk(name: string): Disk {
    const disks = this.nodes.list().filter((node): node is DeviceNode & { kind: 'disk' } => node.kind === 'disk');
    return byName(disks, name, { code: 'DEVICE_UNKNOWN', what: 'disk', where: 'machine' }).disk;
  }

  /** Names of all disks. */
  get diskNames(): readonly string[] {
    return this.nodes
      .list()
      .filter((node) => node.kind === 'disk')
      .map((node) => node.name);
  }

  /**
   * Ends the processes, unmounts what the description has mounted, removes the devices, newest first, and looks for what they
   * left behind. Task context.
   * What is found becomes findings of the world.
   */
  shutdown(): Task {
    return sleeping(this.world, 'Machine.shutdown', () => this.powerOff()[Symbol.iterator]());
  }

  private *powerOff(): Task {
    if (this.off) return;
    this.off = true;
    for (const process of [...this.processes]) yield* process.exit();
    for (const mount of [...this.mounts].reverse()) yield* mount.unmount(this.files);
    for (const device of [...this.devices].reverse()) yield* device.remove('shutdown');
    this.memory.ledger.reportLeaks(this.memory.name);
    this.memory.detach(); // Reported here, so not again at the end of the run.
  }

  /** The machine as a tree, with all defaults. */
  tree(): string {
    return machineTree(this);
  }
}

/** Room for the memory that the described devices have. Throws what looking up their hardware throws. */
function pciMemoryOf({ devices, pci }: MachineDescription, plugins: readonly Plugin[], machineName: string): number {
  const described = pciMemoryFor(
    devices.flatMap((device) => {
      const path = machineName === '' ? device.name : `${machineName}/${device.name}`;
      return memoryBarBytes(hardwareOf(device, pluginOf(device, plugins)), device.model, path);
    }),
  );
  return described + Math.ceil(pci.hotplug / PCI_BLOCK) * PCI_BLOCK;
}

/** What the description says about memory. Throws `UsageError` MEMORY_INVALID when it does not fit. */
function makeMemory(
  world: World,
  description: MachineDescription,
  name: string,
  pciBytes: number,
  ledger?: LedgerMode,
): Memory {
  const { ram, pmem, movable, cma, swap, swapDevice, minFree, hugetlb, thp, mthp, tlb, directIo } = description.memory;
  const { flushInterval, dirtyExpire, gup, ...writeback } = description.memory.writeback;
  let memory: Memory;
  try {
    memory = new Memory(world, {
      ramBytes: ram,
      pmemBytes: pmem,
      pciBytes,
      movableBytes: movable,
      cmaBytes: cma,
      ...(swap === 0 || swapDevice !== undefined ? {} : { swapBytes: swap }),
      ...(minFree === undefined ? {} : { minFreeBytes: minFree }),
      hugetlb: { [HUGETLB_2M_ORDER]: hugetlb['2MiB'], [HUGETLB_1G_ORDER]: hugetlb['1GiB'] },
      tlb,
      writeback: {
        ...writeback,
        ...(gup === undefined ? {} : { gup }),
        flushIntervalNs: flushInterval,
        dirtyExpireNs: dirtyExpire,
      },
      ...(directIo === undefined ? {} : { directIo }),
      profile: kernelProfiles[description.kernel],
      scheme: schemes[pinSchemeOf(description)],
      ledger: ledger ?? description.ledger,
      name,
    });
  } catch (error) {
    if (!(error instanceof PincushionError) || error.code !== 'MEMORY_INVALID') throw error;
    const { expected = 'sizes that fit', actual = 'others' } = error;
    throw new UsageError('MEMORY_INVALID', `${name}: the memory described, with its huge pages, cannot be laid out`, {
      expected,
      actual,
      cause: error,
    });
  }
  const sizes = [...Object.values(mthp).map((who, i) => [i + 2, who] as const), [HUGETLB_2M_ORDER, thp] as const];
  const ordersFor = (whom: typeof thp): number =>
    sizes.reduce((bits, [n, who]) => bits | (who === whom ? 1 << n : 0), 0);
  memory.thpOrders.always = ordersFor('always');
  memory.thpOrders.madvise = ordersFor('madvise');
  return memory;
}
