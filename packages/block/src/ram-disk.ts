/**
 * A disk in memory: every bio is done, and has ended, when `submitBio` returns.
 *
 * For a file system without hardware below it, whose bios all take the block layer's way and whose callers never wait.
 * Content takes room as it is written.
 * Left out: the content is memory of the host, not frames of the machine (a RAM disk's pages are never reclaimed).
 * Source: Linux 6.18 drivers/block/brd.c (brd_submit_bio, brd_rw_bvec, brd_do_discard).
 */
import { FRAME_MASK, PAGE_SIZE } from '@pincushion/mm';
import type { Memory } from '@pincushion/mm';
import { BioOp } from './bio';
import type { Bio } from './bio';
import { Disk } from './disk';
import { bioEndIo } from './end';
import { BlkStatus } from './status';

const SECTOR_BYTES = 512;
const MAX_BYTES = 1 << 20;
/** Of the host it takes only the pages that are touched. */
const CHUNK_BYTES = 64 << 10;

export class RamDisk extends Disk {
  /** The parts that were written. */
  private readonly chunks: (Uint8Array | undefined)[] = [];

  /** `memory` is that of the machine whose frames are read and written; `bytes` whole sectors. */
  constructor(
    private readonly memory: Memory,
    bytes: number,
    name = 'ram0',
  ) {
    super(name, bytes / SECTOR_BYTES, {
      logicalBlockBytes: SECTOR_BYTES,
      maxBytes: MAX_BYTES,
      maxPages: MAX_BYTES / PAGE_SIZE + 1,
      virtBoundaryBytes: 0,
      maxWriteZeroesBytes: 0,
      volatileCache: false,
    });
  }

  override queueBio(bio: Bio): undefined {
    const at = bio.sector * SECTOR_BYTES;
    if (bio.op === BioOp.read || bio.op === BioOp.write) this.move(bio, at);
    else if (bio.op === BioOp.discard) this.discard(at, at + bio.bytes);
    bioEndIo(bio, BlkStatus.ok);
    return undefined;
  }

  /** `brd_rw_bvec`, piece by piece. */
  private move(bio: Bio, from: number): void {
    const isWrite = bio.op === BioOp.write;
    const pieces = bio.vectored ? bio.pieces : null;
    let at = from;
    for (let i = 0, left = bio.bytes; left > 0; i++) {
      const pfn = bio.pages[i] & FRAME_MASK;
      const offset = pieces !== null ? pieces[2 * i] : i === 0 ? bio.firstOffset : 0;
      const length = pieces !== null ? pieces[2 * i + 1] : Math.min(PAGE_SIZE - offset, left);
      if (isWrite) this.store(pfn, offset, length, at);
      else this.load(pfn, offset, length, at);
      at += length;
      left -= length;
    }
  }

  private store(pfn: number, offset: number, length: number, at: number): void {
    for (let done = 0; done < length;) {
      const start = (at + done) % CHUNK_BYTES;
      const n = Math.min(length - done, CHUNK_BYTES - start);
      const index = Math.floor((at + done) / CHUNK_BYTES);
      const chunk = (this.chunks[index] ??= new Uint8Array(CHUNK_BYTES));
      this.memory.bytes.read(pfn, offset + done, chunk, start, n);
      done += n;
    }
  }

  private load(pfn: number, offset: number, length: number, at: number): void {
    for (let done = 0; done < length;) {
      const start = (at + done) % CHUNK_BYTES;
      const n = Math.min(length - done, CHUNK_BYTES - start);
      const chunk = this.chunks[Math.floor((at + done) / CHUNK_BYTES)];
      if (chunk === undefined) this.memory.bytes.fill(pfn, offset + done, 0, n);
      else this.memory.bytes.write(pfn, offset + done, chunk, start, n);
      done += n;
    }
  }

  /** What is discarded reads as zeros. */
  private discard(from: number, end: number): void {
    for (let at = from; at < end;) {
      const start = at % CHUNK_BYTES;
      const n = Math.min(end - at, CHUNK_BYTES - start);
      this.chunks[Math.floor(at / CHUNK_BYTES)]?.fill(0, start, start + n);
      at += n;
    }
  }
}
