/**
 * Compare and Copy.
 *
 *   Compare   the data in host memory with the blocks: 2/85h when a byte differs
 *   Copy      source ranges in host memory, one after the other, to one destination; each is read whole before it is written
 *
 * What Copy refuses, from first to last: format 1 (1/0Ah) and others (0/02h); too many ranges (1/83h); the list cannot be read; a range of
 * more than MSSRL blocks, all of more than MCL (1/83h); a source or the destination beyond the end (0/80h). Only then it moves anything.
 * Source: NVM Express Base Specification 1.4, section 6.6, and the technical proposal for Copy (TP 4065).
 */
import { COPY_RANGES_MAX, COPY_RANGE_BYTES, DW12_NLB_MASK } from '../../spec/opcodes';
import { NvmeStatus } from '../../spec/status';
import type { DataPointer } from '../data/data-pointer';
import { SmartCount } from './health';
import type { SmartCounters } from './health';
import type { Namespace } from '../media/namespace';

const HIGH_WORD = 0x1_0000_0000;
const FORMATS = 2;

export class CompareCopy {
  private data = new Uint8Array(0);
  private readonly list = new Uint8Array(COPY_RANGES_MAX * COPY_RANGE_BYTES);
  private readonly listView = new DataView(this.list.buffer);

  constructor(
    private readonly pointer: DataPointer,
    private readonly smart: SmartCounters,
    /** False: there is no content to compare. */
    private readonly moveBytes: boolean,
  ) {}

  compare(namespace: Namespace, words: Int32Array, at: number): number {
    const first = firstBlock(words, at);
    const blocks = (words[at + 12] & DW12_NLB_MASK) + 1;
    const bytes = blocks * namespace.blockBytes;
    this.reserve(bytes);
    const status = this.pointer.read(words, at, this.data, bytes);
    if (status !== NvmeStatus.success) return status;
    const media = namespace.statusOfRead(first, blocks);
    if (media !== NvmeStatus.success || !this.moveBytes) return media;
    this.countRead(bytes);
    return this.equal(namespace, first * namespace.blockBytes, bytes);
  }

  copy(namespace: Namespace, words: Int32Array, at: number): number {
    const { limits } = namespace;
    const ranges = (words[at + 12] & 0xff) + 1;
    const format = (words[at + 12] >>> 8) & 15;
    if (format >= FORMATS) return NvmeStatus.invalidField;
    if (ranges > limits.copyRangesMax) return NvmeStatus.sizeLimitExceeded;
    if (format !== 0) return NvmeStatus.invalidFormat;
    const read = this.pointer.read(words, at, this.list, ranges * COPY_RANGE_BYTES);
    if (read !== NvmeStatus.success) return read;
    const checked = this.checkRanges(namespace, ranges, firstBlock(words, at));
    if (checked !== NvmeStatus.success) return checked;
    let to = firstBlock(words, at);
    for (let i = 0; i < ranges; i++) {
      const blocks = this.blocksOf(i);
      const status = this.move(namespace, this.sourceOf(i), to, blocks);
      if (status !== NvmeStatus.success) return status;
      to += blocks;
    }
    return NvmeStatus.success;
  }

  private checkRanges(namespace: Namespace, ranges: number, to: number): number {
    const { limits } = namespace;
    let all = 0;
    for (let i = 0; i < ranges; i++) {
      if (this.blocksOf(i) > limits.copyRangeBlocksMax) return NvmeStatus.sizeLimitExceeded;
      all += this.blocksOf(i);
    }
    if (all > limits.copyBlocksMax) return NvmeStatus.sizeLimitExceeded;
    for (let i = 0; i < ranges; i++) {
      if (this.sourceOf(i) + this.blocksOf(i) > namespace.blocks) return NvmeStatus.lbaOutOfRange;
    }
    return to + all > namespace.blocks ? NvmeStatus.lbaOutOfRange : NvmeStatus.success;
  }

  private move(namespace: Namespace, from: number, to: number, blocks: number): number {
    const readable = namespace.statusOfRead(from, blocks);
    if (readable !== NvmeStatus.success) return readable;
    const writable = namespace.statusOfWrite(to, blocks);
    if (writable !== NvmeStatus.success) return writable;
    const { blockBytes } = namespace;
    const bytes = blocks * blockBytes;
    if (this.moveBytes) {
      this.reserve(bytes);
      if (!this.load(namespace, from * blockBytes, bytes)) return NvmeStatus.unrecoveredRead;
      if (!this.store(namespace, to * blockBytes, bytes)) return NvmeStatus.writeFault;
      namespace.allocate(to, blocks);
    }
    this.countRead(bytes);
    this.smart[SmartCount.writeCommands]++;
    this.smart[SmartCount.bytesWritten] += bytes;
    return NvmeStatus.success;
  }

  private equal(namespace: Namespace, position: number, bytes: number): number {
    for (let done = 0; done < bytes;) {
      const count = namespace.seekRead(position + done, bytes - done);
      if (count < 0) return NvmeStatus.unrecoveredRead;
      const { buffer, at } = namespace;
      for (let i = 0; i < count; i++) {
        const here = buffer === null ? 0 : buffer[at + i];
        if (here !== this.data[done + i]) return NvmeStatus.compareFailure;
      }
      done += count;
    }
    return NvmeStatus.success;
  }

  private load(namespace: Namespace, position: number, bytes: number): boolean {
    for (let done = 0; done < bytes;) {
      const count = namespace.seekRead(position + done, bytes - done);
      if (count < 0) return false;
      const { buffer, at } = namespace;
      if (buffer === null) this.data.fill(0, done, done + count);
      else this.data.set(buffer.subarray(at, at + count), done);
      done += count;
    }
    return true;
  }

  private store(namespace: Namespace, position: number, bytes: number): boolean {
    for (let done = 0; done < bytes;) {
      const count = namespace.seekWrite(position + done, bytes - done);
      if (count < 0 || namespace.buffer === null) return false;
      namespace.buffer.set(this.data.subarray(done, done + count), namespace.at);
      if (!namespace.commit(position + done, count)) return false;
      done += count;
    }
    return true;
  }

  private countRead(bytes: number): void {
    this.smart[SmartCount.readCommands]++;
    this.smart[SmartCount.bytesRead] += bytes;
  }

  private reserve(bytes: number): void {
    if (this.data.length < bytes) this.data = new Uint8Array(bytes);
  }

  private sourceOf(range: number): number {
    const at = range * COPY_RANGE_BYTES;
    return this.listView.getUint32(at + 12, true) * HIGH_WORD + this.listView.getUint32(at + 8, true);
  }

  private blocksOf(range: number): number {
    return this.listView.getUint16(range * COPY_RANGE_BYTES + 16, true) + 1;
  }
}

function firstBlock(words: Int32Array, at: number): number {
  return (words[at + 11] >>> 0) * HIGH_WORD + (words[at + 10] >>> 0);
}
