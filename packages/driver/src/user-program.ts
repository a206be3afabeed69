/** The system calls that a device's library may use: what every process of a machine offers. */
import type { Mm } from '@pincushion/mm';
import type { MaySleep, Task } from '@pincushion/sim';

/** All answer 0 or more, or -errno. */
export interface UserProgram {
  readonly name: string;
  readonly mm: Mm;
  mmap(length: number, prot: number, flags: number, address?: number): MaySleep;
  munmap(address: number, length: number): MaySleep;
  read(address: number, into: Uint8Array, at?: number, n?: number): MaySleep;
  write(address: number, from: Uint8Array, at?: number, n?: number): MaySleep;
  open(path: string): Task<number>;
  ioctl(fd: number, command: number, arg?: unknown): Task<number>;
  /** Maps an open character device; `offset` in bytes, a multiple of the page. */
  mmapFile(fd: number, length: number, prot: number, flags: number, offset?: number): MaySleep;
  /** Reads a disk or file at `position`, bytes, into the program's memory. */
  pread(fd: number, address: number, bytes: number, position: number): Task<number>;
  /** Writes the program's memory to a disk or file. */
  pwrite(fd: number, address: number, bytes: number, position: number): Task<number>;
  /** Flushes the write cache of a disk, writes back a file. */
  fsync(fd: number): Task<number>;
  close(fd: number): Task<number>;
}
