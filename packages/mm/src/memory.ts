/**
 * The memory of one machine: frames, zones, content, pins, and the address spaces on it (the kernel's `pglist_data`,
 * `mem_map` and what hangs on them). All state is in the instance; a world may have several machines.
 *
 * Layout of frame numbers: the first 4 MiB are reserved (frame 0 is never used, frame 1 is the shared zero page), then
 * ZONE_DMA32 up to 4 GiB, ZONE_NORMAL, ZONE_MOVABLE at the end of RAM, and device memory behind it: persistent memory, then
 * the memory of PCI devices.
 * Left out: NUMA, adding and removing memory. What happens when memory is scarce is in reclaim/pressure.ts.
 * Source followed: mm/page_alloc.c, mm/mm_init.c.
 */
import { Context, EINVAL, ENOMEM, PincushionError, Tracepoint } from '@pincushion/sim';
import type { FaultSites, World } from '@pincushion/sim';
import { User } from './process/accounting';
import { AddressSpace } from './page-cache/address-space';
import { BiasScheme } from './gup/bias-scheme';
import { Buddy, MAX_PAGE_ORDER } from './frames/buddy';
import { cmaAlloc, cmaRelease } from './reclaim/cma';
import type { DevicePages } from './frames/device-pages';
import type { FrameOwner } from './frames/frames';
import {
  FrameTable,
  PG_cma,
  PG_head,
  PG_hugetlb,
  PG_p2pdma,
  PG_reserved,
  PG_uptodate,
  PG_zero,
  ZONES_SHIFT,
} from './frames/frames';
import { UserPageGrabber } from './gup/gup';
import { HugeZeroFolio } from './huge/huge-zero';
import { HUGETLB_1G_ORDER, HUGETLB_2M_ORDER, HugetlbPool } from './huge/hugetlb-pool';
import { linux618 } from './kernel-profile';
import type { KernelProfile } from './kernel-profile';
import { Ksm } from './reclaim/ksm';
import { Ledger } from './ledger/ledger';
import type { LedgerMode } from './ledger/ledger';
import { LedgerFacts } from './ledger/ledger-facts';
import { MECHANISM_FIELDS } from './mechanism';
import { Mm } from './process/mm';
import { MmIds } from './frames/mm-ids';
import { OfflineMemory } from './reclaim/offline';
import { PageBytes } from './frames/page-bytes';
import { LruLists } from './frames/lru-lists';
import { invalidateMappingPages } from './page-cache/page-cache';
import { PAGE_SIZE } from './frames/page-size';
import type { PinScheme } from './gup/pin-scheme';
import { deferredSplitScan } from './huge/split-folio';
import { SwapArea } from './reclaim/swap';
import { MemoryPressure } from './reclaim/pressure';
import { MemorySwapStore } from './reclaim/swap-store';
import { ThpOrders } from './huge/thp-orders';
import type { Vma } from './process/vma';
import { Vmstat } from './vmstat';
import { WritebackControl } from './page-cache/writeback-control';
import { writebackSettings } from './page-cache/writeback-settings';
import type { DirectIoHold, WritebackSettings } from './page-cache/writeback-settings';
import { ZERO_PFN } from './frames/zero-page';
import { NO_WATERMARKS, minFreeBytes, watermarksOf } from './frames/watermarks';
import { Gfp, ZoneType } from './frames/zone';
import type { GfpFlags, Zone } from './frames/zone';

export interface MemoryOptions {
  /** At least 8 MiB; rounded down to blocks of 4 MiB. */
  ramBytes: number;
  /** Persistent memory, in ZONE_DEVICE. */
  pmemBytes?: number;
  /** Memory that PCI devices bring, in ZONE_DEVICE: frames for their BARs. */
  pciBytes?: number;
  /** Part of the RAM that is ZONE_MOVABLE. */
  movableBytes?: number;
  /** Part of ZONE_NORMAL that is reserved for contiguous allocations (CMA); movable pages may use it meanwhile. */
  cmaBytes?: number;
  /** Huge pages that are set apart at boot, by their order: 9 (2 MiB) and 18 (1 GiB). None unless given. */
  hugetlb?: Partial<Readonly<Record<9 | 18, number>>>;
  /**
   * What is kept free for those who cannot wait (`vm.min_free_kbytes`), in bytes; as the kernel computes it unless given.
   * With 0 nothing is: memory is used up to its last frame, and reclaimed only when somebody asks.
   */
  minFreeBytes?: number;
  /** Swap in host memory, outside of the RAM. None unless given; see `SwapArea.on` for other stores. */
  swapBytes?: number;
  /** Whether CPUs may use old translations until a flush (tlb.ts); `exact` unless given. */
  tlb?: 'exact' | 'stale';
  /** How dirty pages of files are written; see `writebackSettings` for what is not given. */
  writeback?: Partial<WritebackSettings>;
  /** How direct I/O holds the pages of its buffers; as the kernel of the profile does unless given. */
  directIo?: DirectIoHold;
  /** Which kernel it behaves like; `linux618` unless given. */
  profile?: KernelProfile;
  /** How pins are tracked; `BiasScheme` unless given. */
  scheme?: (frames: FrameTable) => PinScheme;
  /** `counts` unless given. */
  ledger?: LedgerMode;
  /** The machine, for messages. */
  name?: string;
}

/** Somebody that the content of frames can belong to: an `AnonVma`, an `AddressSpace`, or a driver. */
export interface ContentOwner {
  readonly name: string;
  /** Where the folio may be mapped, for owners that keep their own reverse map (KSM). */
  mappedBy?(head: number): Iterable<{ readonly vma: Vma; readonly address: number }>;
  /** A folio of the owner has been moved to other frames. */
  moved?(from: number, to: number): undefined;
}

const BLOCK_FRAMES = 1 << MAX_PAGE_ORDER;
const DMA32_END = 1 << 20;
/** Frame numbers have 30 bits; the last block stays free, so that a tagged entry is never all ones. */
const FRAMES_MAX = (1 << 30) - BLOCK_FRAMES;

export class Memory implements FrameOwner {
  readonly world: World;
  readonly name: string;
  readonly frames: FrameTable;
  readonly zones: readonly Zone[];
  readonly bytes: PageBytes;
  readonly scheme: PinScheme;
  readonly ledger: Ledger;
  readonly vmstat = new Vmstat();
  /** What happens to single pages, for who wants to follow it; see mechanism.ts. */
  readonly mechanisms = new Tracepoint('mm:mechanism', MECHANISM_FIELDS);
  readonly gup: UserPageGrabber;
  readonly faults: FaultSites;
  readonly profile: KernelProfile;
  readonly writeback: WritebackControl;
  /** How direct I/O holds the pages of its buffers. */
  readonly directIoHold: DirectIoHold;
  readonly staleTlb: boolean;
  readonly ksm: Ksm;
  readonly hugeZero: HugeZeroFolio;
  /** Pools of huge pages by their order; both sizes are there, if empty. */
  readonly hugetlb: ReadonlyMap<number, HugetlbPool>;
  /** Sizes of the large folios that faults on anonymous memory may make. */
  readonly thpOrders = new ThpOrders();
  /** Who maps large folios. */
  readonly mmIds = new MmIds();
  readonly swap = new SwapArea();
  /** The order of the LRU lists, once memory has been scarce. */
  readonly lru: LruLists;
  readonly pressure = new MemoryPressure(this);
  /** What is out of use, see `offlineRange`. */
  readonly offline = new OfflineMemory(this);
  /** First frame of persistent memory and its number of frames; 0, 0 without. */
  readonly pmemStart: number;
  readonly pmemFrames: number;
  /** First frame of the memory of PCI devices, beyond all other frames, and their number, 0 without. */
  readonly pciStart: number;
  readonly pciFrames: number;
  /** The page maps of drivers over them. */
  readonly devicePages: DevicePages[] = [];
  /** `folio->mlock_count` of folios on the unevictable list, where it is not 1; see mlock.ts. */
  readonly mlockCounts = new Map<number, number>();
  /** Pages of an area that mremap left unlocked may stay mlocked for ever; see `dontUnmapComplete`. */
  hasStrayMlock = false;
  /** Who is charged for locked memory of a process that says nothing else. */
  readonly rootUser = new User('root');
  /** Address spaces that have not exited. */
  readonly mms = new Set<Mm>();
  /** Those content can belong to, by the id in `FrameTable.mapping`. */
  private readonly owners: (ContentOwner | null)[] = [null];
  private nextMmId = 1;
  /** Zones to try, in order, by `Gfp`. */
  private readonly zonelists: readonly (readonly Zone[])[];
  /** Zones have watermarks. */
  private readonly keepsFree: boolean;
  private readonly endCheck: () => undefined;

  /** Throws MEMORY_INVALID for sizes that do not fit 30 bits of frame numbers. */
  constructor(world: World, options: MemoryOptions) {
    this.world = world;
    this.name = options.name ?? 'memory';
    this.faults = world.faults;
    const ram = framesOf(options.ramBytes);
    const movable = Math.min(framesOf(options.movableBytes ?? 0), Math.max(0, ram - BLOCK_FRAMES));
    const cma = Math.min(framesOf(options.cmaBytes ?? 0), Math.max(0, ram - movable - BLOCK_FRAMES));
    this.profile = options.profile ?? linux618;
    this.writeback = new WritebackControl(this, writebackSettings(options.writeback));
    this.directIoHold = options.directIo ?? (this.profile.directIoPins ? 'pin' : 'get');
    this.staleTlb = options.tlb === 'stale';
    this.pmemFrames = framesOf(options.pmemBytes ?? 0);
    this.pmemStart = this.pmemFrames === 0 ? 0 : ram;
    this.pciStart = ram + this.pmemFrames;
    this.pciFrames = framesOf(options.pciBytes ?? 0);
    const count = this.pciStart + this.pciFrames;
    if (ram < 2 * BLOCK_FRAMES || count > FRAMES_MAX) {
      throw new PincushionError('MEMORY_INVALID', `${this.name} cannot have ${count} frames`, {
        expected: `at least 8 MiB of RAM and less than 4 TiB in all`,
        actual: `${options.ramBytes} bytes of RAM and ${(options.pmemBytes ?? 0) + (options.pciBytes ?? 0)} bytes of devices`,
      });
    }
    this.frames = new FrameTable(count, this);
    this.bytes = new PageBytes(this.frames);
    this.lru = new LruLists(this.frames);
    this.zones = this.layOut(ram, ram - movable, cma, options.minFreeBytes);
    const of = (...types: ZoneType[]): Zone[] =>
      types.flatMap((type) => this.zones.filter((zone) => zone.type === type && zone.buddy !== null && !zone.cma));
    this.keepsFree = this.zones.some((zone) => zone.watermarks.low > 0);
    const cmaZones = this.zones.filter((zone) => zone.cma);
    this.zonelists = [
      of(ZoneType.normal, ZoneType.dma32),
      [...of(ZoneType.movable), ...cmaZones, ...of(ZoneType.normal, ZoneType.dma32)],
      of(ZoneType.dma32),
    ];
    this.frames.refcount[ZERO_PFN] = 1;
    this.frames.flags[ZERO_PFN] = PG_reserved | PG_zero | PG_uptodate;
    this.scheme = (options.scheme ?? ((frames) => new BiasScheme(frames)))(this.frames);
    world.machineJoins(options.ledger === 'full');
    this.ledger = new Ledger(world, count, options.ledger ?? 'counts', new LedgerFacts(this));
    this.gup = new UserPageGrabber(this);
    this.ksm = new Ksm(this);
    this.hugeZero = new HugeZeroFolio(this);
    const pools = [HUGETLB_1G_ORDER, HUGETLB_2M_ORDER] as const;
    this.hugetlb = new Map(pools.map((order) => [order, new HugetlbPool(this, order, options.hugetlb?.[order] ?? 0)]));
    if (options.swapBytes !== undefined) {
      this.swap.on(new MemorySwapStore(this), Math.floor(options.swapBytes / PAGE_SIZE));
    }
    this.endCheck = world.atEnd(() => {
      this.ledger.reportLeaks(this.name);
      return undefined;
    });
  }

  /**
   * A new folio of 2^order frames with one reference, content zero. Returns its head frame, or -ENOMEM (also for an order
   * above 10): there is none, or only what is kept for interrupts. Never waits: who may sleep tries again after a
   * `Shortage`. Any context. `__folio_alloc`.
   */
  allocFolio(order: number, gfp: GfpFlags = Gfp.kernel): number {
    if (this.faults.armed) {
      const error = this.faults.hit('alloc');
      this.pressure.starving = false;
      if (error !== 0) return error;
    }
    const zones = this.zonelists[gfp];
    const pages = 1 << order;
    for (let i = 0; i < zones.length; i++) {
      const zone = zones[i];
      const buddy = zone.buddy as Buddy;
      if (buddy.framesFree - pages < zone.watermarks.low) continue;
      const head = buddy.take(order);
      if (head < 0) continue;
      this.prepareFolio(head, order, zone);
      return head;
    }
    return this.allocScarce(order, gfp);
  }

  /**
   * Every zone is below its low mark, or has no block of the order. Large folios are a wish, for which nobody is woken. Who
   * may not sleep has five eighths of what is kept free below the min mark to himself (`GFP_ATOMIC`).
   */
  private allocScarce(order: number, gfp: GfpFlags): number {
    const { pressure, world } = this;
    const mayWait = world.contexts.current === Context.task && world.contexts.spinLocks === 0;
    const isSinglePage = order === 0;
    if (this.keepsFree && isSinglePage) pressure.wakeKswapd();
    for (const zone of this.zonelists[gfp]) {
      const { min } = zone.watermarks;
      const mark = mayWait ? min : min - Math.floor((min * 5) / 8);
      const buddy = zone.buddy as Buddy;
      if (buddy.framesFree - (1 << order) < mark) continue;
      const head = buddy.take(order);
      if (head < 0) continue;
      this.prepareFolio(head, order, zone);
      return head;
    }
    pressure.starving = this.keepsFree && isSinglePage;
    return -ENOMEM;
  }

  /** Makes frames that were taken from their allocator a new folio with one reference. `prep_new_page`. */
  prepareFolio(head: number, order: number, zone: Zone): void {
    const { frames } = this;
    frames.flags[head] = (zone.type << ZONES_SHIFT) | PG_uptodate | (zone.cma ? PG_cma : 0);
    frames.refcount[head] = 1;
    if (order === 0) frames.order[head] = 0;
    else {
      frames.flags[head] |= PG_head;
      frames.order.fill(order, head, head + (1 << order));
    }
    this.vmstat.pgalloc += 1 << order;
  }

  /**
   * Frames for a huge page of a pool, set apart for good: the head, or -ENOMEM. Sizes beyond the page allocator's come from
   * memory that nobody has touched, and never from ZONE_MOVABLE.
   */
  takeHugetlbFrames(order: number): number {
    for (const zone of this.zonelists[order > MAX_PAGE_ORDER ? Gfp.kernel : Gfp.movable]) {
      const buddy = zone.buddy as Buddy;
      const head = order > MAX_PAGE_ORDER ? buddy.takeGigantic(order) : buddy.take(order);
      if (head < 0) continue;
      this.prepareFolio(head, order, zone);
      return head;
    }
    return -ENOMEM;
  }

  /** One more reference for the folio that `pfn` belongs to; it must have one. Any context. `folio_get`. */
  getFolio(pfn: number): void {
    this.frames.get(this.frames.headOf(pfn), 1);
  }

  /** Drops a reference; the last frees the folio. Any context. `folio_put`. */
  putFolio(pfn: number): void {
    this.frames.put(this.frames.headOf(pfn), 1);
  }

  /** A new, empty address space. It ends with `Mm.exit`. */
  createMm(name: string): Mm {
    const mm = new Mm(this, this.nextMmId++, name);
    this.mms.add(mm);
    return mm;
  }

  /** An id for `FrameTable.mapping`: somebody that content can belong to. */
  addOwner(owner: ContentOwner): number {
    this.owners.push(owner);
    return this.owners.length - 1;
  }

  /** Who `FrameTable.mapping` means; null for 0. */
  owner(id: number): ContentOwner | null {
    return this.owners[id] ?? null;
  }

  /** The page caches of all files there ever were. */
  addressSpaces(): AddressSpace[] {
    return this.owners.filter((owner) => owner instanceof AddressSpace);
  }

  /**
   * /proc/sys/vm/drop_caches. With bit 0 of `mode` the clean pages of files that nobody else refers to go, with bit 1 what
   * the shrinkers find: unmapped parts of large folios, an unused huge zero folio. Returns how many pages. Other kernel
   * objects are not modelled. Task context. `drop_pagecache_sb`, `drop_slab`.
   */
  dropCaches(mode: number): number {
    this.world.contexts.mightSleep('drop_caches');
    let dropped = 0;
    if ((mode & 1) !== 0) for (const mapping of this.addressSpaces()) dropped += invalidateMappingPages(mapping);
    if ((mode & 2) !== 0) dropped += deferredSplitScan(this) + this.hugeZero.shrink();
    return dropped;
  }

  /**
   * Takes frames [start, end) out of use: whole blocks of 4 MiB of one zone, all of them online, else -EINVAL. Their pages
   * move away; -EBUSY when one cannot (it is pinned, or the kernel's), and the range is in use as before. Task context.
   * `offline_pages`.
   */
  offlineRange(start: number, end: number): number {
    this.world.contexts.mightSleep('offline_pages');
    return this.offline.takeOut(start, end);
  }

  /** Puts frames back into use that are offline. 0, or -EINVAL. Task context. `online_pages`. */
  onlineRange(start: number, end: number): number {
    this.world.contexts.mightSleep('online_pages');
    return this.offline.giveBack(start, end);
  }

  /**
   * `pages` frames in a row from CMA, each with one reference: the first, aligned to their number up to 4 MiB. -ENOMEM: no
   * such area; -EBUSY: pages that cannot move are in every range. Released by `freeContigRange`. Task context. `cma_alloc`.
   */
  allocContigRange(pages: number): number {
    this.world.contexts.mightSleep('cma_alloc');
    return cmaAlloc(this, pages);
  }

  /** Gives frames of `allocContigRange` back, all that are left of them or in parts. Any context. `cma_release`. */
  freeContigRange(start: number, pages: number): void {
    cmaRelease(this, start, pages);
  }

  /** Frames that no one has, in zones with an allocator. Those that are offline do not count. */
  get framesFree(): number {
    let free = 0;
    for (const zone of this.zones) free += zone.buddy?.framesFree ?? 0;
    return free;
  }

  /** The zone a frame lies in, or null (reserved frames). */
  zoneOf(pfn: number): Zone | null {
    return this.zones.find((zone) => pfn >= zone.start && pfn < zone.end) ?? null;
  }

  /** Ends the duties of this memory towards its world: no leak report any more. */
  detach(): void {
    this.endCheck();
  }

  private layOut(ramEnd: number, movableStart: number, cmaFrames: number, minFree: number | undefined): Zone[] {
    const zones: Zone[] = [];
    const cmaStart = movableStart - cmaFrames;
    const lowmem = cmaStart - BLOCK_FRAMES;
    const keptFree = minFree ?? minFreeBytes(lowmem);
    const add = (type: ZoneType, name: Zone['name'], start: number, stop: number, cma = false): void => {
      if (stop <= start) return;
      const buddy = type === ZoneType.device ? null : new Buddy(this.frames, start, stop);
      const watermarks = cma || buddy === null ? NO_WATERMARKS : watermarksOf(type, stop - start, lowmem, keptFree);
      zones.push({ type, name, start, end: stop, buddy, cma, watermarks });
    };
    const dma32End = Math.min(DMA32_END, cmaStart);
    add(ZoneType.dma32, 'DMA32', BLOCK_FRAMES, dma32End);
    add(ZoneType.normal, 'Normal', dma32End, cmaStart);
    add(ZoneType.normal, 'CMA', cmaStart, movableStart, true);
    add(ZoneType.movable, 'Movable', movableStart, ramEnd);
    add(ZoneType.device, 'Device', ramEnd, this.pciStart);
    add(ZoneType.device, 'PCI', this.pciStart, this.pciStart + this.pciFrames);
    return zones;
  }

  /** For `FrameTable.free`: the last reference is gone. `free_unref_folio`, with the checks of `free_page_is_bad`. */
  folioFreed(head: number): undefined {
    const frames = this.frames;
    const order = frames.order[head];
    if (frames.folioMapcount(head) !== 0 || frames.pincount[head] !== 0) this.reportBadPage(head);
    if ((frames.flags[head] & (PG_hugetlb | PG_p2pdma)) !== 0 && this.freedElsewhere(head, order)) return undefined;
    frames.mapping[head] = 0;
    if (order === 0) frames.flags[head] = 0;
    else {
      frames.flags.fill(0, head, head + (1 << order));
      frames.order.fill(0, head, head + (1 << order));
    }
    this.vmstat.pgfree += 1 << order;
    this.ledger.freed(head, 1 << order);
    this.buddyOf(head).give(head, order);
    return undefined;
  }

  /** Whether a folio that is no page of the allocator's went back to whom it belongs to: a pool of huge pages, a device. */
  private freedElsewhere(head: number, order: number): boolean {
    if ((this.frames.flags[head] & PG_hugetlb) !== 0) return this.hugetlb.get(order)?.freed(head) === true;
    const pages = this.devicePages.find((each) => each.has(head));
    if (pages === undefined) return false;
    pages.freed(head);
    return true;
  }

  private buddyOf(pfn: number): Buddy {
    const zones = this.zones;
    for (let i = 0; i < zones.length; i++) {
      const buddy = zones[i].buddy;
      if (pfn < zones[i].end && pfn >= zones[i].start && buddy !== null) return buddy;
    }
    throw new PincushionError('MEMORY_INVALID', `frame ${pfn} is freed, but no allocator owns it`, { errno: EINVAL });
  }

  /** U-05: what the allocator finds when a large folio was released by the wrong function. */
  private reportBadPage(head: number): void {
    const { mapcount, largeMapcount, entireMapcount, pincount } = this.frames;
    this.world.findings.report({
      code: pincount[head] !== 0 ? 'PIN_WRONG_RELEASE' : 'MEMORY_INVALID',
      summary: `bad page: frame ${head} of ${this.name} is freed with mapcount ${this.frames.folioMapcount(head)}, pincount ${pincount[head]}`,
      sites: this.ledger.sitesOf(head),
      details: [],
    });
    mapcount.fill(0, head, head + (1 << this.frames.order[head]));
    if (this.frames.order[head] === 0) return;
    largeMapcount[head] = 0;
    entireMapcount[head] = 0;
    pincount[head] = 0;
  }

  /**
   * For `FrameTable.badRelease`: reports a release nobody can owe, unless the full ledger has reported it already, with
   * its call sites.
   */
  badRelease(pfn: number, pages: number): undefined {
    if (this.ledger.hasReported(pfn, 1 << this.frames.order[pfn])) return undefined;
    this.world.findings.report({
      code: 'PIN_DOUBLE_RELEASE',
      summary: `${pages} references of frame ${pfn} of ${this.name} are given back that nobody holds`,
      sites: [],
      details: ['the full ledger names the call sites'],
    });
    return undefined;
  }
}

/** Whole blocks of 4 MiB. */
function framesOf(bytes: number): number {
  return Math.floor(bytes / (PAGE_SIZE * BLOCK_FRAMES)) * BLOCK_FRAMES;
}
