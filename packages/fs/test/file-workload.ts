/**
 * A workload of random file operations beside a model of what the files hold. Each operation ends before the next begins; every
 * fiftieth takes the file system from its disk and mounts it again.
 * Tests that let something happen to the machine meanwhile ask it what was promised.
 */
import type { MappableFile, Memory } from '@pincushion/mm';
import { EIO, EROFS, PincushionError } from '@pincushion/sim';
import type { MaySleep, World } from '@pincushion/sim';
import { mountFileSystem } from '../src/index';
import { Chances } from './chance';
import { copyOf, joined, lastOf, resized } from './file-model';
import type { ModelFile, Pause, Tree } from './file-model';
import type { BlockStore, FileSystem, Opened } from '../src/index';
import { allPaths, contentOf, isTreeOf, openedIn, same, sectorOfNone } from './found-files';

const FILE_BYTES_MAX = 24 * 1024;
/** Every which operation unmounts and mounts. */
const REMOUNT_EVERY = 50;

export interface WorkloadOptions {
  readonly seed: number;
  readonly operations: number;
  readonly blocks: number;
  readonly blockBytes: number;
}

/** The three of the crash tests: small blocks, few blocks, hardly any space. */
export const WORKLOADS = [
  { seed: 1, operations: 500, blockBytes: 1024, blocks: 2048 },
  { seed: 2, operations: 500, blockBytes: 4096, blocks: 512 },
  { seed: 3, operations: 500, blockBytes: 1024, blocks: 600 },
] as const;

/** An error that comes from the disk, or because of one. */
export function isFault(result: number): boolean {
  return result === -EIO || result === -EROFS;
}

export class FileWorkload {
  /** What the calls of each operation gave, from 1 on. */
  readonly results: number[][] = [[]];
  /** The tree after each operation; before the first it is empty. */
  readonly trees: Tree[] = [new Map()];
  /** Called while the file system is unmounted. */
  onPause: (pause: Pause) => undefined = () => undefined;
  /** Called with a file system that was mounted. */
  onMount: (fs: FileSystem) => undefined = () => undefined;
  /** What files and names were found to be after an operation failed, where that is neither as before nor as wanted. */
  readonly thirdThings: string[] = [];
  fs: FileSystem;
  /** The journal failed, of a file system that was unmounted since. */
  wasAborted = false;
  /** The last operation whose names are sure to be on disk. */
  committed = 0;
  protected operation = 0;
  private readonly chances: Chances;
  private tree: Map<string, ModelFile | null> = new Map();
  private filesMade = 0;

  /** Goes on after a pause where one is given; what lies on the store is what lay there then. */
  constructor(
    protected readonly world: World,
    private readonly memory: Memory,
    private readonly store: BlockStore,
    private readonly options: WorkloadOptions,
    from?: Pause,
  ) {
    this.fs = world.complete(mountFileSystem(memory, store)).fs;
    this.chances = new Chances(from?.seed ?? options.seed);
    if (from === undefined) return;
    this.operation = from.operation;
    this.committed = from.operation;
    this.filesMade = from.filesMade;
    this.tree = copyOf(from.tree);
    this.results.push(...Array.from({ length: from.operation }, () => []));
    while (this.trees.length < from.operation) this.trees.push(new Map());
    this.trees.push(new Map(this.tree));
  }

  /** Does the operations up to number `last`, by default all. */
  run(last = this.options.operations): this {
    while (this.operation < last) {
      this.operation++;
      this.results.push([]);
      this.step();
      this.trees.push(new Map(this.tree));
    }
    return this;
  }

  /** The files whose content is not that of the model. */
  wrongFiles(): string[] {
    return [...this.tree].flatMap(([path, file]) =>
      file === null || same(contentOf(this.world, this.fs, path), lastOf(file)) ? [] : [path],
    );
  }

  /** Whether the operation took the file system from its disk. */
  isRemount(operation: number): boolean {
    return operation % REMOUNT_EVERY === 0;
  }

  /** The next operation that does, after one. */
  remountAfter(operation: number): number {
    return Math.floor(operation / REMOUNT_EVERY + 1) * REMOUNT_EVERY;
  }

  private pick(below: number): number {
    return this.chances.pick(below);
  }

  private done(result: MaySleep): number {
    const r = this.world.settle(result);
    this.results[this.operation].push(r);
    return r;
  }

  private file(result: Opened): MappableFile | null {
    const file = openedIn(this.world, result);
    if (typeof file !== 'number') return file;
    this.results[this.operation].push(file);
    return null;
  }

  // ---- operations --------------------------------------------------------------------------------------------------------------

  private step(): void {
    if (this.isRemount(this.operation)) {
      this.remount();
      return;
    }
    const file = this.somePath((entry) => entry !== null);
    const kind = this.pick(100);
    if (file === undefined || kind < 8) this.create();
    else if (kind < 38) this.write(file);
    else if (kind < 46) this.truncate(file);
    else if (kind < 54) this.allocate(file);
    else if (kind < 60) this.unlink(file);
    else if (kind < 68) this.rename();
    else if (kind < 72) this.makeDirectory();
    else if (kind < 75) this.removeDirectory();
    else if (kind < 77) this.link(file);
    else if (kind < 83) this.writeOut(file);
    else if (kind < 98) this.sync(file);
    else this.syncAll();
  }

  private create(): void {
    const path = this.newPath();
    const file = this.file(this.fs.createNew(path));
    if (file === null) return;
    const ino = this.fs.table.files().find(({ mapping }) => mapping === file.mapping)?.ino ?? 0;
    file.close();
    this.filesMade++;
    const versions = [{ operation: this.operation, bytes: new Uint8Array(0) }];
    this.tree.set(path, { ino, versions, synced: [], asked: [] });
  }

  private write(path: string): void {
    const at = this.pick(FILE_BYTES_MAX - 5000);
    const bytes = new Uint8Array(1 + this.pick(5000)).fill(1 + (this.operation % 255));
    this.onFile(path, (file, before) => {
      const isAppend = this.pick(4) === 0 && before.length < FILE_BYTES_MAX;
      const position = isAppend ? before.length : at;
      const done = this.done(
        isAppend ? (file.append?.(bytes, 0, bytes.length) ?? 0) : file.write(at, bytes, 0, bytes.length),
      );
      if (done <= 0 && !isFault(done)) return before;
      const written = done < 0 ? bytes.length : done;
      const after = new Uint8Array(Math.max(before.length, position + written));
      after.set(before);
      after.set(bytes.subarray(0, written), position);
      return after;
    });
  }

  private truncate(path: string): void {
    const size = this.pick(FILE_BYTES_MAX);
    this.onFile(path, (file, before) => (this.mayBeDone(file.truncate(size)) ? resized(before, size) : before));
  }

  /** fallocate in its modes. */
  private allocate(path: string): void {
    const mode = [0, 1, 3, 16, 8, 32][this.pick(6)];
    const unit = mode === 8 || mode === 32 ? this.options.blockBytes : 1;
    const start = Math.floor(this.pick(FILE_BYTES_MAX) / unit) * unit;
    const length = Math.floor((1 + this.pick(8000)) / unit) * unit;
    this.onFile(path, (file, before) => {
      if (mode === 32 && before.length > FILE_BYTES_MAX) return before;
      if (!this.mayBeDone(file.fallocate?.(mode, start, length) ?? -1)) return before;
      const end = start + length;
      if (mode === 8) {
        return this.reread(path, (bytes) => joined(bytes.subarray(0, start), bytes.subarray(end)));
      }
      if (mode === 32) {
        const gap = new Uint8Array(length);
        return this.reread(path, (bytes) => joined(bytes.subarray(0, start), gap, bytes.subarray(start)));
      }
      const after = resized(before, mode === 0 || mode === 16 ? Math.max(before.length, end) : before.length);
      return mode === 0 || mode === 1 ? after : after.fill(0, start, end);
    });
  }

  private unlink(path: string): void {
    this.onNames(this.done(this.fs.unlink(path)), (tree) => tree.delete(path));
  }

  private rename(): void {
    const from = this.somePath(() => true);
    const to = this.pick(2) === 0 ? this.newPath() : this.somePath(() => true);
    if (from === undefined || to === undefined || from === to) return;
    this.onNames(this.done(this.fs.rename(from, to)), (tree) => {
      if (tree.has(to) && tree.get(to) === tree.get(from) && tree.get(to) !== null) return; // one file
      for (const [path, entry] of [...tree]) {
        if (path !== from && !path.startsWith(`${from}/`)) continue;
        tree.delete(path);
        tree.set(to + path.slice(from.length), entry);
      }
    });
  }

  private makeDirectory(): void {
    const path = this.newPath();
    this.onNames(this.done(this.fs.mkdir(path)), (tree) => tree.set(path, null));
  }

  private removeDirectory(): void {
    const path = this.somePath((entry) => entry === null);
    if (path !== undefined) this.onNames(this.done(this.fs.rmdir(path)), (tree) => tree.delete(path));
  }

  private link(path: string): void {
    const to = this.newPath();
    this.onNames(this.done(this.fs.link(path, to)), (tree) => tree.set(to, tree.get(path) ?? null));
  }

  /** umount and mount, and mount again if it has to be: what is on disk then is what was written. */
  private remount(): void {
    const { journal } = this.fs;
    if (this.done(this.fs.unmount()) === 0) this.allSynced();
    this.wasAborted ||= journal.aborted !== 0;
    const { operation, filesMade } = this;
    this.onPause({ operation, filesMade, seed: this.chances.seed, tree: copyOf(this.tree) });
    for (;;) {
      try {
        this.fs = this.world.complete(mountFileSystem(this.memory, this.store)).fs;
        this.onMount(this.fs);
        return;
      } catch (error) {
        if (!(error instanceof PincushionError) || error.code !== 'FS_MOUNT_FAILED') throw error;
        if (this.results[operation].length > 1) throw error;
        this.results[operation].push(-EIO);
      }
    }
  }

  /** Writeback without a promise. */
  private writeOut(path: string): void {
    this.onFile(path, (file, before) => {
      this.tree.get(path)?.asked.push(this.operation);
      this.done(file.syncFileRange());
      return before;
    });
  }

  private sync(path: string): void {
    const dataOnly = this.pick(4) === 0;
    const file = this.file(this.fs.open(path));
    if (file === null) return;
    this.tree.get(path)?.asked.push(this.operation);
    const error = this.done(dataOnly ? (file.fdatasync?.() ?? 0) : file.fsync());
    file.close();
    if (error < 0) return;
    this.tree.get(path)?.synced.push(this.operation);
    if (this.fs.journal.isIdle && !this.fs.isReadOnly) this.committed = this.operation;
  }

  private syncAll(): void {
    if (this.done(this.fs.sync()) === 0) this.allSynced();
  }

  private allSynced(): void {
    for (const file of new Set(this.tree.values())) file?.synced.push(this.operation);
    this.committed = this.operation;
  }

  private onFile(path: string, change: (file: MappableFile, before: Uint8Array) => Uint8Array): void {
    const model = this.tree.get(path);
    if (model === null || model === undefined) return;
    const file = this.file(this.fs.open(path));
    if (file === null) return;
    const before = lastOf(model);
    const wanted = change(file, before);
    file.close();
    const after = this.results[this.operation].some(isFault) ? this.foundAfter(path, before, wanted) : wanted;
    if (after !== before) model.versions.push({ operation: this.operation, bytes: after });
  }

  /** Whether something was done, or may be in part. */
  private mayBeDone(result: MaySleep): boolean {
    const done = this.done(result);
    return done === 0 || isFault(done);
  }

  /** What a file holds after a change of it failed. */
  private foundAfter(path: string, before: Uint8Array, wanted: Uint8Array): Uint8Array {
    const found = contentOf(this.world, this.fs, path);
    if (same(found, before)) return before;
    const wrong = sectorOfNone(found, [before, wanted]);
    if (wrong !== '') this.thirdThings.push(`operation ${this.operation}, ${path}: ${wrong}`);
    return found;
  }

  /**
   * What a file holds after its content was moved, which takes it from memory: what an earlier fault kept from the disk is old
   * again, and moved as well.
   */
  private reread(path: string, moved: (bytes: Uint8Array) => Uint8Array): Uint8Array {
    const versions = (this.tree.get(path)?.versions ?? []).map(({ bytes }) => bytes);
    const wanted = moved(versions[versions.length - 1]);
    const failed = this.results.findIndex((ofOne) => ofOne.some(isFault));
    if (failed < 0 || this.results[this.operation].some(isFault)) return wanted;
    const found = contentOf(this.world, this.fs, path);
    const wrong = same(found, wanted) ? '' : sectorOfNone(found, versions.map(moved));
    if (wrong !== '') this.thirdThings.push(`operation ${this.operation}, ${path}: ${wrong}`);
    return found;
  }

  /** Names have changed, or may have, all of them or none. */
  private onNames(result: number, change: (tree: Map<string, ModelFile | null>) => unknown): void {
    if (result !== 0 && !isFault(result)) return;
    const after = new Map(this.tree);
    change(after);
    if (result !== 0) {
      const found = allPaths(this.world, this.fs, '/');
      if (isTreeOf(this.tree, found)) return;
      if (!isTreeOf(after, found)) this.thirdThings.push(`operation ${this.operation}: the names ${found.join(' ')}`);
    }
    this.tree = after;
  }

  private somePath(wanted: (entry: ModelFile | null) => boolean): string | undefined {
    const paths = [...this.tree].filter(([, entry]) => wanted(entry)).map(([path]) => path);
    return paths.length === 0 ? undefined : paths[this.pick(paths.length)];
  }

  private newPath(): string {
    const directory = this.pick(2) === 0 ? undefined : this.somePath((entry) => entry === null);
    return `${directory ?? ''}/${'abcdefgh'[this.pick(8)].repeat(1 + this.pick(40))}${this.filesMade}`;
  }
}
