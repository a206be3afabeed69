/**
 * Pages in memory of PCI devices: ZONE_DEVICE frames that a driver makes out of a BAR, hands out and gets back with the
 * last reference of each (section 13).
 *
 * A page idles with no reference in the pool of its driver; it has one from being handed out on (6.15 and later; PP-02).
 * Its bytes are the device's: nobody zeroes them when it changes hands.
 * Left out on purpose: references of idle pages before 6.15, page maps of other types, reclaiming `struct page` memory.
 * Source followed: Linux 6.18 mm/memremap.c (memremap_pages, free_zone_device_folio), mm/memory.c (vm_insert_page).
 */
import { PincushionError } from '@pincushion/sim';
import { PG_hasBytes, PG_p2pdma, PG_uptodate, ZONES_SHIFT } from './frames';
import type { ContentOwner, Memory } from '../memory';
import type { Mm } from '../process/mm';
import { vmPageProt } from '../process/page-protection';
import { indexOf, regionOf } from '../process/page-table';
import { folioAddFileRmapPte } from './rmap';
import type { Vma } from '../process/vma';
import { ZoneType } from './zone';

const IDLE = (ZoneType.device << ZONES_SHIFT) | PG_p2pdma | PG_uptodate;

/** Whose pages they are. */
export interface DevicePagesOwner extends ContentOwner {
  /** The last reference of a page that was handed out is gone (`dev_pagemap_ops.folio_free`). Any context. */
  pageFreed(pfn: number): undefined;
}

export class DevicePages {
  private readonly owner: DevicePagesOwner;

  /** `memremap_pages`: frames [start, start + count) become pages of `owner`. Throws MEMORY_INVALID for frames of no PCI device. */
  constructor(
    private readonly memory: Memory,
    readonly start: number,
    readonly count: number,
    owner: DevicePagesOwner,
  ) {
    this.owner = owner;
    const { pciStart, pciFrames, frames } = memory;
    if (!(start >= pciStart && count > 0 && start + count <= pciStart + pciFrames)) {
      throw new PincushionError('MEMORY_INVALID', 'frames that are no memory of PCI devices cannot become its pages', {
        expected: `frames ${pciStart} to ${pciStart + pciFrames - 1}`,
        actual: `${count} from ${start} on`,
      });
    }
    const id = memory.addOwner(owner);
    for (let pfn = start; pfn < start + count; pfn++) {
      frames.flags[pfn] = (frames.flags[pfn] & PG_hasBytes) | IDLE;
      frames.mapping[pfn] = id;
      frames.index[pfn] = pfn - start;
    }
    memory.devicePages.push(this);
  }

  /** An idle page gets its first reference, which the caller owns (`set_page_count`). Any context. */
  handOut(pfn: number): void {
    this.memory.frames.refcount[pfn] = 1;
  }

  has(pfn: number): boolean {
    return pfn >= this.start && pfn < this.start + this.count;
  }

  /** For `Memory.folioFreed`: the page idles again; what it has in it stays. `free_zone_device_folio`. */
  freed(pfn: number): void {
    const { frames, ledger } = this.memory;
    frames.flags[pfn] = (frames.flags[pfn] & PG_hasBytes) | IDLE;
    ledger.deviceMemoryFreed(pfn, 1, this.owner.name);
    this.owner.pageFreed(pfn);
  }

  /** `memunmap_pages`: the frames are no pages any more. All of them must idle. Any context. */
  unmap(): void {
    const { frames, devicePages } = this.memory;
    for (let pfn = this.start; pfn < this.start + this.count; pfn++) {
      frames.flags[pfn] &= PG_hasBytes;
      frames.mapping[pfn] = 0;
    }
    devicePages.splice(devicePages.indexOf(this), 1);
  }
}

/** Maps a page at `address` of an area that is just being made, with a reference of its own. Any context. `vm_insert_page`. */
export function vmInsertPage(mm: Mm, vma: Vma, address: number, pfn: number): void {
  const { memory, pageTable } = mm;
  memory.frames.get(memory.frames.headOf(pfn), 1);
  folioAddFileRmapPte(memory, pfn, vma);
  const region = regionOf(address);
  pageTable.set(pageTable.ensureTable(region), indexOf(address), pfn, vmPageProt(vma));
}
