/**
 * The PCI part of a machine description: root complexes, their ports, switches, and where devices are plugged in.
 *
 * Without it there is one root complex, and each device has a root port of its own: the way from device to device is then always
 * through the host bridge.
 */
import { Acs, KERNEL_ALLOW_LIST, calcRoute, ownRootPort } from '@pincushion/dma';
import type { AllowedHostBridge, HostBridge, P2pRoute, PciBridge, PciEnd, PciLayout } from '@pincushion/dma';
import { nearestName } from '@pincushion/driver';
import { UsageError } from '@pincushion/sim';
import { z } from 'zod';
import { Size } from './sizes';

const Name = z
  .string()
  .regex(/^[a-z][a-z0-9_.-]*$/, 'a name of small letters, digits, -, _ and . that begins with a letter, such as sw0p1');
const BridgeId = z
  .string()
  .regex(/^[0-9a-fA-F]{4}:[0-9a-fA-F]{4}$/, 'PCI vendor and device id, such as 8086:09a2')
  .transform((text) => text.toLowerCase());
const AcsFlags = z
  .array(z.enum(['request-redirect', 'completion-redirect', 'egress-control']))
  .default([])
  .describe(
    'What Access Control Services of the port do; each of them sends peer-to-peer traffic up to the host bridge.',
  );

const PortDescription = z.strictObject({
  name: Name.describe('Name of the port, unique in the machine.'),
  acs: AcsFlags,
  get switch() {
    return SwitchDescription.optional().describe('The switch that is plugged in here, instead of a device.');
  },
});

const SwitchDescription = z.strictObject({
  name: Name.describe('Name of the switch, which is that of its upstream port.'),
  acs: AcsFlags,
  ports: z.array(PortDescription).min(1).describe('Its downstream ports.'),
});

const RootComplexDescription = z.strictObject({
  name: Name.describe('Name of the root complex.'),
  hostBridge: BridgeId.prefault('8086:09a2').describe(
    'Ids of its host bridge, which the list of host bridges knows it by.',
  ),
  ports: z.array(PortDescription).default([]).describe('Its root ports.'),
});

export const PciDescription = z.strictObject({
  cpu: z
    .enum(['listed', 'any'])
    .default('listed')
    .describe(
      'Which host bridges pass peer-to-peer traffic on: those in the list, or any, as with AMD CPUs since Zen.',
    ),
  allowList: z
    .array(
      z.strictObject({
        hostBridge: BridgeId.describe('Ids of a host bridge that passes peer-to-peer traffic between its ports.'),
        sameBridgeOnly: z.boolean().default(false).describe('And none to or from other host bridges.'),
      }),
    )
    .optional()
    .describe("Instead of the kernel's list of host bridges."),
  hotplug: Size.prefault(0).describe('Room for the memory of devices that are plugged in later.'),
  rootComplexes: z
    .array(RootComplexDescription)
    .min(1)
    .prefault([{ name: 'rc0' }])
    .describe('Root complexes; devices without a port get a root port of their own in the first.'),
});

export type PciDescription = z.output<typeof PciDescription>;
type PortDescription = z.output<typeof PortDescription>;

/** A device of the description, as far as it matters here. */
interface Plugged {
  readonly name: string;
  readonly port?: string | undefined;
}

/** The tree that the description means. */
export function pciLayout({ cpu, allowList, rootComplexes }: PciDescription): PciLayout {
  const hosts: HostBridge[] = [];
  const bridges: PciBridge[] = [];
  for (const { name, hostBridge, ports } of rootComplexes) {
    const host = { name, ...idsOf(hostBridge) };
    hosts.push(host);
    for (const port of ports) addPort(bridges, port, 'root port', null, host);
  }
  const allowed: readonly AllowedHostBridge[] =
    allowList?.map(({ hostBridge, sameBridgeOnly }) => ({ ...idsOf(hostBridge), sameBridgeOnly })) ?? KERNEL_ALLOW_LIST;
  return { hosts, bridges, allowed, cpuAllows: cpu === 'any' };
}

/** The way from device to device, and the host bridges they are under. Both must be devices of the description. */
export function pciRoute(
  { pci, devices }: { readonly pci: PciDescription; readonly devices: readonly Plugged[] },
  provider: string,
  client: string,
): { readonly route: P2pRoute; readonly hosts: { readonly provider: HostBridge; readonly client: HostBridge } } {
  const layout = pciLayout(pci);
  const endOf = (name: string): PciEnd => {
    const at = devices.find((device) => device.name === name)?.port;
    return { port: layout.bridges.find((bridge) => bridge.name === at) ?? ownRootPort(layout, name) };
  };
  const from = endOf(provider);
  const to = provider === client ? from : endOf(client);
  return { route: calcRoute(layout, from, to), hosts: { provider: from.port.host, client: to.port.host } };
}

/**
 * Whether names are unique and every device can be plugged in where it is to be.
 * Throws `UsageError` MACHINE_INVALID with the nearest name. @param source the file, for the message
 */
export function checkPci(pci: PciDescription, devices: readonly Plugged[], source: string): void {
  const { bridges, hosts } = pciLayout(pci);
  const names = [...hosts, ...bridges].map(({ name }) => name);
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined) {
    throw invalid(`${source}: two parts of the PCI tree are called ${twice}`, 'a name of its own for each', twice);
  }
  const taken = new Map<string, string>();
  for (const { name, port } of devices) {
    if (port === undefined) continue;
    const bridge = bridges.find((each) => each.name === port);
    const free = bridges.filter((each) => isEnd(bridges, each)).map((each) => each.name);
    if (bridge === undefined) {
      const nearest = nearestName(port, free);
      const expected = free.length === 0 ? 'a port; pci has none' : `one of ${free.join(', ')}`;
      throw invalid(`${source}: device ${name}: there is no port ${port}`, expected, port, nearest);
    }
    if (!isEnd(bridges, bridge)) {
      const expected = `a port with nothing below it: ${free.join(', ')}`;
      throw invalid(
        `${source}: device ${name} cannot be plugged into ${port}, which has a switch below it`,
        expected,
        port,
      );
    }
    const other = taken.get(port);
    if (other !== undefined) {
      throw invalid(`${source}: two devices are plugged into port ${port}`, 'one', `${other} and ${name}`);
    }
    taken.set(port, name);
  }
}

function addPort(
  bridges: PciBridge[],
  port: PortDescription,
  kind: 'root port' | 'downstream port',
  upstream: PciBridge | null,
  host: HostBridge,
): void {
  const bridge: PciBridge = { name: port.name, kind, upstream, host, acs: acsBits(port.acs) };
  bridges.push(bridge);
  if (port.switch === undefined) return;
  const { name, acs, ports } = port.switch;
  const top: PciBridge = { name, kind: 'upstream port', upstream: bridge, host, acs: acsBits(acs) };
  bridges.push(top);
  for (const below of ports) addPort(bridges, below, 'downstream port', top, host);
}

/** A root or downstream port without a switch. */
function isEnd(bridges: readonly PciBridge[], bridge: PciBridge): boolean {
  return bridge.kind !== 'upstream port' && bridges.every(({ upstream }) => upstream !== bridge);
}

const ACS_BITS = {
  'request-redirect': Acs.requestRedirect,
  'completion-redirect': Acs.completionRedirect,
  'egress-control': Acs.egressControl,
} as const;

function acsBits(flags: PortDescription['acs']): number {
  return flags.reduce((bits, flag) => bits | ACS_BITS[flag], 0);
}

function idsOf(text: string): { readonly vendor: number; readonly device: number } {
  const [vendor, device] = text.split(':');
  return { vendor: parseInt(vendor, 16), device: parseInt(device, 16) };
}

function invalid(summary: string, expected: string, actual: string, hint: string | null = null): UsageError {
  return new UsageError('MACHINE_INVALID', summary, { expected, actual, ...(hint === null ? {} : { hint }) });
}
