/**
 * Scatter gather lists: the other way in which a command says where its data lies in host memory.
 *
 *   descriptor, 16 bytes    | address (64) | length (32) | reserved | type (4) · sub type (4) |
 *
 *   in the command          one data block, or a pointer to the first segment
 *   segment                 | data | data | … | pointer to the next segment |
 *   last segment            | data | data | … | data |
 *
 * Which status a malformed list gets:
 *
 *   0Dh   a pointer's length is no multiple of 16 or 0; the end of a segment is not what its kind asks for
 *   0Eh   a pointer before the end of a segment; more descriptors than the controller takes
 *   0Fh   the data blocks are more or fewer bytes than the command moves; a range that wraps around the address space
 *   11h   a kind of descriptor, or a sub type, that is not supported: bit bucket, keyed, transport, vendor
 *   04h   a segment cannot be read
 *
 * Data blocks have no alignment. All segments are read before any data moves.
 * Source: NVM Express Base Specification 1.4, section 4.4.
 */
import { NvmeStatus } from '../../spec/status';
import type { BusMaster, Segments } from './bus-master';

const TYPE_DATA = 0;
const TYPE_SEGMENT = 2;
const TYPE_LAST_SEGMENT = 3;
const DESCRIPTOR_BYTES = 16;
const HIGH_WORD = 0x1_0000_0000;
const ADDRESS_END = HIGH_WORD * HIGH_WORD;
/** Descriptors of one command, pointers included: also the end of a list that goes in circles. */
const DESCRIPTORS_MAX = 16_384;
/** Descriptors read at a time. */
const CHUNK = 256;

export class SglWalk implements Segments {
  count = 0;
  address = new Float64Array(CHUNK);
  length = new Int32Array(CHUNK);
  private left = 0;
  private seen = 0;
  private readonly chunk = new Uint8Array(CHUNK * DESCRIPTOR_BYTES);
  private readonly words = new Int32Array(this.chunk.buffer);

  /** Finds the segments of `bytes` bytes; the command's descriptor stands at `words[at … at + 3]`. */
  walk(bus: BusMaster, words: Int32Array, at: number, bytes: number): number {
    this.count = 0;
    this.left = bytes;
    this.seen = 0;
    const type = typeOf(words, at);
    if (type === TYPE_DATA) {
      const status = this.data(words, at);
      return status === NvmeStatus.success ? this.end() : status;
    }
    return this.pointer(bus, words, at);
  }

  /** Follows pointers, from the one in the command on. */
  private pointer(bus: BusMaster, words: Int32Array, at: number): number {
    let type = typeOf(words, at);
    let address = addressOf(words, at);
    let bytes = words[at + 2] >>> 0;
    if (isUnknown(words, at)) return NvmeStatus.invalidSglType;
    for (;;) {
      if (bytes === 0 || bytes % DESCRIPTOR_BYTES !== 0) return NvmeStatus.invalidSglSegment;
      if (address + bytes > ADDRESS_END) return NvmeStatus.invalidSglLength;
      if (this.seen + bytes / DESCRIPTOR_BYTES > DESCRIPTORS_MAX) return NvmeStatus.invalidSglCount;
      const status = this.segment(bus, address, bytes, type === TYPE_LAST_SEGMENT);
      if (status !== NvmeStatus.success) return status;
      if (type === TYPE_LAST_SEGMENT) return this.end();
      // The last descriptor read is the pointer to go on with.
      const last = ((bytes / DESCRIPTOR_BYTES - 1) % CHUNK) * 4;
      type = typeOf(this.words, last);
      address = addressOf(this.words, last);
      bytes = this.words[last + 2] >>> 0;
    }
  }

  /** Takes the data blocks of one segment. Its last descriptor must be a pointer, unless it is the last segment. */
  private segment(bus: BusMaster, address: number, bytes: number, isLast: boolean): number {
    const descriptors = bytes / DESCRIPTOR_BYTES;
    for (let from = 0; from < descriptors; from += CHUNK) {
      const n = Math.min(CHUNK, descriptors - from);
      const error = bus.dmaRead(address + from * DESCRIPTOR_BYTES, this.chunk, 0, n * DESCRIPTOR_BYTES);
      if (error !== 0) return NvmeStatus.dataTransferError;
      for (let i = 0; i < n; i++) {
        this.seen++;
        const isEnd = from + i === descriptors - 1;
        const status = isEnd && !isLast ? this.mustPoint(4 * i) : this.block(4 * i, isEnd);
        if (status !== NvmeStatus.success) return status;
      }
    }
    return NvmeStatus.success;
  }

  private mustPoint(at: number): number {
    if (isUnknown(this.words, at)) return NvmeStatus.invalidSglType;
    return typeOf(this.words, at) === TYPE_DATA ? NvmeStatus.invalidSglSegment : NvmeStatus.success;
  }

  private block(at: number, isEnd: boolean): number {
    if (isUnknown(this.words, at)) return NvmeStatus.invalidSglType;
    if (typeOf(this.words, at) !== TYPE_DATA) {
      return isEnd ? NvmeStatus.invalidSglSegment : NvmeStatus.invalidSglCount;
    }
    return this.data(this.words, at);
  }

  private data(words: Int32Array, at: number): number {
    if (isUnknown(words, at)) return NvmeStatus.invalidSglType;
    const bytes = words[at + 2] >>> 0;
    if (bytes === 0) return NvmeStatus.success;
    const address = addressOf(words, at);
    if (bytes > this.left || address + bytes > ADDRESS_END) return NvmeStatus.invalidSglLength;
    if (this.count === this.length.length) this.grow();
    this.address[this.count] = address;
    this.length[this.count++] = bytes;
    this.left -= bytes;
    return NvmeStatus.success;
  }

  private end(): number {
    return this.left === 0 ? NvmeStatus.success : NvmeStatus.invalidSglLength;
  }

  private grow(): void {
    const { address, length } = this;
    this.address = new Float64Array(2 * address.length);
    this.address.set(address);
    this.length = new Int32Array(2 * length.length);
    this.length.set(length);
  }
}

function typeOf(words: Int32Array, at: number): number {
  return words[at + 3] >>> 28;
}

/** Data blocks and segments, and each with the sub type "address". */
function isUnknown(words: Int32Array, at: number): boolean {
  const type = typeOf(words, at);
  const isKnown = type === TYPE_DATA || type === TYPE_SEGMENT || type === TYPE_LAST_SEGMENT;
  return !isKnown || ((words[at + 3] >>> 24) & 15) !== 0;
}

function addressOf(words: Int32Array, at: number): number {
  return (words[at + 1] >>> 0) * HIGH_WORD + (words[at] >>> 0);
}
