/**
 * Files of huge pages: what MAP_HUGETLB maps, and what memfd_create(MFD_HUGETLB) opens (hugetlbfs).
 *
 * Content lives in huge pages of the pool and nowhere else. The page cache holds 2^order references of each page, as for
 * any large folio (fact 29), and has one entry for it, at its first index.
 * Left out: write() (hugetlbfs has none), fallocate without a hole, mount options, quotas.
 * Source followed: fs/hugetlbfs/inode.c (6.18).
 */
import { EINVAL, ENOMEM } from '@pincushion/sim';
import type { MaySleep } from '@pincushion/sim';
import { AddressSpace } from '../page-cache/address-space';
import type { MappableFile } from '../page-cache/file';
import { PG_dirty, PG_uptodate } from '../frames/frames';
import { unmapHugetlbRange } from './hugetlb';
import type { HugetlbPool } from './hugetlb-pool';
import { HugetlbArea, HugetlbReservations } from './hugetlb-reserve';
import type { Memory } from '../memory';
import { PAGE_SIZE } from '../frames/page-size';
import { VM_DONTEXPAND, VM_HUGETLB, VM_NORESERVE, VM_WRITE } from '../process/vma-flags';
import type { Vma, VmaBacking } from '../process/vma';

export class HugetlbFile implements MappableFile {
  readonly backing: VmaBacking;
  readonly mapping: AddressSpace;
  readonly reservations: HugetlbReservations;
  /** Areas that map it, and whoever has it open. */
  private uses = 0;

  /** `bytes` is a multiple of the size of a huge page. `isOpen`: somebody will `close` it. */
  constructor(
    private readonly memory: Memory,
    readonly name: string,
    bytes: number,
    readonly pool: HugetlbPool,
    isOpen: boolean,
  ) {
    const ops = { readFolio: () => -EINVAL };
    this.mapping = new AddressSpace(memory, name, { size: bytes }, ops, false);
    this.reservations = new HugetlbReservations(pool);
    this.backing = new HugetlbBacking(this);
    if (isOpen) this.uses = 1;
  }

  /** Bytes; a multiple of the size of a huge page. */
  get size(): number {
    return this.mapping.host.size;
  }

  /** Bytes of one huge page. */
  get pageBytes(): number {
    return this.pool.pageBytes;
  }

  /** Pages of 4 KiB in a huge page. */
  get pagesPerHuge(): number {
    return 1 << this.pool.order;
  }

  /** `i_size_write` of a mapping that may write: the file reaches at least so far. */
  extendTo(bytes: number): void {
    if (bytes > this.size) this.mapping.host.size = bytes;
  }

  /** A mapping or somebody else uses the file. */
  use(): void {
    this.uses++;
  }

  /** One use less; with the last the content is gone. `hugetlbfs_evict_inode`. */
  close(): undefined {
    if (--this.uses === 0) this.reservations.unreserve(0, Infinity, this.remove(0, Infinity).length);
    return undefined;
  }

  // ---- page cache ------------------------------------------------------------------------------------------------------

  /** The head of a huge page in the cache; 0 when it has none. `filemap_lock_hugetlb_folio`. */
  find(huge: number): number {
    return this.mapping.pages.get(huge * this.pagesPerHuge) ?? 0;
  }

  /** Puts a new page into the cache, which takes 2^order references. `hugetlb_add_to_page_cache`. */
  add(huge: number, head: number): void {
    const { frames } = this.memory;
    const index = huge * this.pagesPerHuge;
    this.mapping.pages.set(index, head);
    frames.mapping[head] = this.mapping.id;
    frames.index[head] = index | 0;
    frames.flags[head] |= PG_dirty; // Nobody else may think that the content is anywhere else.
    frames.get(head, this.pagesPerHuge);
    this.pool.used(head);
  }

  /** Takes the huge pages [first, end) out of the cache, pinned or not. Returns which there were. `remove_inode_hugepages`. */
  private remove(first: number, end: number): number[] {
    const { frames } = this.memory;
    const gone: number[] = [];
    for (const [index, head] of [...this.mapping.pages]) {
      const huge = index / this.pagesPerHuge;
      if (huge < first || huge >= end) continue;
      this.mapping.pages.delete(index);
      frames.flags[head] &= ~(PG_dirty | PG_uptodate);
      frames.mapping[head] = 0;
      frames.put(head, this.pagesPerHuge);
      gone.push(huge);
    }
    return gone;
  }

  /** Unmaps the huge pages [first, end) everywhere, private copies included. `hugetlb_vmdelete_list`. */
  private unmapAll(first: number, end: number, dropMarkers: boolean): void {
    const pages = this.pagesPerHuge;
    for (const vma of [...this.mapping.vmas]) {
      if (vma.mm === null) continue;
      const from = Math.max(vma.start, vma.start + (first * pages - vma.pageOffset) * PAGE_SIZE);
      const to = Math.min(vma.end, vma.start + (end * pages - vma.pageOffset) * PAGE_SIZE);
      if (from < to) unmapHugetlbRange(vma.mm, vma, from, to, dropMarkers);
    }
  }

  // ---- the file itself -------------------------------------------------------------------------------------------------

  /** `hugetlbfs_read_iter`; holes read as zeros. */
  read(position: number, into: Uint8Array, at = 0, n = into.length - at): MaySleep {
    const end = Math.min(position + n, this.size);
    let from = position;
    while (from < end) {
      const huge = Math.floor(from / this.pageBytes);
      const head = this.find(huge);
      const offset = from % PAGE_SIZE;
      const bytes = Math.min(end - from, PAGE_SIZE - offset);
      const to = at + (from - position);
      if (head === 0) into.fill(0, to, to + bytes);
      else this.memory.bytes.read(head + Math.floor((from % this.pageBytes) / PAGE_SIZE), offset, into, to, bytes);
      from += bytes;
    }
    return Math.max(0, end - position);
  }

  /** hugetlbfs has no write(): -EINVAL. */
  write(): MaySleep {
    return -EINVAL;
  }

  /** `hugetlbfs_setattr`: 0, or -EINVAL for a size that is not made of whole huge pages. */
  truncate(size: number): MaySleep {
    if (size < 0 || size % this.pageBytes !== 0) return -EINVAL;
    const isShorter = size < this.size;
    this.mapping.host.size = size;
    if (!isShorter) return 0;
    const first = size / this.pageBytes;
    this.unmapAll(first, Infinity, true);
    this.reservations.unreserve(first, Infinity, this.remove(first, Infinity).length);
    return 0;
  }

  /** `hugetlbfs_punch_hole`: whole huge pages go, parts of pages become zeros. 0 or -EINVAL. */
  punchHole(start: number, length: number): MaySleep {
    if (start < 0 || length <= 0) return -EINVAL;
    const end = start + length;
    const first = Math.ceil(start / this.pageBytes);
    const last = Math.floor(end / this.pageBytes);
    if (start < first * this.pageBytes) this.zeroPart(start, Math.min(first * this.pageBytes, end));
    if (first < last) {
      this.unmapAll(first, last, false);
      for (const huge of this.remove(first, last)) this.reservations.unreserve(huge, huge + 1, 1);
    }
    if (end > last * this.pageBytes && end > first * this.pageBytes) this.zeroPart(last * this.pageBytes, end);
    return 0;
  }

  /** Zeroes [start, end), which lies in one huge page. `hugetlbfs_zero_partial_page`. */
  private zeroPart(start: number, end: number): void {
    const head = this.find(Math.floor(start / this.pageBytes));
    if (head === 0) return;
    for (let at = start; at < end;) {
      const offset = at % PAGE_SIZE;
      const bytes = Math.min(end - at, PAGE_SIZE - offset);
      const page = head + Math.floor((at % this.pageBytes) / PAGE_SIZE);
      if (bytes === PAGE_SIZE) this.memory.bytes.zero(page);
      else this.memory.bytes.fill(page, offset, 0, bytes);
      at += bytes;
    }
  }

  /** Nothing is behind the memory that could be written. 0. */
  fsync(): MaySleep {
    return 0;
  }

  syncFileRange(): MaySleep {
    return 0;
  }

  /** POSIX_FADV_DONTNEED has no effect on memory without a store. 0. */
  fadviseDontneed(): MaySleep {
    return 0;
  }
}

/** The mapping operations of a file of huge pages (`hugetlb_vm_ops`). */
class HugetlbBacking implements VmaBacking {
  readonly vmFlags = VM_HUGETLB | VM_DONTEXPAND;

  constructor(readonly hugetlb: HugetlbFile) {}

  get name(): string {
    return this.hugetlb.name;
  }

  get mapping(): AddressSpace {
    return this.hugetlb.mapping;
  }

  get pageBytes(): number {
    return this.hugetlb.pageBytes;
  }

  /** `hugetlbfs_file_mmap`: reserves what the area may need. 0, -EINVAL or -ENOMEM. */
  mmap(vma: Vma): number {
    const file = this.hugetlb;
    if (vma.pageOffset % file.pagesPerHuge !== 0) return -EINVAL;
    const { first, count } = hugePagesOf(file, vma);
    if ((vma.flags & VM_NORESERVE) === 0) {
      const error = file.reservations.reserve(vma, first, count);
      if (error !== 0) return error;
    }
    if ((vma.flags & VM_WRITE) !== 0) file.extendTo((first + count) * file.pageBytes);
    return 0;
  }

  /** A fault in such an area never gets here: `hugetlbFault`. */
  fault(): MaySleep {
    return -EINVAL;
  }

  open(vma: Vma): undefined {
    vma.hugetlb ??= new HugetlbArea(null);
    this.hugetlb.use();
    return undefined;
  }

  close(vma: Vma): undefined {
    const { first, count } = hugePagesOf(this.hugetlb, vma);
    this.hugetlb.reservations.release(vma, first, count);
    this.hugetlb.close();
    return undefined;
  }

  punchHole(start: number, length: number): MaySleep {
    return this.hugetlb.punchHole(start, length);
  }

  fsync(): MaySleep {
    return this.hugetlb.fsync();
  }
}

/** The part of the file that an area shows, in huge pages. */
function hugePagesOf(file: HugetlbFile, vma: Vma): { first: number; count: number } {
  return { first: vma.pageOffset / file.pagesPerHuge, count: (vma.end - vma.start) / file.pageBytes };
}

/**
 * A file of huge pages of 2^order frames, open until `close`: memfd_create(MFD_HUGETLB). `bytes` is a multiple of the page.
 * -EINVAL when the machine does not know the size of page, or `bytes` does not fit it.
 */
export function newHugetlbFile(memory: Memory, name: string, bytes: number, order: number): HugetlbFile | number {
  const pool = memory.hugetlb.get(order);
  if (pool === undefined || bytes % pool.pageBytes !== 0) return -EINVAL;
  return new HugetlbFile(memory, name, bytes, pool, true);
}

/**
 * What MAP_ANONYMOUS | MAP_HUGETLB maps: a file of its own that lives as long as its mappings; `bytes` is rounded up. -EINVAL
 * for a size of page that the machine does not know. `hugetlb_file_setup`.
 */
export function hugetlbFileSetup(memory: Memory, bytes: number, order: number): HugetlbFile | number {
  const pool = memory.hugetlb.get(order);
  if (pool === undefined) return -EINVAL;
  if (pool.pagesTotal === 0) return -ENOMEM;
  return new HugetlbFile(
    memory,
    'anonymous huge pages',
    Math.ceil(bytes / pool.pageBytes) * pool.pageBytes,
    pool,
    false,
  );
}
