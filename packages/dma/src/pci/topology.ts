/**
 * The PCI Express tree of a machine: host bridges, root ports, switches, and where devices are plugged in.
 *
 * ```
 * host bridge ── root port ── device
 *             └─ root port ── switch (upstream port) ─┬─ downstream port ── device
 *                                                     └─ downstream port ── switch …
 * ```
 * A switch is its upstream port and the downstream ports below it, each a bridge, as in the kernel.
 * Left out on purpose: bus numbers, several functions of one device, cut-through paths inside a host bridge.
 * Source followed: PCI Express Base Specification; Linux 6.18 drivers/pci/search.c (pci_upstream_bridge).
 */
import { PincushionError } from '@pincushion/sim';

/** Bits of the ACS control register of a port (PCI_ACS_*): each redirects peer-to-peer traffic upwards. */
export const Acs = { requestRedirect: 0x04, completionRedirect: 0x08, egressControl: 0x20 } as const;

/** A root complex, as the kernel tells them apart: by the ids of its first device. */
export interface HostBridge {
  readonly name: string;
  /** PCI vendor and device id. */
  readonly vendor: number;
  readonly device: number;
}

export type BridgeKind = 'root port' | 'upstream port' | 'downstream port';

/** A port: a bridge of the tree. */
export interface PciBridge {
  readonly name: string;
  readonly kind: BridgeKind;
  /** The next bridge on the way to the host bridge; null for a root port. */
  readonly upstream: PciBridge | null;
  readonly host: HostBridge;
  /** `Acs` bits that are set. */
  readonly acs: number;
}

/** One entry of the list of host bridges that pass traffic between their ports. */
export interface AllowedHostBridge {
  readonly vendor: number;
  readonly device: number;
  /** Between ports of this one bridge only, not to another one. */
  readonly sameBridgeOnly: boolean;
}

/** A tree to plug devices into, and what is known about its host bridges. */
export interface PciLayout {
  readonly hosts: readonly HostBridge[];
  readonly bridges: readonly PciBridge[];
  readonly allowed: readonly AllowedHostBridge[];
  /** The CPU passes peer-to-peer traffic whatever the list says (cpu_supports_p2pdma). */
  readonly cpuAllows: boolean;
}

/**
 * The kernel's list of host bridges that are known to pass peer-to-peer traffic (pci_p2pdma_whitelist): Intel's from Sandy
 * Bridge-EP to Sapphire Rapids.
 */
export const KERNEL_ALLOW_LIST: readonly AllowedHostBridge[] = [
  { vendor: 0x8086, device: 0x3c00, sameBridgeOnly: true },
  { vendor: 0x8086, device: 0x3c01, sameBridgeOnly: true },
  { vendor: 0x8086, device: 0x2f00, sameBridgeOnly: true },
  { vendor: 0x8086, device: 0x2f01, sameBridgeOnly: true },
  { vendor: 0x8086, device: 0x2030, sameBridgeOnly: false },
  { vendor: 0x8086, device: 0x2031, sameBridgeOnly: false },
  { vendor: 0x8086, device: 0x2032, sameBridgeOnly: false },
  { vendor: 0x8086, device: 0x2033, sameBridgeOnly: false },
  { vendor: 0x8086, device: 0x2020, sameBridgeOnly: false },
  { vendor: 0x8086, device: 0x09a2, sameBridgeOnly: false },
];

/** A host bridge without ports: each device gets a root port of its own when it is plugged in. */
export const DEFAULT_LAYOUT: PciLayout = {
  hosts: [{ name: 'rc0', vendor: 0x8086, device: 0x09a2 }],
  bridges: [],
  allowed: KERNEL_ALLOW_LIST,
  cpuAllows: false,
};

/** The root port of a device that is plugged in without saying where. */
export function ownRootPort({ hosts }: PciLayout, deviceName: string): PciBridge {
  return { name: `port of ${deviceName}`, kind: 'root port', upstream: null, host: hosts[0], acs: 0 };
}

/** The port of a name. Throws DEVICE_INVALID. */
export function bridgeOf(layout: PciLayout, name: string): PciBridge {
  const bridge = layout.bridges.find((each) => each.name === name);
  if (bridge !== undefined) return bridge;
  throw new PincushionError('DEVICE_INVALID', `there is no port ${name}`, {
    expected: layout.bridges.map((each) => each.name).join(', ') || 'a port; none is there',
    actual: name,
  });
}
