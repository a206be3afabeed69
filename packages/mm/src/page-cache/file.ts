/**
 * What a process opens and maps: the face that files of all kinds show to the rest of the kernel, and the mapping operations
 * of files that live in the page cache (`generic_file_vm_ops`).
 *
 * Who implements it: shared memory (shmem.ts), huge-page files (hugetlb.ts), file systems with a store (package fs).
 * Left out: modes of opening, file positions, leases and locks.
 * Source followed: include/linux/fs.h `struct file`, mm/filemap.c (6.18).
 */
import { EFAULT } from '@pincushion/sim';
import type { MaySleep } from '@pincushion/sim';
import type { AddressSpace } from './address-space';
import { eagerly, settled } from '../eager-task';
import { VM_FAULT_RETRY } from '../faults/fault-flags';
import { PG_locked, PG_readahead, PG_uptodate } from '../frames/frames';
import { findFolio, folioWaitBit } from './page-cache';
import { asyncReadahead, mmapReadAround } from './readahead';
import type { Mm } from '../process/mm';
import type { Vma, VmaBacking } from '../process/vma';

/** Modes of fallocate(2). */
export const FALLOC_FL_KEEP_SIZE = 0x01;
export const FALLOC_FL_PUNCH_HOLE = 0x02;
export const FALLOC_FL_COLLAPSE_RANGE = 0x08;
export const FALLOC_FL_ZERO_RANGE = 0x10;
export const FALLOC_FL_INSERT_RANGE = 0x20;

/** An open file. Positions, lengths and ends of ranges are bytes; results are 0, a count, or -errno. Task context. */
export interface MappableFile {
  readonly name: string;
  readonly mapping: AddressSpace;
  /** For `Mm.mmap`: one object for all mappings of the file. */
  readonly backing: VmaBacking;
  /** `i_size`. */
  readonly size: number;
  /** Copies up to `n` bytes from `position` on to `into[at…]`; fewer at the end of the file, 0 behind it. */
  read(position: number, into: Uint8Array, at: number, n: number): MaySleep;
  /** Writes `n` bytes of `from[at…]`, past the end too. Fewer when space or memory end; the error when it is none. */
  write(position: number, from: Uint8Array, at: number, n: number): MaySleep;
  /** ftruncate(2): pages behind the end are taken away from mappings and caches, pinned ones too. */
  truncate(size: number): MaySleep;
  /** FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE. -EOPNOTSUPP where the kind of file cannot. */
  punchHole(start: number, length: number): MaySleep;
  /** fallocate(2), `mode`: FALLOC_FL_*. Where it is missing only holes can be punched. */
  fallocate?(mode: number, start: number, length: number): MaySleep;
  /** Writes at the end of the file, wherever that is when it is this writer's turn (O_APPEND). Results as `write`. */
  append?(from: Uint8Array, at: number, n: number): MaySleep;
  /** fdatasync(2); as `fsync` where it is missing. */
  fdatasync?(): MaySleep;
  /** Writes what is dirty in [start, end), by default in all of the file, and waits. What a store cannot keep it ignores. */
  fsync(start?: number, end?: number): MaySleep;
  /** sync_file_range(2), writing and waiting. Like `fsync` without the store's own cache. */
  syncFileRange(start?: number, end?: number): MaySleep;
  /** POSIX_FADV_DONTNEED: begins to write what is dirty, and drops what nobody uses. */
  fadviseDontneed(start?: number, end?: number): MaySleep;
  /** Direct I/O of a process on it (O_DIRECT); null, or absent: the file cannot. `owner`: of what it holds, in the ledger. */
  direct?(mm: Mm, owner: string): DirectTransfers | null;
  /** The last use of an unlinked file frees its content. Mappings are uses. */
  close(): undefined;
}

/** Transfers between user memory and a file without the page cache. Bytes, or -errno. Task context, may sleep. */
export interface DirectTransfers {
  read(address: number, bytes: number, position: number): MaySleep;
  write(address: number, bytes: number, position: number): MaySleep;
}

/** Counts the uses of something that ends with the last: `get` before `put`. */
export interface FileUses {
  get(): undefined;
  put(): undefined;
}

/** `vm_operations_struct` of a file in the page cache; whether mappings need dirty tracking follows from its operations. */
export class FileBacking implements VmaBacking {
  readonly mapsAround = true;
  readonly tracksDirty: boolean;
  readonly pageMkwrite?: (vma: Vma, head: number) => MaySleep;

  constructor(
    readonly file: MappableFile,
    readonly mapping: AddressSpace,
    private readonly uses: FileUses,
  ) {
    const { ops, memory } = mapping;
    this.tracksDirty = mapping.canWriteback || ops.pageMkwrite !== undefined;
    if (ops.pageMkwrite === undefined) return;
    this.pageMkwrite = (_vma, head) => ops.pageMkwrite?.(mapping, head, memory.frames.index[head] >>> 0) ?? 0;
  }

  get name(): string {
    return this.file.name;
  }

  fault(_vma: Vma, pageIndex: number): MaySleep {
    return filemapFault(this.mapping, pageIndex);
  }

  punchHole(start: number, length: number): MaySleep {
    return this.file.punchHole(start, length);
  }

  fsync(start: number, end: number): MaySleep {
    return this.file.fsync(start, end);
  }

  open(): undefined {
    this.uses.get();
    return undefined;
  }

  close(): undefined {
    this.uses.put();
    return undefined;
  }
}

/**
 * The folio of page `pageIndex`, or VM_FAULT_RETRY after it was read in. -EFAULT (SIGBUS) behind the end, -ENOMEM, or what
 * the store says. Task context, may sleep. `filemap_fault`.
 */
export function filemapFault(mapping: AddressSpace, pageIndex: number): MaySleep {
  const { flags } = mapping.memory.frames;
  if (pageIndex >= mapping.pageCount) return -EFAULT;
  const head = findFolio(mapping, pageIndex);
  if (head !== 0 && (flags[head] & (PG_uptodate | PG_readahead | PG_locked)) === PG_uptodate) return head;
  const isMarked =
    head !== 0 && (flags[head] & (PG_uptodate | PG_readahead | PG_locked)) === (PG_uptodate | PG_readahead);
  const ready = bringIn(mapping, head, pageIndex);
  if (typeof ready !== 'number') return eagerly(mapping.memory.world, 'a page of a file', retryAfter(ready));
  if (ready < 0) return ready;
  // The next window is on its way and not there yet: the fault goes on with its page alone.
  return isMarked ? head : VM_FAULT_RETRY;
}

function bringIn(mapping: AddressSpace, head: number, pageIndex: number): MaySleep {
  const { flags } = mapping.memory.frames;
  if (head === 0 || (flags[head] & PG_uptodate) === 0) return mmapReadAround(mapping, pageIndex);
  if ((flags[head] & PG_locked) !== 0) return folioWaitBit(mapping, head, PG_locked);
  return asyncReadahead(mapping, head, pageIndex, mapping.readahead.pages);
}

function* retryAfter(pending: MaySleep) {
  const ready = yield* settled(pending);
  return ready < 0 ? ready : VM_FAULT_RETRY;
}
