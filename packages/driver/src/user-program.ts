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
  close(fd: number): Task<number>;
}
