/**
 * The library of my-device: records of a fixed size on the disk, each with the number of its version, in two places by turns. Of a
 * record that was being written when the power went, the version before it is still there.
 *
 * A disk needs no library of its own: a program may open, read and write `/dev/my-device0` as any disk. All calls answer 0 or more,
 * or -errno; they may sleep.
 */
import type { Task, UserProgram } from '@pincushion/driver';
import { EINVAL, ENODATA } from '@pincushion/driver';

/** What a record takes on the disk: a header of 8 bytes and the content. */
const RECORD_BYTES = 4096;
export const CONTENT_BYTES = RECORD_BYTES - 8;
const MAGIC = 0x52454331;

export class RecordDisk {
  private constructor(
    private readonly program: UserProgram,
    private readonly fd: number,
    /** A page of the program that is read and written through. */
    private readonly buffer: number,
  ) {}

  /** Opens the disk; `buffer` is the address of a page of the program. An object, or -errno. */
  static *open(program: UserProgram, buffer: number, path = '/dev/my-device0'): Task<RecordDisk | number> {
    const fd = yield* program.open(path);
    return fd < 0 ? fd : new RecordDisk(program, fd, buffer);
  }

  /** Writes the next version of record `n`, and makes it durable: its version. */
  *put(n: number, content: Uint8Array): Task<number> {
    if (content.length > CONTENT_BYTES) return -EINVAL;
    const before = yield* this.version(n);
    if (before < 0) return before;
    const bytes = new Uint8Array(RECORD_BYTES);
    const view = new DataView(bytes.buffer);
    view.setUint32(0, MAGIC, true);
    view.setUint32(4, before + 1, true);
    bytes.set(content, 8);
    const stored = this.program.write(this.buffer, bytes);
    let r = typeof stored === 'number' ? stored : yield* stored;
    if (r >= 0) r = yield* this.program.pwrite(this.fd, this.buffer, RECORD_BYTES, placeOf(n, before + 1));
    if (r >= 0) r = yield* this.program.fsync(this.fd);
    return r < 0 ? r : before + 1;
  }

  /** The newest version of record `n`, or -ENODATA when it was never written. */
  *get(n: number): Task<Uint8Array | number> {
    const version = yield* this.version(n);
    if (version <= 0) return version === 0 ? -ENODATA : version;
    const bytes = yield* this.load(placeOf(n, version));
    return typeof bytes === 'number' ? bytes : bytes.subarray(8);
  }

  close(): Task<number> {
    return this.program.close(this.fd);
  }

  /** The newest version there is, 0 for none. */
  private *version(n: number): Task<number> {
    let newest = 0;
    for (let copy = 0; copy < 2; copy++) {
      const bytes = yield* this.load(placeOf(n, copy));
      if (typeof bytes === 'number') return bytes;
      const view = new DataView(bytes.buffer);
      if (view.getUint32(0, true) === MAGIC) newest = Math.max(newest, view.getUint32(4, true));
    }
    return newest;
  }

  private *load(position: number): Task<Uint8Array | number> {
    const read = yield* this.program.pread(this.fd, this.buffer, RECORD_BYTES, position);
    if (read < 0) return read;
    const bytes = new Uint8Array(RECORD_BYTES);
    const loaded = this.program.read(this.buffer, bytes);
    const r = typeof loaded === 'number' ? loaded : yield* loaded;
    return r < 0 ? r : bytes;
  }
}

function placeOf(n: number, version: number): number {
  return (2 * n + (version & 1)) * RECORD_BYTES;
}
