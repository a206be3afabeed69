/**
 * The files of a machine by their paths: a tmpfs at `/tmp`, and whatever file systems were mounted.
 *
 * A path belongs to the file system with the longest place that it begins with; the rest of it is that file system's
 * business. What is mounted comes from outside (package fs, or a file system of your own).
 * Left out: mounting over something, links between file systems, a root, permissions.
 * Source followed: fs/namei.c `path_openat`, `do_renameat2`, fs/namespace.c `do_mount` (6.18).
 */
import type { MappableFile, Memory } from '@pincushion/mm';
import { EBUSY, EINVAL, EISDIR, ENAMETOOLONG, ENOENT, EOPNOTSUPP, EXDEV } from '@pincushion/sim';
import type { MaySleep, Task } from '@pincushion/sim';
import { Tmpfs } from './tmpfs';

/** An open file (its opener owes a `close`), or -errno; a task of it when something had to be waited for. */
export type OpenedFile = MappableFile | number | Task<MappableFile | number>;

/**
 * A file system, as paths reach it; they begin with a slash. Results are an open file, 0, or -errno. Task context, may sleep.
 * What is missing is answered with -EOPNOTSUPP.
 */
export interface MountedFiles {
  /** A new file; asked for a name that `open` does not find. */
  create(path: string): OpenedFile;
  open(path: string): OpenedFile;
  unlink(path: string): MaySleep;
  mkdir?(path: string): MaySleep;
  rmdir?(path: string): MaySleep;
  /** Both in this file system. */
  rename?(from: string, to: string): MaySleep;
  link?(from: string, to: string): MaySleep;
  /** Adds the names in a directory to `into`: how many. */
  readdir?(path: string, into: string[]): MaySleep;
}

/** A file system and the path in it. */
interface Found {
  readonly files: MountedFiles;
  readonly name: string;
}

/** The longest path with its end, bytes (PATH_MAX). */
const PATH_BYTES_MAX = 4096;

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

  /** What was mounted there is not reachable any more. 0, or -EINVAL when nothing was. */
  unmount(place: string): number {
    return this.mounts.delete(place) ? 0 : -EINVAL;
  }

  /** The file system and the file in it that a path means; -ENOENT, -ENAMETOOLONG, -EISDIR for the place of a mount itself. */
  find(path: string): Found | number {
    const found = this.findAny(path);
    return typeof found !== 'number' && found.name === '/' ? -EISDIR : found;
  }

  private findAny(path: string): Found | number {
    if (new TextEncoder().encode(path).length >= PATH_BYTES_MAX) return -ENAMETOOLONG;
    for (let end = path.length; end > 0; end = path.lastIndexOf('/', end - 1)) {
      const files = this.mounts.get(path.slice(0, end));
      if (files !== undefined) return { files, name: path.slice(end) || '/' };
    }
    return -ENOENT;
  }

  /** 0 or -errno; here and below. Task context, may sleep. */
  unlink(path: string): MaySleep {
    const found = this.find(path);
    return typeof found === 'number' ? found : found.files.unlink(found.name);
  }

  mkdir(path: string): MaySleep {
    const found = this.findAny(path);
    return typeof found === 'number' ? found : (found.files.mkdir?.(found.name) ?? -EOPNOTSUPP);
  }

  rmdir(path: string): MaySleep {
    const found = this.findAny(path);
    if (typeof found === 'number') return found;
    return found.name === '/' ? -EBUSY : (found.files.rmdir?.(found.name) ?? -EOPNOTSUPP);
  }

  /** -EXDEV from one file system to another. */
  rename(from: string, to: string): MaySleep {
    return this.both(from, to, (files, old, name) => files.rename?.(old, name) ?? -EOPNOTSUPP);
  }

  /** -EXDEV from one file system to another. */
  link(from: string, to: string): MaySleep {
    return this.both(from, to, (files, old, name) => files.link?.(old, name) ?? -EOPNOTSUPP);
  }

  /** Adds the names in a directory to `into`: how many, or -errno. */
  readdir(path: string, into: string[]): MaySleep {
    const found = this.findAny(path);
    return typeof found === 'number' ? found : (found.files.readdir?.(found.name, into) ?? -EOPNOTSUPP);
  }

  private both(
    fromPath: string,
    toPath: string,
    run: (files: MountedFiles, from: string, to: string) => MaySleep,
  ): MaySleep {
    const from = this.findAny(fromPath);
    if (typeof from === 'number') return from;
    const to = this.findAny(toPath);
    if (typeof to === 'number') return to;
    return from.files === to.files ? run(from.files, from.name, to.name) : -EXDEV;
  }
}
