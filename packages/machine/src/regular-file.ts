/**
 * An open regular file: what its file system offers, on the memory of the calling process.
 *
 * Reads and writes go through the page cache, in pieces: user memory is faulted in and copied as the kernel's
 * `copy_from_user` does, so a buffer that ends too early gives a short count and no error.
 * With O_DIRECT they go past it, from and to the caller's pages.
 * Left out: file positions (calls name theirs), locks.
 * Source followed: fs/read_write.c `vfs_read`, `vfs_write`, fs/open.c `do_truncate`, `vfs_fallocate` (6.18).
 */
import { FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE } from '@pincushion/mm';
import type { DirectTransfers, MappableFile, Mm } from '@pincushion/mm';
import type { MaySleep, Task } from '@pincushion/sim';
import { EFBIG, EINVAL, ENOTTY, EOPNOTSUPP } from '@pincushion/sim';
import type { Caller, OpenFile } from './open-file';

/** What is copied at a time. */
const PIECE_BYTES = 64 * 1024;

export class RegularFile implements OpenFile {
  /** Of each process that has the file. */
  private readonly direct = new WeakMap<Mm, DirectTransfers>();

  constructor(
    readonly path: string,
    private readonly file: MappableFile,
    private readonly isDirect = false,
    private readonly appends = false,
  ) {}

  /** Null: through the page cache. */
  private directFor({ mm, name }: Caller): DirectTransfers | null {
    if (!this.isDirect) return null;
    const known = this.direct.get(mm) ?? this.file.direct?.(mm, name) ?? null;
    if (known !== null) this.direct.set(mm, known);
    return known;
  }

  *read(caller: Caller, address: number, bytes: number, position: number): Task<number> {
    if (!isRange(position, bytes)) return -EINVAL;
    const direct = this.directFor(caller);
    if (direct !== null) return yield* settled(direct.read(address, bytes, position));
    const { mm } = caller;
    const piece = new Uint8Array(Math.min(bytes, PIECE_BYTES));
    let done = 0;
    while (done < bytes) {
      const got = yield* settled(this.file.read(position + done, piece, 0, Math.min(bytes - done, PIECE_BYTES)));
      if (got <= 0) return done > 0 ? done : got;
      const copied = yield* settled(mm.write(address + done, piece, 0, got));
      if (copied < 0) return done > 0 ? done : copied;
      done += copied;
      if (copied < got) return done;
    }
    return done;
  }

  *write(caller: Caller, address: number, bytes: number, position: number): Task<number> {
    if (!isRange(position, bytes)) return -EINVAL;
    const direct = this.directFor(caller);
    if (direct !== null) return yield* settled(direct.write(address, bytes, this.appends ? this.file.size : position));
    const { mm } = caller;
    const piece = new Uint8Array(Math.min(bytes, PIECE_BYTES));
    let done = 0;
    while (done < bytes) {
      const got = yield* settled(mm.read(address + done, piece, 0, Math.min(bytes - done, PIECE_BYTES)));
      if (got < 0) return done > 0 ? done : got;
      const written = yield* settled(this.put(position + done, piece, got));
      if (written < 0) return done > 0 ? done : written;
      done += written;
      if (written < got || got < Math.min(bytes - (done - written), PIECE_BYTES)) return done;
    }
    return done;
  }

  /** With O_APPEND the position does not count. */
  private put(position: number, piece: Uint8Array, n: number): MaySleep {
    if (!this.appends) return this.file.write(position, piece, 0, n);
    return this.file.append?.(piece, 0, n) ?? this.file.write(this.file.size, piece, 0, n);
  }

  *sync(_caller: Caller, dataOnly = false): Task<number> {
    return yield* settled(dataOnly ? (this.file.fdatasync?.() ?? this.file.fsync()) : this.file.fsync());
  }

  *truncate(size: number): Task<number> {
    if (!Number.isSafeInteger(size)) return -EFBIG;
    return yield* settled(this.file.truncate(size));
  }

  *fallocate(mode: number, start: number, length: number): Task<number> {
    if (this.file.fallocate !== undefined) return yield* settled(this.file.fallocate(mode, start, length));
    if (mode !== (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)) return -EOPNOTSUPP;
    return yield* settled(this.file.punchHole(start, length));
  }

  *ioctl(): Task<number> {
    return -ENOTTY;
  }

  mmap({ mm }: Caller, length: number, prot: number, flags: number, pageOffset: number): MaySleep {
    return mm.mmap(length, prot, flags, 0, this.file.backing, pageOffset);
  }

  *close(): Task<number> {
    this.file.close();
    return 0;
  }
}

function isRange(position: number, bytes: number): boolean {
  return position >= 0 && bytes >= 0 && Number.isSafeInteger(position + bytes);
}

function* settled(result: MaySleep): Task<number> {
  return typeof result === 'number' ? result : yield* result;
}
