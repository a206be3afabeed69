/**
 * A workload of random file operations on a disk that remembers, and the question whether what is found after the power went is
 * one of the states that may be found.
 *
 * Names: metadata is journalled in order, so the tree is that of some operation between the last commit and the one that was
 * cut off. Content: each byte is one that the file had since its last fsync, and so is its size.
 */
import { Memory, PAGE_SIZE } from '@pincushion/mm';
import { World } from '@pincushion/sim';
import { checkFileSystem, makeFileSystem, mountFileSystem } from '../src/index';
import type { FileSystem } from '../src/index';
import { CrashDisk } from './crash-disk';
import type { CrashPoint } from './crash-disk';
import { chance } from './chance';
import type { Tree } from './file-model';
import { FileWorkload, isFault } from './file-workload';
import type { WorkloadOptions } from './file-workload';
import { allPaths, contentOf, isTreeOf } from './found-files';
import { opened, plain } from './mounted';

const MIB = 1 << 20;

export class CrashWorkload extends FileWorkload {
  readonly disk: CrashDisk;
  /** For each event: the operation that ran, and the last one whose names are sure to be on disk. */
  private readonly operationAt: number[] = [];
  private readonly committedAt: number[] = [];

  constructor(options: WorkloadOptions) {
    const world = new World();
    const memory = new Memory(world, { ramBytes: 32 * MIB });
    const disk = new CrashDisk(memory, options.blocks, options.blockBytes);
    expect(plain(makeFileSystem(memory, disk))).toBe(0);
    super(world, memory, disk, options);
    this.disk = disk;
    disk.begin();
    disk.onEvent = () => {
      this.operationAt.push(this.operation);
      this.committedAt.push(this.committed);
      return undefined;
    };
  }

  /** Nothing goes wrong while it runs, and what the files hold then is what the model says. */
  override run(last?: number): this {
    super.run(last);
    expect(this.results.flat().filter(isFault)).toEqual([]);
    expect(this.wrongFiles()).toEqual([]);
    return this;
  }

  // ---- after the power went ------------------------------------------------------------------------------------------------------

  /** What is wrong with the disk as it is found after a crash, in words; '' when nothing is. `memory` of another machine. */
  problemAfter(point: CrashPoint, image: Map<number, Uint8Array>, world: World, memory: Memory): string {
    const store = point.store(memory, image);
    const { fs } = world.complete(mountFileSystem(memory, store));
    const wrong = this.compare(world, fs, point.index);
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

  private compare(world: World, fs: FileSystem, event: number): string {
    const paths = allPaths(world, fs, '/');
    const last = this.operationAt[event];
    let why = 'the tree is none of those that may be found';
    for (let operation = Math.min(last, this.trees.length - 1); operation >= this.committedAt[event]; operation--) {
      const tree = this.trees[operation];
      if (!isTreeOf(tree, paths)) continue;
      why = this.compareContent(world, fs, tree, last, event);
      if (why === '') return '';
    }
    return `${why} (operations ${this.committedAt[event]} to ${last})`;
  }

  private compareContent(world: World, fs: FileSystem, tree: Tree, last: number, event: number): string {
    for (const [path, file] of tree) {
      if (file === null) continue;
      // A sync that has not ended promises nothing.
      const isOver = (operation: number): boolean =>
        operation < last || (event === this.operationAt.length && operation === last);
      const synced = Math.max(0, ...file.synced.filter(isOver));
      const floor = file.versions.filter(({ operation }) => operation <= synced).length - 1;
      const allowed = file.versions.slice(Math.max(0, floor)).filter(({ operation }) => operation <= last);
      const found = contentOf(world, fs, path);
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
