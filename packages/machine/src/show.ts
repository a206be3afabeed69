/** The machine as a tree of text, for people: what it has, with all defaults. */
import type { Device } from '@pincushion/driver';
import { DeviceNodes } from '@pincushion/driver';
import { Acs } from '@pincushion/dma';
import type { HostBridge, PciBridge } from '@pincushion/dma';
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
    ...pciBranch(machine),
    {
      text: `devices ${machine.devices.length}`,
      below: machine.devices.map((device) => deviceBranch(machine, device)),
    },
    ...mountsBranch(machine),
  ]);
  return lines.join('\n');
}

function mountsBranch({ mounts }: Machine): readonly Branch[] {
  if (mounts.length === 0) return [];
  const below = mounts.map(({ description: { device, at, format }, fs }) => {
    const { blocksFree } = fs.allocator;
    const bytes = (blocks: number): string => formatBytes(blocks * fs.store.blockBytes);
    return leaf(`${at} on ${device}, ${bytes(fs.layout.blocks)}, ${bytes(blocksFree)} free, format ${format}`);
  });
  return [{ text: `mounts ${mounts.length}`, below }];
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

/** The PCI tree, when the description says something about it. */
function pciBranch({ description, pci }: Machine): readonly Branch[] {
  const { hosts, bridges } = pci.layout;
  if (bridges.length === 0 && hosts.length === 1) return [];
  const below = (upstream: PciBridge | null, host: HostBridge): Branch[] =>
    bridges
      .filter((bridge) => bridge.upstream === upstream && bridge.host === host)
      .map((bridge) => ({ text: portText(bridge, description), below: below(bridge, host) }));
  const roots = hosts.map((host) => ({
    text: `root complex ${host.name} ${hex(host.vendor)}:${hex(host.device)}`,
    below: below(null, host),
  }));
  return [{ text: 'pci', below: roots }];
}

function portText({ name, kind, acs }: PciBridge, { devices }: Machine['description']): string {
  const device = devices.find(({ port }) => port === name);
  const flags = Object.entries(Acs).filter(([, bit]) => (acs & bit) !== 0);
  const redirects = flags.length === 0 ? '' : `, ACS ${flags.map(([flag]) => spelledApart(flag)).join(' and ')}`;
  return `${kind} ${name}${redirects}${device === undefined ? '' : `: ${device.name}`}`;
}

/** `request redirect`. */
function spelledApart(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
}

/** What others reach: memory BARs. */
function memoryBars({ pciFunction }: Device): readonly Branch[] {
  return pciFunction.bars.flatMap((bar) =>
    bar === null || bar.memory === null
      ? []
      : [leaf(`BAR ${bar.index} memory ${formatBytes(bar.bytes)} at bus address 0x${bar.busAddress.toString(16)}`)],
  );
}

function deviceBranch(machine: Machine, device: Device): Branch {
  const { name, vendor, device: id, vectors } = device.hardwareMeta;
  const interrupts = `${vectors} interrupt vector${vectors === 1 ? '' : 's'}`;
  const nodes = machine.nodes.list().filter((node) => node.devicePath === device.path);
  return {
    text: device.name,
    below: [
      { text: `hardware ${name} ${hex(vendor)}:${hex(id)}, ${interrupts}`, below: settings(device.hardware.settings) },
      ...memoryBars(device),
      device.driver === null
        ? leaf(`no driver (${device.state})`)
        : { text: `driver ${device.driverName}`, below: settings(device.config) },
      ...nodes.map((node) =>
        leaf(
          node.kind === 'disk'
            ? `${DeviceNodes.pathOf(node)} disk, ${formatBytes(node.disk.capacitySectors * 512)}`
            : DeviceNodes.pathOf(node),
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
