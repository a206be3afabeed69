/**
 * The description of a machine: what a machine file says, its defaults, and its schema for editors.
 *
 * Every field has a default, so that `{}` is a machine without devices. A device names the plugin that brings its
 * hardware model and driver, or its hardware alone; `model` is for the hardware, `config` for the driver, and each is checked by that plugin's
 * own schema when the machine boots.
 */
import { nearestName, parseConfig } from '@pincushion/driver';
import {
  DIRECT_IO_HOLDS,
  GUP_UNDER_WRITEBACK,
  PINNED_WRITEBACK,
  WRITEBACK_DEFAULTS,
  kernelProfiles,
  linux618,
} from '@pincushion/mm';
import { schemes } from '@pincushion/schemes';
import { UsageError, formatBytes } from '@pincushion/sim';
import { parseDocument } from 'yaml';
import { z } from 'zod';
import { PciDescription, checkPci } from './pci-topology';
import { Duration, Size } from './sizes';

const MIB = 1024 * 1024;
const TIB = MIB * MIB;
/** What is left for everything else when main memory is divided: two blocks of the page allocator. */
const REST_BYTES = 8 * MIB;
/** More pages of 2 MiB than 4 TiB have. */
const MAX_POOL_PAGES = 1 << 21;

const Pool = z.int().min(0).max(MAX_POOL_PAGES).default(0);
const LargeFolios = z.enum(['never', 'madvise', 'always']);
const Mthp = LargeFolios.default('never');

/** Where nothing can be mounted. */
const RESERVED_PLACES = /^\/(?:(?:dev|sys)(?:\/|$)|tmp$)/;

const Percent = z.int().min(1).max(100);

const WritebackDescription = z.strictObject({
  pinned: z
    .enum(PINNED_WRITEBACK)
    .default(WRITEBACK_DEFAULTS.pinned)
    .describe('What writeback does with a page that a device may be writing to.'),
  gup: z
    .enum(GUP_UNDER_WRITEBACK)
    .optional()
    .describe(
      'What a pin for writing does that meets a page on its way to its store: wait under bounce, else ignore, unless given.',
    ),
  flusher: z
    .boolean()
    .default(true)
    .describe('Whether dirty pages are written in the background, and who makes too many has to wait.'),
  dirtyRatio: Percent.default(WRITEBACK_DEFAULTS.dirtyRatio).describe(
    'Percent of the memory that may be dirty before those who dirty more have to wait.',
  ),
  dirtyBackgroundRatio: Percent.default(WRITEBACK_DEFAULTS.dirtyBackgroundRatio).describe(
    'Percent above which dirty pages are written at once.',
  ),
  flushInterval: Duration.prefault('5s').describe('How often the flusher looks for old dirty pages.'),
  dirtyExpire: Duration.prefault('30s').describe('How long a file stays dirty before the flusher writes it.'),
});

const MemoryDescription = z.strictObject({
  ram: Size.refine((bytes) => bytes >= 8 * MIB, 'at least 8MiB')
    .prefault('4GiB')
    .describe('Main memory.'),
  pmem: Size.prefault(0).describe('Persistent memory in ZONE_DEVICE, after the main memory.'),
  movable: Size.prefault(0).describe(
    'How much of the main memory is ZONE_MOVABLE; a long-term pin moves its pages out first, on kernels since 5.13.',
  ),
  cma: Size.prefault(0).describe(
    'How much of the main memory is set apart for contiguous allocations; movable pages use it meanwhile.',
  ),
  swap: Size.refine((bytes) => bytes <= TIB, 'at most 1TiB')
    .prefault(0)
    .describe('Swap, kept in memory of the host, outside of the main memory, or on `swapDevice`.'),
  swapDevice: z
    .string()
    .optional()
    .describe('The disk of the machine that swap is kept on: all of it, or as much as `swap` says.'),
  minFree: Size.optional().describe(
    'What is kept free for those who cannot wait; as the kernel computes it unless given. 0: no reclaim by itself.',
  ),
  hugetlb: z
    .strictObject({ '2MiB': Pool, '1GiB': Pool })
    .prefault({})
    .describe('Huge pages set apart at boot, by their size, for MAP_HUGETLB and MFD_HUGETLB.'),
  thp: LargeFolios.default('madvise').describe(
    'Who gets transparent huge pages of 2 MiB at a fault: areas that ask, or all.',
  ),
  mthp: z
    .strictObject({
      '16KiB': Mthp,
      '32KiB': Mthp,
      '64KiB': Mthp,
      '128KiB': Mthp,
      '256KiB': Mthp,
      '512KiB': Mthp,
      '1MiB': Mthp,
    })
    .prefault({})
    .describe('The same for smaller large folios, each size for itself.'),
  tlb: z
    .enum(['exact', 'stale'])
    .default('exact')
    .describe('Whether other CPUs may use old translations until the flush that ends an operation.'),
  writeback: WritebackDescription.prefault({}).describe('How dirty pages of files are written.'),
  directIo: z
    .enum(DIRECT_IO_HOLDS)
    .optional()
    .describe('How direct I/O holds the pages of its buffers; by default as the kernel does.'),
});

const IommuDescription = z.strictObject({
  mode: z
    .enum(['strict', 'lazy'])
    .default('strict')
    .describe('Whether an unmap invalidates the IOTLB at once or later.'),
  flush: Duration.prefault('10ms').describe('Lazy mode: how long a stale entry can stay usable.'),
});

const DeviceDescription = z
  .strictObject({
    name: z
      .string()
      .regex(/^[a-z][a-z0-9_-]*$/, 'a name of small letters, digits, - and _ that begins with a letter, such as nvme0')
      .describe('Name of the device in this machine.'),
    plugin: z
      .string()
      .min(1)
      .optional()
      .describe('The plugin that has its hardware model and driver: the name of a package, or a module file.'),
    hardware: z
      .string()
      .min(1)
      .optional()
      .describe('Which hardware model: when the plugin has several, or instead of the plugin.'),
    port: z.string().optional().describe('The PCI port it is plugged into; a root port of its own unless given.'),
    model: z.record(z.string(), z.unknown()).default({}).describe('Settings of the hardware model.'),
    config: z.record(z.string(), z.unknown()).default({}).describe('Configuration of the driver.'),
  })
  .refine(({ plugin, hardware }) => plugin !== undefined || hardware !== undefined, 'plugin or hardware, or both');

const MountDescription = z.strictObject({
  device: z.string().min(1).describe('The disk of the machine: nvme0n1.'),
  at: z
    .string()
    .regex(/^(\/[^/]+)+$/, 'a path such as /mnt, without a slash at its end')
    .refine((place) => !RESERVED_PLACES.test(place), 'a place other than /dev, /sys and /tmp')
    .describe('Where its files are: /mnt.'),
  format: z
    .enum(['if-empty', 'always', 'never'])
    .default('if-empty')
    .describe('When a new file system is made on it: if the disk is empty, at every boot, or never.'),
});

export const MachineDescription = z.strictObject({
  $schema: z.string().optional().describe('For editors; not used.'),
  memory: MemoryDescription.prefault({}),
  cpus: z.int().min(1).max(256).default(4).describe('Number of CPUs.'),
  kernel: z
    .enum(namesOf(kernelProfiles))
    .default(linux618.name)
    .describe('The Linux whose memory management is modelled. 6.18 is recorded, 6.1 in part, 5.4 is from sources.'),
  pinScheme: z
    .enum(namesOf(schemes))
    .optional()
    .describe('How pins are counted; by default as the kernel does: bias, or get-put for kernels without pins.'),
  iommu: IommuDescription.prefault({}),
  pci: PciDescription.prefault({}).describe('The PCI Express tree.'),
  ledger: z.enum(['off', 'counts', 'full']).default('counts').describe('How closely pins and mappings are recorded.'),
  plugins: z
    .array(z.string().min(1))
    .optional()
    .describe('The plugins that devices are bound with, and no others; without it, direct dependencies are looked at.'),
  devices: z.array(DeviceDescription).default([]),
  mounts: z
    .array(MountDescription)
    .default([])
    .describe('File systems that are mounted at boot, on disks of the machine.'),
});

/** A checked description with all defaults; sizes in bytes, durations in nanoseconds. */
export type MachineDescription = z.output<typeof MachineDescription>;
export type DeviceDescription = MachineDescription['devices'][number];
export type MountDescription = MachineDescription['mounts'][number];
/** What may be written. */
export type MachineInput = z.input<typeof MachineDescription>;

/** Gives a machine file in TypeScript its types: `export default defineMachine({ … })`. Checks nothing yet. */
export function defineMachine(description: MachineInput): MachineInput {
  return description;
}

/**
 * Checks a description. `source` is the file it came from, for the message.
 * Throws `UsageError`: MACHINE_INVALID with path, value, what is allowed and the nearest name or size; DEVICE_DUPLICATE;
 * MOUNT_DUPLICATE.
 */
export function parseMachine(input: unknown, source: string): MachineDescription {
  const description = parseConfig(MachineDescription, input, { code: 'MACHINE_INVALID', where: source });
  checkMemory(description.memory, source);
  const places = new Map<string, number>();
  description.devices.forEach(({ name }, index) => {
    const first = places.get(name);
    if (first !== undefined) {
      throw new UsageError('DEVICE_DUPLICATE', `${source}: two devices are called ${name}`, {
        expected: 'a name of its own for each device',
        actual: `${name} in devices[${first}] and devices[${index}]`,
      });
    }
    places.set(name, index);
  });
  checkPci(description.pci, description.devices, source);
  checkMounts(description, source);
  return description;
}

/** A place has one file system, and a disk one use. */
function checkMounts({ mounts, memory: { swapDevice } }: MachineDescription, source: string): void {
  const disks = new Map(swapDevice === undefined ? [] : [[swapDevice, 'memory.swapDevice']]);
  const places = new Map<string, string>();
  mounts.forEach(({ device, at }, index) => {
    const where = `mounts[${index}]`;
    const other = disks.get(device) ?? places.get(at);
    if (other !== undefined) {
      const what = disks.has(device) ? `disk ${device} is used` : `something is mounted at ${at}`;
      throw new UsageError('MOUNT_DUPLICATE', `${source}: ${what} twice`, {
        expected: 'a disk and a place of its own for each mount',
        actual: `${other} and ${where}`,
      });
    }
    disks.set(device, where);
    places.set(at, where);
  });
}

/** Whether the main memory has room for its parts. Pools of huge pages find out at boot, where they are laid out. */
function checkMemory({ ram, movable, cma, hugetlb }: MachineDescription['memory'], source: string): void {
  const pages = { '2MiB': 2 * MIB, '1GiB': 1024 * MIB } as const;
  const parts: readonly (readonly [string, number, number])[] = [
    ['movable', movable, 1],
    ['cma', cma, 1],
    ['hugetlb.1GiB', hugetlb['1GiB'] * pages['1GiB'], pages['1GiB']],
    ['hugetlb.2MiB', hugetlb['2MiB'] * pages['2MiB'], pages['2MiB']],
  ];
  let left = ram - REST_BYTES;
  for (const [name, bytes, unit] of parts) {
    // Pages of 2 MiB may lie in the movable part; those of 1 GiB may not.
    const room = name === 'hugetlb.2MiB' ? left + movable + cma : left;
    if (bytes > room) {
      const most = Math.max(0, Math.floor(room / unit));
      throw new UsageError(
        'MACHINE_INVALID',
        `${source}: memory.${name} is too big for ${formatBytes(ram)} of memory`,
        {
          expected: `at most ${unit === 1 ? formatBytes(Math.floor(most / (4 * MIB)) * 4 * MIB) : most}`,
          actual: unit === 1 ? formatBytes(bytes) : String(bytes / unit),
        },
      );
    }
    left -= bytes;
  }
}

/** A description written as YAML or JSON. Throws `UsageError` MACHINE_INVALID with line and column, or as `parseMachine`. */
export function parseMachineText(text: string, source: string): MachineDescription {
  const document = parseDocument(text, { prettyErrors: false });
  const [error] = document.errors;
  if ((error as unknown) !== undefined) {
    const before = text.slice(0, error.pos[0]).split('\n');
    throw new UsageError(
      'MACHINE_INVALID',
      `${source}:${before.length}:${before[before.length - 1].length + 1} cannot be read`,
      {
        expected: 'YAML or JSON',
        actual: error.message,
      },
    );
  }
  return parseMachine(document.toJS() ?? {}, source);
}

/** JSON Schema of a machine file (draft 2020-12). */
export function machineJsonSchema(): object {
  return z.toJSONSchema(MachineDescription, { io: 'input' });
}

/** The entry of `known` with that name. Throws `UsageError` that lists the names and suggests the nearest. */
export function byName<T extends { readonly name: string }>(
  known: readonly T[],
  name: string,
  fail: {
    readonly code: 'PLUGIN_UNKNOWN' | 'DEVICE_UNKNOWN' | 'MACHINE_INVALID';
    readonly what: string;
    readonly where: string;
  },
): T {
  const found = known.find((entry) => entry.name === name);
  if (found !== undefined) return found;
  const names = known.map((entry) => entry.name);
  const nearest = nearestName(name, names);
  throw new UsageError(fail.code, `${fail.where}: there is no ${fail.what} ${name}`, {
    expected: names.length === 0 ? `a ${fail.what}; none is there` : `one of ${names.join(', ')}`,
    actual: name,
    ...(nearest === null ? {} : { hint: nearest }),
  });
}

/** The scheme a machine counts its pins with: the one it names, else its kernel's. */
export function pinSchemeOf({ kernel, pinScheme }: MachineDescription): string {
  return pinScheme ?? (kernelProfiles[kernel].pinsExist ? 'bias' : 'get-put');
}

function namesOf(record: Readonly<Record<string, unknown>>): [string, ...string[]] {
  return Object.keys(record) as [string, ...string[]];
}
