/**
 * tmpfs: files that are memory, in directories that are memory, too.
 *
 * A name is a use of its file, as an open is. Nothing here ever sleeps.
 * Left out: symbolic links, permissions, limits of a mount.
 * Source followed: mm/shmem.c `shmem_create`, `shmem_link`, `shmem_unlink`, `shmem_rmdir`, `shmem_rename2` (6.18).
 */
import type { MappableFile, Memory, ShmemFile } from '@pincushion/mm';
import { newShmemFile } from '@pincushion/mm';
import { EBUSY, EEXIST, EINVAL, EISDIR, ENAMETOOLONG, ENOENT, ENOTDIR, ENOTEMPTY, EPERM } from '@pincushion/sim';
import type { MountedFiles } from './mount-table';

const NAME_BYTES_MAX = 255;

type Entry = ShmemFile | Directory;

class Directory {
  readonly entries = new Map<string, Entry>();

  constructor(readonly parent: Directory | null) {}
}

/** The directory that a path leads to, and the name in it; '' is the root itself. */
interface Place {
  readonly parent: Directory;
  readonly name: string;
  readonly entry: Entry | undefined;
}

export class Tmpfs implements MountedFiles {
  private readonly root = new Directory(null);

  constructor(private readonly memory: Memory) {}

  create(path: string): MappableFile | number {
    const place = this.walk(path);
    if (typeof place === 'number') return place;
    const { parent, name, entry } = place;
    if (entry instanceof Directory || path.endsWith('/')) return -EISDIR;
    if (entry !== undefined) return -EEXIST;
    const file = newShmemFile(this.memory, name, 0); // The use of the name.
    parent.entries.set(name, file);
    file.get();
    return file;
  }

  open(path: string): MappableFile | number {
    const place = this.walk(path);
    if (typeof place === 'number') return place;
    if (place.entry === undefined) return -ENOENT;
    if (place.entry instanceof Directory) return -EISDIR;
    if (path.endsWith('/')) return -ENOTDIR;
    place.entry.get();
    return place.entry;
  }

  unlink(path: string): number {
    const place = this.walk(path);
    if (typeof place === 'number') return place;
    if (place.entry === undefined) return -ENOENT;
    if (place.entry instanceof Directory) return -EISDIR;
    place.parent.entries.delete(place.name);
    place.entry.put();
    return 0;
  }

  mkdir(path: string): number {
    const place = this.walk(path);
    if (typeof place === 'number') return place;
    if (place.entry !== undefined) return -EEXIST;
    place.parent.entries.set(place.name, new Directory(place.parent));
    return 0;
  }

  rmdir(path: string): number {
    const place = this.walk(path);
    if (typeof place === 'number') return place;
    const { parent, name, entry } = place;
    if (entry === undefined) return -ENOENT;
    if (!(entry instanceof Directory)) return -ENOTDIR;
    if (entry === this.root) return -EBUSY;
    if (entry.entries.size > 0) return -ENOTEMPTY;
    parent.entries.delete(name);
    return 0;
  }

  link(from: string, to: string): number {
    const old = this.walk(from);
    if (typeof old === 'number') return old;
    if (old.entry === undefined) return -ENOENT;
    if (old.entry instanceof Directory) return -EPERM;
    const place = this.walk(to);
    if (typeof place === 'number') return place;
    if (place.entry !== undefined) return -EEXIST;
    place.parent.entries.set(place.name, old.entry);
    old.entry.get();
    return 0;
  }

  rename(fromPath: string, toPath: string): number {
    const from = this.walk(fromPath);
    if (typeof from === 'number') return from;
    const to = this.walk(toPath);
    if (typeof to === 'number') return to;
    if (from.entry === undefined) return -ENOENT;
    if (from.entry === this.root || to.entry === this.root) return -EBUSY;
    if (from.entry === to.entry) return 0;
    const refused = mayReplace(from.entry, to);
    if (refused !== 0) return refused;
    from.parent.entries.delete(from.name);
    const moved = from.entry instanceof Directory ? reparented(from.entry, to.parent) : from.entry;
    to.parent.entries.set(to.name, moved);
    if (to.entry !== undefined && !(to.entry instanceof Directory)) to.entry.put();
    return 0;
  }

  readdir(path: string, into: string[]): number {
    const place = this.walk(path);
    if (typeof place === 'number') return place;
    if (place.entry === undefined) return -ENOENT;
    if (!(place.entry instanceof Directory)) return -ENOTDIR;
    into.push(...place.entry.entries.keys());
    return place.entry.entries.size;
  }

  private walk(path: string): Place | number {
    const names = path.split('/').filter((name) => name !== '' && name !== '.');
    const last = names.pop();
    if (last === undefined) return { parent: this.root, name: '', entry: this.root };
    let parent = this.root;
    for (const name of names) {
      const next = isTooLong(name) ? -ENAMETOOLONG : step(parent, name);
      if (typeof next === 'number') return next;
      if (next === undefined) return -ENOENT;
      if (!(next instanceof Directory)) return -ENOTDIR;
      parent = next;
    }
    if (isTooLong(last)) return -ENAMETOOLONG;
    return { parent, name: last, entry: step(parent, last) };
  }
}

function step(directory: Directory, name: string): Entry | undefined {
  return name === '..' ? (directory.parent ?? directory) : directory.entries.get(name);
}

/** 0, or why the new name cannot be taken over. */
function mayReplace(moved: Entry, { parent, entry }: Place): number {
  if (moved instanceof Directory) {
    for (let above: Directory | null = parent; above !== null; above = above.parent)
      if (above === moved) return -EINVAL;
  }
  if (entry === undefined) return 0;
  if (moved instanceof Directory) {
    if (!(entry instanceof Directory)) return -ENOTDIR;
    return entry.entries.size > 0 ? -ENOTEMPTY : 0;
  }
  return entry instanceof Directory ? -EISDIR : 0;
}

function reparented(directory: Directory, parent: Directory): Directory {
  const moved = new Directory(parent);
  for (const [name, entry] of directory.entries) {
    moved.entries.set(name, entry instanceof Directory ? reparented(entry, moved) : entry);
  }
  return moved;
}

function isTooLong(name: string): boolean {
  return new TextEncoder().encode(name).length > NAME_BYTES_MAX;
}
