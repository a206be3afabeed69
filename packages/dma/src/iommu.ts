/**
 * The IOMMU of a machine: gives every device an address space of its own, and flushes what lazy unmapping left behind.
 *
 * Strict: an unmap takes effect at once. Lazy: the entries of an unmapped range stay usable until the flush, up to 10 ms
 * or 256 ranges later, as on a kernel booted without iommu.strict=1.
 * Left out on purpose: several devices in one group, pass-through domains, PASIDs, page requests.
 * Source: Linux 6.18 drivers/iommu/iommu.c, drivers/iommu/dma-iommu.c.
 */
import type { Memory } from '@pincushion/mm';
import { Context, PincushionError } from '@pincushion/sim';
import { DmaDomain } from './domain';
import { FLUSH_NS } from './flush-queue';
import { PCI_WINDOW_START } from './pci/fabric';
import type { PciFabric, PciFunction } from './pci/fabric';

export type IommuMode = 'strict' | 'lazy';

export interface IommuOptions {
  /** Default strict. */
  mode?: IommuMode;
  /** Lazy: longest time that an unmapped entry may stay usable, nanoseconds. Default 10 ms. */
  flushNs?: number;
  /** Width of the addresses that devices can put on the bus (the DMA mask), 20 to 42 bits. Default 40. */
  addressBits?: number;
  /** The bus that devices reach each other on; its addresses are not given out as IOVAs. */
  pci?: PciFabric;
}

export class Iommu {
  readonly mode: IommuMode;
  readonly flushNs: number;
  readonly addressBits: number;
  readonly pci: PciFabric | null;
  /** By domain id. Domains stay in the list when their device is gone. */
  readonly domains: DmaDomain[] = [];
  private readonly flushHandler: number;

  constructor(
    readonly memory: Memory,
    options: IommuOptions = {},
  ) {
    this.mode = options.mode ?? 'strict';
    this.flushNs = options.flushNs ?? FLUSH_NS;
    this.addressBits = options.addressBits ?? 40;
    this.pci = options.pci ?? null;
    if (!(this.addressBits >= 20 && this.addressBits <= 42)) {
      throw new PincushionError('DMA_INVALID', 'an IOMMU cannot have this address width', {
        expected: '20 to 42 bits',
        actual: String(this.addressBits),
      });
    }
    this.flushHandler = memory.world.handler('iommu:flush', Context.softirq, (id) => {
      this.domains[id].flushTimeout();
      return undefined;
    });
  }

  /** First address that is never an IOVA. */
  get iovaEnd(): number {
    const end = 2 ** this.addressBits;
    return this.pci === null ? end : Math.min(end, PCI_WINDOW_START);
  }

  /** Gives a device an empty address space. Set-up time. @param pciFunction where it is on the bus, if it can reach others there */
  attach(deviceName: string, pciFunction: PciFunction | null = null): DmaDomain {
    const domain = new DmaDomain(this, this.domains.length, deviceName, pciFunction);
    this.domains.push(domain);
    return domain;
  }

  /** Starts the clock for the ranges that a domain queued. */
  scheduleFlush(domainId: number): void {
    this.memory.world.schedule(this.flushNs, this.flushHandler, domainId);
  }
}
