/**
 * The bios of direct I/O on a file: user pages on their way to or from the disk, and zeros beside them.
 *
 * Source followed: fs/iomap/direct-io.c `iomap_dio_bio_iter`, `iomap_dio_zero`, `iomap_dio_bio_end_io` (6.18).
 */
import {
  BioOp,
  BioPool,
  REQ_SYNC,
  bioAddUserPages,
  bioAddZeroPage,
  bioCheckPagesDirty,
  bioPutPages,
  bioSetPagesDirty,
  submitBio,
} from '@pincushion/block';
import type { Bio, Disk } from '@pincushion/block';
import { FOLL_PCI_P2PDMA, PAGE_SIZE, settled } from '@pincushion/mm';
import type { Memory, Mm } from '@pincushion/mm';
import type { MaySleep } from '@pincushion/sim';
import type { DirectRequest } from './direct-io-request';

/** BIO_MAX_VECS. */
const BIO_MAX_PAGES = 256;
const SECTOR_BYTES = 512;

/** Bytes of new blocks that are not written, before a range and behind it: they become zeros. */
export interface Padding {
  readonly before: number;
  readonly after: number;
}

export const NO_PADDING: Padding = { before: 0, after: 0 };

export class DirectBios {
  /** What surely fits one bio, bytes. */
  readonly oneBioBytes: number;
  private readonly pool: BioPool;
  private readonly ownerId: number;
  private readonly blockBytes: number;
  /** FOLL_PCI_P2PDMA when the disk takes memory of other devices, else 0 (B-02). */
  private readonly peerFlag: number;

  /** @param owner name of the pins' owner in the ledger @param ended called for each bio that was sent, as `endIo` */
  constructor(
    private readonly memory: Memory,
    private readonly mm: Mm,
    private readonly disk: Disk,
    owner: string,
    private readonly ended: (bio: Bio) => undefined,
  ) {
    this.pool = new BioPool(memory, Math.min(disk.limits.maxPages, BIO_MAX_PAGES));
    this.ownerId = memory.ledger.owner(owner);
    this.blockBytes = disk.limits.logicalBlockBytes;
    this.peerFlag = disk.limits.pciP2pdma === true && memory.pciFrames > 0 ? FOLL_PCI_P2PDMA : 0;
    this.oneBioBytes = Math.min(disk.limits.maxBytes, (this.pool.maxPages - 1) * PAGE_SIZE);
  }

  /** A bio for a part of a request; the caller owes `send`, or `giveUp`. */
  alloc({ isWrite }: DirectRequest): Bio {
    const bio = this.pool.alloc();
    bio.op = isWrite ? BioOp.write : BioOp.read;
    return bio;
  }

  /** Holds pages of the user buffer for the bio: bytes, fewer than asked when it is full or the buffer ends; or -errno. */
  addPages(bio: Bio, address: number, bytes: number): MaySleep {
    const { memory, mm, blockBytes, ownerId, peerFlag } = this;
    return bioAddUserPages(bio, memory, mm, address, bytes, blockBytes, ownerId, peerFlag);
  }

  /** The bio goes back unsent, with its pages. Any context. */
  giveUp(bio: Bio): void {
    bioPutPages(bio, this.memory);
    this.pool.free(bio);
  }

  /** The bio, with its pages, is a part of the request from now on. */
  send(request: DirectRequest, bio: Bio, sector: number): void {
    request.size += bio.bytes;
    if (!request.isWrite) bioSetPagesDirty(bio, this.memory);
    this.submit(request, bio, sector);
  }

  /**
   * Bios for a range that lies in a row on the disk; `padding` around it becomes zeros. 0, or the errno of a page of the
   * buffer that is not there.
   */
  *submitRange(request: DirectRequest, address: number, length: number, sector: number, { before, after }: Padding) {
    if (before > 0) this.zero(request, sector - before / SECTOR_BYTES, before);
    let done = 0;
    while (done < length) {
      const bio = this.alloc(request);
      const added = yield* settled(
        this.addPages(bio, address + done, Math.min(length - done, this.disk.limits.maxBytes)),
      );
      if (added < 0) {
        this.giveUp(bio);
        return added;
      }
      this.send(request, bio, sector + done / SECTOR_BYTES);
      done += added;
    }
    if (after > 0) this.zero(request, sector + length / SECTOR_BYTES, after);
    return 0;
  }

  /** What `endIo` does with a bio: its pages go back, dirty if the disk wrote to them. Any context. */
  release(bio: Bio): void {
    if (bio.op === BioOp.read) {
      bioCheckPagesDirty(bio, this.memory);
      return;
    }
    bioPutPages(bio, this.memory);
    this.pool.free(bio);
  }

  /** Zeros for the part of a new block that is not written: from the zero page, which nobody holds (O-03, O-04). */
  private zero(request: DirectRequest, sector: number, bytes: number): void {
    const bio = this.pool.alloc();
    bio.op = BioOp.write;
    bioAddZeroPage(bio, bytes);
    this.submit(request, bio, sector);
  }

  private submit(request: DirectRequest, bio: Bio, sector: number): void {
    if (bio.op === BioOp.write) bio.flags = REQ_SYNC;
    bio.sector = sector;
    bio.cpu = request.cpu;
    bio.privateData = request.index;
    bio.endIo = this.ended;
    request.references++;
    submitBio(this.disk, bio);
  }
}
