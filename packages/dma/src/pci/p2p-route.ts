/**
 * How one device reaches the memory of another: how far it is, which way the traffic takes, and by which rule (PP-04).
 *
 * Below a common bridge a switch passes requests from port to port, and the address to use is the one on the bus; unless
 * a port on the way redirects them upwards (ACS). Everything else goes through the host bridge, which must be known to
 * pass such traffic on, and for which the address is an IOVA like any other.
 * Left out on purpose: several functions of one device; that redirected requests come back down through the same root port.
 * Source followed: Linux 6.18 drivers/pci/p2pdma.c (calc_map_type_and_dist, host_bridge_whitelist, pci_bridge_has_acs_redir).
 */
import type { HostBridge, PciBridge, PciLayout } from './topology';

/** `pci_p2pdma_map_type`. */
export type P2pMapType = 'bus-address' | 'through-host-bridge' | 'not-supported';

export type P2pRule =
  'same-device' | 'common-bridge' | 'cpu' | 'allow-list' | 'host-bridge-unknown' | 'same-host-bridge-only';

export interface P2pRoute {
  readonly mapType: P2pMapType;
  /** Steps in the tree from device to device; the fewer, the better. Also counted when the way is refused. */
  readonly hops: number;
  /** What allowed or refused it. */
  readonly rule: P2pRule;
  /** The nearest bridge above both; null when there is none. */
  readonly common: PciBridge | null;
  /** Bridges from the provider up, and from the client up, below the common one or up to the root. */
  readonly providerSide: readonly PciBridge[];
  readonly clientSide: readonly PciBridge[];
  /** Ports on the way whose ACS sends requests upwards. */
  readonly redirects: readonly PciBridge[];
  /** The host bridge that the rule refused; null when none did. */
  readonly refusedBy: HostBridge | null;
}

/** Something that is plugged into a port. */
export interface PciEnd {
  readonly port: PciBridge;
}

/** The way of `client`'s requests to the memory of `provider`. Any context; allocates: results are kept by who asks. */
export function calcRoute(layout: PciLayout, provider: PciEnd, client: PciEnd): P2pRoute {
  const none = { common: null, providerSide: [], clientSide: [], redirects: [], refusedBy: null };
  if (provider === client) return { ...none, mapType: 'bus-address', hops: 0, rule: 'same-device' };
  const up = bridgesAbove(provider);
  const other = bridgesAbove(client);
  const common = up.find((bridge) => other.includes(bridge)) ?? null;
  const providerSide = common === null ? up : up.slice(0, up.indexOf(common));
  const clientSide = common === null ? other : other.slice(0, other.indexOf(common));
  if (common === null) {
    // Both ends and every bridge up to the roots.
    const hops = up.length + other.length + 2;
    return { ...none, ...throughHost(layout, provider, client), hops, providerSide, clientSide };
  }
  const hops = providerSide.length + clientSide.length + 2;
  // The common bridge counts, too: the kernel looks at it before it knows that it is the common one.
  const redirects = [...providerSide, common, ...clientSide].filter(({ acs }) => acs !== 0);
  const way = { ...none, hops, common, providerSide, clientSide, redirects };
  if (redirects.length === 0) return { ...way, mapType: 'bus-address', rule: 'common-bridge' };
  return { ...way, ...throughHost(layout, provider, client) };
}

/** `cpu_supports_p2pdma` and `host_bridge_whitelist`. */
function throughHost(
  { allowed, cpuAllows }: PciLayout,
  provider: PciEnd,
  client: PciEnd,
): Pick<P2pRoute, 'mapType' | 'rule' | 'refusedBy'> {
  if (cpuAllows) return { mapType: 'through-host-bridge', rule: 'cpu', refusedBy: null };
  const isSame = provider.port.host === client.port.host;
  for (const host of isSame ? [provider.port.host] : [provider.port.host, client.port.host]) {
    const entry = allowed.find(({ vendor, device }) => vendor === host.vendor && device === host.device);
    if (entry === undefined) return { mapType: 'not-supported', rule: 'host-bridge-unknown', refusedBy: host };
    if (entry.sameBridgeOnly && !isSame) {
      return { mapType: 'not-supported', rule: 'same-host-bridge-only', refusedBy: host };
    }
  }
  return { mapType: 'through-host-bridge', rule: 'allow-list', refusedBy: null };
}

/** `pci_upstream_bridge`, again and again. */
function bridgesAbove({ port }: PciEnd): PciBridge[] {
  const found: PciBridge[] = [];
  for (let bridge: PciBridge | null = port; bridge !== null; bridge = bridge.upstream) found.push(bridge);
  return found;
}
