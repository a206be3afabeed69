/**
 * What a file descriptor stands for: an open of a disk, of a character device, or of a regular file (regular-file.ts).
 *
 * After a fork two processes have the same open file; calls work on the memory of the one that makes them. Only what a
 * driver keeps for an open (`CharFile.mm`, for its ioctls) stays that of the process that opened it.
 * Disks and devices are outlived: once they are gone, each call answers ENODEV and only `close` still works.
 * A disk is opened as with O_DIRECT: reads and writes pin the caller's pages and go to the device, without a cache.
 * Source followed: `blkdev_direct_IO` (`block/fops.c`), `chrdev_open` (`fs/char_dev.c`).
 */
import type { DirectIo, Disk } from '@pincushion/block';
import type { CharFile, CharNode } from '@pincushion/driver';
import type { Mm } from '@pincushion/mm';
import type { MaySleep, Task } from '@pincushion/sim';
import { EINVAL, ENODEV, ENOTTY, EOPNOTSUPP, PincushionError } from '@pincushion/sim';

/** The process that makes a call. */
export interface Caller {
  readonly mm: Mm;
  /** Its direct I/O on a disk. */
  ioOf(disk: Disk): DirectIo;
}

/** One open file. All in task context; all answer 0 or more, or -errno. */
export interface OpenFile {
  readonly path: string;
  read(caller: Caller, address: number, bytes: number, position: number): Task<number>;
  write(caller: Caller, address: number, bytes: number, position: number): Task<number>;
  sync(): Task<number>;
  truncate(size: number): Task<number>;
  punchHole(start: number, length: number): Task<number>;
  ioctl(command: number, arg: unknown): Task<number>;
  mmap(caller: Caller, length: number, prot: number, flags: number, pageOffset: number): MaySleep;
  close(): Task<number>;
}

export class DiskFile implements OpenFile {
  constructor(
    readonly path: string,
    private readonly disk: Disk,
    /** Of the process that opened it: to flush the cache of the disk needs nobody's memory. */
    private readonly io: DirectIo,
  ) {}

  *read(caller: Caller, address: number, bytes: number, position: number): Task<number> {
    if (this.disk.gone) return -ENODEV;
    return yield* caller.ioOf(this.disk).read(address, bytes, position / 512);
  }

  *write(caller: Caller, address: number, bytes: number, position: number): Task<number> {
    if (this.disk.gone) return -ENODEV;
    return yield* caller.ioOf(this.disk).write(address, bytes, position / 512);
  }

  *sync(): Task<number> {
    if (this.disk.gone) return -ENODEV;
    return yield* this.io.sync();
  }

  *truncate(): Task<number> {
    return -EINVAL;
  }

  *punchHole(): Task<number> {
    return this.disk.gone ? -ENODEV : -EOPNOTSUPP; // Deallocating blocks from a program is not modelled.
  }

  *ioctl(): Task<number> {
    return this.disk.gone ? -ENODEV : -ENOTTY;
  }

  mmap(): number {
    return -ENODEV; // Mapping a raw device needs the page cache.
  }

  *close(): Task<number> {
    return 0;
  }
}

export class CharDeviceFile implements OpenFile {
  constructor(
    readonly path: string,
    private readonly char: CharNode,
    private readonly file: CharFile,
  ) {}

  *read(): Task<number> {
    return this.char.gone ? -ENODEV : -EINVAL;
  }

  *write(): Task<number> {
    return this.char.gone ? -ENODEV : -EINVAL;
  }

  *sync(): Task<number> {
    return this.char.gone ? -ENODEV : -EINVAL;
  }

  *truncate(): Task<number> {
    return -EINVAL;
  }

  *punchHole(): Task<number> {
    return -ENODEV;
  }

  *ioctl(command: number, arg: unknown): Task<number> {
    if (this.char.gone) return -ENODEV;
    try {
      return yield* this.char.operations.ioctl(this.file, command, arg);
    } catch (error) {
      // The device went while the driver was at it, and what it acquired then was released again.
      if (error instanceof PincushionError && error.code === 'DEVICE_GONE') return -ENODEV;
      throw error;
    }
  }

  mmap(caller: Caller, length: number, prot: number, flags: number, pageOffset: number): MaySleep {
    const { char, file } = this;
    if (char.gone || char.operations.mmap === undefined) return -ENODEV;
    const backing = char.operations.mmap(file, { length, prot, flags, pageOffset });
    return typeof backing === 'number' ? backing : caller.mm.mmap(length, prot, flags, 0, backing, pageOffset);
  }

  *close(): Task<number> {
    const { char, file } = this;
    if (!char.gone && char.operations.release !== undefined) yield* char.operations.release(file);
    return 0;
  }
}
