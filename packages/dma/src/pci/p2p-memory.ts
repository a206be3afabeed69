/**
 * Memory of a device that others may use: the provider's side of peer-to-peer (PP-01, PP-02).
 *
 * A part of a memory BAR becomes pages in a pool. Drivers take runs of pages out of it, programs map some; each run and each
 * page that a program has counts as a use. The owner goes away in three steps: nothing new (`kill`), what programs have
 * mapped is taken from them (`revoke`), and when the last use is gone (`idle`) the frames are no pages any more.
 * Left out on purpose: several resources of one device, memory that is handed to others in parts of pages.
 * Source followed: Linux 6.18 drivers/pci/p2pdma.c (pci_p2pdma_add_resource, pci_alloc_p2pmem, p2pmem_alloc_mmap,
 * p2pdma_folio_free, pci_p2pdma_release), lib/genalloc.c (gen_pool_first_fit).
 */
import { DevicePages, PAGE_SIZE, VM_MIXEDMAP, vmInsertPage, zapRange } from '@pincushion/mm';
import type { DevicePagesOwner, Memory, Mm, Vma, VmaBacking } from '@pincushion/mm';
import { EFAULT, ENODEV, ENOMEM, WaitQueue } from '@pincushion/sim';
import type { Task } from '@pincushion/sim';
import type { BarMemory } from './bar';
import type { PciFunction } from './fabric';

/** A run of pages that a driver has taken out of the pool. */
export interface P2pRun {
  readonly provider: P2pMemory;
  readonly frame: number;
  readonly pages: number;
}

export class P2pMemory implements DevicePagesOwner {
  readonly name: string;
  /** Others may find it (`pci_p2pmem_publish`). */
  published = false;
  /** Runs and mapped pages, each of which keeps the owner from going. */
  uses = 0;
  private dying = false;
  private readonly pages: DevicePages;
  /** 1: handed out. */
  private readonly taken: Uint8Array;
  private readonly areas = new Set<Vma>();
  private readonly unused: WaitQueue;

  /** `pci_p2pdma_add_resource`. @param first page of the BAR, @param count pages */
  constructor(
    private readonly memory: Memory,
    readonly owner: PciFunction,
    readonly bar: BarMemory,
    first: number,
    count: number,
  ) {
    this.name = `peer-to-peer memory of ${owner.name}`;
    this.pages = new DevicePages(memory, bar.firstFrame + first, count, this);
    this.taken = new Uint8Array(count);
    this.unused = new WaitQueue(memory.world, `the last user of the ${this.name}`);
    owner.p2p = this;
  }

  /** Bytes in all, and bytes that nobody has. */
  get bytes(): number {
    return this.taken.length * PAGE_SIZE;
  }

  get availableBytes(): number {
    let free = 0;
    for (const page of this.taken) if (page === 0) free++;
    return free * PAGE_SIZE;
  }

  /** Takes whole pages in a row: null when there are none, or the owner is going. Given back by `free`. Any context. `pci_alloc_p2pmem`. */
  alloc(bytes: number): P2pRun | null {
    const pages = Math.ceil(bytes / PAGE_SIZE);
    const first = this.dying || !(pages > 0) ? -1 : this.takeRun(pages);
    if (first < 0) return null;
    this.uses++;
    return { provider: this, frame: this.pages.start + first, pages };
  }

  /** `pci_free_p2pmem`. Any context. */
  free({ frame, pages }: P2pRun): void {
    const first = frame - this.pages.start;
    this.taken.fill(0, first, first + pages);
    this.memory.ledger.deviceMemoryFreed(frame, pages, this.name);
    this.drop();
  }

  /** A new mapping of the pool for a program, as mmap of `p2pmem/allocate` makes one: pages are taken when it is mapped. */
  newMapping(): VmaBacking {
    return new P2pMapping(this, this.areas);
  }

  /** For a mapping: fills a new area with pages of the pool. 0, -ENODEV, or -ENOMEM. `p2pmem_alloc_mmap`. */
  mapInto(vma: Vma, mm: Mm): number {
    if (this.dying) return -ENODEV;
    const count = (vma.end - vma.start) / PAGE_SIZE;
    const first = this.takeRun(count);
    if (first < 0) return -ENOMEM;
    this.uses += count;
    for (let i = 0; i < count; i++) {
      const pfn = this.pages.start + first + i;
      this.pages.handOut(pfn);
      vmInsertPage(mm, vma, vma.start + i * PAGE_SIZE, pfn);
      this.memory.putFolio(pfn);
    }
    return 0;
  }

  /** By `DevicePages`: nobody refers to the page any more. */
  pageFreed(pfn: number): undefined {
    this.taken[pfn - this.pages.start] = 0;
    this.drop();
    return undefined;
  }

  /** Nothing new from now on. Any context. */
  kill(): void {
    this.dying = true;
    this.published = false;
  }

  /** Takes the pages from the programs that have them mapped; those that are pinned live on. Task context. `unmap_mapping_range`. */
  revoke(): void {
    for (const vma of [...this.areas]) if (vma.mm !== null) zapRange(vma.mm, vma.start, vma.end);
  }

  /** The device is pulled out: what programs still have mapped reads as ones. Any context. */
  pulledOut(): void {
    this.taken.forEach((isTaken, i) => {
      if (isTaken !== 0) this.memory.bytes.fill(this.pages.start + i, 0, 0xff, PAGE_SIZE);
    });
  }

  /** Waits until the last page is back. Task context. */
  idle(): Task {
    return this.unused.waitUntil(() => this.uses === 0);
  }

  /** The frames are no pages any more. Nothing may be in use. */
  end(): void {
    this.pages.unmap();
    this.owner.p2p = null;
  }

  private drop(): void {
    this.uses--;
    if (this.uses === 0) this.unused.wakeAll();
  }

  /** The first run of free pages that is long enough; -1 when there is none. */
  private takeRun(count: number): number {
    const { taken } = this;
    for (let first = 0; first + count <= taken.length;) {
      let n = 0;
      while (n < count && taken[first + n] === 0) n++;
      if (n === count) {
        taken.fill(1, first, first + count);
        return first;
      }
      first += n + 1;
    }
    return -1;
  }
}

/** One mapping of a program, with what forks and splits make of it. There is no fault handler: a page that is gone is gone. */
class P2pMapping implements VmaBacking {
  readonly name: string;
  readonly vmFlags = VM_MIXEDMAP;

  constructor(
    private readonly provider: P2pMemory,
    private readonly areas: Set<Vma>,
  ) {
    this.name = provider.name;
  }

  fault(): number {
    return -EFAULT;
  }

  mmap(vma: Vma, mm: Mm): number {
    return this.provider.mapInto(vma, mm);
  }

  open(vma: Vma): undefined {
    this.areas.add(vma);
  }

  close(vma: Vma): undefined {
    this.areas.delete(vma);
  }
}
