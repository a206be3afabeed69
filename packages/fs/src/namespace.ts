/**
 * Names: paths to inodes, and everything that changes them.
 *
 * Each change is one transaction part, so that a machine that stops finds it done or not done; a rename above all. Changes take
 * turns (one lock for all directories, where the kernel has one for each); looking up needs no lock.
 * Results are an inode number, 0, or -errno: ENOENT, ENOTDIR, EISDIR, EEXIST, ENOTEMPTY, ENAMETOOLONG, EMLINK, EINVAL,
 * ENOSPC, EROFS, EUCLEAN for what is broken on disk.
 * Left out: symbolic links, permissions, RENAME_NOREPLACE and RENAME_EXCHANGE, a cache of names that are not there.
 * Source followed: fs/namei.c `path_lookupat`, `may_delete`, `vfs_rename`, fs/ext4/namei.c `ext4_create`, `ext4_mkdir`,
 * `ext4_unlink`, `ext4_rmdir`, `ext4_rename` (6.18).
 */
import { eagerly, settled } from '@pincushion/mm';
import {
  EBUSY,
  EEXIST,
  EINVAL,
  EISDIR,
  EMLINK,
  ENAMETOOLONG,
  ENOENT,
  ENOTDIR,
  ENOTEMPTY,
  EPERM,
  EROFS,
  EUCLEAN,
} from '@pincushion/sim';
import type { Blocker, MaySleep } from '@pincushion/sim';
import type { Directory, DirectoryEntry } from './directory';
import { NAME_BYTES_MAX, TYPE_DIRECTORY, TYPE_FILE } from './disk-format/directory-block';
import { MODE_DIRECTORY, MODE_FILE, ROOT_INO } from './disk-format/inode-record';
import type { Inode } from './inode';
import { InodeLock } from './inode-lock';
import type { InodeTable } from './inode-table';
import type { SuperBlock } from './super-block';

/** The longest path with its end, bytes (PATH_MAX). */
const PATH_BYTES_MAX = 4096;
/** The most names of an inode (`EXT4_LINK_MAX`). */
const LINKS_MAX = 65_000;

/** What is done in turn. */
type Steps = Generator<Blocker, number, undefined>;

/** The directory that a path leads to, and the name in it. */
interface Place {
  readonly parent: Directory;
  readonly name: string;
  readonly entry: DirectoryEntry | undefined;
  /** The path ends with a slash: it means a directory. */
  readonly wantsDirectory: boolean;
}

export class Namespace {
  private readonly lock: InodeLock;

  constructor(
    private readonly sb: SuperBlock,
    private readonly table: InodeTable,
  ) {
    this.lock = new InodeLock(sb.memory.world, `the names of ${sb.name}`);
  }

  // ---- looking up --------------------------------------------------------------------------------------------------------------

  /** The inode that a path means; it is in memory then. May sleep. */
  lookup(path: string): MaySleep {
    return eagerly(this.sb.memory.world, 'looking up a path', this.find(path));
  }

  private *find(path: string) {
    const place = yield* this.walk(path);
    if (typeof place === 'number') return place;
    const { entry, name, wantsDirectory } = place;
    if (entry === undefined) return -ENOENT;
    if (wantsDirectory && entry.type !== TYPE_DIRECTORY) return -ENOTDIR;
    const error = yield* settled(this.table.read(entry.ino, entry.type, name));
    return error < 0 ? error : entry.ino;
  }

  /** Where a path leads: everything but its last name is looked up. The root is its own `.`. */
  private *walk(path: string) {
    if (path === '') return -ENOENT;
    if (new TextEncoder().encode(path).length >= PATH_BYTES_MAX) return -ENAMETOOLONG;
    const names = path.split('/').filter((name) => name !== '');
    const last = names.pop() ?? '.';
    let parent = yield* this.directory(ROOT_INO);
    for (const name of names) {
      if (typeof parent === 'number') return parent;
      const entry = parent.find(name);
      if (isTooLong(name)) return -ENAMETOOLONG;
      if (entry === undefined) return -ENOENT;
      if (entry.type !== TYPE_DIRECTORY) return -ENOTDIR;
      parent = yield* this.directory(entry.ino);
    }
    if (typeof parent === 'number') return parent;
    if (isTooLong(last)) return -ENAMETOOLONG;
    const place: Place = { parent, name: last, entry: parent.find(last), wantsDirectory: path.endsWith('/') };
    return place;
  }

  private *directory(ino: number) {
    const error = yield* settled(this.table.read(ino, TYPE_DIRECTORY, ''));
    return error < 0 ? error : (this.table.directory(ino) ?? -EUCLEAN);
  }

  /** Runs a change of names when it is its turn. */
  private change(what: string, body: () => Steps): MaySleep {
    if (this.sb.isReadOnly) return -EROFS;
    return eagerly(this.sb.memory.world, what, this.inTurn(body));
  }

  private *inTurn(body: () => Steps) {
    yield* settled(this.lock.acquire());
    const result = yield* body();
    this.lock.release();
    return result;
  }

  // ---- making ------------------------------------------------------------------------------------------------------------------

  /** A regular file: its inode; an old one when the name is known and `isNew` is false. May sleep. */
  create(path: string, isNew: boolean): MaySleep {
    return this.change('creat', () => this.createFile(path, isNew));
  }

  private *createFile(path: string, isNew: boolean) {
    const place = yield* this.walk(path);
    if (typeof place === 'number') return place;
    const { parent, name, entry, wantsDirectory } = place;
    if (entry !== undefined) {
      if (isNew) return -EEXIST;
      if (entry.type === TYPE_DIRECTORY) return -EISDIR;
      const error = yield* settled(this.table.read(entry.ino, TYPE_FILE, name));
      return error < 0 ? error : entry.ino;
    }
    if (wantsDirectory) return -EISDIR;
    const ino = yield* settled(this.table.begin(parent.credits + 2));
    if (ino < 0) return ino;
    const error = parent.add(name, ino, TYPE_FILE);
    if (error < 0) return error;
    const inode = this.table.create(ino, MODE_FILE, name);
    inode.links = 1;
    return ino;
  }

  /** A directory. 0 or -errno. May sleep. */
  mkdir(path: string): MaySleep {
    return this.change('mkdir', () => this.makeDirectory(path));
  }

  private *makeDirectory(path: string) {
    const place = yield* this.walk(path);
    if (typeof place === 'number') return place;
    const { parent, name, entry } = place;
    if (entry !== undefined) return -EEXIST;
    if (parent.links >= LINKS_MAX) return -EMLINK;
    const ino = yield* settled(this.table.begin(2 * parent.credits + 2));
    if (ino < 0) return ino;
    const made = this.table.create(ino, MODE_DIRECTORY, name) as Directory;
    made.links = 2;
    let error = made.add('.', ino, TYPE_DIRECTORY);
    if (error === 0) error = made.add('..', parent.ino, TYPE_DIRECTORY);
    if (error === 0) error = parent.add(name, ino, TYPE_DIRECTORY);
    if (error < 0) {
      this.abandon(made);
      return error;
    }
    parent.links++;
    parent.changed();
    return 0;
  }

  /** There was no room for a directory that was being made: its inode and its block are free again. Inside of the change. */
  private abandon(made: Directory): void {
    made.links = 0;
    made.clear();
    made.release(0, Infinity);
    this.table.discard(made);
  }

  /** Another name for a regular file. 0 or -errno. May sleep. */
  link(from: string, to: string): MaySleep {
    return this.change('link', () => this.addName(from, to));
  }

  private *addName(from: string, to: string) {
    const ino = yield* this.find(from);
    if (ino < 0) return ino;
    const inode = this.table.file(ino);
    if (inode === undefined) return -EPERM;
    const place = yield* this.walk(to);
    if (typeof place === 'number') return place;
    const { parent, name, entry } = place;
    if (entry !== undefined) return -EEXIST;
    if (inode.links >= LINKS_MAX) return -EMLINK;
    const started = yield* settled(this.sb.journal.start(parent.credits + inode.encodeCost()));
    if (started < 0) return started;
    const error = parent.add(name, ino, TYPE_FILE);
    if (error < 0) return error;
    inode.links++;
    inode.changed();
    return 0;
  }

  // ---- removing ------------------------------------------------------------------------------------------------------------------

  /** The name of a file goes; the content with the last name and the last user. 0 or -errno. May sleep. */
  unlink(path: string): MaySleep {
    return this.change('unlink', () => this.removeName(path));
  }

  private *removeName(path: string) {
    const place = yield* this.walk(path);
    if (typeof place === 'number') return place;
    const { parent, name, entry, wantsDirectory } = place;
    if (entry === undefined) return -ENOENT;
    if (entry.type === TYPE_DIRECTORY) return -EISDIR;
    if (wantsDirectory) return -ENOTDIR;
    const read = yield* settled(this.table.read(entry.ino, entry.type, name));
    if (read < 0) return read;
    const inode = this.table.file(entry.ino);
    if (inode === undefined) return -EUCLEAN;
    const started = yield* settled(
      this.sb.journal.start(parent.credits + inode.encodeCost() + this.sb.orphans.credits),
    );
    if (started < 0) return started;
    parent.remove(name);
    this.dropName(inode);
    inode.evictIfUnused();
    return 0;
  }

  /** An empty directory goes. 0 or -errno. May sleep. */
  rmdir(path: string): MaySleep {
    return this.change('rmdir', () => this.removeDirectory(path));
  }

  private *removeDirectory(path: string) {
    const place = yield* this.walk(path);
    if (typeof place === 'number') return place;
    const { parent, name, entry } = place;
    if (name === '.') return -EINVAL;
    if (name === '..') return -ENOTEMPTY;
    if (entry === undefined) return -ENOENT;
    if (entry.type !== TYPE_DIRECTORY) return -ENOTDIR;
    const directory = yield* this.directory(entry.ino);
    if (typeof directory === 'number') return directory;
    if (directory.count > 0) return -ENOTEMPTY;
    const started = yield* settled(this.sb.journal.start(2 * parent.credits + this.sb.orphans.credits));
    if (started < 0) return started;
    parent.remove(name);
    this.dropDirectory(parent, directory);
    return yield* settled(this.table.delete(directory));
  }

  private dropName(inode: Inode): void {
    inode.links--;
    inode.changed();
    if (inode.links === 0) this.sb.orphans.add(inode);
  }

  private dropDirectory(parent: Directory, directory: Directory): void {
    directory.links = 0;
    directory.clear();
    this.sb.orphans.add(directory);
    parent.links--;
    parent.changed();
  }

  // ---- renaming ------------------------------------------------------------------------------------------------------------------

  /**
   * rename(2): the new name means what the old one meant, and what it meant before has lost it; nobody, not even after the
   * machine stopped, sees both or neither. 0 or -errno. May sleep.
   */
  rename(from: string, to: string): MaySleep {
    return this.change('rename', () => this.moveName(from, to));
  }

  private *moveName(fromPath: string, toPath: string) {
    const from = yield* this.walk(fromPath);
    if (typeof from === 'number') return from;
    const to = yield* this.walk(toPath);
    if (typeof to === 'number') return to;
    if (isDots(from.name) || isDots(to.name)) return -EBUSY;
    const moved = from.entry;
    if (moved === undefined) return -ENOENT;
    const isDirectory = moved.type === TYPE_DIRECTORY;
    if (!isDirectory && (from.wantsDirectory || to.wantsDirectory)) return -ENOTDIR;
    if (to.entry?.ino === moved.ino) return 0;
    const refused = yield* this.mayReplace(to, moved, isDirectory);
    if (refused < 0) return refused;
    const read = yield* settled(this.table.read(moved.ino, moved.type, to.name));
    if (read < 0) return read;
    // Besides: the moved inode and its `..`, the replaced one, the list of orphans.
    const credits = from.parent.credits + to.parent.credits + 3 + this.sb.orphans.credits;
    const started = yield* settled(this.sb.journal.start(credits));
    if (started < 0) return started;
    const error = this.moveNow(from, to, moved);
    if (error < 0 || to.entry === undefined) return error;
    const replaced = this.table.directory(to.entry.ino);
    if (replaced !== undefined) return yield* settled(this.table.delete(replaced));
    this.table.file(to.entry.ino)?.evictIfUnused();
    return 0;
  }

  /** What the new name means now gives way: a file to a file, an empty directory to a directory that does not contain it. */
  private *mayReplace(to: Place, moved: DirectoryEntry, isDirectory: boolean) {
    if (isDirectory) {
      // A directory does not go into one of its own.
      for (let above = to.parent; ;) {
        if (above.ino === moved.ino) return -EINVAL;
        if (above.ino === ROOT_INO) break;
        const next = yield* this.directory(above.parent);
        if (typeof next === 'number') return next;
        above = next;
      }
    }
    if (to.entry === undefined) return 0;
    if (isDirectory && to.entry.type !== TYPE_DIRECTORY) return -ENOTDIR;
    if (!isDirectory && to.entry.type === TYPE_DIRECTORY) return -EISDIR;
    const read = yield* settled(this.table.read(to.entry.ino, to.entry.type, to.name));
    if (read < 0) return read;
    return (this.table.directory(to.entry.ino)?.count ?? 0) > 0 ? -ENOTEMPTY : 0;
  }

  /** The change itself. */
  private moveNow(from: Place, to: Place, moved: DirectoryEntry): number {
    if (to.entry === undefined) {
      const error = to.parent.add(to.name, moved.ino, moved.type);
      if (error < 0) return error;
    } else {
      to.parent.replace(to.name, moved.ino, moved.type);
      const file = this.table.file(to.entry.ino);
      const directory = this.table.directory(to.entry.ino);
      if (file !== undefined) this.dropName(file);
      if (directory !== undefined) this.dropDirectory(to.parent, directory);
    }
    from.parent.remove(from.name);
    this.table.file(moved.ino)?.changed();
    const directory = this.table.directory(moved.ino);
    if (directory === undefined) return 0;
    directory.changed();
    if (from.parent === to.parent) return 0;
    directory.replace('..', to.parent.ino, TYPE_DIRECTORY);
    from.parent.links--;
    to.parent.links++;
    from.parent.changed();
    to.parent.changed();
    return 0;
  }
}

function isTooLong(name: string): boolean {
  return new TextEncoder().encode(name).length > NAME_BYTES_MAX;
}

function isDots(name: string): boolean {
  return name === '.' || name === '..';
}
