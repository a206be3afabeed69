/**
 * A workload of random file operations beside a model of what the files hold. Each operation ends before the next begins.
 * Tests that let something happen to the machine meanwhile ask it what was promised.
 */
import type { MappableFile } from '@pincushion/mm';
import type { MaySleep, World } from '@pincushion/sim';
import type { FileSystem, Opened } from '../src/index';

const FILE_BYTES_MAX = 24 * 1024;

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
export type Tree = ReadonlyMap<string, ModelFile | null>;

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

export class FileWorkload {
  /** What the calls of each operation gave, from 1 on. */
  readonly results: number[][] = [[]];
  /** Operations that have synced everything. */
  readonly wholeSyncs: number[] = [];
  /** The tree after each operation; before the first it is empty. */
  protected readonly trees: Tree[] = [new Map()];
  protected operation = 0;
  /** The last operation whose names are sure to be on disk. */
  protected committed = 0;
  private readonly pick: (below: number) => number;
  private tree = new Map<string, ModelFile | null>();
  private filesMade = 0;

  constructor(
    protected readonly world: World,
    readonly fs: FileSystem,
    private readonly options: WorkloadOptions,
  ) {
    this.pick = chance(options.seed);
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
      file === null || same(contentOf(this.world, this.fs, path), file.versions[file.versions.length - 1].bytes)
        ? []
        : [path],
    );
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
    file.close();
    this.filesMade++;
    this.tree.set(path, { versions: [{ operation: this.operation, bytes: new Uint8Array(0) }], synced: [] });
  }

  private write(path: string): void {
    const at = this.pick(FILE_BYTES_MAX - 5000);
    const bytes = new Uint8Array(1 + this.pick(5000)).fill(1 + (this.operation % 255));
    this.onFile(path, (file, before) => {
      const isAppend = this.pick(4) === 0 && before.length < FILE_BYTES_MAX;
      const position = isAppend ? before.length : at;
      const written = this.done(
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
    this.onFile(path, (file, before) => (this.done(file.truncate(size)) === 0 ? resized(before, size) : before));
  }

  /** fallocate in its modes. */
  private allocate(path: string): void {
    const mode = [0, 1, 3, 16, 8, 32][this.pick(6)];
    const unit = mode === 8 || mode === 32 ? this.options.blockBytes : 1;
    const start = Math.floor(this.pick(FILE_BYTES_MAX) / unit) * unit;
    const length = Math.floor((1 + this.pick(8000)) / unit) * unit;
    this.onFile(path, (file, before) => {
      if (mode === 32 && before.length > FILE_BYTES_MAX) return before;
      if (this.done(file.fallocate?.(mode, start, length) ?? -1) !== 0) return before;
      const end = start + length;
      if (mode === 8) return joined(before.subarray(0, start), before.subarray(end));
      if (mode === 32) return joined(before.subarray(0, start), new Uint8Array(length), before.subarray(start));
      const after = resized(before, mode === 0 || mode === 16 ? Math.max(before.length, end) : before.length);
      return mode === 0 || mode === 1 ? after : after.fill(0, start, end);
    });
  }

  private unlink(path: string): void {
    if (this.done(this.fs.unlink(path)) === 0) this.tree.delete(path);
  }

  private rename(): void {
    const from = this.somePath(() => true);
    const to = this.pick(2) === 0 ? this.newPath() : this.somePath(() => true);
    if (from === undefined || to === undefined || from === to) return;
    if (this.done(this.fs.rename(from, to)) !== 0) return;
    if (this.tree.has(to) && this.tree.get(to) === this.tree.get(from) && this.tree.get(to) !== null) return; // one file
    for (const [path, entry] of [...this.tree]) {
      if (path !== from && !path.startsWith(`${from}/`)) continue;
      this.tree.delete(path);
      this.tree.set(to + path.slice(from.length), entry);
    }
  }

  private makeDirectory(): void {
    const path = this.newPath();
    if (this.done(this.fs.mkdir(path)) === 0) this.tree.set(path, null);
  }

  private removeDirectory(): void {
    const path = this.somePath((entry) => entry === null);
    if (path !== undefined && this.done(this.fs.rmdir(path)) === 0) this.tree.delete(path);
  }

  private link(path: string): void {
    const to = this.newPath();
    if (this.done(this.fs.link(path, to)) === 0) this.tree.set(to, this.tree.get(path) ?? null);
  }

  /** Writeback without a promise. */
  private writeOut(path: string): void {
    this.onFile(path, (file, before) => {
      this.done(file.syncFileRange());
      return before;
    });
  }

  private sync(path: string): void {
    const dataOnly = this.pick(4) === 0;
    const file = this.file(this.fs.open(path));
    if (file === null) return;
    const error = this.done(dataOnly ? (file.fdatasync?.() ?? 0) : file.fsync());
    file.close();
    if (error < 0) return;
    this.tree.get(path)?.synced.push(this.operation);
    if (this.fs.journal.isIdle) this.committed = this.operation;
  }

  private syncAll(): void {
    this.wholeSyncs.push(this.operation);
    if (this.done(this.fs.sync()) < 0) return;
    for (const file of this.tree.values()) file?.synced.push(this.operation);
    this.committed = this.operation;
  }

  private onFile(path: string, change: (file: MappableFile, before: Uint8Array) => Uint8Array): void {
    const model = this.tree.get(path);
    if (model === null || model === undefined) return;
    const file = this.file(this.fs.open(path));
    if (file === null) return;
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
}

/** All of a file. */
export function contentOf(world: World, fs: FileSystem, path: string): Uint8Array {
  const file = openedIn(world, fs.open(path));
  if (typeof file === 'number') throw new Error(`${path} cannot be opened: ${file}`);
  const bytes = new Uint8Array(file.size);
  expect(world.settle(file.read(0, bytes, 0, bytes.length))).toBe(bytes.length);
  file.close();
  return bytes;
}

/** The file that was opened, or -errno. */
export function openedIn(world: World, result: Opened): MappableFile | number {
  return typeof result === 'number' || 'mapping' in result ? result : world.complete(result);
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
