/**
 * A process: an address space, a table of open files, and the system calls of a user program.
 *
 * Calls answer as the kernel's do: 0 or more, or a negative errno. Those that may sleep are tasks. What they do to memory
 * is done by mm; here is only who asks. `read` and `write` are loads and stores, not the system calls: files are read and
 * written at a position (`pread`, `pwrite`).
 * Left out: threads (spawn several tasks on one process), signals, credentials, access modes of files, their positions.
 * Source followed: `do_exit` (`kernel/exit.c`) for the order of the end: address space, then files; `copy_process`
 * (`kernel/fork.c`); `do_sys_open` (`fs/open.c`); `memfd_create` (`mm/memfd.c`).
 */
import type { Disk } from '@pincushion/block';
import { DirectIo } from '@pincushion/block';
import type { DeviceNode, UserProgram } from '@pincushion/driver';
import type { MappableFile, Mm, VmaBacking } from '@pincushion/mm';
import { HUGETLB_1G_ORDER, HUGETLB_2M_ORDER, PAGE_SIZE, newHugetlbFile, newShmemFile } from '@pincushion/mm';
import type { MaySleep, Task } from '@pincushion/sim';
import { EBADF, EEXIST, EINVAL, ENOENT, ENODEV, sleeping } from '@pincushion/sim';
import type { Machine } from './machine';
import type { Caller, OpenFile } from './open-file';
import { CharDeviceFile, DiskFile } from './open-file';
import type { OpenedFile } from './mount-table';
import { RegularFile } from './regular-file';

/** Flags of `open` that mean something here; access modes may be given and are not looked at. */
export const O_CREAT = 0o100;
export const O_EXCL = 0o200;
export const O_TRUNC = 0o1000;
/** Every write goes to the end. */
export const O_APPEND = 0o2000;
/** Reads and writes go past the page cache, between user memory and the disk. */
export const O_DIRECT = 0o40000;
const O_ACCMODE = 0o3;
const O_CLOEXEC = 0o2000000;

/** Flags of `memfdCreate`. */
export const MFD_HUGETLB = 4;
export const MFD_HUGE_2MB = 21 << 26;
export const MFD_HUGE_1GB = 30 << 26;
const MFD_CLOEXEC = 1;

export class Process implements UserProgram, Caller {
  readonly mm: Mm;
  private readonly files: (SharedFile | null)[] = [null, null, null];
  private readonly ios = new WeakMap<Disk, DirectIo>();
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

  /**
   * fork(2): a child with a copy of the address space and the same open files. Task context. The child, or -ENOMEM. Its
   * program is yours to write: spawn a task that uses it.
   */
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

  /** Maps an open file or character device; `offset` in bytes, a multiple of the page. Address or -errno. */
  mmapFile(fd: number, length: number, prot: number, flags: number, offset = 0): MaySleep {
    if (!Number.isInteger(offset / PAGE_SIZE)) return -EINVAL;
    return this.files[fd]?.file.mmap(this, length, prot, flags, offset / PAGE_SIZE) ?? -EBADF;
  }

  munmap(address: number, length: number): MaySleep {
    return this.mm.munmap(address, length);
  }

  /** `advice`: one of `MADV_*`. 0 or -errno. */
  madvise(address: number, length: number, advice: number): MaySleep {
    return this.mm.madvise(address, length, advice);
  }

  mprotect(address: number, length: number, prot: number): MaySleep {
    return this.mm.mprotect(address, length, prot);
  }

  /** As `mprotect`, with a protection key of `pkeyAlloc`, or 0; -1: areas keep theirs. */
  pkeyMprotect(address: number, length: number, prot: number, key: number): MaySleep {
    return this.mm.pkeyMprotect(address, length, prot, key);
  }

  /** A new protection key that denies `access` (`PKEY_DISABLE_*`) for a start; -ENOSPC after fifteen. `flags`: 0. */
  pkeyAlloc(flags = 0, access = 0): number {
    return this.mm.pkeys.alloc(flags, access);
  }

  /** 0, or -EINVAL. What has the key keeps it. */
  pkeyFree(key: number): number {
    return this.mm.pkeys.free(key);
  }

  /** PKRU: `PKEY_DISABLE_*`, shifted left by twice the key. No system call: an instruction. */
  rdpkru(): number {
    return this.mm.pkeys.pkru;
  }

  /** Allows and denies accesses by protection keys at once, of all tasks of the process. */
  wrpkru(pkru: number): void {
    this.mm.pkeys.pkru = pkru >>> 0;
  }

  /** Moves what is mapped, without changing its length, to a place of the caller's choice. The new address or -errno. */
  mremap(address: number, length: number, newAddress: number, options?: { readonly dontUnmap?: boolean }): MaySleep {
    return this.mm.mremap(address, length, newAddress, options);
  }

  /** `flags`: `MS_*`; MS_SYNC unless given. 0 or -errno. */
  msync(address: number, length: number, flags?: number): MaySleep {
    return this.mm.msync(address, length, flags);
  }

  /** `flags`: 0 or MLOCK_ONFAULT. 0 or -errno, such as -ENOMEM above RLIMIT_MEMLOCK (`mm.rlimitMemlock`). */
  mlock(address: number, length: number, flags?: number): MaySleep {
    return this.mm.mlock(address, length, flags);
  }

  munlock(address: number, length: number): MaySleep {
    return this.mm.munlock(address, length);
  }

  /** A load by the program: bytes read, or -EFAULT. */
  read(address: number, into: Uint8Array, at?: number, n?: number): MaySleep {
    return this.mm.read(address, into, at, n);
  }

  /** A store by the program: bytes written, or -EFAULT. */
  write(address: number, from: Uint8Array, at?: number, n?: number): MaySleep {
    return this.mm.write(address, from, at, n);
  }

  /**
   * Opens `/dev/<name>`, a file of `/tmp`, or one of a mounted file system (`machine.files`): a file descriptor, -ENOENT,
   * or what the driver's open answers. `flags`: O_CREAT, O_EXCL, O_TRUNC, O_APPEND, O_DIRECT and an access mode, for
   * regular files only; others are -EINVAL, and so is O_DIRECT where the file system has no disk.
   */
  open(path: string, flags = 0): Task<number> {
    return sleeping(this.machine.world, 'open', () => this.openPath(path, flags)[Symbol.iterator]());
  }

  /** creat(2). */
  creat(path: string): Task<number> {
    return this.open(path, O_CREAT | O_TRUNC);
  }

  private *openPath(path: string, flags: number): Task<number> {
    if (this.ended) return -EBADF;
    const isNode = path.startsWith('/dev/') || path.startsWith('/sys/');
    return isNode ? yield* this.openNode(path) : yield* this.openFile(path, flags);
  }

  private *openFile(path: string, flags: number): Task<number> {
    if ((flags & ~(O_CREAT | O_EXCL | O_TRUNC | O_APPEND | O_DIRECT | O_ACCMODE | O_CLOEXEC)) !== 0) return -EINVAL;
    const place = this.machine.files.find(path);
    if (typeof place === 'number') return place;
    const { files, name } = place;
    let file = yield* opened(files.open(name));
    if (file === -ENOENT && (flags & O_CREAT) !== 0) file = yield* opened(files.create(name));
    else if (typeof file !== 'number' && (flags & (O_CREAT | O_EXCL)) === (O_CREAT | O_EXCL)) {
      file.close();
      return -EEXIST;
    }
    if (typeof file === 'number') return file;
    if ((flags & O_TRUNC) !== 0) {
      const cut = file.truncate(0);
      const error = typeof cut === 'number' ? cut : yield* cut;
      if (error < 0) {
        file.close();
        return error;
      }
    }
    const isDirect = (flags & O_DIRECT) !== 0;
    if (isDirect && (file.direct?.(this.mm, this.name) ?? null) === null) {
      file.close();
      return -EINVAL;
    }
    return this.install(new RegularFile(path, file, isDirect, (flags & O_APPEND) !== 0));
  }

  /** unlink(2): the name goes at once, the content with its last user. 0, -ENOENT or -EISDIR. */
  unlink(path: string): MaySleep {
    return this.machine.files.unlink(path);
  }

  /** rename(2): what the new name meant before loses it. 0 or -errno. */
  rename(from: string, to: string): MaySleep {
    return this.machine.files.rename(from, to);
  }

  /** link(2): another name for a file. 0 or -errno. */
  link(from: string, to: string): MaySleep {
    return this.machine.files.link(from, to);
  }

  /** 0 or -errno, as `rmdir`. */
  mkdir(path: string): MaySleep {
    return this.machine.files.mkdir(path);
  }

  rmdir(path: string): MaySleep {
    return this.machine.files.rmdir(path);
  }

  /** Adds the names in a directory to `into`, without `.` and `..`: how many, or -errno. */
  readdir(path: string, into: string[]): MaySleep {
    return this.machine.files.readdir(path, into);
  }

  /**
   * memfd_create(2): a file of size 0 that is memory, or with MFD_HUGETLB and a size (2 MiB unless given) huge pages. A file
   * descriptor, or -EINVAL for other flags: there are no seals.
   */
  memfdCreate(name: string, flags = 0): number {
    if (this.ended) return -EBADF;
    const { memory } = this.machine;
    const size = flags & ~(MFD_CLOEXEC | MFD_HUGETLB);
    let file: MappableFile | number = -EINVAL;
    if ((flags & MFD_HUGETLB) === 0) {
      if (size === 0) file = newShmemFile(memory, `memfd:${name}`, 0);
    } else if (size === 0 || size === MFD_HUGE_2MB || size === MFD_HUGE_1GB) {
      file = newHugetlbFile(memory, `memfd:${name}`, 0, size === MFD_HUGE_1GB ? HUGETLB_1G_ORDER : HUGETLB_2M_ORDER);
    }
    return typeof file === 'number' ? file : this.install(new RegularFile(`memfd:${name}`, file));
  }

  private *openNode(path: string): Task<number> {
    const node = this.machine.nodes.get(path.startsWith('/dev/') ? path.slice(5) : path);
    if (node === undefined) return -ENOENT;
    if (node.kind === 'disk') {
      return node.disk.gone ? -ENODEV : this.install(new DiskFile(path, node.place));
    }
    return yield* this.openChar(path, node);
  }

  private *openChar(path: string, { char }: DeviceNode & { kind: 'char' }): Task<number> {
    if (char.gone) return -ENODEV;
    const file = new CharDeviceFile(path, char);
    const result = yield* file.open(this);
    return result < 0 ? result : this.install(file);
  }

  /** Direct I/O on a disk with this process's memory. One for all opens of the disk: they differ in nothing. */
  ioOf(disk: Disk): DirectIo {
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
    return this.call(fd, 'ioctl', (file) => file.ioctl(this, command, arg));
  }

  /** Reads `bytes` at `position` of a file, or directly of a disk, into user memory: bytes, or -errno. */
  pread(fd: number, address: number, bytes: number, position: number): Task<number> {
    return this.call(fd, 'pread', (file) => file.read(this, address, bytes, position));
  }

  /** Writes user memory to a file, or directly to a disk: bytes, or -errno. */
  pwrite(fd: number, address: number, bytes: number, position: number): Task<number> {
    return this.call(fd, 'pwrite', (file) => file.write(this, address, bytes, position));
  }

  /** Writes back what is dirty of a file; flushes the write cache of a disk. */
  fsync(fd: number): Task<number> {
    return this.call(fd, 'fsync', (file) => file.sync(this));
  }

  /** Sets the size of a file. Pages behind a new end are taken from whoever maps them, pinned or not. */
  ftruncate(fd: number, size: number): Task<number> {
    return this.call(fd, 'ftruncate', (file) => file.truncate(size));
  }

  /**
   * fallocate(2), `mode`: FALLOC_FL_*. Every file has FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, those on a disk the others,
   * too; else -EOPNOTSUPP.
   */
  fallocate(fd: number, mode: number, offset: number, length: number): Task<number> {
    return this.call(fd, 'fallocate', (file) => file.fallocate(mode, offset, length));
  }

  /** fdatasync(2): as `fsync`, without what a reader of the content does not need. */
  fdatasync(fd: number): Task<number> {
    return this.call(fd, 'fdatasync', (file) => file.sync(this, true));
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
    return --shared.users > 0 ? 0 : yield* shared.file.close(this);
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

function* opened(file: OpenedFile): Task<MappableFile | number> {
  return typeof file === 'number' || 'mapping' in file ? file : yield* file;
}

/** An open file and how many processes have it (`struct file` and its count). */
interface SharedFile {
  readonly file: OpenFile;
  users: number;
}
