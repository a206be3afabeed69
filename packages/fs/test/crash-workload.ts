/**
 * A workload of random file operations on a disk that remembers, and the question whether what is found after the power went is
 * one of the states that may be found.
 *
 * Names: metadata is journalled in order, so the tree is that of some operation between the last commit and the one that was
 * cut off. Content: each byte is one that the file had since its last fsync, and so is its size.
 */
import { Memory, PAGE_SIZE } from '@pincushion/mm';
import type { MappableFile } from '@pincushion/mm';
import { World } from '@pincushion/sim';
import { checkFileSystem, makeFileSystem, mountFileSystem } from '../src/index';
import type { FileSystem } from '../src/index';
import { CrashDisk } from './crash-disk';
import type { CrashPoint } from './crash-disk';
import { opened, plain } from './mounted';

const MIB = 1 << 20;
const FILE_BYTES_MAX = 24 * 1024;

export interface WorkloadOptions {
  readonly seed: number;
  readonly operations: number;
  readonly blocks: number;
  readonly blockBytes: number;
}

/** What a file held after an operation. */
interface Version {
  readonly operation: number;
  readonly bytes: Uint8Array;
}

/** A file as the model knows it; its names come and go. */
interface ModelFile {
  readonly versions: Version[];
  /** Operations that have synced it. */
  readonly synced: number[];
}

/** By path: a file, or null for a directory. */
type Tree = ReadonlyMap<string, ModelFile | null>;

/** Numbers that follow from a seed (mulberry32). */
export function chance(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}

export class CrashWorkload {
  readonly disk: CrashDisk;
  readonly fs: FileSystem;
  private readonly world = new World();
  /** The tree after each operation; before the first it is empty. */
  private readonly trees: Tree[] = [];
  /** For each event: the operation that ran, and the last one whose names are sure to be on disk. */
  private readonly operationAt: number[] = [];
  private readonly committedAt: number[] = [];
  private readonly pick: (below: number) => number;
  private tree = new Map<string, ModelFile | null>();
  private operation = 0;
  private committed = 0;
  private filesMade = 0;

  constructor(private readonly options: WorkloadOptions) {
    const memory = new Memory(this.world, { ramBytes: 32 * MIB });
    this.pick = chance(options.seed);
    this.disk = new CrashDisk(memory, options.blocks, options.blockBytes);
    expect(plain(makeFileSystem(memory, this.disk))).toBe(0);
    this.fs = this.world.complete(mountFileSystem(memory, this.disk)).fs;
    this.disk.begin();
    this.disk.onEvent = () => {
      this.operationAt.push(this.operation);
      this.committedAt.push(this.committed);
      return undefined;
    };
    this.trees.push(new Map());
  }

  /** Does all operations; what the files hold then is compared with the model. */
  run(): this {
    for (this.operation = 1; this.operation <= this.options.operations; this.operation++) {
      this.step();
      this.trees.push(new Map(this.tree));
    }
    for (const [path, file] of this.tree) {
      if (file === null) continue;
      const found = this.contentOf(this.fs, path);
      expect({ path, same: same(found, file.versions[file.versions.length - 1].bytes) }).toEqual({ path, same: true });
    }
    return this;
  }

  // ---- operations --------------------------------------------------------------------------------------------------------------

  private step(): void {
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
    const made = this.fs.createNew(path);
    if (typeof made === 'number') return;
    opened(made).close();
    this.filesMade++;
    this.tree.set(path, { versions: [{ operation: this.operation, bytes: new Uint8Array(0) }], synced: [] });
  }

  private write(path: string): void {
    const at = this.pick(FILE_BYTES_MAX - 5000);
    const bytes = new Uint8Array(1 + this.pick(5000)).fill(1 + (this.operation % 255));
    this.onFile(path, (file, before) => {
      const isAppend = this.pick(4) === 0 && before.length < FILE_BYTES_MAX;
      const position = isAppend ? before.length : at;
      const written = plain(
        isAppend ? (file.append?.(bytes, 0, bytes.length) ?? 0) : file.write(at, bytes, 0, bytes.length),
      );
      if (written <= 0) return before;
      const after = new Uint8Array(Math.max(before.length, position + written));
      after.set(before);
      after.set(bytes.subarray(0, written), position);
      return after;
    });
  }

  private truncate(path: string): void {
    const size = this.pick(FILE_BYTES_MAX);
    this.onFile(path, (file, before) => (plain(file.truncate(size)) === 0 ? resized(before, size) : before));
  }

  /** fallocate in its modes. */
  private allocate(path: string): void {
    const mode = [0, 1, 3, 16, 8, 32][this.pick(6)];
    const unit = mode === 8 || mode === 32 ? this.options.blockBytes : 1;
    const start = Math.floor(this.pick(FILE_BYTES_MAX) / unit) * unit;
    const length = Math.floor((1 + this.pick(8000)) / unit) * unit;
    this.onFile(path, (file, before) => {
      if (mode === 32 && before.length > FILE_BYTES_MAX) return before;
      if (plain(file.fallocate?.(mode, start, length) ?? -1) !== 0) return before;
      const end = start + length;
      if (mode === 8) return joined(before.subarray(0, start), before.subarray(end));
      if (mode === 32) return joined(before.subarray(0, start), new Uint8Array(length), before.subarray(start));
      const after = resized(before, mode === 0 || mode === 16 ? Math.max(before.length, end) : before.length);
      return mode === 0 || mode === 1 ? after : after.fill(0, start, end);
    });
  }

  private unlink(path: string): void {
    if (plain(this.fs.unlink(path)) === 0) this.tree.delete(path);
  }

  private rename(): void {
    const from = this.somePath(() => true);
    const to = this.pick(2) === 0 ? this.newPath() : this.somePath(() => true);
    if (from === undefined || to === undefined || from === to) return;
    if (plain(this.fs.rename(from, to)) !== 0) return;
    if (this.tree.has(to) && this.tree.get(to) === this.tree.get(from) && this.tree.get(to) !== null) return; // one file
    for (const [path, entry] of [...this.tree]) {
      if (path !== from && !path.startsWith(`${from}/`)) continue;
      this.tree.delete(path);
      this.tree.set(to + path.slice(from.length), entry);
    }
  }

  private makeDirectory(): void {
    const path = this.newPath();
    if (plain(this.fs.mkdir(path)) === 0) this.tree.set(path, null);
  }

  private removeDirectory(): void {
    const path = this.somePath((entry) => entry === null);
    if (path !== undefined && plain(this.fs.rmdir(path)) === 0) this.tree.delete(path);
  }

  private link(path: string): void {
    const to = this.newPath();
    if (plain(this.fs.link(path, to)) === 0) this.tree.set(to, this.tree.get(path) ?? null);
  }

  /** Writeback without a promise. */
  private writeOut(path: string): void {
    this.onFile(path, (file, before) => {
      plain(file.syncFileRange());
      return before;
    });
  }

  private sync(path: string): void {
    const file = opened(this.fs.open(path));
    expect(plain(this.pick(4) === 0 ? (file.fdatasync?.() ?? 0) : file.fsync())).toBe(0);
    file.close();
    this.tree.get(path)?.synced.push(this.operation);
    if (this.fs.journal.isIdle) this.committed = this.operation;
  }

  private syncAll(): void {
    expect(plain(this.fs.sync())).toBe(0);
    for (const file of this.tree.values()) file?.synced.push(this.operation);
    this.committed = this.operation;
  }

  private onFile(path: string, change: (file: MappableFile, before: Uint8Array) => Uint8Array): void {
    const model = this.tree.get(path);
    if (model === null || model === undefined) return;
    const file = opened(this.fs.open(path));
    const before = model.versions[model.versions.length - 1].bytes;
    const after = change(file, before);
    file.close();
    if (after !== before) model.versions.push({ operation: this.operation, bytes: after });
  }

  private somePath(wanted: (entry: ModelFile | null) => boolean): string | undefined {
    const paths = [...this.tree].filter(([, entry]) => wanted(entry)).map(([path]) => path);
    return paths.length === 0 ? undefined : paths[this.pick(paths.length)];
  }

  private newPath(): string {
    const directory = this.pick(2) === 0 ? undefined : this.somePath((entry) => entry === null);
    return `${directory ?? ''}/${'abcdefgh'[this.pick(8)].repeat(1 + this.pick(40))}${this.filesMade}`;
  }

  // ---- after the power went ------------------------------------------------------------------------------------------------------

  /** What is wrong with the disk as it is found after a crash, in words; '' when nothing is. `memory` of another machine. */
  problemAfter(point: CrashPoint, image: Map<number, Uint8Array>, world: World, memory: Memory): string {
    const store = point.store(memory, image);
    const { fs } = world.complete(mountFileSystem(memory, store));
    const wrong = this.compare(fs, point.index);
    // It can be used again.
    const file = fs.create('/after');
    if (typeof file !== 'number') {
      plain(opened(file).write(0, new Uint8Array(PAGE_SIZE).fill(7), 0, PAGE_SIZE));
      opened(file).close();
    }
    const unmounted = plain(fs.unmount());
    if (wrong !== '') return wrong;
    if (unmounted !== 0) return `umount gives ${unmounted}`;
    const problems = world.complete(checkFileSystem(memory, store));
    return problems.map(({ code, subject, detail }) => `${code}: ${subject}, ${detail}`).join('; ');
  }

  private compare(fs: FileSystem, event: number): string {
    const paths = new Set(allPaths(fs, '/'));
    const last = this.operationAt[event];
    let why = 'the tree is none of those that may be found';
    for (let operation = Math.min(last, this.trees.length - 1); operation >= this.committedAt[event]; operation--) {
      const tree = this.trees[operation];
      if (tree.size !== paths.size || ![...tree.keys()].every((path) => paths.has(path))) continue;
      why = this.compareContent(fs, tree, last, event);
      if (why === '') return '';
    }
    return `${why} (operations ${this.committedAt[event]} to ${last})`;
  }

  private compareContent(fs: FileSystem, tree: Tree, last: number, event: number): string {
    for (const [path, file] of tree) {
      if (file === null) continue;
      // A sync that has not ended promises nothing.
      const isOver = (operation: number): boolean =>
        operation < last || (event === this.operationAt.length && operation === last);
      const synced = Math.max(0, ...file.synced.filter(isOver));
      const floor = file.versions.filter(({ operation }) => operation <= synced).length - 1;
      const allowed = file.versions.slice(Math.max(0, floor)).filter(({ operation }) => operation <= last);
      const found = this.contentOf(fs, path);
      const sizes = allowed.map(({ bytes }) => bytes.length);
      if (found.length < Math.min(...sizes) || found.length > Math.max(...sizes)) {
        return `${path} has ${found.length} bytes, and had ${sizes.join(', ')}`;
      }
      for (let i = 0; i < found.length; i++) {
        if (found[i] !== 0 && !allowed.some(({ bytes }) => bytes[i] === found[i])) {
          return `byte ${i} of ${path} is ${found[i]}, and was ${allowed.map(({ bytes }) => bytes[i]).join(', ')}`;
        }
        if (found[i] === 0 && !allowed.some(({ bytes }) => i >= bytes.length || bytes[i] === 0)) {
          return `byte ${i} of ${path} is lost: it was ${allowed.map(({ bytes }) => bytes[i]).join(', ')}`;
        }
      }
    }
    return '';
  }

  private contentOf(fs: FileSystem, path: string): Uint8Array {
    const file = fs.open(path);
    if (typeof file === 'number') throw new Error(`${path} cannot be opened: ${file}`);
    const bytes = new Uint8Array(opened(file).size);
    expect(plain(opened(file).read(0, bytes, 0, bytes.length))).toBe(bytes.length);
    opened(file).close();
    return bytes;
  }
}

function allPaths(fs: FileSystem, directory: string): string[] {
  const names: string[] = [];
  const count = plain(fs.readdir(directory, names));
  if (count < 0) return [];
  return names.flatMap((name) => {
    const path = directory === '/' ? `/${name}` : `${directory}/${name}`;
    return [path, ...allPaths(fs, path)];
  });
}

function resized(bytes: Uint8Array, size: number): Uint8Array {
  const after = new Uint8Array(size);
  after.set(bytes.subarray(0, size));
  return after;
}

function joined(...parts: Uint8Array[]): Uint8Array {
  const after = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    after.set(part, at);
    at += part.length;
  }
  return after;
}

function same(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}

/** Tries crash points of a workload; `step`: every which event. The problems that were found, and how many images were tried. */
export function tryCrashes(workload: CrashWorkload, step: number, seed: number): { tried: number; problems: string[] } {
  const pick = chance(seed);
  const problems: string[] = [];
  let tried = 0;
  let world = new World();
  let memory = new Memory(world, { ramBytes: 16 * MIB });
  for (const point of workload.disk.crashPoints()) {
    if (point.index % step !== 0) continue;
    const variants: ((write: number, sector: number) => boolean)[] = [() => true];
    if (point.isOpen) {
      variants.push(() => false);
      const lost = new Set<number>();
      variants.push((write, sector) => {
        if (sector === 0 && pick(2) === 0) lost.add(write);
        return !lost.has(write);
      });
      variants.push(() => pick(3) !== 0); // torn
    }
    for (const [i, keep] of variants.entries()) {
      tried++;
      if (tried % 200 === 0) {
        world = new World();
        memory = new Memory(world, { ramBytes: 16 * MIB });
      }
      const problem = workload.problemAfter(point, point.image(keep), world, memory);
      if (problem !== '') problems.push(`after event ${point.index}, variant ${i}: ${problem}`);
    }
  }
  return { tried, problems };
}
