/** Set-up of the peer-to-peer tests: a PCI tree with a switch and three root complexes, devices with memory, and what they map. */
import { Acs, Iommu, KERNEL_ALLOW_LIST, P2pMemory, PciFabric } from '@pincushion/dma';
import type { DmaDomain, HostBridge, IommuOptions, PciBridge, PciFunction, PciLayout } from '@pincushion/dma';
import { Memory } from '@pincushion/mm';
import { World } from '@pincushion/sim';

export const MIB = 1024 * 1024;

const listed: HostBridge = { name: 'rc0', vendor: 0x8086, device: 0x09a2 };
const sameOnly: HostBridge = { name: 'rc1', vendor: 0x8086, device: 0x3c00 };
const unknown: HostBridge = { name: 'rc2', vendor: 0x1234, device: 0x5678 };

function port(name: string, host: HostBridge, upstream: PciBridge | null = null, acs = 0): PciBridge {
  const kind =
    upstream === null ? 'root port' : upstream.kind === 'upstream port' ? 'downstream port' : 'upstream port';
  return { name, kind, upstream, host, acs };
}

const rp0 = port('rp0', listed);
const sw0 = port('sw0', listed, rp0);
const sw0p3 = port('sw0p3', listed, sw0);
const sw1 = port('sw1', listed, sw0p3);
const bridges: PciBridge[] = [
  rp0,
  sw0,
  port('sw0p0', listed, sw0),
  port('sw0p1', listed, sw0),
  port('sw0p2', listed, sw0, Acs.requestRedirect),
  sw0p3,
  sw1,
  port('sw1p0', listed, sw1),
  port('rp1', listed),
  port('rp2', sameOnly),
  port('rp3', sameOnly),
  port('rp4', unknown),
  port('rp5', unknown),
];
export const LAYOUT: PciLayout = {
  hosts: [listed, sameOnly, unknown],
  bridges,
  allowed: KERNEL_ALLOW_LIST,
  cpuAllows: false,
};

interface Card {
  readonly fn: PciFunction;
  readonly domain: DmaDomain;
}

export interface Peers {
  readonly world: World;
  readonly memory: Memory;
  readonly fabric: PciFabric;
  readonly iommu: Iommu;
  /** Plugs a device in; with 1 MiB of memory in BAR 2 unless without. */
  card: (name: string, at: string | null, withMemory?: boolean) => Card;
  /** Offers the memory of a card. */
  offer: (card: Card) => P2pMemory;
  codes: () => string[];
}

export function peers(options: IommuOptions = {}, layout: PciLayout = LAYOUT): Peers {
  const world = new World({ seed: 1 });
  const memory = new Memory(world, { ramBytes: 64 * MIB, pciBytes: 32 * MIB, ledger: 'full' });
  const fabric = new PciFabric(memory, layout);
  const iommu = new Iommu(memory, { ...options, pci: fabric });
  return {
    world,
    memory,
    fabric,
    iommu,
    card(name, at, withMemory = true) {
      const registers = { bytes: 4096, isMemory: false, isPrefetchable: false };
      const content = { bytes: withMemory ? MIB : 0, isMemory: true, isPrefetchable: true };
      const fn = fabric.plugIn(name, at, [registers, { ...registers, bytes: 0 }, content]);
      return { fn, domain: iommu.attach(name, fn) };
    },
    offer({ fn }) {
      const content = fn.bars[2]?.memory;
      if (content === null || content === undefined) throw new Error(`${fn.name} has no memory`);
      return new P2pMemory(memory, fn, content, 0, content.frames);
    },
    codes: () => world.findings.all.map(({ code }) => code),
  };
}
