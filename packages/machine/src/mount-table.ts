/**
 * The files of a machine by their paths: a tmpfs at `/tmp`, and whatever file systems were mounted.
 *
 * A path is the place of a mount and one name in it: no directories, no links, no permissions. What is mounted comes from
 * outside (package fs, or a file system of your own); it offers open, create and unlink, and the files do the rest.
 * Source followed: fs/namei.c `do_filp_open`, mm/shmem.c `shmem_create`, `shmem_unlink` (6.18).
 */
import type { MappableFile, Memory } from '@pincushion/mm';
import { newShmemFile } from '@pincushion/mm';
import type { ShmemFile } from '@pincushion/mm';
import { EBUSY, EINVAL, EISDIR, ENOENT } from '@pincushion/sim';

/** A file system, as paths reach it. Results are an open file (its opener owes a `close`), 0, or -errno. */
export interface MountedFiles {
  /** A new file; asked for a name that `open` does not find. */
  create(name: string): MappableFile | number;
  open(name: string): MappableFile | number;
  unlink(name: string): number;
}

export class MountTable {
  private readonly mounts = new Map<string, MountedFiles>();

  constructor(memory: Memory) {
    this.mounts.set('/tmp', new Tmpfs(memory));
  }

  /** Makes the files of `files` reachable below `place`, such as `/data`. 0; -EBUSY when something is there; -EINVAL. */
  mount(place: string, files: MountedFiles): number {
    if (!/^(\/[^/]+)+$/.test(place) || place === '/dev' || place.startsWith('/dev/')) return -EINVAL;
    if (this.mounts.has(place)) return -EBUSY;
    this.mounts.set(place, files);
    return 0;
  }

  /** The file system and the name in it that a path means; -ENOENT, -EISDIR for the place of a mount itself. */
  find(path: string): { readonly files: MountedFiles; readonly name: string } | number {
    if (this.mounts.has(path)) return -EISDIR;
    const slash = path.lastIndexOf('/');
    const files = this.mounts.get(path.slice(0, slash));
    const name = path.slice(slash + 1);
    return files === undefined || name === '' ? -ENOENT : { files, name };
  }
}

/** Files that are memory. A name is a use of the file, as an open is. */
class Tmpfs implements MountedFiles {
  private readonly named = new Map<string, ShmemFile>();

  constructor(private readonly memory: Memory) {}

  create(name: string): MappableFile {
    const file = newShmemFile(this.memory, name, 0); // The use of the name.
    this.named.set(name, file);
    file.get();
    return file;
  }

  open(name: string): MappableFile | number {
    const file = this.named.get(name);
    if (file === undefined) return -ENOENT;
    file.get();
    return file;
  }

  unlink(name: string): number {
    const file = this.named.get(name);
    if (file === undefined) return -ENOENT;
    this.named.delete(name);
    file.close();
    return 0;
  }
}
