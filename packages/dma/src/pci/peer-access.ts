/**
 * One device and the memory of its peers: what a mapping of their pages becomes, which of them it has on the bus, and what it meets there.
 *
 * A bus-address mapping changes nothing in the IOMMU: the switch passes the request on before it gets that far. What is kept
 * of it is what dma-debug and the ledger want to know.
 * Source followed: Linux 6.18 drivers/pci/p2pdma.c (pci_p2pdma_state), drivers/iommu/dma-iommu.c (iommu_dma_map_sg).
 */
import { FRAME_MASK, PAGE_SIZE } from '@pincushion/mm';
import type { Ledger } from '@pincushion/mm';
import { EINVAL, ENOMEM, EREMOTEIO } from '@pincushion/sim';
import type { MappingRecord } from '../io-page-table';
import type { PciFabric, PciFunction } from './fabric';
import type { P2pMapType } from './p2p-route';

const MASK = FRAME_MASK;
/** Several mappings of one bus address are told apart for the ledger by multiples of this, which no address reaches. */
const LEDGER_STEP = 2 ** 40;
const MAPPINGS_OF_ADDRESS_MAX = 2 ** 13;

/** The kinds of memory of one mapping. */
export const PeerWay = { host: 0, bus: 1, bridge: 2 } as const;

interface BusMapping extends MappingRecord {
  /** Its address in the ledger. */
  readonly key: number;
}

export class PeerAccess {
  /** First frame that may belong to a peer. */
  readonly firstFrame: number;
  private readonly onBus = new Map<number, BusMapping[]>();

  constructor(
    private readonly fabric: PciFabric,
    private readonly client: PciFunction,
    private readonly ledger: Ledger,
    private readonly domain: number,
    pciStart: number,
  ) {
    this.firstFrame = pciStart;
  }

  /**
   * What `n` pages are to be mapped as: a `PeerWay`, -EREMOTEIO when one is memory of a peer that must not be reached (PP-04), or
   * -EINVAL when they have bus addresses that are not one range, or some have and some have not.
   */
  wayOf(pages: Int32Array, from: number, n: number): number {
    let way: number = PeerWay.host;
    let onBus = 0;
    for (let i = 0; i < n; i++) {
      const frame = pages[from + i] & MASK;
      if (frame < this.firstFrame) continue;
      const mapType = this.mapTypeOf(frame);
      if (mapType === 'not-supported') return -EREMOTEIO;
      way = PeerWay.bridge;
      if (mapType === 'through-host-bridge') continue;
      if (onBus > 0 && frame !== (pages[from + i - 1] & MASK) + 1) return -EINVAL;
      onBus++;
    }
    if (onBus === 0) return way;
    return onBus === n ? PeerWay.bus : -EINVAL;
  }

  /** The same for one run of frames, all of one device: never -EINVAL. */
  wayOfRun(frame: number): number {
    if (frame < this.firstFrame) return PeerWay.host;
    const mapType = this.mapTypeOf(frame);
    if (mapType === 'not-supported') return -EREMOTEIO;
    return mapType === 'bus-address' ? PeerWay.bus : PeerWay.bridge;
  }

  /** Notes a mapping on the bus: the bus address of its first byte, or -ENOMEM for more of one address than can be told apart. `kind`: by which function. */
  map(frame: number, pages: number, offset: number, bytes: number, direction: number, kind: number): number {
    const start = this.fabric.busAddressOf(frame);
    const iova = start + offset;
    const same = this.onBus.get(iova) ?? [];
    if (same.length === MAPPINGS_OF_ADDRESS_MAX - 1) return -ENOMEM;
    let key = start;
    while (same.some((each) => each.key === key)) key += LEDGER_STEP;
    same.push({ page: start / PAGE_SIZE, pages, iova, bytes, direction, kind, key });
    this.onBus.set(iova, same);
    const frames = new Int32Array(pages);
    for (let i = 0; i < pages; i++) frames[i] = frame + i;
    this.ledger.mapped(this.domain, key, frames, 0, pages, direction);
    return iova;
  }

  /** Undoes one; exactly that which was made like this, else any at the address. Null when there is none. */
  unmap(iova: number, bytes: number, direction: number, kind: number): MappingRecord | null {
    const same = (this.onBus.get(iova) ?? []).filter((each) => each.kind === kind);
    if (same.length === 0) return null;
    const mapping = same.find((each) => each.bytes === bytes && each.direction === direction) ?? same[0];
    this.drop(mapping);
    return mapping;
  }

  /** Undoes all, at the end of the domain. */
  unmapAll(): void {
    for (const mapping of this.mappings()) this.drop(mapping);
  }

  /** By address. */
  mappings(): BusMapping[] {
    return [...this.onBus.values()].flat().sort((a, b) => a.iova - b.iova);
  }

  /** A request at a bus address, as `PciFabric.deliver`. */
  deliver(address: number): number {
    return this.fabric.deliver(this.client, address);
  }

  /** Whether the device behind a frame still answers. */
  answers(frame: number): boolean {
    return this.fabric.functionOfFrame(frame)?.present === true;
  }

  /** For the report of a fault at a bus address: whose it is, and why no request gets there. */
  explain(address: number): string {
    const target = this.fabric.functionAt(address);
    if (target === null) return 'a PCI bus address that no device has';
    const { redirects } = this.fabric.route(target, this.client);
    const why =
      redirects.length === 0
        ? 'no switch is above both, so the IOMMU got the request'
        : `ACS of ${redirects.map(({ name }) => name).join(', ')} sent the request up to the IOMMU`;
    return `the bus address of memory of ${target.name}; ${why}`;
  }

  private mapTypeOf(frame: number): P2pMapType {
    const provider = this.fabric.functionOfFrame(frame);
    return provider === null ? 'not-supported' : this.fabric.route(provider, this.client).mapType;
  }

  private drop(mapping: BusMapping): void {
    const left = (this.onBus.get(mapping.iova) ?? []).filter((each) => each !== mapping);
    if (left.length === 0) this.onBus.delete(mapping.iova);
    else this.onBus.set(mapping.iova, left);
    this.ledger.unmapped(this.domain, mapping.key, mapping.pages);
  }
}
