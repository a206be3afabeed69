/**
 * Commands on blocks whose data does not move: Flush, Write Zeroes, Dataset Management, Verify, Write Uncorrectable.
 *
 *   Write Zeroes          reads as zeroes; with DEAC deallocated, otherwise written
 *   Dataset Management    with the attribute "deallocate": the ranges are deallocated; all else is a hint. A range beyond the end is
 *                         passed over
 *   Verify                fails as a read would
 *   Write Uncorrectable   reads fail until the block is written
 *
 * Source: NVM Express Base Specification 1.4, sections 6.7, 6.8, 6.16, 6.14 and 6.17.
 */
import {
  BROADCAST_NSID,
  DSM_DEALLOCATE,
  DSM_RANGES_MAX,
  DSM_RANGE_BYTES,
  DW12_DEAC,
  DW12_NLB_MASK,
} from '../../spec/opcodes';
import { NvmeStatus } from '../../spec/status';
import type { CommandTiming } from '../timing/command-timing';
import type { DataPointer } from '../data/data-pointer';
import type { Namespace } from '../media/namespace';

const HIGH_WORD = 0x1_0000_0000;

export class BlockCommands {
  private readonly rangeBytes = new Uint8Array(DSM_RANGES_MAX * DSM_RANGE_BYTES);
  private readonly rangeWords = new Int32Array(this.rangeBytes.buffer);

  constructor(
    private readonly pointer: DataPointer,
    private readonly namespaces: readonly (Namespace | null)[],
    private readonly timing: CommandTiming,
    /** False: content is not kept. */
    private readonly moveBytes: boolean,
  ) {}

  flush(nsid: number): number {
    for (const namespace of this.namespaces) {
      if (namespace === null || (nsid !== BROADCAST_NSID && namespace.id !== nsid)) continue;
      if (!namespace.flush()) return NvmeStatus.writeFault;
    }
    return NvmeStatus.success;
  }

  writeZeroes(namespace: Namespace, words: Int32Array, at: number): number {
    if (!this.moveBytes) return NvmeStatus.success;
    const first = firstBlock(words, at);
    const blocks = (words[at + 12] & DW12_NLB_MASK) + 1;
    if (!this.zero(namespace, first, blocks)) return NvmeStatus.writeFault;
    if ((words[at + 12] & DW12_DEAC) !== 0) namespace.deallocate(first, blocks);
    else namespace.allocate(first, blocks);
    return NvmeStatus.success;
  }

  datasetManagement(namespace: Namespace, words: Int32Array, at: number): number {
    if ((words[at + 11] & DSM_DEALLOCATE) === 0) return NvmeStatus.success;
    const { rangeWords } = this;
    const ranges = (words[at + 10] & 0xff) + 1;
    const status = this.pointer.read(words, at, this.rangeBytes, ranges * DSM_RANGE_BYTES);
    if (status !== NvmeStatus.success || !this.moveBytes) return status;
    for (let i = 0; i < ranges; i++) {
      const blocks = rangeWords[4 * i + 1] >>> 0;
      const first = (rangeWords[4 * i + 3] >>> 0) * HIGH_WORD + (rangeWords[4 * i + 2] >>> 0);
      if (first + blocks > namespace.blocks) continue;
      if (!this.zero(namespace, first, blocks)) return NvmeStatus.writeFault;
      namespace.deallocate(first, blocks);
    }
    return NvmeStatus.success;
  }

  verify(namespace: Namespace, words: Int32Array, at: number): number {
    return namespace.statusOfRead(firstBlock(words, at), (words[at + 12] & DW12_NLB_MASK) + 1);
  }

  writeUncorrectable(namespace: Namespace, words: Int32Array, at: number): number {
    namespace.makeUncorrectable(firstBlock(words, at), (words[at + 12] & DW12_NLB_MASK) + 1);
    return NvmeStatus.success;
  }

  private zero(namespace: Namespace, first: number, blocks: number): boolean {
    const start = first * namespace.blockBytes;
    const bytes = blocks * namespace.blockBytes;
    this.timing.deallocate(namespace.id, start, bytes);
    return namespace.zero(start, bytes);
  }
}

function firstBlock(words: Int32Array, at: number): number {
  return (words[at + 11] >>> 0) * HIGH_WORD + (words[at + 10] >>> 0);
}
