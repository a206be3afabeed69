/**
 * What a command's data pointer points to when it is not the data itself: lists of pages, segments of an SGL, ranges of a
 * discard.
 *
 *   PRP list       one qword for each page after the first      in the tag's part of the pool
 *   one range      16 bytes                                     there, too
 *   several        16 bytes each, up to 256                     in a page of its own, until the command has ended
 *   SGL segment    16 bytes for each run of bus addresses       likewise
 *
 * Source followed: `nvme_pci_setup_data_prp`, `nvme_pci_setup_data_sgl` (Linux 6.18, drivers/nvme/host/pci.c),
 * `nvme_setup_discard` (core.c).
 */
import type { Bio, CoherentBuffer, DmaMapper } from '@pincushion/driver';
import { BioOp, BlkStatus, DmaDirection, FRAME_MASK, ScatterList } from '@pincushion/driver';
import { DSM_RANGE_BYTES } from '../spec/opcodes';
import { mappingStatus } from './block-status';
import type { NamespaceDisk } from './namespace-disk';
import type { SharedMemory } from './queue-setup';

const PAGE = 4096;
/** Takes the high word of an address: a product is cheaper than a quotient, and exact for powers of two. */
const TO_HIGH_WORD = 1 / 0x1_0000_0000;
const RANGE_WORDS = DSM_RANGE_BYTES / 4;
const DESCRIPTOR_WORDS = 4;
const DESCRIPTOR_BYTES = 16;
/** Descriptors of an SGL that fit into its page. */
export const SGL_DESCRIPTORS_MAX = PAGE / DESCRIPTOR_BYTES;
/** Descriptor types, in the uppermost byte: a data block, the last segment of a list. */
export const SGL_DATA_BLOCK = 0;
const SGL_LAST_SEGMENT = 3 << 28;

export class DataLists {
  /** By tag. */
  private readonly pages: (CoherentBuffer | null)[] = [];
  /** The pieces of vectored bios; made when a tag first needs one, and kept. */
  private readonly scattered: (ScatterList | null)[] = [];

  constructor(
    /** The pool: `listBytes` for each tag. */
    private readonly pool: SharedMemory,
    /** A power of two, at most a page, so that no list crosses one. */
    private readonly listBytes: number,
    private readonly dma: DmaMapper,
  ) {}

  /** Bus address of a PRP list for the pages from `next` on, which hold `left` bytes. Any context. */
  prpList(tag: number, next: number, left: number): number {
    const list = this.pool.words;
    let page = next;
    let entry = (tag * this.listBytes) >>> 2;
    for (let done = 0; done < left; done += PAGE) {
      list[entry] = page | 0;
      list[entry + 1] = (page * TO_HIGH_WORD) | 0;
      entry += 2;
      page += PAGE;
    }
    return this.pool.iova + tag * this.listBytes;
  }

  /** Bus address of the ranges of a discard; 0 when there is no memory for them. Any context. */
  ranges(tag: number, bio: Bio): number {
    if (bio.first === null) {
      putRange(this.pool.words, (tag * this.listBytes) >>> 2, bio);
      return this.pool.iova + tag * this.listBytes;
    }
    const page = this.takePage(tag);
    if (page === null) return 0;
    let at = 0;
    for (let part: Bio | null = bio.first; part !== null; part = part.next) {
      putRange(page.words, at, part);
      at += RANGE_WORDS;
    }
    return page.iova;
  }

  /**
   * Maps the pieces of a bio with gaps, and writes the descriptor of their SGL to `words[at]`: the data itself when they are one
   * run of bus addresses after all, else a segment. A BlkStatus; unless it is `ok`, nothing is mapped. Any context.
   */
  putPieces(tag: number, bio: Bio, direction: number, words: Int32Array, at: number): number {
    const { pieces } = bio;
    const list = this.scatterList(tag, bio.pageCount);
    for (let i = 0; i < bio.pageCount && pieces !== null; i++) {
      list.add(bio.pages[i] & FRAME_MASK, pieces[2 * i], pieces[2 * i + 1]);
    }
    const segments = this.dma.mapSg(list, direction);
    if (segments < 0) {
      list.clear();
      return mappingStatus(segments);
    }
    if (segments === 1) {
      putDescriptor(words, at, list.dmaAddress(0), list.dmaLength(0), SGL_DATA_BLOCK);
      return BlkStatus.ok;
    }
    const page = this.takePage(tag);
    if (page === null) {
      this.release(tag, bio);
      return BlkStatus.resource;
    }
    for (let i = 0; i < segments; i++) {
      putDescriptor(page.words, i * DESCRIPTOR_WORDS, list.dmaAddress(i), list.dmaLength(i), SGL_DATA_BLOCK);
    }
    putDescriptor(words, at, page.iova, segments * DESCRIPTOR_BYTES, SGL_LAST_SEGMENT);
    return BlkStatus.ok;
  }

  /** A command without a mapping of one run has ended: unmaps its pieces, and gives its page back. Any context. */
  release(tag: number, bio: Bio): void {
    const list = this.scattered[tag] ?? null;
    if (list !== null && list.mappedCount !== 0) {
      this.dma.unmapSg(list, bio.op === BioOp.read ? DmaDirection.fromDevice : DmaDirection.toDevice);
      list.clear();
    }
    const page = this.pages[tag] ?? null;
    if (page === null) return;
    this.pages[tag] = null;
    page.release();
  }

  private scatterList(tag: number, pieces: number): ScatterList {
    const { scattered } = this;
    while (scattered.length <= tag) scattered.push(null);
    const old = scattered[tag];
    if (old !== null && old.capacity >= pieces) return old;
    const list = new ScatterList(pieces);
    scattered[tag] = list;
    return list;
  }

  private takePage(tag: number): CoherentBuffer | null {
    const page = this.dma.allocCoherent(PAGE);
    while (this.pages.length <= tag) this.pages.push(null);
    this.pages[tag] = page;
    return page;
  }
}

/** One SGL descriptor; `type` with its subtype in the uppermost byte. */
function putDescriptor(words: Int32Array, at: number, address: number, bytes: number, type: number): void {
  words[at] = address | 0;
  words[at + 1] = (address * TO_HIGH_WORD) | 0;
  words[at + 2] = bytes | 0;
  words[at + 3] = type;
}

/** One range of a discard; the disk's limits keep its length within 32 bits. */
function putRange(words: Int32Array, at: number, bio: Bio): void {
  const blockSectors = 1 << (bio.disk as NamespaceDisk).sectorShift;
  const first = bio.sector / blockSectors;
  words[at] = 0;
  words[at + 1] = (bio.bytes / (512 * blockSectors)) | 0;
  words[at + 2] = first | 0;
  words[at + 3] = (first * TO_HIGH_WORD) | 0;
}
