/**
 * What a device meets when it reads and writes memory: the device side of its domain.
 *
 * Each access is translated page by page: through the I/O page table, or to a peer on the bus. What is not mapped, or not in
 * that direction, is a DMA fault; a device that is pulled out reaches nothing any more. The driver side is domain.ts.
 *
 * All functions may be called in any context and none sleeps. Results below 0 are negative errnos.
 * Source: Linux 6.18 drivers/iommu/io-pgtable.c, drivers/iommu/iommu.c (report_iommu_fault).
 */
import { FRAME_MASK, PAGE_SIZE } from '@pincushion/mm';
import type { Ledger, Memory, PageBytes } from '@pincushion/mm';
import { EFAULT, ENODEV, EREMOTEIO, PincushionError } from '@pincushion/sim';
import type { FaultSites, Findings, Tracepoint } from '@pincushion/sim';
import { IOMMU_READ, IOMMU_WRITE } from './direction';
import { reportFault, reportStale } from './dma-fault';
import type { DomainFacts } from './dma-fault';
import { ENTRY, IoPageTable, LEAF_MASK, LEAF_SHIFT, WORDS_SHIFT } from './io-page-table';
import type { Iommu } from './iommu';
import { MappingHistory } from './mapping-history';
import { PCI_WINDOW_START } from './pci/fabric';
import type { PciFunction } from './pci/fabric';
import { PeerAccess } from './pci/peer-access';
import { WordWindow, firstWord } from './word-window';

/** Imported bindings are getters once compiled; the hot functions read locals of the module. */
const PAGE = PAGE_SIZE;
const MASK = FRAME_MASK;
const READ = IOMMU_READ;
const WRITE = IOMMU_WRITE;
const PAGE_BITS = 12;
const OFFSET_MASK = PAGE - 1;
const LEAF_BITS = LEAF_SHIFT;
const IN_LEAF = LEAF_MASK;
const WORDS = WORDS_SHIFT;
const AT_ENTRY = ENTRY;
const firstWordOf = firstWord;
/** Above every frame. */
export const NO_PEERS = 2 ** 30;
/** Faults that become findings, per domain; a device that runs wild repeats itself. */
const FAULTS_REPORTED_MAX = 64;

export class DeviceAccess implements DomainFacts {
  readonly table = new IoPageTable();
  readonly history: MappingHistory;
  readonly findings: Findings;
  /** Accesses that were refused: faults, and everything after `block`. */
  faultsSeen = 0;

  protected readonly memory: Memory;
  protected readonly ledger: Ledger;
  /** The ledger's mode full: every access is told to it, and call sites of mappings are taken. */
  protected readonly ledgerFull: boolean;
  /** The memory of other devices; null where there is none that could be reached. */
  protected readonly peers: PeerAccess | null;
  /** Frames from this one on may be memory of a peer. */
  protected readonly peerStart: number;
  protected readonly faults: FaultSites;
  protected readonly leaves: Int32Array[];
  /** Addresses below this one are looked up the short way; 0 when the device is cut off. */
  protected nearEnd = 0;
  protected unreachable = false;
  private readonly bytes: PageBytes;
  private readonly words: WordWindow;
  private readonly onAccess: Tracepoint;
  private readonly onFault: Tracepoint;
  private readonly reported = new Set<string>();
  /** Time that accesses took longer by the fault plan, and that nobody has waited for yet. */
  private owedNs = 0;

  /** @param id number of the domain in its IOMMU @param name of the device @param pciFunction where it is on the bus */
  constructor(
    protected readonly iommu: Iommu,
    readonly id: number,
    readonly name: string,
    pciFunction: PciFunction | null,
  ) {
    const { memory, pci } = iommu;
    const { world, ledger } = memory;
    this.memory = memory;
    this.bytes = memory.bytes;
    this.ledger = ledger;
    this.ledgerFull = ledger.mode === 'full';
    this.faults = world.faults;
    this.findings = world.findings;
    this.history = new MappingHistory(world, this.ledgerFull);
    this.words = new WordWindow(memory);
    this.peers =
      pci === null || pciFunction === null ? null : new PeerAccess(pci, pciFunction, ledger, id, memory.pciStart);
    this.peerStart = this.peers === null || memory.pciFrames === 0 ? NO_PEERS : memory.pciStart;
    this.leaves = this.table.leaves;
    this.onAccess = world.trace.point('dma:access', ['domain', 'iovaPage', 'bytes', 'write']);
    this.onFault = world.trace.point('dma:fault', ['domain', 'iovaPage', 'errno', 'write']);
  }

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

  /** What a report says about an address on the bus; null for addresses that are no bus addresses. */
  explainBusAddress(iova: number): string | null {
    return iova >= PCI_WINDOW_START && this.peers !== null ? this.peers.explain(iova) : null;
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
    if (iova >= PCI_WINDOW_START && this.peers !== null) return this.onBus(this.peers, iova, permission);
    const page = Math.floor(iova / PAGE);
    const entry = this.table.entryAt(page);
    if (this.table.peers.size > 0 && (this.table.peerPermission(page) & permission) !== 0) {
      return this.throughBridge(iova, entry, permission);
    }
    if ((entry & permission) !== 0) {
      if (this.ledgerFull) this.ledger.deviceAccess(this.id, entry & MASK, permission === WRITE, iova);
      return entry & MASK;
    }
    if ((this.table.stalePermission(page) & permission) !== 0) {
      if (this.firstReport('stale', page, permission)) reportStale(this, iova, permission);
      return entry >= this.peerStart ? this.throughBridge(iova, entry, permission) : entry & MASK;
    }
    return this.fault(iova, permission);
  }

  private fault(iova: number, permission: number): number {
    const page = Math.floor(iova / PAGE);
    this.failed(page, -EFAULT, permission);
    if (this.firstReport('fault', page, permission)) reportFault(this, iova, permission);
    return -EFAULT;
  }

  private failed(page: number, errno: number, permission: number): void {
    this.faultsSeen++;
    if (this.onFault.on) this.onFault.emit(this.id, page, errno, permission === WRITE ? 1 : 0);
  }

  /** A request at a bus address: a switch takes it to the peer, or it gets to the IOMMU, which knows no such address. */
  private onBus(peers: PeerAccess, iova: number, permission: number): number {
    const frame = peers.deliver(iova);
    if (frame === -EFAULT) return this.fault(iova, permission);
    return this.fromPeer(iova, frame, permission);
  }

  /** A request that the IOMMU sends on to a peer: nobody answers when it is gone. */
  private throughBridge(iova: number, frame: number, permission: number): number {
    return this.fromPeer(iova, this.peers?.answers(frame) === true ? frame : -EREMOTEIO, permission);
  }

  /** An Unsupported Request is no fault of the driver's: the device gets to know, and nobody else. */
  private fromPeer(iova: number, frame: number, permission: number): number {
    if (frame < 0) this.failed(Math.floor(iova / PAGE), frame, permission);
    else if (this.ledgerFull) this.ledger.deviceAccess(this.id, frame, permission === WRITE, iova);
    return frame;
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
