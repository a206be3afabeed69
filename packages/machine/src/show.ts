/** The machine as a tree of text, for people: what it has, with all defaults. */
import type { Device } from '@pincushion/driver';
import { formatBytes, formatNs } from '@pincushion/sim';
import { pinSchemeOf } from './description';
import type { Machine } from './machine';

interface Branch {
  readonly text: string;
  readonly below: readonly Branch[];
}

function swapOf({ description, memory: { swap } }: Machine): string {
  if (swap.slots === 0) return 'none';
  const { swapDevice } = description.memory;
  return `${formatBytes(swap.slots * 4096)}${swapDevice === undefined ? '' : ` on ${swapDevice}`}`;
}

/** Several lines, without a line end after the last. */
export function machineTree(machine: Machine): string {
  const { memory, cpus, kernel, iommu } = machine.description;
  const lines = [machine.name === '' ? 'machine' : `machine ${machine.name}`];
  const zones = machine.memory.zones.map((zone) => leaf(`${zone.name} ${formatBytes((zone.end - zone.start) * 4096)}`));
  grow(lines, '', [
    {
      text: `memory ${formatBytes(memory.ram)}${memory.pmem > 0 ? ` and ${formatBytes(memory.pmem)} pmem` : ''}`,
      below: [
        ...zones,
        leaf(`swap ${swapOf(machine)}`),
        leaf(`huge pages ${hugePages(memory)}`),
        leaf(`transparent huge pages ${transparentHugePages(memory)}`),
        leaf(`tlb ${memory.tlb}`),
      ],
    },
    leaf(`cpus ${cpus}`),
    leaf(`kernel ${kernel} (${machine.memory.profile.basis})`),
    leaf(`pin scheme ${pinSchemeOf(machine.description)}`),
    leaf(`ledger ${machine.memory.ledger.mode}`),
    leaf(`iommu ${iommu.mode}${iommu.mode === 'lazy' ? `, flush ${formatNs(iommu.flush)}` : ''}`),
    {
      text: `devices ${machine.devices.length}`,
      below: machine.devices.map((device) => deviceBranch(machine, device)),
    },
  ]);
  return lines.join('\n');
}

type MemoryDescription = Machine['description']['memory'];

/** `64 of 2 MiB, 2 of 1 GiB`, or `none`. */
function hugePages({ hugetlb }: MemoryDescription): string {
  const pools = Object.entries(hugetlb).filter(([, pages]) => pages > 0);
  return pools.length === 0 ? 'none' : pools.map(([size, pages]) => `${pages} of ${spaced(size)}`).join(', ');
}

/** Who gets which size: `2 MiB madvise, 64 KiB always`, or `never`. */
function transparentHugePages({ thp, mthp }: MemoryDescription): string {
  const sizes = [['2MiB', thp] as const, ...Object.entries(mthp)].filter(([, who]) => who !== 'never');
  return sizes.length === 0 ? 'never' : sizes.map(([size, who]) => `${spaced(size)} ${who}`).join(', ');
}

function spaced(size: string): string {
  return size.replace(/(?=[KMG]iB)/, ' ');
}

function deviceBranch(machine: Machine, device: Device): Branch {
  const { name, vendor, device: id, vectors } = device.hardwareMeta;
  const interrupts = `${vectors} interrupt vector${vectors === 1 ? '' : 's'}`;
  const nodes = machine.nodes.list().filter((node) => node.devicePath === device.path);
  return {
    text: device.name,
    below: [
      { text: `hardware ${name} ${hex(vendor)}:${hex(id)}, ${interrupts}`, below: settings(device.hardware.settings) },
      device.driver === null
        ? leaf(`no driver (${device.state})`)
        : { text: `driver ${device.driverName}`, below: settings(device.config) },
      ...nodes.map((node) =>
        leaf(
          node.kind === 'disk'
            ? `/dev/${node.name} disk, ${formatBytes(node.disk.capacitySectors * 512)}`
            : `/dev/${node.name}`,
        ),
      ),
    ],
  };
}

/** What a device is set to, a line a field; groups and lists are branches of their own. */
function settings(config: unknown): readonly Branch[] {
  if (typeof config !== 'object' || config === null) return [];
  return Object.entries(config).map(([name, value]) =>
    setting(Array.isArray(config) ? String(Number(name) + 1) : name, value),
  );
}

function setting(name: string, value: unknown): Branch {
  if (typeof value === 'object' && value !== null) return { text: name, below: settings(value) };
  return leaf(`${name} ${typeof value === 'number' ? quantity(name, value) : String(value)}`);
}

/** The unit stands at the end of a name: `readNs`, `ioTimeout`, `writeBufferBytes`. */
function quantity(name: string, value: number): string {
  if (/(Ns|Timeout)$/.test(name)) return formatNs(value);
  return name.endsWith('Bytes') ? formatBytes(value) : String(value);
}

function grow(lines: string[], indent: string, branches: readonly Branch[]): void {
  branches.forEach(({ text, below }, index) => {
    const last = index === branches.length - 1;
    lines.push(`${indent}${last ? '└─ ' : '├─ '}${text}`);
    grow(lines, indent + (last ? '   ' : '│  '), below);
  });
}

function leaf(text: string): Branch {
  return { text, below: [] };
}

function hex(id: number): string {
  return id.toString(16).padStart(4, '0');
}
