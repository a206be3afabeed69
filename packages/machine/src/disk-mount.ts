/**
 * A file system on a disk of the machine, as a machine file asks for it: made if need be, mounted at boot, unmounted at shutdown.
 *
 * Left out: partitions, options of a mount, several mounts of one disk.
 * Source followed: mount(8), umount(8), fs/super.c `get_tree_bdev`, `generic_shutdown_super` (6.18).
 */
import type { Disk } from '@pincushion/block';
import { DiskBlockStore, isBlank, mountFileSystem, newFileSystem } from '@pincushion/fs';
import type { FileSystem } from '@pincushion/fs';
import type { Memory } from '@pincushion/mm';
import { EBUSY, PincushionError, UsageError, errnoName } from '@pincushion/sim';
import type { MaySleep, Task } from '@pincushion/sim';
import type { MountDescription } from './description';
import type { MountTable } from './mount-table';

export class DiskMount {
  private constructor(
    private readonly memory: Memory,
    readonly description: MountDescription,
    readonly disk: Disk,
    readonly fs: FileSystem,
  ) {}

  /**
   * Mounts a disk, with a new file system where the description wants one. Throws `UsageError` FS_SUPERBLOCK_INVALID,
   * FS_TOO_SMALL or FS_MOUNT_FAILED, which name the place. The caller owes an `unmount`. Task context.
   */
  static *mount(memory: Memory, files: MountTable, description: MountDescription, disk: Disk): Task<DiskMount> {
    const { device, at, format } = description;
    try {
      const store = new DiskBlockStore(memory, disk);
      const blank = format === 'if-empty' ? yield* settled(isBlank(memory, store)) : 0;
      const fs =
        format === 'always' || blank === 1
          ? yield* newFileSystem(memory, store, { name: device })
          : (yield* mountFileSystem(memory, store, { name: device })).fs;
      files.mount(at, fs); // The description was checked: nothing else is there.
      return new DiskMount(memory, description, disk, fs);
    } catch (error) {
      if (!(error instanceof PincushionError) || !error.code.startsWith('FS_')) throw error;
      const { code, expected, actual } = error;
      const hint = code === 'FS_SUPERBLOCK_INVALID' ? 'format: always, which makes a new file system' : error.hint;
      throw new UsageError(code, `${device} cannot be mounted at ${at}`, {
        ...(expected === undefined ? {} : { expected }),
        actual: actual ?? error.message,
        ...(hint === undefined ? {} : { hint }),
        cause: error,
      });
    }
  }

  /**
   * Writes what is dirty and unmounts. What goes wrong is the finding FS_UNMOUNT_FAILED, with the files that are still in use;
   * what a device took with it when it was pulled out is none. Task context.
   */
  *unmount(files: MountTable): Task {
    const { fs, disk, description } = this;
    const { device, at } = description;
    const inUse = fs.filesInUse();
    files.unmount(at);
    let result = yield* settled(fs.unmount());
    if (result === 0 || disk.gone) return;
    if (result === -EBUSY) {
      const synced = yield* settled(fs.sync());
      if (synced < 0) result = synced;
    }
    this.memory.world.findings.report({
      code: 'FS_UNMOUNT_FAILED',
      summary: `${device}, mounted at ${at}, could not be unmounted: ${result === -EBUSY ? 'files are in use' : errnoName(result)}`,
      device,
      sites: [],
      details: inUse.map((name) => `${name} is open or mapped`),
    });
  }
}

function* settled(result: MaySleep): Task<number> {
  return typeof result === 'number' ? result : yield* result;
}
