/**
 * What one device can reach: its I/O page table, as the driver fills it (map, unmap). What the device does with it is in device-access.ts.
 *
 * A mapping is a range of IOVAs that starts at the same offset in its page as the memory does. It gives the device the
 * permission of its direction (DM-01) on whole pages, as an IOMMU works on pages; everything else faults. The domain
 * holds no reference to the pages: keeping them pinned is the driver's duty, and its order at release is stop device,
 * unmap, dirty, unpin (DM-05, DM-07).
 *
 * All functions may be called in any context and none sleeps. Results below 0 are negative errnos.
 * Left out on purpose: ownership between map and unmap (DM-03, sync_for_cpu and sync_for_device do nothing on coherent
 * devices), bounce buffers (DM-04).
 * Source: Linux 6.18 kernel/dma/mapping.c, drivers/iommu/dma-iommu.c, kernel/dma/debug.c.
 */
import { FRAME_MASK, PAGE_SIZE } from '@pincushion/mm';
import { EINVAL, callSite } from '@pincushion/sim';
import type { FindingSite, Tracepoint } from '@pincushion/sim';
import { CoherentBuffer } from './coherent';
import { DeviceAccess, NO_PEERS } from './device-access';
import { DmaDirection, IOMMU_READ, IOMMU_WRITE, directionName, permissionOf } from './direction';
import { reportLeaks, reportUnmap } from './dma-fault';
import { FlushQueue } from './flush-queue';
import {
  BYTES,
  ENTRY,
  HEAD,
  LEAF_MASK,
  LEAF_PAGES,
  LEAF_SHIFT,
  MappingKind,
  PAGES,
  WORDS_SHIFT,
  headOf,
} from './io-page-table';
import type { MappingRecord } from './io-page-table';
import type { Iommu } from './iommu';
import { IovaAllocator } from './iova';
import { PCI_WINDOW_START } from './pci/fabric';
import type { PciFunction } from './pci/fabric';
import { PeerWay } from './pci/peer-access';
import type { PeerAccess } from './pci/peer-access';
import type { ScatterList } from './scatter-list';

/** Imported bindings are getters once compiled; the hot functions read locals of the module. */
const PAGE = PAGE_SIZE;
const MASK = FRAME_MASK;
const PAGE_BITS = 12;
const OFFSET_MASK = PAGE - 1;
const LEAF_BITS = LEAF_SHIFT;
const LEAF_END = LEAF_PAGES << WORDS_SHIFT;
const IN_LEAF = LEAF_MASK;
const WORDS = WORDS_SHIFT;
const STEP = 1 << WORDS_SHIFT;
const AT_ENTRY = ENTRY;
const AT_HEAD = HEAD;
const AT_BYTES = BYTES;
const AT_PAGES = PAGES;
const KIND_PAGES = MappingKind.pages;
const permissionFor = permissionOf;
const headFor = headOf;
/** Pages whose addresses fit an int32; arithmetic on those of higher pages is done in doubles. */
const NEAR_PAGES = 1 << (31 - PAGE_BITS);
/** Bytes of one mapping stay below this, so that they fit an int32. */
const MAPPING_BYTES_MAX = 0x7fffffff;

export class DmaDomain extends DeviceAccess {
  private readonly ledgerOn: boolean;
  private readonly iovas: IovaAllocator;
  private readonly lazy: FlushQueue | null;
  private readonly onMap: Tracepoint;
  private readonly onUnmap: Tracepoint;
  private live = 0;
  private detached = false;
  private flushScheduled = false;

  /** Made by `Iommu.attach`. @param id number of the domain in its IOMMU @param name of the device */
  constructor(iommu: Iommu, id: number, name: string, pciFunction: PciFunction | null = null) {
    super(iommu, id, name, pciFunction);
    const { world, ledger } = iommu.memory;
    this.ledgerOn = ledger.mode !== 'off';
    this.iovas = new IovaAllocator(iommu.iovaEnd / PAGE);
    this.lazy = iommu.mode === 'lazy' ? new FlushQueue() : null;
    this.onMap = world.trace.point('dma:map', ['domain', 'iovaPage', 'pages', 'direction']);
    this.onUnmap = world.trace.point('dma:unmap', ['domain', 'iovaPage', 'pages', 'direction']);
  }

  /**
   * Maps `length` bytes of `pages[from .. from + n)`, starting `offset` bytes into the first of them, as one range
   * (dma_map_page for one, for many what iommu_dma_map_sg does to a list of whole pages). The last page of `n` that the
   * bytes touch is the last one mapped. The caller owes `unmapPages` with the same length and direction.
   * @param pages frame numbers; the tag of pinned pages is masked @param offset bytes, 0 to 4095
   * Pages of a peer's memory are mapped as the way to it wants: through the IOMMU like others, or not at all, and the result is its bus
   * address; that only for pages in a row and without others among them.
   * @returns the IOVA of the first byte, or -EINVAL, -ENOMEM when the address space is used up, -EREMOTEIO for memory of
   * a peer that must not be reached (PP-04)
   */
  mapPages(pages: Int32Array, from: number, n: number, offset: number, length: number, direction: number): number {
    const permission = permissionFor(direction);
    const frame = pages[from] & MASK;
    if (
      permission === 0 ||
      !(length > 0 && offset >= 0 && offset + length <= PAGE && n > 0) ||
      frame >= this.peerStart
    ) {
      return this.mapLonger(pages, from, n, offset, length, direction);
    }
    if (this.faults.armed) {
      const refusal = this.faults.hit('map');
      if (refusal !== 0) return refusal;
    }
    let page = this.iovas.allocSingle();
    if (page < 0 || page >= this.table.coveredPages) {
      page = this.makeRoom(page, 1);
      if (page < 0) return page;
    }
    const words = this.leaves[page >>> LEAF_BITS];
    const at = (page & IN_LEAF) << WORDS;
    words[at + AT_ENTRY] = frame | permission;
    words[at + AT_HEAD] = headFor(offset, KIND_PAGES, direction);
    words[at + AT_BYTES] = length;
    words[at + AT_PAGES] = 1;
    const start = page < NEAR_PAGES ? page << PAGE_BITS : page * PAGE;
    this.live++;
    this.ledger.mapped(this.id, start, pages, from, 1, direction);
    if (this.onMap.on) this.onMap.emit(this.id, page, 1, direction);
    if (this.ledgerFull) this.history.mapped(page, this.ledger.lastMapTrace);
    return start + offset;
  }

  /**
   * Ends a mapping of `mapPages` (dma_unmap_page). What does not match the mapping is a finding, as in dma-debug (DM-06):
   * an unknown address (nothing is unmapped), another size or direction (the mapping is undone as it was made).
   */
  unmapPages(iova: number, length: number, direction: number): void {
    if (!(iova >= 0 && iova < this.table.nearEnd) || this.lazy !== null) {
      this.unmapLonger(iova, length, direction);
      return;
    }
    const page = iova >>> PAGE_BITS;
    const words = this.leaves[page >>> LEAF_BITS];
    const at = (page & IN_LEAF) << WORDS;
    const head = headFor(iova & OFFSET_MASK, KIND_PAGES, direction);
    if (words[at + AT_HEAD] !== head || words[at + AT_BYTES] !== length || words[at + AT_PAGES] !== 1) {
      this.unmapLonger(iova, length, direction);
      return;
    }
    this.live--;
    this.ledger.unmapped(this.id, page << PAGE_BITS, 1);
    if (this.onUnmap.on) this.onUnmap.emit(this.id, page, 1, direction);
    this.history.unmapped(page, 1);
    words[at + AT_ENTRY] = 0;
    words[at + AT_HEAD] = 0;
    this.iovas.freeSingle(page);
  }

  /**
   * Maps a scatter list (dma_map_sg) as one range of IOVAs in which every piece keeps its offset in the page; pieces that
   * meet at a page boundary become one segment, within the limits of the list. A piece longer than the segment limit stays
   * whole. The list must not change until `unmapSg`.
   * @returns segments (at least 1), also in `list.mappedCount`; or -EINVAL (empty, mapped already, a piece longer than the
   * boundary, 2 GiB or more in all), -ENOMEM, -EREMOTEIO for memory of a peer that must not be reached (PP-04)
   */
  mapSg(list: ScatterList, direction: number): number {
    const permission = permissionOf(direction);
    if (permission === 0 || list.count === 0 || list.mappedCount !== 0) return -EINVAL;
    if (this.faults.armed) {
      const refusal = this.faults.hit('map');
      if (refusal !== 0) return refusal;
    }
    const bytes = list.totalBytes();
    if (bytes > MAPPING_BYTES_MAX) return -EINVAL;
    list.busAddresses.fill(0, 0, list.count);
    if (this.peerStart !== NO_PEERS) {
      const refusal = this.mapPeerPieces(list, direction);
      if (refusal !== 0) return refusal;
    }
    const pages = list.layOut();
    const page = pages <= 0 ? pages : this.allocRange(pages);
    if (page < 0) {
      this.unmapPeerPieces(list, direction);
      return page;
    }
    if (pages === 0) {
      list.merge(-1);
      return list.mappedCount;
    }
    for (let i = 0; i < list.count; i++) {
      if (list.busAddresses[i] !== 0) continue;
      const first = page + list.pageIndex[i];
      const frame = list.frames[i];
      const count = list.pagesOf(i);
      for (let k = 0; k < count; k++) this.setEntryOfAny(first + k, frame + k, permission);
    }
    list.merge(page * PAGE);
    this.table.setHead(page, pages, bytes, list.iovaStart & OFFSET_MASK, MappingKind.sg, direction);
    this.live++;
    if (this.ledgerOn) this.tellRuns(page, pages, direction);
    if (this.onMap.on) this.onMap.emit(this.id, page, pages, direction);
    if (this.ledgerFull) this.history.mapped(page, this.ledger.lastMapTrace);
    return list.mappedCount;
  }

  /**
   * Ends a mapping of `mapSg` (dma_unmap_sg). The list must have as many pieces as when it was mapped, not as many as it
   * has segments; anything else is a finding.
   */
  unmapSg(list: ScatterList, direction: number): void {
    if (list.mappedCount !== 0 && list.iovaStart < 0) {
      if (list.count !== list.countWhenMapped) this.wrongCount(list, list.addresses[0], null);
      this.unmapPeerPieces(list, direction);
      list.mappedCount = 0;
      return;
    }
    const iova = list.mappedCount === 0 ? -1 : list.iovaStart;
    const page = iova < 0 ? -1 : Math.floor(iova / PAGE);
    const head = this.table.headAt(page);
    if (head === 0 || ((head >>> 3) & 3) !== MappingKind.sg) {
      this.unmapUnknown(iova, list.mappedCount === 0 ? 'of a scatter list that is not mapped' : 'as a scatter list');
      return;
    }
    const mapping = this.table.record(page);
    if (list.count !== list.countWhenMapped) {
      this.wrongCount(list, iova, mapping);
    }
    if (mapping.direction !== direction) this.wrongDirection(mapping, direction);
    if (this.ledgerOn) this.tellRuns(page, mapping.pages, -1);
    this.unmapPeerPieces(list, direction);
    list.mappedCount = 0;
    this.tearDown(page, mapping.pages, direction);
  }

  private wrongCount(list: ScatterList, iova: number, mapping: MappingRecord | null): void {
    const wrong = `with ${list.count} scatter-list entries, not the ${list.countWhenMapped} it was mapped with`;
    reportUnmap(this, 'DMA_UNMAP_WRONG_SIZE', iova, wrong, mapping, this.unmapSite());
    list.count = list.countWhenMapped;
  }

  /** Gives the pieces that are reached on the bus their addresses. 0, or an errno, and none has one then. */
  private mapPeerPieces(list: ScatterList, direction: number): number {
    for (let i = 0; i < list.count; i++) {
      const frame = list.frames[i];
      let address = this.peers?.wayOfRun(frame) ?? PeerWay.host;
      if (address === PeerWay.host || address === PeerWay.bridge) continue;
      if (address === PeerWay.bus) {
        address = this.mapOnBus(frame, list.pagesOf(i), list.offsets[i], list.lengths[i], direction, MappingKind.sg);
      }
      if (address < 0) {
        this.unmapPeerPieces(list, direction);
        return address;
      }
      list.busAddresses[i] = address;
    }
    return 0;
  }

  private unmapPeerPieces(list: ScatterList, direction: number): void {
    if (this.peers === null) return;
    for (let i = 0; i < list.count; i++) {
      const address = list.busAddresses[i];
      list.busAddresses[i] = 0;
      if (address !== 0) this.unmapOnBus(this.peers, address, list.lengths[i], direction, MappingKind.sg);
    }
  }

  /**
   * Allocates zeroed, physically contiguous memory that device and driver share (dma_alloc_coherent).
   * @param bytes 1 to 4 MiB; whole pages are allocated @returns null when memory or addresses are used up
   */
  allocCoherent(bytes: number): CoherentBuffer | null {
    const pages = Math.ceil(bytes / PAGE);
    if (!(pages >= 1 && pages <= 1024)) return null;
    if (this.faults.armed && this.faults.hit('map') !== 0) return null;
    const order = 32 - Math.clz32(pages - 1);
    const frame = this.memory.allocFolio(order);
    if (frame < 0) return null;
    const page = this.allocRange(pages);
    if (page < 0) {
      this.memory.putFolio(frame);
      return null;
    }
    const frames = new Int32Array(pages);
    for (let i = 0; i < pages; i++) {
      frames[i] = frame + i;
      this.table.setEntry(page + i, (frame + i) | IOMMU_READ | IOMMU_WRITE);
    }
    this.table.setHead(page, pages, bytes, 0, MappingKind.coherent, DmaDirection.bidirectional);
    this.live++;
    const iova = page * PAGE;
    if (this.ledgerOn) this.ledger.mapped(this.id, iova, frames, 0, pages, DmaDirection.bidirectional);
    if (this.onMap.on) this.onMap.emit(this.id, page, pages, DmaDirection.bidirectional);
    if (this.ledgerFull) this.history.mapped(page, this.ledger.lastMapTrace);
    const whole = this.memory.bytes.view(frame, pages * PAGE);
    const words = new Int32Array(whole.buffer, whole.byteOffset, Math.ceil(bytes / 4));
    return new CoherentBuffer(this, iova, frame, whole.subarray(0, bytes), words);
  }

  /** The work of `CoherentBuffer.release`. */
  freeCoherent(buffer: CoherentBuffer): void {
    const page = Math.floor(buffer.iova / PAGE);
    if (!this.detached) {
      const { pages } = this.table.record(page);
      if (this.ledgerOn) this.ledger.unmapped(this.id, buffer.iova, pages);
      this.tearDown(page, pages, DmaDirection.bidirectional);
    }
    this.memory.putFolio(buffer.frame);
  }

  /** Mappings made and not undone, coherent buffers included. */
  get liveMappings(): number {
    return this.live;
  }

  /** The live mappings by address. For reports and tests; allocates. */
  mappings(): readonly MappingRecord[] {
    return [...this.table.records(), ...(this.peers?.mappings() ?? [])];
  }

  /**
   * Takes the domain from its device: cut off, and what is still mapped is a finding DMA_MAPPING_LEAK and then
   * undone, so that nobody stays reachable. The memory of leaked coherent buffers is not freed. The second call does nothing.
   */
  detach(): void {
    if (this.detached) return;
    this.block();
    const left = this.table.records();
    const onBus = this.peers?.mappings() ?? [];
    if (left.length + onBus.length > 0) reportLeaks(this, [...left, ...onBus]);
    this.peers?.unmapAll();
    for (const mapping of left) {
      if (this.ledgerOn) this.tellRuns(mapping.page, mapping.pages, -1);
      this.history.unmapped(mapping.page, mapping.pages);
      this.table.clear(mapping.page, mapping.pages);
    }
    this.live = 0;
    this.detached = true;
  }

  /** Lazy mode: the flush time is over. Called by the IOMMU. */
  flushTimeout(): void {
    this.flushScheduled = false;
    this.flush();
  }

  /** Invalidates what lazy unmapping left in the IOTLB, now. Does nothing in strict mode. */
  flush(): void {
    const queue = this.lazy;
    if (queue === null) return;
    for (let i = 0; i < queue.count; i++) {
      this.table.dropStale(queue.firsts[i], queue.pages[i]);
      this.iovas.free(queue.firsts[i], queue.pages[i]);
    }
    queue.count = 0;
  }

  /** `mapPages` of several pages, and its refusals. */
  private mapLonger(
    pages: Int32Array,
    from: number,
    n: number,
    offset: number,
    length: number,
    direction: number,
  ): number {
    const permission = permissionOf(direction);
    const end = offset + length;
    if (permission === 0 || !(length > 0) || !(offset >= 0 && offset < PAGE) || !(end <= n * PAGE)) return -EINVAL;
    if (length > MAPPING_BYTES_MAX) return -EINVAL;
    if (this.faults.armed) {
      const refusal = this.faults.hit('map');
      if (refusal !== 0) return refusal;
    }
    const count = Math.ceil(end / PAGE);
    const way = this.peerStart === NO_PEERS ? PeerWay.host : this.wayOf(pages, from, count);
    if (way < 0) return way;
    if (way === PeerWay.bus) return this.mapOnBus(pages[from] & MASK, count, offset, length, direction);
    const page = this.allocRange(count);
    if (page < 0) return page;
    if (way === PeerWay.bridge) {
      this.table.setHead(page, count, length, offset, MappingKind.peer, direction);
      for (let i = 0; i < count; i++) this.setEntryOfAny(page + i, pages[from + i] & MASK, permission);
      this.noteMapped(page, pages, from, count, direction);
      return page * PAGE + offset;
    }
    this.table.setHead(page, count, length, offset, KIND_PAGES, direction);
    let leaf = page >>> LEAF_BITS;
    let at = (page & IN_LEAF) << WORDS;
    let words = this.leaves[leaf];
    for (let i = 0; i < count; i++) {
      if (at === LEAF_END) {
        at = 0;
        words = this.leaves[++leaf];
      }
      words[at + AT_ENTRY] = (pages[from + i] & MASK) | permission;
      at += STEP;
    }
    this.noteMapped(page, pages, from, count, direction);
    return page * PAGE + offset;
  }

  private noteMapped(page: number, pages: Int32Array, from: number, count: number, direction: number): void {
    this.live++;
    this.ledger.mapped(this.id, page * PAGE, pages, from, count, direction);
    if (this.onMap.on) this.onMap.emit(this.id, page, count, direction);
    if (this.ledgerFull) this.history.mapped(page, this.ledger.lastMapTrace);
  }

  private wayOf(pages: Int32Array, from: number, count: number): number {
    return this.peers === null ? PeerWay.host : this.peers.wayOf(pages, from, count);
  }

  /** Memory of a peer that the switch brings the device to: the bus address, or -ENOMEM. */
  private mapOnBus(
    frame: number,
    count: number,
    offset: number,
    length: number,
    direction: number,
    kind: number = MappingKind.pages,
  ): number {
    const address = this.peers?.map(frame, count, offset, length, direction, kind) ?? -EINVAL;
    if (address < 0) return address;
    this.live++;
    if (this.onMap.on) this.onMap.emit(this.id, Math.floor(address / PAGE), count, direction);
    return address;
  }

  /** An entry of host memory, or of a peer's that is reached through the host bridge. */
  private setEntryOfAny(page: number, frame: number, permission: number): void {
    if (frame >= this.peerStart) this.table.setPeerEntry(page, frame, permission);
    else this.table.setEntry(page, frame | permission);
  }

  /** `unmapPages` of several pages, at high addresses, in lazy mode, and everything that does not match. */
  private unmapLonger(iova: number, length: number, direction: number): void {
    const page = Math.floor(iova / PAGE);
    if (iova >= PCI_WINDOW_START && this.peers !== null) {
      this.unmapOnBus(this.peers, iova, length, direction, MappingKind.pages);
      return;
    }
    if (!(page >= 0 && page < this.table.coveredPages)) {
      this.unmapUnknown(iova, 'where nothing is mapped');
      return;
    }
    const head = this.table.headAt(page);
    const words = this.leaves[page >>> LEAF_BITS];
    const at = (page & IN_LEAF) << WORDS;
    const kind = ((head >>> 3) & 3) === MappingKind.peer ? MappingKind.peer : KIND_PAGES;
    if (head !== headOf(iova & OFFSET_MASK, kind, direction) || words[at + AT_BYTES] !== length) {
      if (!this.unmapMismatch(page, head, iova, length, direction)) return;
    }
    const count = words[at + AT_PAGES];
    this.ledger.unmapped(this.id, page * PAGE, count);
    this.tearDown(page, count, direction);
  }

  /** The end of a mapping on the bus. What does not match is a finding, as elsewhere. */
  private unmapOnBus(peers: PeerAccess, iova: number, length: number, direction: number, kind: number): void {
    const mapping = peers.unmap(iova, length, direction, kind);
    if (mapping === null) {
      this.unmapUnknown(iova, 'where nothing is mapped');
      return;
    }
    this.live--;
    if (mapping.bytes !== length) this.wrongSize(mapping, length);
    if (mapping.direction !== direction) this.wrongDirection(mapping, direction);
    if (this.onUnmap.on) this.onUnmap.emit(this.id, mapping.page, mapping.pages, direction);
  }

  private allocRange(pages: number): number {
    const page = this.iovas.alloc(pages);
    return page < 0 || page + pages > this.table.coveredPages ? this.makeRoom(page, pages) : page;
  }

  /** What the allocator answered is no page (below 0), or lies beyond the leaves. The range, or -ENOMEM. */
  private makeRoom(answer: number, pages: number): number {
    let page = answer;
    if (page < 0 && this.lazy !== null && this.lazy.count > 0) {
      // What waits for the flush is all that is left of the address space.
      this.flush();
      page = this.iovas.alloc(pages);
    }
    if (page > 0 && page + pages > this.table.coveredPages) {
      this.table.cover(page + pages);
      this.nearEnd = this.unreachable ? 0 : this.table.nearEnd;
    }
    return page;
  }

  private tearDown(page: number, pages: number, direction: number): void {
    this.live--;
    if (this.onUnmap.on) this.onUnmap.emit(this.id, page, pages, direction);
    this.history.unmapped(page, pages);
    if (this.lazy === null) {
      this.table.clear(page, pages);
      this.iovas.free(page, pages);
    } else {
      this.queueForFlush(this.lazy, page, pages);
    }
  }

  private queueForFlush(queue: FlushQueue, page: number, pages: number): void {
    this.table.makeStale(page, pages);
    if (queue.add(page, pages)) {
      this.flush();
    } else if (!this.flushScheduled) {
      this.flushScheduled = true;
      this.iommu.scheduleFlush(this.id);
    }
  }

  /** Reports what is wrong with an unmap; false when there is nothing to undo. */
  private unmapMismatch(page: number, head: number, iova: number, length: number, direction: number): boolean {
    if (head === 0) {
      this.unmapUnknown(iova, 'where no mapping starts');
      return false;
    }
    const mapping = this.table.record(page);
    const isOfPages = mapping.kind === MappingKind.pages || mapping.kind === MappingKind.peer;
    if (!isOfPages || mapping.iova !== iova) {
      const made = mapping.kind === MappingKind.sg ? 'mapSg' : 'allocCoherent';
      this.unmapUnknown(iova, isOfPages ? 'which is not where the mapping starts' : `which ${made} made`);
      return false;
    }
    if (mapping.bytes !== length) this.wrongSize(mapping, length);
    if (mapping.direction !== direction) this.wrongDirection(mapping, direction);
    return true;
  }

  private wrongSize(mapping: MappingRecord, length: number): void {
    const wrong = `with ${length} bytes, not the ${mapping.bytes} it was mapped with`;
    reportUnmap(this, 'DMA_UNMAP_WRONG_SIZE', mapping.iova, wrong, mapping, this.unmapSite());
  }

  private wrongDirection(mapping: MappingRecord, direction: number): void {
    const wrong = `as ${directionName(direction)}, not the ${directionName(mapping.direction)} it was mapped with`;
    reportUnmap(this, 'DMA_UNMAP_WRONG_DIRECTION', mapping.iova, wrong, mapping, this.unmapSite());
  }

  private unmapUnknown(iova: number, wrong: string): void {
    reportUnmap(this, 'DMA_UNMAP_UNKNOWN', iova, wrong, null, this.unmapSite());
  }

  private unmapSite(): FindingSite[] {
    return [{ what: 'unmapped', site: callSite(), atNs: this.memory.world.now }];
  }

  /** Tells the ledger about a mapping that may have holes, run by run; a direction of -1 says that it is undone. */
  private tellRuns(page: number, pages: number, direction: number): void {
    const end = page + pages;
    for (let start = page; start < end;) {
      let stop = start;
      while (stop < end && this.table.entryAt(stop) !== 0) stop++;
      if (stop > start && direction < 0) this.ledger.unmapped(this.id, start * PAGE, stop - start);
      if (stop > start && direction >= 0) {
        const frames = new Int32Array(stop - start);
        for (let i = 0; i < frames.length; i++) frames[i] = this.table.entryAt(start + i) & MASK;
        this.ledger.mapped(this.id, start * PAGE, frames, 0, frames.length, direction);
      }
      start = stop + 1;
    }
  }
}
