/**
 * Which way a device reaches memory of another, or why it must not: the answer of the kernel's distance calculation, told.
 *
 * Nothing is booted: where devices are plugged in and what the host bridges pass on decides.
 */
import { byName, pciRoute } from '@pincushion/machine';
import type { MachineDescription } from '@pincushion/machine';

type Description = Pick<MachineDescription, 'devices' | 'pci'>;
type Hosts = ReturnType<typeof pciRoute>['hosts'];
type P2pRoute = ReturnType<typeof pciRoute>['route'];
type Bridge = P2pRoute['clientSide'][number];

interface Stop {
  readonly name: string;
  readonly kind: Bridge['kind'] | 'provider' | 'client' | 'host bridge';
  /** The port sends requests up. */
  readonly redirects: boolean;
}

export interface P2pExplanation {
  readonly provider: string;
  readonly client: string;
  readonly mapType: P2pRoute['mapType'];
  readonly rule: P2pRoute['rule'];
  /** Steps in the tree, as the kernel counts them: also where requests go up to the root and come back. */
  readonly hops: number;
  /** From the client to the provider. */
  readonly route: readonly Stop[];
  /** Why, in a sentence. */
  readonly reason: string;
  /** What a mapping of the provider's pages for the client becomes. */
  readonly mapping: string;
  /** What would change it; null when nothing needs to. */
  readonly advice: string | null;
}

/** Throws `UsageError` DEVICE_UNKNOWN with the nearest name. @param source of the description, for the message */
export function explainP2p(
  description: Description,
  source: string,
  providerName: string,
  clientName: string,
): P2pExplanation {
  const find = (name: string): string =>
    byName(description.devices, name, { code: 'DEVICE_UNKNOWN', what: 'device', where: source }).name;
  const provider = find(providerName);
  const client = find(clientName);
  const { route, hosts } = pciRoute(description, provider, client);
  return {
    provider,
    client,
    mapType: route.mapType,
    rule: route.rule,
    hops: route.hops,
    route: stops(route, hosts, provider, client),
    reason: reasonOf(route),
    mapping: MAPPING[route.mapType],
    advice: adviceOf(route),
  };
}

const MAPPING = {
  'bus-address': 'the bus address of the BAR; the switch delivers, and the IOMMU is not asked',
  'through-host-bridge':
    'an IOVA like that of host memory; each access passes the root port, the IOMMU and the host bridge',
  'not-supported': 'none: dma_map_sgtable answers -EREMOTEIO',
} as const;

function stops(route: P2pRoute, hosts: Hosts, provider: string, client: string): Stop[] {
  const { clientSide, providerSide, common, redirects } = route;
  const bridge = (each: Bridge): Stop => ({
    name: each.name,
    kind: each.kind,
    redirects: redirects.includes(each),
  });
  const way: Stop[] = [{ name: client, kind: 'client', redirects: false }, ...clientSide.map(bridge)];
  if (common !== null && redirects.length === 0) way.push(bridge(common));
  else if (common !== null) {
    // Up to the root, and the same way down again.
    const up = [common, ...above(common)].map(bridge);
    way.push(...up, { name: hosts.client.name, kind: 'host bridge', redirects: false }, ...up.reverse());
  } else if (route.rule !== 'same-device') {
    const names = new Set([hosts.client.name, hosts.provider.name]);
    for (const name of names) way.push({ name, kind: 'host bridge', redirects: false });
  }
  way.push(...[...providerSide].reverse().map(bridge));
  if (route.rule !== 'same-device') way.push({ name: provider, kind: 'provider', redirects: false });
  return way;
}

function above({ upstream }: Bridge): Bridge[] {
  return upstream === null ? [] : [upstream, ...above(upstream)];
}

function reasonOf({ rule, common, redirects, refusedBy }: P2pRoute): string {
  const ports = redirects.map(({ name }) => name).join(', ');
  const up = common === null ? 'no bridge is above both' : `ACS of ${ports} sends requests up to the host bridge`;
  const host = refusedBy === null ? '' : `${refusedBy.name} (${idText(refusedBy)})`;
  switch (rule) {
    case 'same-device':
      return 'it is the same device';
    case 'common-bridge':
      return `${common?.name ?? ''} is above both, and no port on the way redirects`;
    case 'cpu':
      return `${up}; the CPU passes peer-to-peer traffic on, whatever its host bridge`;
    case 'allow-list':
      return `${up}, and the list of host bridges says that it is passed on`;
    case 'host-bridge-unknown':
      return `${up}, and host bridge ${host} is not in the list of those that pass peer-to-peer traffic on`;
    case 'same-host-bridge-only':
      return `${up}, and host bridge ${host} passes such traffic between its own ports only`;
  }
}

function adviceOf({ mapType, redirects }: P2pRoute): string | null {
  const ports = redirects.map(({ name }) => name);
  if (ports.length > 0)
    return `no acs at ${ports.join(', ')} (Linux: pci=disable_acs_redir=…), for the way through the switch`;
  return mapType === 'not-supported' ? 'ports below a common switch, or a host bridge in pci.allowList' : null;
}

function idText({ vendor, device }: { readonly vendor: number; readonly device: number }): string {
  return [vendor, device].map((id) => id.toString(16).padStart(4, '0')).join(':');
}
