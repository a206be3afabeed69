/**
 * What one device can reach: its I/O page table, seen from the driver (map, unmap) and from the device (read, write).
 *
 * A mapping is a range of IOVAs that starts at the same offset in its page as the memory does. It gives the device the
 * permission of its direction (DM-01) on whole pages, as an IOMMU works on pages; everything else faults. The domain
 * holds no reference to the pages: keeping them pinned is the driver's duty, and its order at release is stop device,
 * unmap, dirty, unpin (DM-05, DM-07).
 *
 * All functions may be called in any context and none sleeps. Results below 0 are negative errnos.
 * Left out on purpose: ownership between map and unmap (DM-03, sync_for_cpu and sync_for_device do nothing on coherent
 * devices), bounce buffers (DM-04), peer-to-peer segments.
 * Source: Linux 6.18 kernel/dma/mapping.c, drivers/iommu/dma-iommu.c, kernel/dma/debug.c.
 */
import { FRAME_MASK, PAGE_SIZE } from '@pincushion/mm';
import type { Ledger, Memory, PageBytes } from '@pincushion/mm';
import { EFAULT, EINVAL, ENODEV, PincushionError, callSite } from '@pincushion/sim';
import type { FaultSites, FindingSite, Findings, Tracepoint } from '@pincushion/sim';
import { CoherentBuffer } from './coherent';
import { DmaDirection, IOMMU_READ, IOMMU_WRITE, directionName, permissionOf } from './direction';
import { reportFault, reportLeaks, reportStale, reportUnmap } from './dma-fault';
import type { DomainFacts } from './dma-fault';
import { FlushQueue } from './flush-queue';
import {
  BYTES,
  ENTRY,
  HEAD,
  IoPageTable,
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
import { MappingHistory } from './mapping-history';
import type { ScatterList } from './scatter-list';
import { WordWindow, firstWord } from './word-window';

/** Imported bindings are getters once compiled; the hot functions read locals of the module. */
const PAGE = PAGE_SIZE;
const MASK = FRAME_MASK;
const READ = IOMMU_READ;
const WRITE = IOMMU_WRITE;
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
const firstWordOf = firstWord;
/** Pages whose addresses fit an int32; arithmetic on those of higher pages is done in doubles. */
const NEAR_PAGES = 1 << (31 - PAGE_BITS);
/** Bytes of one mapping stay below this, so that they fit an int32. */
const MAPPING_BYTES_MAX = 0x7fffffff;
/** Faults that become findings, per domain; a device that runs wild repeats itself. */
const FAULTS_REPORTED_MAX = 64;

export class DmaDomain implements DomainFacts {
  readonly table = new IoPageTable();
  readonly history: MappingHistory;
  readonly findings: Findings;
  /** Accesses that were refused: faults, and everything after `block`. */
  faultsSeen = 0;

  private readonly memory: Memory;
  private readonly bytes: PageBytes;
  private readonly ledger: Ledger;
  private readonly ledgerOn: boolean;
  /** The ledger's mode full: every access is told to it, and call sites of mappings are taken. */
  private readonly ledgerFull: boolean;
  private readonly faults: FaultSites;
  private readonly words: WordWindow;
  private readonly iovas: IovaAllocator;
  private readonly lazy: FlushQueue | null;
  private readonly leaves: Int32Array[];
  private readonly onMap: Tracepoint;
  private readonly onUnmap: Tracepoint;
  private readonly onAccess: Tracepoint;
  private readonly onFault: Tracepoint;
  private readonly reported = new Set<string>();
  private live = 0;
  /** Device side: addresses below this one are looked up the short way; 0 when the device is cut off. */
  private nearEnd = 0;
  private unreachable = false;
  private detached = false;
  private flushScheduled = false;
  /** Time that accesses took longer by the fault plan, and that nobody has waited for yet. */
  private owedNs = 0;

  /** Made by `Iommu.attach`. @param id number of the domain in its IOMMU @param name of the device */
  constructor(
    private readonly iommu: Iommu,
    readonly id: number,
    readonly name: string,
  ) {
    const memory = iommu.memory;
    const world = memory.world;
    this.memory = memory;
    this.bytes = memory.bytes;
    this.ledger = memory.ledger;
    this.ledgerOn = memory.ledger.mode !== 'off';
    this.ledgerFull = memory.ledger.mode === 'full';
    this.faults = world.faults;
    this.findings = world.findings;
    this.history = new MappingHistory(world, this.ledgerFull);
    this.words = new WordWindow(memory);
    this.iovas = new IovaAllocator(2 ** (iommu.addressBits - 12));
    this.lazy = iommu.mode === 'lazy' ? new FlushQueue() : null;
    this.leaves = this.table.leaves;
    this.onMap = world.trace.point('dma:map', ['domain', 'iovaPage', 'pages', 'direction']);
    this.onUnmap = world.trace.point('dma:unmap', ['domain', 'iovaPage', 'pages', 'direction']);
    this.onAccess = world.trace.point('dma:access', ['domain', 'iovaPage', 'bytes', 'write']);
    this.onFault = world.trace.point('dma:fault', ['domain', 'iovaPage', 'errno', 'write']);
  }

  // Driver side

  /**
   * Maps `length` bytes of `pages[from .. from + n)`, starting `offset` bytes into the first of them, as one range
   * (dma_map_page for one, for many what iommu_dma_map_sg does to a list of whole pages). The last page of `n` that the
   * bytes touch is the last one mapped. The caller owes `unmapPages` with the same length and direction.
   * @param pages frame numbers; the tag of pinned pages is masked @param offset bytes, 0 to 4095
   * @returns the IOVA of the first byte, or -EINVAL, or -ENOMEM when the address space is used up
   */
  mapPages(pages: Int32Array, from: number, n: number, offset: number, length: number, direction: number): number {
    const permission = permissionFor(direction);
    if (permission === 0 || !(length > 0 && offset >= 0 && offset + length <= PAGE && n > 0)) {
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
    words[at + AT_ENTRY] = (pages[from] & MASK) | permission;
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
   * boundary, 2 GiB or more in all), -ENOMEM
   */
  mapSg(list: ScatterList, direction: number): number {
    const permission = permissionOf(direction);
    if (permission === 0 || list.count === 0 || list.mappedCount !== 0) return -EINVAL;
    if (this.faults.armed) {
      const refusal = this.faults.hit('map');
      if (refusal !== 0) return refusal;
    }
    const pages = list.layOut();
    if (pages < 0) return pages;
    const bytes = list.totalBytes();
    if (bytes > MAPPING_BYTES_MAX) return -EINVAL;
    const page = this.allocRange(pages);
    if (page < 0) return page;
    for (let i = 0; i < list.count; i++) {
      const first = page + list.pageIndex[i];
      const frame = list.frames[i];
      const count = list.pagesOf(i);
      for (let k = 0; k < count; k++) {
        this.table.setEntry(first + k, (frame + k) | permission);
      }
    }
    this.table.setHead(page, pages, bytes, list.offsets[0], MappingKind.sg, direction);
    this.live++;
    list.merge(page * PAGE);
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
    const iova = list.mappedCount === 0 ? -1 : list.addresses[0];
    const page = iova < 0 ? -1 : Math.floor(iova / PAGE);
    const head = this.table.headAt(page);
    if (head === 0 || ((head >>> 3) & 3) !== MappingKind.sg) {
      this.unmapUnknown(iova, list.mappedCount === 0 ? 'of a scatter list that is not mapped' : 'as a scatter list');
      return;
    }
    const mapping = this.table.record(page);
    if (list.count !== list.countWhenMapped) {
      const wrong = `with ${list.count} scatter-list entries, not the ${list.countWhenMapped} it was mapped with`;
      reportUnmap(this, 'DMA_UNMAP_WRONG_SIZE', iova, wrong, mapping, this.unmapSite());
      list.count = list.countWhenMapped;
    }
    if (mapping.direction !== direction) this.wrongDirection(mapping, direction);
    if (this.ledgerOn) this.tellRuns(page, mapping.pages, -1);
    list.mappedCount = 0;
    this.tearDown(page, mapping.pages, direction);
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
      this.table.setEntry(page + i, (frame + i) | READ | WRITE);
    }
    this.table.setHead(page, pages, bytes, 0, MappingKind.coherent, DmaDirection.bidirectional);
    this.live++;
    const iova = page * PAGE;
    if (this.ledgerOn) this.ledger.mapped(this.id, iova, frames, 0, pages, DmaDirection.bidirectional);
    if (this.onMap.on) this.onMap.emit(this.id, page, pages, DmaDirection.bidirectional);
    if (this.ledgerFull) this.history.mapped(page, this.ledger.lastMapTrace);
    const whole = this.bytes.view(frame, pages * PAGE);
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

  // Device side

  /**
   * The device reads `n` bytes from memory into `into[at…]`. 0, or -EFAULT for a DMA fault, -ENODEV when the device is
   * cut off, or the errno of an injected fault. What lies before the fault may have been transferred, page by page.
   */
  read(iova: number, into: Uint8Array, at: number, n: number): number {
    if (this.faults.armed) {
      const refusal = this.planned(iova, 0);
      if (refusal !== 0) return refusal;
    }
    if (this.onAccess.on) this.onAccess.emit(this.id, Math.floor(iova / PAGE), n, 0);
    let address = iova;
    let done = 0;
    while (done < n) {
      const frame = this.translate(address, READ);
      if (frame < 0) return frame;
      const offset = address & OFFSET_MASK;
      const step = n - done <= PAGE - offset ? n - done : PAGE - offset;
      this.bytes.read(frame, offset, into, at + done, step);
      done += step;
      address += step;
    }
    return 0;
  }

  /** The device writes `n` bytes of `from[at…]` to memory. Results as `read`. */
  write(iova: number, from: Uint8Array, at: number, n: number): number {
    if (this.faults.armed) {
      const refusal = this.planned(iova, 1);
      if (refusal !== 0) return refusal;
    }
    if (this.onAccess.on) this.onAccess.emit(this.id, Math.floor(iova / PAGE), n, 1);
    let address = iova;
    let done = 0;
    while (done < n) {
      const frame = this.translate(address, WRITE);
      if (frame < 0) return frame;
      const offset = address & OFFSET_MASK;
      const step = n - done <= PAGE - offset ? n - done : PAGE - offset;
      this.bytes.write(frame, offset, from, at + done, step);
      done += step;
      address += step;
    }
    return 0;
  }

  /**
   * The device reads `words` 32-bit words, for rings and descriptors: one translation. The address must be a multiple of 4
   * and the words must lie in one page (throws DMA_INVALID). Results as `read`.
   */
  readWords(iova: number, into: Int32Array, at: number, words: number): number {
    if (this.faults.armed) {
      const refusal = this.planned(iova, 0);
      if (refusal !== 0) return refusal;
    }
    const frame = this.translate(iova, READ);
    if (frame < 0) return frame;
    const offset = iova & OFFSET_MASK;
    if (offset + words * 4 > PAGE || (offset & 3) !== 0) this.badWords(iova, words);
    const source = this.words.wordsOf(frame);
    const first = firstWordOf(frame) + (offset >>> 2);
    copyWords(source, first, into, at, words);
    if (this.onAccess.on) this.onAccess.emit(this.id, Math.floor(iova / PAGE), words * 4, 0);
    return 0;
  }

  /** The device writes `words` 32-bit words; as `readWords`. */
  writeWords(iova: number, from: Int32Array, at: number, words: number): number {
    if (this.faults.armed) {
      const refusal = this.planned(iova, 1);
      if (refusal !== 0) return refusal;
    }
    const frame = this.translate(iova, WRITE);
    if (frame < 0) return frame;
    const offset = iova & OFFSET_MASK;
    if (offset + words * 4 > PAGE || (offset & 3) !== 0) this.badWords(iova, words);
    const target = this.words.wordsOf(frame);
    const first = firstWordOf(frame) + (offset >>> 2);
    copyWords(from, at, target, first, words);
    if (this.onAccess.on) this.onAccess.emit(this.id, Math.floor(iova / PAGE), words * 4, 1);
    return 0;
  }

  /** The device writes `n` times `byte` to memory. Results as `read`. */
  fill(iova: number, byte: number, n: number): number {
    if (this.faults.armed) {
      const refusal = this.planned(iova, 1);
      if (refusal !== 0) return refusal;
    }
    if (this.onAccess.on) this.onAccess.emit(this.id, Math.floor(iova / PAGE), n, 1);
    let address = iova;
    let left = n;
    while (left > 0) {
      const frame = this.translate(address, WRITE);
      if (frame < 0) return frame;
      const offset = address & OFFSET_MASK;
      const step = left <= PAGE - offset ? left : PAGE - offset;
      this.bytes.fill(frame, offset, byte, step);
      left -= step;
      address += step;
    }
    return 0;
  }

  /** Everything of an access but the data: translation, permission, traces. For devices that carry no data. Results as `read`. */
  check(iova: number, n: number, write: boolean): number {
    if (this.faults.armed) {
      const refusal = this.planned(iova, write ? 1 : 0);
      if (refusal !== 0) return refusal;
    }
    if (this.onAccess.on) this.onAccess.emit(this.id, Math.floor(iova / PAGE), n, write ? 1 : 0);
    if (n > PAGE - (iova & OFFSET_MASK)) return this.checkLonger(iova, n, write);
    const frame = n > 0 ? this.translate(iova, write ? WRITE : READ) : 0;
    return frame < 0 ? frame : 0;
  }

  // Life of the domain

  /** Cuts the device off (surprise removal): every later access fails with -ENODEV. The driver can still unmap. */
  block(): void {
    this.unreachable = true;
    this.nearEnd = 0;
  }

  /** By the device: how much later it goes on, because its accesses took longer; from now on none of that. */
  takeOwedNs(): number {
    const ns = this.owedNs;
    this.owedNs = 0;
    return ns;
  }

  get blocked(): boolean {
    return this.unreachable;
  }

  /** Mappings made and not undone, coherent buffers included. */
  get liveMappings(): number {
    return this.live;
  }

  /** The live mappings by address. For reports and tests; allocates. */
  mappings(): readonly MappingRecord[] {
    return this.table.records();
  }

  /**
   * Takes the domain from its device: cut off, and what is still mapped is a finding DMA_MAPPING_LEAK and then
   * undone, so that nobody stays reachable. The memory of leaked coherent buffers is not freed. The second call does nothing.
   */
  detach(): void {
    if (this.detached) return;
    this.block();
    const left = this.table.records();
    if (left.length > 0) reportLeaks(this, left);
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
    const page = this.allocRange(count);
    if (page < 0) return page;
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
    this.live++;
    this.ledger.mapped(this.id, page * PAGE, pages, from, count, direction);
    if (this.onMap.on) this.onMap.emit(this.id, page, count, direction);
    if (this.ledgerFull) this.history.mapped(page, this.ledger.lastMapTrace);
    return page * PAGE + offset;
  }

  /** `unmapPages` of several pages, at high addresses, in lazy mode, and everything that does not match. */
  private unmapLonger(iova: number, length: number, direction: number): void {
    const page = Math.floor(iova / PAGE);
    if (!(page >= 0 && page < this.table.coveredPages)) {
      this.unmapUnknown(iova, 'where nothing is mapped');
      return;
    }
    const head = this.table.headAt(page);
    const words = this.leaves[page >>> LEAF_BITS];
    const at = (page & IN_LEAF) << WORDS;
    if (head !== headOf(iova & OFFSET_MASK, KIND_PAGES, direction) || words[at + AT_BYTES] !== length) {
      if (!this.unmapMismatch(page, head, iova, length, direction)) return;
    }
    const count = words[at + AT_PAGES];
    this.ledger.unmapped(this.id, page * PAGE, count);
    this.tearDown(page, count, direction);
  }

  /** `check` across pages. */
  private checkLonger(iova: number, n: number, write: boolean): number {
    const permission = write ? WRITE : READ;
    let address = iova;
    let left = n;
    while (left > 0) {
      const frame = this.translate(address, permission);
      if (frame < 0) return frame;
      const step = PAGE - (address & OFFSET_MASK);
      left -= step;
      address += step;
    }
    return 0;
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

  /** Frame behind an address, or a negative errno when the device may not do this there. */
  private translate(iova: number, permission: number): number {
    if (iova >= 0 && iova < this.nearEnd) {
      const page = iova >>> PAGE_BITS;
      const entry = this.leaves[page >>> LEAF_BITS][((page & IN_LEAF) << WORDS) + AT_ENTRY];
      if ((entry & permission) !== 0) {
        const frame = entry & MASK;
        if (this.ledgerFull) this.ledger.deviceAccess(this.id, frame, permission === WRITE, iova);
        return frame;
      }
    }
    return this.translateSlow(iova, permission);
  }

  /** At any address, of any device: also stale entries, and faults. */
  private translateSlow(iova: number, permission: number): number {
    if (this.unreachable) {
      this.faultsSeen++;
      return -ENODEV;
    }
    const page = Math.floor(iova / PAGE);
    const entry = this.table.entryAt(page);
    if ((entry & permission) !== 0) {
      if (this.ledgerFull) this.ledger.deviceAccess(this.id, entry & MASK, permission === WRITE, iova);
      return entry & MASK;
    }
    if ((this.table.stalePermission(page) & permission) !== 0) {
      if (this.firstReport('stale', page, permission)) reportStale(this, iova, permission);
      return entry & MASK;
    }
    this.faultsSeen++;
    if (this.onFault.on) this.onFault.emit(this.id, page, -EFAULT, permission === WRITE ? 1 : 0);
    if (this.firstReport('fault', page, permission)) reportFault(this, iova, permission);
    return -EFAULT;
  }

  /** One finding per page and direction, and a limit to all of them. */
  private firstReport(what: string, page: number, permission: number): boolean {
    const key = `${what} ${page} ${permission}`;
    if (this.reported.size >= FAULTS_REPORTED_MAX || this.reported.has(key)) return false;
    this.reported.add(key);
    return true;
  }

  private planned(iova: number, write: number): number {
    const effect = this.faults.dmaAccess(write === 1);
    if (effect?.kind === 'delay') this.owedNs += effect.ns;
    if (effect?.kind !== 'errno') return 0;
    if (this.onFault.on) this.onFault.emit(this.id, Math.floor(iova / PAGE), effect.errno, write);
    return effect.errno;
  }

  /** Reports what is wrong with an unmap; false when there is nothing to undo. */
  private unmapMismatch(page: number, head: number, iova: number, length: number, direction: number): boolean {
    if (head === 0) {
      this.unmapUnknown(iova, 'where no mapping starts');
      return false;
    }
    const mapping = this.table.record(page);
    if (mapping.kind !== MappingKind.pages || mapping.iova !== iova) {
      const made = mapping.kind === MappingKind.sg ? 'mapSg' : 'allocCoherent';
      this.unmapUnknown(
        iova,
        mapping.kind === MappingKind.pages ? 'which is not where the mapping starts' : `which ${made} made`,
      );
      return false;
    }
    if (mapping.bytes !== length) {
      const wrong = `with ${length} bytes, not the ${mapping.bytes} it was mapped with`;
      reportUnmap(this, 'DMA_UNMAP_WRONG_SIZE', iova, wrong, mapping, this.unmapSite());
    }
    if (mapping.direction !== direction) this.wrongDirection(mapping, direction);
    return true;
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

  private badWords(iova: number, words: number): never {
    throw new PincushionError('DMA_INVALID', 'a word access must be aligned to 4 bytes and stay in one page', {
      device: this.name,
      actual: `${words} words at IOVA 0x${iova.toString(16)}`,
      hint: 'read() and write() for bytes',
    });
  }
}

/** Copies words, four at a time: descriptors are too short for `set`, which needs a subarray. */
function copyWords(from: Int32Array, fromAt: number, to: Int32Array, toAt: number, words: number): void {
  let i = 0;
  for (; i + 4 <= words; i += 4) {
    to[toAt + i] = from[fromAt + i];
    to[toAt + i + 1] = from[fromAt + i + 1];
    to[toAt + i + 2] = from[fromAt + i + 2];
    to[toAt + i + 3] = from[fromAt + i + 3];
  }
  for (; i < words; i++) to[toAt + i] = from[fromAt + i];
}
