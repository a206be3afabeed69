/**
 * What a file descriptor stands for: an open of a disk, or of a character device.
 *
 * Both outlive the device behind them: once it is gone, each call answers ENODEV and only `close` still works.
 * A disk is opened as with O_DIRECT: reads and writes pin the caller's pages and go to the device, without a cache.
 * Source followed: `blkdev_direct_IO` (`block/fops.c`), `chrdev_open` (`fs/char_dev.c`).
 */
import type { DirectIo, Disk } from '@pincushion/block';

import type { CharFile, CharNode } from '@pincushion/driver';
import type { MaySleep, Task } from '@pincushion/sim';
import { EINVAL, ENODEV, ENOTTY, PincushionError } from '@pincushion/sim';

/** One open file. All in task context; all answer 0 or more, or -errno. */
export interface OpenFile {
  readonly path: string;
  read(address: number, bytes: number, position: number): Task<number>;
  write(address: number, bytes: number, position: number): Task<number>;
  sync(): Task<number>;
  ioctl(command: number, arg: unknown): Task<number>;
  mmap(address: number | undefined, length: number, prot: number, flags: number, pageOffset: number): MaySleep;
  close(): Task<number>;
}

export class DiskFile implements OpenFile {
  constructor(
    readonly path: string,
    private readonly disk: Disk,
    private readonly io: DirectIo,
  ) {}

  *read(address: number, bytes: number, position: number): Task<number> {
    if (this.disk.gone) return -ENODEV;
    return yield* this.io.read(address, bytes, position / 512);
  }

  *write(address: number, bytes: number, position: number): Task<number> {
    if (this.disk.gone) return -ENODEV;
    return yield* this.io.write(address, bytes, position / 512);
  }

  *sync(): Task<number> {
    if (this.disk.gone) return -ENODEV;
    return yield* this.io.sync();
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

  mmap(address: number | undefined, length: number, prot: number, flags: number, pageOffset: number): MaySleep {
    const { char, file } = this;
    if (char.gone || char.operations.mmap === undefined) return -ENODEV;
    const backing = char.operations.mmap(file, { length, prot, flags, pageOffset });
    return typeof backing === 'number' ? backing : file.mm.mmap(length, prot, flags, address, backing, pageOffset);
  }

  *close(): Task<number> {
    const { char, file } = this;
    if (!char.gone && char.operations.release !== undefined) yield* char.operations.release(file);
    return 0;
  }
}
