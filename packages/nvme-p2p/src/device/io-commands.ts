/**
 * The NVM command set: Flush, Write, Read, Write Zeroes, Dataset Management (deallocate).
 *
 * A command is looked at twice: when it has been fetched (`accept`: is it allowed, how long does it take) and when its
 * time is over (`execute`: the data moves). So a page of host memory is touched by DMA right up to the completion, and a
 * driver that lets go of it earlier is caught.
 *
 * Which error wins, as the reference controller does it: opcode, namespace, fused and data-pointer flags, transfer size,
 * block range, and last the PRPs.
 * Left out: Compare, Verify, Copy, Write Uncorrectable, reservations, metadata and protection information.
 * Source: NVM Express NVM Command Set, in the Base Specification 1.4, section 6.
 */
import {
  BROADCAST_NSID,
  DSM_DEALLOCATE,
  DSM_RANGES_MAX,
  DSM_RANGE_BYTES,
  DW0_FUSE,
  DW0_PSDT,
  DW12_FUA,
  DW12_NLB_MASK,
  NvmOpcode,
} from '../spec/opcodes';
import { NvmeStatus } from '../spec/status';
import type { BusMaster } from './bus-master';
import type { CommandSlots } from './command-slots';
import { NAMESPACES_MAX } from './controller-config';
import { FLASH_PAGE_SHIFT } from './latency';
import type { LatencyModel } from './latency';
import { SmartCount } from './log-pages';
import type { SmartCounters } from './log-pages';
import type { Namespace } from './namespace';
import type { PrpWalk } from './prp';

// Imported bindings are getters once compiled; the hot functions read constants of the module.
const SUCCESS = NvmeStatus.success;
const BYTES_READ = SmartCount.bytesRead;
const BYTES_WRITTEN = SmartCount.bytesWritten;
const READ_COMMANDS = SmartCount.readCommands;
const WRITE_COMMANDS = SmartCount.writeCommands;
const FLUSH = NvmOpcode.flush;
const WRITE = NvmOpcode.write;
const READ = NvmOpcode.read;
const WRITE_ZEROES = NvmOpcode.writeZeroes;
const DATASET_MANAGEMENT = NvmOpcode.datasetManagement;
const NSID_MAX = NAMESPACES_MAX;
const NSID_ALL = BROADCAST_NSID;
const FLAGS_FUSED = DW0_FUSE;
const FLAGS_SGL = DW0_PSDT;
const NLB_MASK = DW12_NLB_MASK;
const FLAGS_AND_OPCODE = DW0_FUSE | DW0_PSDT | 0xff;
const FUA = DW12_FUA;
const FLASH_SHIFT = FLASH_PAGE_SHIFT;

const HIGH_WORD = 0x1_0000_0000;

export class IoCommands {
  /** Page size of the host (CC.MPS), set at enable. */
  pageBytes = 4096;
  /** Whether writes may stay in the buffer (feature 06h); otherwise each is acknowledged from the media. */
  writeCache = true;
  private readonly transferBytesMax: number;
  /** False: DMA is checked, but no bytes move. */
  private readonly moveBytes: boolean;
  private readonly rangeBytes = new Uint8Array(DSM_RANGES_MAX * DSM_RANGE_BYTES);
  private readonly rangeWords = new Int32Array(this.rangeBytes.buffer);

  constructor(
    private readonly bus: BusMaster,
    private readonly slots: CommandSlots,
    private readonly prp: PrpWalk,
    /** By namespace id; null where there is none. */
    private readonly namespaces: readonly (Namespace | null)[],
    private readonly latency: LatencyModel,
    private readonly smart: SmartCounters,
    limits: { readonly transferBytesMax: number; readonly moveBytes: boolean },
  ) {
    this.transferBytesMax = limits.transferBytesMax;
    this.moveBytes = limits.moveBytes;
  }

  /** Checks a fetched command and says after how many nanoseconds to execute it; a refusal is left in its slot. */
  accept(slot: number, nowNs: number): number {
    const { words } = this.slots;
    const at = this.slots.at(slot);
    // A plain read is let through at once; `check` repeats the conditions one by one, and says which is not met.
    if ((words[at] & FLAGS_AND_OPCODE) === READ) {
      const nsid = words[at + 1] >>> 0;
      const namespace = nsid <= NSID_MAX ? this.namespaces[nsid] : null;
      const blocks = (words[at + 12] & NLB_MASK) + 1;
      if (namespace !== null) {
        const { blockShift } = namespace;
        const bytes = blocks << blockShift;
        if (bytes <= this.transferBytesMax && firstBlock(words, at) + blocks <= namespace.blocks) {
          const low = words[at + 10];
          const shift = FLASH_SHIFT - blockShift;
          const page = (low >>> shift) | (words[at + 11] << (32 - shift));
          const offset = (low & ((1 << shift) - 1)) << blockShift;
          return this.latency.read(nowNs, page, offset, bytes);
        }
      }
    }
    return this.acceptOther(slot, nowNs);
  }

  /** Does an accepted command and returns its status. */
  execute(slot: number): number {
    const { words } = this.slots;
    const at = this.slots.at(slot);
    const opcode = words[at] & 0xff;
    if (opcode === READ || opcode === WRITE) return this.readOrWrite(words, at, opcode === READ);
    return this.executeOther(words, at, opcode);
  }

  private executeOther(words: Int32Array, at: number, opcode: number): number {
    switch (opcode) {
      case WRITE_ZEROES:
        return this.writeZeroes(words, at);
      case DATASET_MANAGEMENT:
        return this.datasetManagement(words, at);
      default:
        return this.flush(words[at + 1] >>> 0);
    }
  }

  /** Everything but a read that is allowed. */
  private acceptOther(slot: number, nowNs: number): number {
    const { words } = this.slots;
    const at = this.slots.at(slot);
    const opcode = words[at] & 0xff;
    const status = this.check(words, at, opcode);
    if (status !== SUCCESS) {
      this.slots.setStatus(slot, status);
      return this.latency.admin();
    }
    if (opcode === FLUSH) return this.latency.flush(nowNs);
    if (opcode !== WRITE) return this.latency.trim();
    const bytes = ((words[at + 12] & NLB_MASK) + 1) << this.namespaceOf(words, at).blockShift;
    return this.latency.write(nowNs, bytes, !this.writeCache || (words[at + 12] & FUA) !== 0);
  }

  private check(words: Int32Array, at: number, opcode: number): number {
    const known = opcode <= READ || opcode === WRITE_ZEROES || opcode === DATASET_MANAGEMENT;
    if (!known) return NvmeStatus.invalidOpcode;
    const nsid = words[at + 1] >>> 0;
    if (nsid === NSID_ALL) {
      if (opcode !== FLUSH) return NvmeStatus.invalidField;
    } else {
      if (nsid === 0 || nsid > NSID_MAX) return NvmeStatus.invalidNamespace;
      if (this.namespaces[nsid] === null) return NvmeStatus.invalidField;
    }
    if ((words[at] & FLAGS_FUSED) !== 0) return NvmeStatus.invalidFuse;
    if ((words[at] & FLAGS_SGL) !== 0) return NvmeStatus.invalidField;
    if (opcode === FLUSH || opcode === DATASET_MANAGEMENT) return SUCCESS;
    const namespace = this.namespaceOf(words, at);
    const blocks = (words[at + 12] & NLB_MASK) + 1;
    if (opcode !== WRITE_ZEROES && blocks << namespace.blockShift > this.transferBytesMax) {
      return NvmeStatus.invalidField;
    }
    return firstBlock(words, at) + blocks > namespace.blocks ? NvmeStatus.lbaOutOfRange : SUCCESS;
  }

  private readOrWrite(words: Int32Array, at: number, read: boolean): number {
    const namespace = this.namespaceOf(words, at);
    const bytes = ((words[at + 12] & NLB_MASK) + 1) << namespace.blockShift;
    let status = this.prp.walk(this.bus, words, at + 6, bytes, this.pageBytes);
    if (status !== SUCCESS) return status;
    status = this.moveBytes
      ? this.move(namespace, firstBlock(words, at) * namespace.blockBytes, read)
      : this.checkSegments(read);
    if (status === SUCCESS) this.count(read, bytes);
    return status;
  }

  /** Would the data move: every segment is translated. */
  private checkSegments(read: boolean): number {
    const { prp } = this;
    for (let i = 0; i < prp.count; i++) {
      if (this.bus.dmaCheck(prp.address[i], prp.length[i], read) !== 0) return NvmeStatus.dataTransferError;
    }
    return SUCCESS;
  }

  /** Moves the data of every segment, from byte `start` of the namespace on or to there. */
  private move(namespace: Namespace, start: number, read: boolean): number {
    const { prp } = this;
    let position = start;
    for (let i = 0; i < prp.count; i++) {
      const n = prp.length[i];
      const status = read
        ? this.toHost(namespace, position, prp.address[i], n)
        : this.fromHost(namespace, position, prp.address[i], n);
      if (status !== SUCCESS) return status;
      position += n;
    }
    return SUCCESS;
  }

  private count(read: boolean, bytes: number): void {
    const { smart } = this;
    if (read) {
      smart[READ_COMMANDS]++;
      smart[BYTES_READ] += bytes;
    } else {
      smart[WRITE_COMMANDS]++;
      smart[BYTES_WRITTEN] += bytes;
    }
  }

  private toHost(namespace: Namespace, position: number, address: number, n: number): number {
    let done = 0;
    while (done < n) {
      const count = namespace.seekRead(position + done, n - done);
      if (count < 0) return NvmeStatus.unrecoveredRead;
      const error =
        namespace.buffer === null
          ? this.bus.dmaFill(address + done, 0, count)
          : this.bus.dmaWrite(address + done, namespace.buffer, namespace.at, count);
      if (error !== 0) return NvmeStatus.dataTransferError;
      done += count;
    }
    return SUCCESS;
  }

  private fromHost(namespace: Namespace, position: number, address: number, n: number): number {
    let done = 0;
    while (done < n) {
      const count = namespace.seekWrite(position + done, n - done);
      if (count < 0 || namespace.buffer === null) return NvmeStatus.writeFault;
      if (this.bus.dmaRead(address + done, namespace.buffer, namespace.at, count) !== 0) {
        return NvmeStatus.dataTransferError;
      }
      if (!namespace.commit(position + done, count)) return NvmeStatus.writeFault;
      done += count;
    }
    return SUCCESS;
  }

  private writeZeroes(words: Int32Array, at: number): number {
    if (!this.moveBytes) return SUCCESS;
    const namespace = this.namespaceOf(words, at);
    const bytes = ((words[at + 12] & NLB_MASK) + 1) << namespace.blockShift;
    const done = namespace.zero(firstBlock(words, at) * namespace.blockBytes, bytes);
    return done ? SUCCESS : NvmeStatus.writeFault;
  }

  /** A range beyond the end is passed over, and so is a command without the deallocate attribute: all of it is a hint. */
  private datasetManagement(words: Int32Array, at: number): number {
    if ((words[at + 11] & DSM_DEALLOCATE) === 0) return SUCCESS;
    const { prp, rangeWords } = this;
    const ranges = (words[at + 10] & 0xff) + 1;
    const status = prp.walk(this.bus, words, at + 6, ranges * DSM_RANGE_BYTES, this.pageBytes);
    if (status !== SUCCESS) return status;
    let got = 0;
    for (let i = 0; i < prp.count; i++) {
      if (this.bus.dmaRead(prp.address[i], this.rangeBytes, got, prp.length[i]) !== 0) {
        return NvmeStatus.dataTransferError;
      }
      got += prp.length[i];
    }
    if (!this.moveBytes) return SUCCESS;
    const namespace = this.namespaceOf(words, at);
    for (let i = 0; i < ranges; i++) {
      const blocks = rangeWords[4 * i + 1] >>> 0;
      const first = (rangeWords[4 * i + 3] >>> 0) * HIGH_WORD + (rangeWords[4 * i + 2] >>> 0);
      if (first + blocks > namespace.blocks) continue;
      if (!namespace.zero(first * namespace.blockBytes, blocks * namespace.blockBytes)) return NvmeStatus.writeFault;
    }
    return SUCCESS;
  }

  private flush(nsid: number): number {
    for (const namespace of this.namespaces) {
      if (namespace === null || (nsid !== NSID_ALL && namespace.id !== nsid)) continue;
      if (!namespace.flush()) return NvmeStatus.writeFault;
    }
    return SUCCESS;
  }

  /** The namespace of a checked command. */
  private namespaceOf(words: Int32Array, at: number): Namespace {
    return this.namespaces[words[at + 1]] as Namespace;
  }
}

function firstBlock(words: Int32Array, at: number): number {
  return (words[at + 11] >>> 0) * HIGH_WORD + (words[at + 10] >>> 0);
}
