/**
 * The files that a run works on when it goes through a file system: a new one on the run's disk, mounted at `/mnt`.
 *
 * Made before the workload begins, unmounted after it and looked at as fsck does.
 */
import type { Disk } from '@pincushion/block';
import { DiskBlockStore, FileDirectIo, checkFileSystem, mountFileSystem, newFileSystem } from '@pincushion/fs';
import type { BlockStore, FileSystem, Problem } from '@pincushion/fs';
import { O_CREAT, O_DIRECT } from '@pincushion/machine';
import type { Machine, Process } from '@pincushion/machine';
import { EIO, EROFS, PincushionError, UsageError, errnoName } from '@pincushion/sim';
import type { Task } from '@pincushion/sim';
import type { WatchedDisk } from './content-model';
import { FileIo } from './file-io';

const MOUNT_POINT = '/mnt';
const SECTOR = 512;

/** Names of the ways through a file system. `fs`: as each job says, traces directly. */
export const THROUGH = ['raw', 'fs', 'fs:buffered', 'fs:direct'] as const;
export type Through = (typeof THROUGH)[number];

export class RunFiles {
  private fs: FileSystem | null = null;
  private store: BlockStore | null = null;
  private readonly files = new Map<string, WatchedDisk>();
  private readonly opened = new Set<FileIo>();
  private readonly isDirect = new Map<string, boolean>();

  constructor(
    private readonly machine: Machine,
    private readonly disk: Disk,
  ) {}

  /** The path of a file, by its name. */
  pathOf(name: string): string {
    return `${MOUNT_POINT}/${name.replace(/^.*\//, '')}`;
  }

  /** mkfs and mount. Throws what `newFileSystem` throws: FS_TOO_SMALL, FS_MOUNT_FAILED. Task context. */
  *mount(): Task {
    if (this.fs !== null) return;
    const { memory, files } = this.machine;
    const name = `the file system on ${this.disk.name}`;
    this.store = new DiskBlockStore(memory, this.disk);
    this.fs = yield* newFileSystem(memory, this.store, { name });
    const mounted = files.mount(MOUNT_POINT, this.fs);
    if (mounted < 0) throw refused(`${name} cannot be mounted at ${MOUNT_POINT}`, mounted);
  }

  /**
   * Opens a file for a process, made and given its size when it is new; the caller owes a `close`. A file that is opened again
   * has at least `bytes` bytes, and goes directly or not as the first time unless told. -errno when the disk does not let it.
   * Throws WORKLOAD_INVALID for a size that the file system cannot have.
   */
  *open(
    process: Process,
    path: string,
    bytes: number,
    isDirect = this.isDirect.get(path) ?? true,
  ): Task<FileIo | number> {
    const { fs } = this;
    if (fs === null) throw new PincushionError('INTERNAL', `${path} was opened before its file system was mounted`);
    const fd = yield* process.open(path, O_CREAT | (isDirect ? O_DIRECT : 0));
    if (fd < 0) return fd;
    const known = this.files.get(path);
    const sectors = Math.max(known?.capacitySectors ?? 0, Math.ceil(bytes / SECTOR));
    if (known?.capacitySectors !== sectors) {
      const sized = yield* process.ftruncate(fd, sectors * SECTOR);
      if (sized < 0) {
        yield* process.close(fd);
        if (sized === -EIO || sized === -EROFS) return sized;
        throw tooLarge(path, sectors * SECTOR, sized);
      }
    }
    const file = { name: path, capacitySectors: sectors };
    this.files.set(path, file);
    this.isDirect.set(path, isDirect);
    const direct = isDirect ? yield* directOf(fs, path, process) : null;
    if (typeof direct === 'number') return direct;
    const io = new FileIo(process, file, fd, direct);
    this.opened.add(io);
    return io;
  }

  /** Everything becomes durable and leaves the page cache, so that what is read next comes from the disk. 0 or -errno. */
  *settle(): Task<number> {
    const { fs } = this;
    if (fs === null) return 0;
    const syncing = fs.sync();
    let result = typeof syncing === 'number' ? syncing : yield* syncing;
    for (const path of this.files.keys()) {
      const opening = fs.open(path.slice(MOUNT_POINT.length));
      const file = typeof opening === 'number' || 'mapping' in opening ? opening : yield* opening;
      if (typeof file === 'number') return file;
      const syncingFile = file.fsync();
      const synced = typeof syncingFile === 'number' ? syncingFile : yield* syncingFile;
      if (result === 0) result = synced;
      const dropping = file.fadviseDontneed();
      if (typeof dropping !== 'number') yield* dropping;
      file.close();
    }
    return result;
  }

  /** Closes what is still open, and unmounts. 0 or -errno. Task context. */
  *unmount(): Task<number> {
    const { fs } = this;
    if (fs === null) return 0;
    this.fs = null;
    for (const io of this.opened) yield* io.close();
    this.machine.files.unmount(MOUNT_POINT);
    const unmounting = fs.unmount();
    const result = typeof unmounting === 'number' ? unmounting : yield* unmounting;
    if (result < 0) fs.discard();
    return result;
  }

  /**
   * fsck of what was unmounted, after its journal was recovered: what is wrong. Throws what `mountFileSystem` throws. Task
   * context.
   */
  *check(): Task<readonly Problem[]> {
    const { store } = this;
    if (store === null || this.fs !== null) return [];
    const { memory } = this.machine;
    const { fs } = yield* mountFileSystem(memory, store);
    const unmounting = fs.unmount();
    if (typeof unmounting !== 'number') yield* unmounting;
    return yield* checkFileSystem(memory, store);
  }
}

function* directOf(fs: FileSystem, path: string, process: Process): Task<FileDirectIo | number> {
  const opening = fs.open(path.slice(MOUNT_POINT.length));
  const file = typeof opening === 'number' || 'mapping' in opening ? opening : yield* opening;
  if (typeof file === 'number') return file;
  const direct = file.direct?.(process.mm, process.name);
  file.close(); // The descriptor keeps the file.
  if (direct instanceof FileDirectIo) return direct;
  throw new PincushionError('INTERNAL', `${path} lies on a disk and has no direct I/O`);
}

function refused(what: string, errno: number): PincushionError {
  return new PincushionError('FS_MOUNT_FAILED', `${what}: ${errnoName(errno)}`, { errno: -errno });
}

function tooLarge(path: string, bytes: number, errno: number): UsageError {
  return new UsageError(
    'WORKLOAD_INVALID',
    `${path} cannot have the size that the workload needs: ${errnoName(errno)}`,
    {
      expected: 'a span that a file can have',
      actual: `${bytes} bytes`,
    },
  );
}
