/**
 * A process: an address space, a table of open files, and the system calls of a user program.
 *
 * Calls answer as the kernel's do: 0 or more, or a negative errno. Those that may sleep are tasks. Left out: threads (spawn several tasks on one process), signals, credentials.
 * Source followed: `do_exit` (`kernel/exit.c`) for the order of the end: address space, then files.
 */
import type { Disk } from '@pincushion/block';
import { DirectIo } from '@pincushion/block';
import type { CharFile, DeviceNode, UserProgram } from '@pincushion/driver';
import type { Mm, VmaBacking } from '@pincushion/mm';
import type { MaySleep, Task } from '@pincushion/sim';
import { EBADF, ENOENT, ENODEV, sleeping } from '@pincushion/sim';
import type { Machine } from './machine';
import type { OpenFile } from './open-file';
import { CharDeviceFile, DiskFile } from './open-file';

export class Process implements UserProgram {
  readonly mm: Mm;
  private readonly files: (SharedFile | null)[] = [null, null, null];
  private readonly ios = new Map<Disk, DirectIo>();
  private ended = false;

  constructor(
    readonly machine: Machine,
    readonly pid: number,
    readonly name: string,
    /** The CPU its tasks run on. */
    readonly cpu: number,
    /** The address space of a forked process; else it gets a new one. */
    mm?: Mm,
  ) {
    this.mm = mm ?? machine.memory.createMm(name);
  }

  /** fork(2): a child with a copy of the address space and the same open files, or -ENOMEM. Task context. */
  fork(name: string): Process | number {
    const mm = this.mm.fork(name);
    if (typeof mm === 'number') return mm;
    const child = this.machine.process(name, { mm });
    for (const [fd, shared] of this.files.entries()) {
      if (shared !== null) shared.users++;
      child.files[fd] = shared;
    }
    return child;
  }

  /** Address or -errno. `backing`: what is mapped instead of anonymous memory. */
  mmap(length: number, prot: number, flags: number, address?: number, backing?: VmaBacking): MaySleep {
    return this.mm.mmap(length, prot, flags, address, backing);
  }

  /** Maps an open character device; `offset` in bytes, a multiple of the page. Address or -errno. */
  mmapFile(fd: number, length: number, prot: number, flags: number, offset = 0): MaySleep {
    return this.files[fd]?.file.mmap(undefined, length, prot, flags, offset / 4096) ?? -EBADF;
  }

  munmap(address: number, length: number): MaySleep {
    return this.mm.munmap(address, length);
  }

  /** A load by the program: bytes read, or -EFAULT. */
  read(address: number, into: Uint8Array, at?: number, n?: number): MaySleep {
    return this.mm.read(address, into, at, n);
  }

  /** A store by the program: bytes written, or -EFAULT. */
  write(address: number, from: Uint8Array, at?: number, n?: number): MaySleep {
    return this.mm.write(address, from, at, n);
  }

  /** Opens `/dev/<name>`: a file descriptor, -ENOENT, or what the driver's open answers. */
  open(path: string): Task<number> {
    return sleeping(this.machine.world, 'open', () => this.openNode(path)[Symbol.iterator]());
  }

  private *openNode(path: string): Task<number> {
    if (this.ended) return -EBADF;
    const node = path.startsWith('/dev/') ? this.machine.nodes.get(path.slice(5)) : undefined;
    if (node === undefined) return -ENOENT;
    if (node.kind === 'disk') {
      return node.disk.gone ? -ENODEV : this.install(new DiskFile(path, node.disk, this.ioOf(node.disk)));
    }
    return yield* this.openChar(path, node);
  }

  private *openChar(path: string, { char }: DeviceNode & { kind: 'char' }): Task<number> {
    if (char.gone) return -ENODEV;
    const file: CharFile = { mm: this.mm, process: this.name, state: null };
    const r = char.operations.open?.(file) ?? 0;
    const result = typeof r === 'number' ? r : yield* r;
    return result < 0 ? result : this.install(new CharDeviceFile(path, char, file));
  }

  /** One for all opens of a disk: they differ in nothing. */
  private ioOf(disk: Disk): DirectIo {
    let io = this.ios.get(disk);
    if (io === undefined) this.ios.set(disk, (io = new DirectIo(this.machine.memory, disk, this.mm, this.name)));
    return io;
  }

  private install(file: OpenFile): number {
    let fd = 3; // 0 to 2 are the terminal's.
    while (fd < this.files.length && this.files[fd] !== null) fd++;
    this.files[fd] = { file, users: 1 };
    return fd;
  }

  /** What `command` answers; -ENODEV once the device is gone. */
  ioctl(fd: number, command: number, arg?: unknown): Task<number> {
    return this.call(fd, 'ioctl', (file) => file.ioctl(command, arg));
  }

  /** Direct read of `bytes` at `position` of a disk into user memory: bytes, or -errno. */
  pread(fd: number, address: number, bytes: number, position: number): Task<number> {
    return this.call(fd, 'pread', (file) => file.read(address, bytes, position));
  }

  /** Direct write of user memory to a disk: bytes, or -errno. */
  pwrite(fd: number, address: number, bytes: number, position: number): Task<number> {
    return this.call(fd, 'pwrite', (file) => file.write(address, bytes, position));
  }

  /** Flushes the write cache of the disk. */
  fsync(fd: number): Task<number> {
    return this.call(fd, 'fsync', (file) => file.sync());
  }

  close(fd: number): Task<number> {
    return sleeping(this.machine.world, 'close', () => this.closeFile(fd)[Symbol.iterator]());
  }

  private call(fd: number, name: string, run: (file: OpenFile) => Task<number>): Task<number> {
    return sleeping(this.machine.world, name, () => this.onFile(fd, run)[Symbol.iterator]());
  }

  private *onFile(fd: number, run: (file: OpenFile) => Task<number>): Task<number> {
    const shared = this.files[fd] as SharedFile | null | undefined;
    return shared === null || shared === undefined ? -EBADF : yield* run(shared.file);
  }

  /** The last process that has the file open closes it. */
  private *closeFile(fd: number): Task<number> {
    const shared = this.files[fd] as SharedFile | null | undefined;
    if (shared === null || shared === undefined) return -EBADF;
    this.files[fd] = null;
    return --shared.users > 0 ? 0 : yield* shared.file.close();
  }

  /** Direct I/O on a disk without a file descriptor, for what submits many I/Os. Throws DEVICE_UNKNOWN. */
  directIo(diskName: string): DirectIo {
    return new DirectIo(this.machine.memory, this.machine.disk(diskName), this.mm, this.name);
  }

  /** Ends the process: files are closed and the address space goes. Pages that are pinned live on until unpinned. */
  exit(): Task {
    return sleeping(this.machine.world, 'exit', () => this.end()[Symbol.iterator]());
  }

  private *end(): Task {
    if (this.ended) return;
    this.ended = true;
    const r = this.mm.exit();
    if (typeof r !== 'number') yield* r;
    for (const fd of this.files.keys()) yield* this.closeFile(fd);
    this.machine.forget(this);
  }
}

/** An open file and how many processes have it. */
interface SharedFile {
  readonly file: OpenFile;
  users: number;
}
