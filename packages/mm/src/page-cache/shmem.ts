/**
 * Memory that has the shape of a file and no store: tmpfs, memfd, and shared anonymous memory. One mechanism, three names.
 *
 * Pages are made, zeroed, when somebody first touches or writes them; a read(2) of a hole makes none. They live in the page
 * cache until they are truncated or the last user of the file is gone, longer when pinned. Reclaim may put them into swap
 * (shmem-swap.ts). Nothing is ever written back, so nobody needs to know of the first write to a page: mappings are
 * writable at once, and long-term pins are allowed (V-06).
 * Left out: huge pages of tmpfs, size limits of a mount, fallocate without a hole, seals.
 * Source followed: mm/shmem.c `shmem_get_folio_gfp`, `shmem_undo_range`, `shmem_fallocate` (6.18).
 */
import { EINVAL, ENOMEM, sleeping } from '@pincushion/sim';
import type { MaySleep } from '@pincushion/sim';
import { AddressSpace } from './address-space';
import type { AddressSpaceOps } from './address-space';
import { eagerly, settled } from '../eager-task';
import { FileBacking } from './file';
import type { FileUses, MappableFile } from './file';
import { PG_swapbacked, PG_uptodate } from '../frames/frames';
import { genericFileWrite } from './generic-file';
import { addNewFolio, findFolio, folioMarkDirty } from './page-cache';
import type { Memory } from '../memory';
import { PAGE_SIZE } from '../frames/page-size';
import { shmemFreeSwap, shmemSwapinFolio } from './shmem-swap';
import { truncateFolios, truncatePartialFolio, unmapMappingRange } from './truncate';
import type { Vma, VmaBacking } from '../process/vma';
import { Gfp } from '../frames/zone';
import type { GfpFlags } from '../frames/zone';

/** A tmpfs or memfd file of `bytes` bytes, open: the caller owes a `close`. */
export function newShmemFile(memory: Memory, name: string, bytes: number): ShmemFile {
  const file = new ShmemFile(memory, name, bytes);
  file.get();
  return file;
}

/** What MAP_SHARED | MAP_ANONYMOUS maps: a file that lives as long as its mappings. `shmem_zero_setup`. */
export function shmemZeroSetup(memory: Memory, bytes: number): VmaBacking {
  return new ShmemFile(memory, 'shared anonymous memory', bytes).backing;
}

export class ShmemFile implements MappableFile, FileUses {
  readonly mapping: AddressSpace;
  readonly backing: VmaBacking;
  private uses = 0;

  /** Nobody uses it yet; see `newShmemFile`. */
  constructor(
    private readonly memory: Memory,
    readonly name: string,
    bytes: number,
  ) {
    this.mapping = new AddressSpace(memory, name, { size: bytes }, shmemOps, false);
    this.backing = new ShmemBacking(this, this.mapping, this);
  }

  get size(): number {
    return this.mapping.host.size;
  }

  /** `shmem_file_read_iter`: holes read as zeros and stay holes. */
  read(position: number, into: Uint8Array, at: number, n: number): MaySleep {
    this.memory.world.contexts.mightSleep('read');
    const length = Math.max(0, Math.min(n, this.size - position));
    let done = 0;
    while (done < length) {
      const index = Math.floor((position + done) / PAGE_SIZE);
      if (this.mapping.swapped.has(index)) {
        return sleeping(this.memory.world, 'read', () => this.readSwapped(position, into, at, length, done));
      }
      done += this.readPage(position + done, into, at + done, length - done);
    }
    return length;
  }

  /** The rest of a read that met a page in swap. */
  private *readSwapped(position: number, into: Uint8Array, at: number, length: number, start: number) {
    for (let done = start; done < length;) {
      const index = Math.floor((position + done) / PAGE_SIZE);
      if (this.mapping.swapped.has(index)) {
        const head = yield* settled(shmemSwapinFolio(this.mapping, index));
        if (head < 0) return done > 0 ? done : head;
      }
      done += this.readPage(position + done, into, at + done, length - done);
    }
    return length;
  }

  private readPage(position: number, into: Uint8Array, at: number, n: number): number {
    const offset = position % PAGE_SIZE;
    const length = Math.min(PAGE_SIZE - offset, n);
    const head = findFolio(this.mapping, Math.floor(position / PAGE_SIZE));
    if (head === 0) into.fill(0, at, at + length);
    else this.memory.bytes.read(head, offset, into, at, length);
    return length;
  }

  write(position: number, from: Uint8Array, at: number, n: number): MaySleep {
    return genericFileWrite(this.mapping, position, from, at, n);
  }

  /** `shmem_setattr`: private copies behind the new end go, too. */
  truncate(size: number): MaySleep {
    this.memory.world.contexts.mightSleep('truncate');
    if (!(size >= 0)) return -EINVAL;
    const isShorter = size < this.size;
    this.mapping.host.size = size;
    return isShorter ? eagerly(this.memory.world, 'truncate', this.shorten(size)) : 0;
  }

  private *shorten(size: number) {
    const end = Math.ceil(size / PAGE_SIZE);
    unmapMappingRange(this.mapping, end, Infinity, true);
    yield* this.undoRange(size, Infinity);
    unmapMappingRange(this.mapping, end, Infinity, true);
    return 0;
  }

  /** `shmem_fallocate`: private copies stay. */
  punchHole(start: number, length: number): MaySleep {
    this.memory.world.contexts.mightSleep('fallocate');
    if (!(start >= 0) || !(length > 0)) return -EINVAL;
    const end = start + length;
    const first = Math.ceil(start / PAGE_SIZE);
    const last = Math.floor(end / PAGE_SIZE);
    if (last > first) unmapMappingRange(this.mapping, first, last, false);
    return eagerly(this.memory.world, 'fallocate', this.undoRange(start, end));
  }

  /** Nothing is behind the memory that could be written (`noop_fsync`). */
  fsync(): MaySleep {
    return 0;
  }

  syncFileRange(): MaySleep {
    return 0;
  }

  /** Advice is ignored for files without a store (`generic_fadvise`). */
  fadviseDontneed(): MaySleep {
    return 0;
  }

  close(): undefined {
    this.put();
    return undefined;
  }

  /** One more use. */
  get(): undefined {
    this.uses++;
    return undefined;
  }

  /** `shmem_evict_inode` with the last use. */
  put(): undefined {
    if (--this.uses === 0) this.dropPages(0, Infinity);
    return undefined;
  }

  /** `shmem_undo_range`: whole pages of bytes [start, end) go, parts of pages become zeros. */
  private *undoRange(start: number, end: number) {
    const first = Math.ceil(start / PAGE_SIZE);
    const last = Math.floor(end / PAGE_SIZE);
    if (last < first) {
      yield* this.zeroPart(last, start % PAGE_SIZE, end % PAGE_SIZE);
    } else {
      if (start % PAGE_SIZE !== 0) yield* this.zeroPart(first - 1, start % PAGE_SIZE, PAGE_SIZE);
      if (end !== Infinity && end % PAGE_SIZE !== 0) yield* this.zeroPart(last, 0, end % PAGE_SIZE);
    }
    this.dropPages(first, last);
    return 0;
  }

  /** A part of a page in swap is zeroed after the page came back (`shmem_get_partial_folio`). */
  private *zeroPart(index: number, from: number, to: number) {
    if (this.mapping.swapped.has(index)) yield* settled(shmemSwapinFolio(this.mapping, index));
    if (truncatePartialFolio(this.mapping, index, from, to)) {
      folioMarkDirty(this.memory, findFolio(this.mapping, index));
    }
  }

  private dropPages(first: number, end: number): void {
    truncateFolios(this.mapping, first, end);
    shmemFreeSwap(this.mapping, first, end);
  }
}

/** `shmem_vm_ops`. */
class ShmemBacking extends FileBacking {
  /** `shmem_fault`: the page, made when there is none. -EINVAL (SIGBUS) behind the end, -ENOMEM. */
  override fault(_vma: Vma, pageIndex: number, _write = false, pinScope = false): MaySleep {
    if (pageIndex >= this.mapping.pageCount) return -EINVAL;
    return shmemGetFolio(this.mapping, pageIndex, pinScope ? Gfp.kernel : Gfp.movable);
  }
}

/** The page in the cache: found, brought back from swap, or new and zero. Its head, or -errno. `shmem_get_folio_gfp`. */
export function shmemGetFolio(mapping: AddressSpace, index: number, gfp: GfpFlags = Gfp.movable): MaySleep {
  const known = findFolio(mapping, index);
  if (known !== 0) return known;
  if (mapping.swapped.has(index)) return shmemSwapinFolio(mapping, index, gfp);
  const head = addNewFolio(mapping, index, gfp);
  if (head < 0) return -ENOMEM;
  mapping.memory.frames.flags[head] |= PG_swapbacked | PG_uptodate;
  return head;
}

/** `shmem_aops`. Dirty pages are only marked (`noop_dirty_folio`). */
const shmemOps: AddressSpaceOps = {
  readFolio: () => -EINVAL,
  writeBegin: (mapping, index) => shmemGetFolio(mapping, index),
};
