/**
 * Swap on a disk of the machine: the slots of the area are its pages from the second on (the first is the header).
 *
 * Reads and writes are bios over pages of the kernel; who waits for one sleeps until the disk has ended it, so a fault on a
 * page in swap takes as long as the disk does, and reclaim waits for what it writes (`PG_writeback`).
 * Left out: several pages in one bio, discarding freed slots, the header, taking the area out of use.
 * Source followed: mm/page_io.c `swap_writeout`, `swap_read_folio`, mm/swapfile.c `swapon` (6.18).
 */
import type { Disk } from '@pincushion/block';
import { BioOp, BioPool, bioAddPage, submitBioWait } from '@pincushion/block';
import type { Memory, SwapStore } from '@pincushion/mm';
import { PAGE_SIZE } from '@pincushion/mm';
import type { Task } from '@pincushion/sim';
import { EIO } from '@pincushion/sim';

const SECTOR_BYTES = 512;
const SECTORS_PER_PAGE = PAGE_SIZE / SECTOR_BYTES;

export class DiskSwapStore implements SwapStore {
  readonly name: string;
  readonly synchronous = false;
  /** Pages that it has room for, the header left aside. */
  readonly slots: number;
  private readonly pool: BioPool;

  /** On the first `bytes` of the disk, or all of it. */
  constructor(
    memory: Memory,
    private readonly disk: Disk,
    bytes = Infinity,
  ) {
    this.name = `swap on ${disk.name}`;
    this.slots = Math.floor(Math.min(bytes, disk.capacitySectors * SECTOR_BYTES) / PAGE_SIZE) - 1;
    this.pool = new BioPool(memory, 1);
  }

  write(slot: number, pfn: number): Task<number> {
    return this.transfer(BioOp.write, slot, pfn);
  }

  read(slot: number, pfn: number): Task<number> {
    return this.transfer(BioOp.read, slot, pfn);
  }

  private *transfer(op: BioOp, slot: number, pfn: number): Task<number> {
    if (this.disk.gone) return -EIO;
    const bio = this.pool.alloc();
    bio.op = op;
    bio.sector = slot * SECTORS_PER_PAGE;
    bioAddPage(bio, pfn, PAGE_SIZE, 0);
    const result = yield* submitBioWait(this.disk, bio);
    this.pool.free(bio);
    return result;
  }
}
