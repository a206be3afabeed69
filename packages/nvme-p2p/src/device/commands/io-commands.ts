/**
 * The NVM command set: which command is whose, what all of them check, and Read and Write.
 *
 *   block-commands   Flush, Write Zeroes, Dataset Management, Verify, Write Uncorrectable: no data of blocks moves
 *   compare-copy     Compare, Copy
 *   here             Read, Write
 *
 * A command is looked at twice: when it has been fetched (`accept`: is it allowed, how long does it take) and when its
 * time is over (`execute`: the data moves). So a page of host memory is touched by DMA right up to the completion, and a
 * driver that lets go of it earlier is caught.
 *
 * Which error wins, as the reference controller does it: namespace id, namespace, opcode, fused flags, transfer size, block range,
 * data pointer, media.
 * Left out: reservations, metadata and protection information, fused commands.
 * Source: NVM Express NVM Command Set, in the Base Specification 1.4, section 6.
 */
import {
  BROADCAST_NSID,
  DW0_FUSE,
  DW0_PSDT,
  DW12_FUA,
  DW12_NLB_MASK,
  NvmOpcode,
  knownOpcodes,
} from '../../spec/opcodes';
import { DNR, NvmeStatus } from '../../spec/status';
import type { BlockCommands } from './block-commands';
import type { BusMaster, Segments } from '../data/bus-master';
import type { CommandSlots } from '../queues/command-slots';
import type { CommandTiming } from '../timing/command-timing';
import type { CompareCopy } from './compare-copy';
import { NAMESPACES_MAX } from '../controller-config';
import type { DataPointer } from '../data/data-pointer';
import { SmartCount } from './health';
import type { SmartCounters } from './health';
import { FLASH_PAGE_SHIFT } from '../timing/latency';
import type { Namespace } from '../media/namespace';
import type { PrpWalk } from '../data/prp';

// Imported bindings are getters once compiled; the hot functions read constants of the module.
const SUCCESS = NvmeStatus.success;
const BYTES_READ = SmartCount.bytesRead;
const BYTES_WRITTEN = SmartCount.bytesWritten;
const READ_COMMANDS = SmartCount.readCommands;
const WRITE_COMMANDS = SmartCount.writeCommands;
const FLUSH = NvmOpcode.flush;
const WRITE = NvmOpcode.write;
const READ = NvmOpcode.read;
const NSID_MAX = NAMESPACES_MAX;
const NSID_ALL = BROADCAST_NSID;
const FLAGS_FUSED = DW0_FUSE;
const FLAGS_SGL = DW0_PSDT;
const NLB_MASK = DW12_NLB_MASK;
const FLAGS_AND_OPCODE = DW0_FUSE | DW0_PSDT | 0xff;
const FUA = DW12_FUA;
const FLASH_SHIFT = FLASH_PAGE_SHIFT;

const HIGH_WORD = 0x1_0000_0000;
/** By opcode: whether there is such a command. */
const KNOWN: readonly boolean[] = knownOpcodes(NvmOpcode);

/** The parts of the controller that I/O commands act on. */
export interface IoParts {
  readonly slots: CommandSlots;
  readonly pointer: DataPointer;
  /** By namespace id; null where none is attached. */
  readonly namespaces: readonly (Namespace | null)[];
  readonly timing: CommandTiming;
  readonly smart: SmartCounters;
  readonly blocks: BlockCommands;
  readonly compareCopy: CompareCopy;
  readonly limits: IoLimits;
}

interface IoLimits {
  readonly transferBytesMax: number;
  readonly verifyBytesMax: number;
  /** False: DMA is checked, but no bytes move. */
  readonly moveBytes: boolean;
  readonly writeUncorrectable: boolean;
}

export class IoCommands {
  /** Page size of the host (CC.MPS), set at enable. */
  pageBytes = 4096;
  /** Whether writes may stay in the buffer (feature 06h); otherwise each is acknowledged from the media. */
  writeCache = true;
  /** The host has asked for no I/O command set: no command is known. */
  adminOnly = false;
  /** Plain PRPs into host memory: nothing of the controller's own memory is open. */
  plain = true;
  bus: BusMaster;
  private readonly slots: CommandSlots;
  private readonly pointer: DataPointer;
  private readonly prp: PrpWalk;
  private readonly namespaces: readonly (Namespace | null)[];
  private readonly timing: CommandTiming;
  private readonly smart: SmartCounters;
  private readonly transferBytesMax: number;
  private readonly moveBytes: boolean;

  constructor(private readonly parts: IoParts) {
    this.slots = parts.slots;
    this.pointer = parts.pointer;
    this.prp = parts.pointer.prp;
    this.bus = parts.pointer.bus;
    this.namespaces = parts.namespaces;
    this.timing = parts.timing;
    this.smart = parts.smart;
    this.transferBytesMax = parts.limits.transferBytesMax;
    this.moveBytes = parts.limits.moveBytes;
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
      if (namespace !== null && !this.adminOnly) {
        const { blockShift } = namespace;
        const bytes = blocks << blockShift;
        if (bytes <= this.transferBytesMax && firstBlock(words, at) + blocks <= namespace.blocks) {
          const low = words[at + 10];
          const shift = FLASH_SHIFT - blockShift;
          const page = (low >>> shift) | (words[at + 11] << (32 - shift));
          const offset = (low & ((1 << shift) - 1)) << blockShift;
          return this.timing.read(nowNs, page, offset, bytes, slot, nsid);
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
    const { blocks, compareCopy } = this.parts;
    if (opcode === FLUSH) return blocks.flush(words[at + 1] >>> 0);
    const namespace = this.namespaces[words[at + 1]];
    if (namespace === null) return NvmeStatus.invalidField; // Detached while the command was inside.
    switch (opcode) {
      case NvmOpcode.writeZeroes:
        return blocks.writeZeroes(namespace, words, at);
      case NvmOpcode.datasetManagement:
        return blocks.datasetManagement(namespace, words, at);
      case NvmOpcode.verify:
        return blocks.verify(namespace, words, at);
      case NvmOpcode.writeUncorrectable:
        return blocks.writeUncorrectable(namespace, words, at);
      case NvmOpcode.compare:
        return compareCopy.compare(namespace, words, at);
      default:
        return compareCopy.copy(namespace, words, at);
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
      return this.timing.admin();
    }
    if (opcode === FLUSH) return this.timing.flush(nowNs, slot);
    if (opcode === NvmOpcode.writeZeroes || opcode === NvmOpcode.datasetManagement) return this.timing.trim();
    if (opcode === NvmOpcode.writeUncorrectable) return this.timing.trim();
    const namespace = this.namespaces[words[at + 1]] as Namespace;
    const { id, blockShift } = namespace;
    const isCopy = opcode === NvmOpcode.copy;
    const bytes = ((words[at + 12] & (isCopy ? 0xff : NLB_MASK)) + 1) << blockShift;
    const low = words[at + 10];
    const shift = FLASH_SHIFT - blockShift;
    const page = (low >>> shift) | (words[at + 11] << (32 - shift));
    const offset = (low & ((1 << shift) - 1)) << blockShift;
    const isWrite = opcode === WRITE || isCopy;
    if (!isWrite) return this.timing.read(nowNs, page, offset, bytes, slot, id);
    const durable = !this.writeCache || (!isCopy && (words[at + 12] & FUA) !== 0);
    return this.timing.write(nowNs, page, offset, bytes, durable, slot, id);
  }

  private check(words: Int32Array, at: number, opcode: number): number {
    const nsid = words[at + 1] >>> 0;
    if (nsid === 0 || (nsid > NSID_MAX && nsid !== NSID_ALL)) return NvmeStatus.invalidNamespace;
    if (this.adminOnly) return NvmeStatus.invalidOpcode;
    if (opcode === FLUSH) {
      return nsid === NSID_ALL || this.namespaces[nsid] !== null ? SUCCESS : NvmeStatus.invalidField;
    }
    const namespace = nsid === NSID_ALL ? null : this.namespaces[nsid];
    if (namespace === null) return NvmeStatus.invalidField;
    if (!this.knows(opcode)) return NvmeStatus.invalidOpcode;
    if ((words[at] & FLAGS_FUSED) !== 0) return NvmeStatus.invalidFuse;
    if (opcode === NvmOpcode.datasetManagement || opcode === NvmOpcode.copy) return SUCCESS;
    const blocks = (words[at + 12] & NLB_MASK) + 1;
    const bytes = blocks << namespace.blockShift;
    const { limits } = this.parts;
    const isTransfer = opcode === READ || opcode === WRITE || opcode === NvmOpcode.compare;
    if (isTransfer && bytes > limits.transferBytesMax) return NvmeStatus.invalidField;
    if (opcode === NvmOpcode.verify && bytes > limits.verifyBytesMax) return NvmeStatus.invalidField;
    return firstBlock(words, at) + blocks > namespace.blocks ? NvmeStatus.lbaOutOfRange : SUCCESS;
  }

  private knows(opcode: number): boolean {
    if (opcode === NvmOpcode.writeUncorrectable) return this.parts.limits.writeUncorrectable;
    return KNOWN[opcode];
  }

  private readOrWrite(words: Int32Array, at: number, read: boolean): number {
    const namespace = this.namespaces[words[at + 1]];
    if (namespace === null) return NvmeStatus.invalidField; // Detached while the command was inside.
    const blocks = (words[at + 12] & NLB_MASK) + 1;
    const bytes = blocks << namespace.blockShift;
    let status = SUCCESS as number;
    let segments: Segments = this.prp;
    if ((words[at] & FLAGS_SGL) === 0 && this.plain) {
      status = this.prp.walk(this.bus, words, at + 6, bytes, this.pageBytes);
    } else {
      status = this.pointer.find(words, at, bytes);
      ({ segments } = this.pointer);
    }
    if (status !== SUCCESS) return status | DNR;
    if (!namespace.isSound) {
      status = this.mediaStatus(namespace, firstBlock(words, at), blocks, read);
      if (status !== SUCCESS) return status;
    }
    status = this.moveBytes
      ? this.move(namespace, firstBlock(words, at) * namespace.blockBytes, read, segments)
      : this.checkSegments(read, segments);
    if (status === SUCCESS) this.count(read, bytes);
    if (!read && this.moveBytes) namespace.allocate(firstBlock(words, at), blocks);
    return status;
  }

  private mediaStatus(namespace: Namespace, first: number, blocks: number, read: boolean): number {
    return read ? namespace.statusOfRead(first, blocks) : namespace.statusOfWrite(first, blocks);
  }

  /** Would the data move: every segment is translated. */
  private checkSegments(read: boolean, segments: Segments): number {
    for (let i = 0; i < segments.count; i++) {
      if (this.bus.dmaCheck(segments.address[i], segments.length[i], read) !== 0) return NvmeStatus.dataTransferError;
    }
    return SUCCESS;
  }

  /** Moves the data of every segment, from byte `start` of the namespace on or to there. */
  private move(namespace: Namespace, start: number, read: boolean, segments: Segments): number {
    let position = start;
    for (let i = 0; i < segments.count; i++) {
      const n = segments.length[i];
      const status = read
        ? this.toHost(namespace, position, segments.address[i], n)
        : this.fromHost(namespace, position, segments.address[i], n);
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
}

function firstBlock(words: Int32Array, at: number): number {
  return (words[at + 11] >>> 0) * HIGH_WORD + (words[at + 10] >>> 0);
}
