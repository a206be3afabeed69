/**
 * What a file descriptor stands for: an open of a disk, of a character device, or of a regular file (regular-file.ts).
 *
 * After a fork two processes have the same open file; calls work on the memory of the one that makes them (`current->mm`).
 * What a driver keeps for an open is one for both.
 * Disks and devices are outlived: once they are gone, each call answers ENODEV and only `close` still works.
 * A disk is opened as with O_DIRECT: reads and writes pin the caller's pages and go to the device, without a cache.
 * Source followed: `blkdev_direct_IO` (`block/fops.c`), `chrdev_open` (`fs/char_dev.c`).
 */
import type { DirectIo, Disk } from '@pincushion/block';
import type { CharFile, CharNode, DiskPlace } from '@pincushion/driver';
import type { Mm } from '@pincushion/mm';
import type { MaySleep, Task } from '@pincushion/sim';
import { EINVAL, ENODEV, ENOTTY, EOPNOTSUPP, PincushionError } from '@pincushion/sim';

/** The process that makes a call. */
export interface Caller {
  readonly mm: Mm;
  readonly name: string;
  /** Its direct I/O on a disk. */
  ioOf(disk: Disk): DirectIo;
}

/** One open file. All in task context; all answer 0 or more, or -errno. */
export interface OpenFile {
  readonly path: string;
  read(caller: Caller, address: number, bytes: number, position: number): Task<number>;
  write(caller: Caller, address: number, bytes: number, position: number): Task<number>;
  /** `dataOnly`: as fdatasync(2). */
  sync(caller: Caller, dataOnly?: boolean): Task<number>;
  truncate(size: number): Task<number>;
  /** `mode`: FALLOC_FL_*. */
  fallocate(mode: number, start: number, length: number): Task<number>;
  ioctl(caller: Caller, command: number, arg: unknown): Task<number>;
  mmap(caller: Caller, length: number, prot: number, flags: number, pageOffset: number): MaySleep;
  /** The last of the processes that had it open gives it up. */
  close(caller: Caller): Task<number>;
}

export class DiskFile implements OpenFile {
  constructor(
    readonly path: string,
    private readonly place: DiskPlace,
  ) {}

  /** The disk while there is one. A file that is open for ever does not keep the driver. */
  private get disk(): Disk | null {
    const { disk } = this.place;
    return disk === null || disk.gone ? null : disk;
  }

  *read(caller: Caller, address: number, bytes: number, position: number): Task<number> {
    const { disk } = this;
    return disk === null ? -ENODEV : yield* caller.ioOf(disk).read(address, bytes, position / 512);
  }

  *write(caller: Caller, address: number, bytes: number, position: number): Task<number> {
    const { disk } = this;
    return disk === null ? -ENODEV : yield* caller.ioOf(disk).write(address, bytes, position / 512);
  }

  *sync(caller: Caller): Task<number> {
    const { disk } = this;
    return disk === null ? -ENODEV : yield* caller.ioOf(disk).sync();
  }

  *truncate(): Task<number> {
    return -EINVAL;
  }

  *fallocate(): Task<number> {
    return this.disk === null ? -ENODEV : -EOPNOTSUPP; // Deallocating blocks from a program is not modelled.
  }

  *ioctl(): Task<number> {
    return this.disk === null ? -ENODEV : -ENOTTY;
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
  ) {}

  /** What the driver's open answers. */
  *open(caller: Caller): Task<number> {
    const r = this.char.operations.open?.(this.seenBy(caller)) ?? 0;
    return typeof r === 'number' ? r : yield* r;
  }

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

  *fallocate(): Task<number> {
    return -ENODEV;
  }

  *ioctl(caller: Caller, command: number, arg: unknown): Task<number> {
    if (this.char.gone) return -ENODEV;
    try {
      return yield* this.char.operations.ioctl(this.seenBy(caller), command, arg);
    } catch (error) {
      // The device went while the driver was at it, and what it acquired then was released again.
      if (error instanceof PincushionError && error.code === 'DEVICE_GONE') return -ENODEV;
      throw error;
    }
  }

  mmap(caller: Caller, length: number, prot: number, flags: number, pageOffset: number): MaySleep {
    const { char } = this;
    if (char.gone || char.operations.mmap === undefined) return -ENODEV;
    const backing = char.operations.mmap(this.seenBy(caller), { length, prot, flags, pageOffset });
    return typeof backing === 'number' ? backing : caller.mm.mmap(length, prot, flags, 0, backing, pageOffset);
  }

  *close(caller: Caller): Task<number> {
    const { char } = this;
    if (!char.gone && char.operations.release !== undefined) yield* char.operations.release(this.seenBy(caller));
    return 0;
  }

  private seenBy({ mm, name }: Caller): CharFile {
    return new CharFileOfCall(mm, name, this.char, this);
  }
}

/** An open as one call sees it: the state is that of the open, the rest that of the calling process. */
class CharFileOfCall implements CharFile {
  constructor(
    readonly mm: Mm,
    readonly process: string,
    private readonly char: CharNode,
    private readonly open: CharDeviceFile,
  ) {}

  /** `file->private_data`. */
  get state(): unknown {
    return this.char.states.get(this.open) ?? null;
  }

  set state(state: unknown) {
    this.char.states.set(this.open, state);
  }
}
