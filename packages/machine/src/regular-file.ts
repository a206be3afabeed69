/**
 * An open regular file: what its file system offers, on the memory of the calling process.
 *
 * Reads and writes go through the page cache, in pieces: user memory is faulted in and copied as the kernel's
 * `copy_from_user` does, so a buffer that ends too early gives a short count and no error.
 * Left out: file positions (calls name theirs), direct I/O on files, locks.
 * Source followed: fs/read_write.c `vfs_read`, `vfs_write`, fs/open.c `do_truncate`, `vfs_fallocate` (6.18).
 */
import type { MappableFile } from '@pincushion/mm';
import type { MaySleep, Task } from '@pincushion/sim';
import { EFBIG, EINVAL, ENOTTY } from '@pincushion/sim';
import type { Caller, OpenFile } from './open-file';

/** What is copied at a time. */
const PIECE_BYTES = 64 * 1024;

export class RegularFile implements OpenFile {
  constructor(
    readonly path: string,
    private readonly file: MappableFile,
  ) {}

  *read({ mm }: Caller, address: number, bytes: number, position: number): Task<number> {
    if (!isRange(position, bytes)) return -EINVAL;
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

  *write({ mm }: Caller, address: number, bytes: number, position: number): Task<number> {
    if (!isRange(position, bytes)) return -EINVAL;
    const piece = new Uint8Array(Math.min(bytes, PIECE_BYTES));
    let done = 0;
    while (done < bytes) {
      const got = yield* settled(mm.read(address + done, piece, 0, Math.min(bytes - done, PIECE_BYTES)));
      if (got < 0) return done > 0 ? done : got;
      const written = yield* settled(this.file.write(position + done, piece, 0, got));
      if (written < 0) return done > 0 ? done : written;
      done += written;
      if (written < got || got < Math.min(bytes - (done - written), PIECE_BYTES)) return done;
    }
    return done;
  }

  *sync(): Task<number> {
    return yield* settled(this.file.fsync());
  }

  *truncate(size: number): Task<number> {
    if (!Number.isSafeInteger(size)) return -EFBIG;
    return yield* settled(this.file.truncate(size));
  }

  *punchHole(start: number, length: number): Task<number> {
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
