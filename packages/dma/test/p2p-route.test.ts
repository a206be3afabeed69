import { DEFAULT_LAYOUT } from '@pincushion/dma';
import type { P2pRoute } from '@pincushion/dma';
import { LAYOUT, peers } from './peers-under-test';

/** The route between devices at two ports. */
function route(provider: string | null, client: string | null, layout = LAYOUT): P2pRoute {
  const { card, fabric } = peers({}, layout);
  return fabric.route(card('a', provider).fn, card('b', client).fn);
}

describe('the way from a device to memory of another (calc_map_type_and_dist)', () => {
  it('is the bus address below a common switch: four steps', () => {
    expect(route('sw0p0', 'sw0p1')).toMatchObject({ mapType: 'bus-address', hops: 4, rule: 'common-bridge' });
  });

  it('counts every switch between', () => {
    const found = route('sw0p0', 'sw1p0');
    expect(found).toMatchObject({ mapType: 'bus-address', hops: 6, rule: 'common-bridge' });
    expect(found.clientSide.map(({ name }) => name)).toEqual(['sw1p0', 'sw1', 'sw0p3']);
    expect(found.common?.name).toBe('sw0');
  });

  it('is nothing to itself', () => {
    const { card, fabric } = peers();
    const { fn } = card('a', 'sw0p0');
    expect(fabric.route(fn, fn)).toMatchObject({ mapType: 'bus-address', hops: 0, rule: 'same-device' });
  });

  it.each([
    ['sw0p2', 'sw0p0'],
    ['sw0p0', 'sw0p2'],
  ])('goes through the host bridge where ACS redirects, on either side (%s, %s)', (provider, client) => {
    const found = route(provider, client);
    expect(found).toMatchObject({ mapType: 'through-host-bridge', hops: 4, rule: 'allow-list' });
    expect(found.redirects.map(({ name }) => name)).toEqual(['sw0p2']);
  });

  it('counts ACS of the common bridge, too, as the kernel does', () => {
    const bridges = LAYOUT.bridges.map((bridge) => ({ ...bridge }));
    const redirecting = { ...LAYOUT, bridges: bridges.map((b) => relink(b, bridges)) };
    const sw0 = redirecting.bridges.find(({ name }) => name === 'sw0');
    if (sw0 !== undefined) sw0.acs = 0x08;
    expect(route('sw0p0', 'sw0p1', redirecting)).toMatchObject({ mapType: 'through-host-bridge', rule: 'allow-list' });
  });

  it('goes through a host bridge that the list knows, from root port to root port', () => {
    expect(route('sw0p0', 'rp1')).toMatchObject({ mapType: 'through-host-bridge', hops: 6, rule: 'allow-list' });
    expect(route('rp2', 'rp3')).toMatchObject({ mapType: 'through-host-bridge', hops: 4, rule: 'allow-list' });
  });

  it('is refused by a host bridge that passes traffic between its own ports only', () => {
    const found = route('rp1', 'rp2');
    expect(found).toMatchObject({ mapType: 'not-supported', rule: 'same-host-bridge-only' });
    expect(found.refusedBy?.name).toBe('rc1');
  });

  it('is refused by a host bridge that nobody knows, also within it', () => {
    expect(route('rp4', 'rp5')).toMatchObject({ mapType: 'not-supported', rule: 'host-bridge-unknown' });
    expect(route('rp1', 'rp5').refusedBy?.name).toBe('rc2');
  });

  it('is allowed by a CPU that passes everything on, whatever the list says (cpu_supports_p2pdma)', () => {
    const layout = { ...LAYOUT, cpuAllows: true };
    expect(route('rp4', 'rp1', layout)).toMatchObject({ mapType: 'through-host-bridge', rule: 'cpu' });
  });

  it('gives a device without a port a root port of its own', () => {
    expect(route(null, null, DEFAULT_LAYOUT)).toMatchObject({ mapType: 'through-host-bridge', hops: 4, common: null });
  });

  it('is asked for once, and again when a device of that name is another one', () => {
    const { card, fabric } = peers();
    const provider = card('a', 'sw0p0').fn;
    const client = card('b', 'sw0p1').fn;
    expect(fabric.route(provider, client)).toBe(fabric.route(provider, client));
    fabric.forget(client);
    expect(provider.routes.size).toBe(0);
    expect(fabric.route(provider, card('b', 'rp4').fn).mapType).toBe('not-supported');
  });
});

describe('the slots of the tree', () => {
  it('take one device each, and none where a switch is', () => {
    const { card, fabric } = peers();
    const first = card('a', 'sw0p0').fn;
    expect(() => card('b', 'sw0p0')).toThrow(/sw0p0 with a in it/);
    expect(() => card('b', 'sw0p3')).toThrow(/sw1 below it/);
    expect(() => card('b', 'sw9')).toThrow(/there is no port sw9/);
    fabric.forget(first);
    expect(card('b', 'sw0p0').fn.port.name).toBe('sw0p0');
  });
});

type Bridge = { -readonly [K in keyof (typeof LAYOUT.bridges)[number]]: (typeof LAYOUT.bridges)[number][K] };

/** The same bridge with its upstream bridge out of `bridges`. */
function relink(bridge: Bridge, bridges: readonly Bridge[]): Bridge {
  bridge.upstream = bridges.find(({ name }) => name === bridge.upstream?.name) ?? null;
  return bridge;
}
