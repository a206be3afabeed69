/**
 * Physical Region Pages: how a command says where its data lies in host memory.
 *
 *   data spans one page    PRP1 [offset]
 *   data spans two pages   PRP1 [offset], PRP2 = the second page
 *   more                   PRP1 [offset], PRP2 = pointer to a list
 *
 *   list    | page | page | ... | page        |   may begin at any qword of a memory page
 *   chained | page | page | ... | next list --+-> the last slot of a memory page, when more pages remain
 *
 * Only PRP1 may have an offset; every other entry, and the pointer to a further list, is page aligned, else status 13h.
 * All entries are read before any data moves, so a bad list transfers nothing.
 * Bits 1:0 of PRP1 are not checked (a controller need not): the data then begins at that byte. A list pointer that is not qword
 * aligned is answered with 13h, where other controllers read across entries.
 * Source: NVM Express Base Specification 1.4, section 4.3.
 */
import { NvmeStatus } from '../../spec/status';
import type { BusMaster, Segments } from './bus-master';

/** Imported bindings are getters once compiled; the hot function reads a constant of the module. */
const SUCCESS = NvmeStatus.success;
const HIGH_WORD = 0x1_0000_0000;
/** DMA of dwords stays within one page of the bus, whatever page size the host chose. */
const BUS_PAGE = 4096;

export class PrpWalk implements Segments {
  /** How many segments the last walk found. */
  count = 0;
  /** Bus address of each segment. */
  readonly address: Float64Array;
  /** Bytes of each segment. */
  readonly length: Int32Array;
  private readonly list: Int32Array;

  /** @param segmentsMax the most segments a command can have: its largest transfer in 4 KiB pages, and one. */
  constructor(segmentsMax: number) {
    this.address = new Float64Array(segmentsMax);
    this.length = new Int32Array(segmentsMax);
    this.list = new Int32Array(2 * (segmentsMax + 1));
  }

  /**
   * Finds the segments of `bytes` (at least 1) bytes. The pointer words stand at `words[at … at + 3]`.
   * @returns success, invalid PRP offset, or data transfer error when a list cannot be read.
   */
  walk(bus: BusMaster, words: Int32Array, at: number, bytes: number, pageBytes: number): number {
    const low = words[at];
    const first = pageBytes - (low & (pageBytes - 1));
    this.address[0] = (words[at + 1] >>> 0) * HIGH_WORD + (low >>> 0);
    this.count = 1;
    if (bytes <= first) {
      this.length[0] = bytes;
      return SUCCESS;
    }
    this.length[0] = first;
    return this.walkOn(bus, words, at, bytes - first, pageBytes);
  }

  /** The `left` bytes behind the first page. */
  private walkOn(bus: BusMaster, words: Int32Array, at: number, left: number, pageBytes: number): number {
    const mask = pageBytes - 1;
    const low2 = words[at + 2];
    const address2 = (words[at + 3] >>> 0) * HIGH_WORD + (low2 >>> 0);
    if (left <= pageBytes) {
      if ((low2 & mask) !== 0) return NvmeStatus.invalidPrpOffset;
      this.address[1] = address2;
      this.length[1] = left;
      this.count = 2;
      return SUCCESS;
    }
    return this.walkLists(bus, address2, low2 & mask, left, pageBytes);
  }

  private walkLists(bus: BusMaster, listAddress: number, listOffset: number, bytes: number, pageBytes: number): number {
    if ((listOffset & 7) !== 0) return NvmeStatus.invalidPrpOffset;
    const mask = pageBytes - 1;
    const { list } = this;
    let left = bytes;
    let pages = Math.ceil(left / pageBytes);
    let address = listAddress;
    let slots = (pageBytes - listOffset) >>> 3;
    for (;;) {
      const chained = pages > slots;
      const entries = chained ? slots : pages;
      if (!this.readList(bus, address, entries)) return NvmeStatus.dataTransferError;
      const data = chained ? entries - 1 : entries;
      for (let i = 0; i < data; i++) {
        if ((list[2 * i] & mask) !== 0) return NvmeStatus.invalidPrpOffset;
        const n = left < pageBytes ? left : pageBytes;
        this.address[this.count] = (list[2 * i + 1] >>> 0) * HIGH_WORD + (list[2 * i] >>> 0);
        this.length[this.count++] = n;
        left -= n;
      }
      if (!chained) return SUCCESS;
      if ((list[2 * data] & mask) !== 0) return NvmeStatus.invalidPrpOffset;
      address = (list[2 * data + 1] >>> 0) * HIGH_WORD + (list[2 * data] >>> 0);
      pages -= data;
      slots = pageBytes >>> 3;
    }
  }

  private readList(bus: BusMaster, address: number, entries: number): boolean {
    let from = address;
    let at = 0;
    let left = 2 * entries;
    while (left > 0) {
      const room = (BUS_PAGE - (from % BUS_PAGE)) >>> 2;
      const n = left < room ? left : room;
      if (bus.dmaReadWords(from, this.list, at, n) !== 0) return false;
      from += 4 * n;
      at += n;
      left -= n;
    }
    return true;
  }
}
