/**
 * The workloads of the crash tests, on a disk that treats one request badly: who hears of it, how often, and what is left.
 *
 * A program's operations follow each other, so a request belongs to the operation that runs; only the end of a deleted file
 * goes on behind its back. A run begins at the last pause of the workload before the request, from the disk as it was then.
 */
import { BioOp } from '@pincushion/block';
import type { Bio } from '@pincushion/block';
import { Memory, assertMemorySane } from '@pincushion/mm';
import { World } from '@pincushion/sim';
import { DiskBlockStore, checkFileSystem, makeFileSystem, mountFileSystem } from '../src/index';
import type { FileSystem } from '../src/index';
import type { Inode } from '../src/inode';
import { FaultyDisk } from './faulty-disk';
import type { Fault } from './faulty-disk';
import { FileWorkload, isFault } from './file-workload';
import type { ModelFile, Pause } from './file-model';
import type { WorkloadOptions } from './file-workload';
import { allPaths, contentOf, isTreeOf, same, sectorOfNone } from './found-files';

/** What becomes an error of somebody; and what nobody must notice. */
export const ERRORS = ['error', 'lost', 'part, then error'] as const;

/** After a fault so many operations follow. */
const AFTERWARDS = 20;

/** A place where a run can begin: the disk between two mounts. */
interface Beginning {
  readonly image: Uint8Array;
  /** Null: before the first operation. */
  readonly pause: Pause | null;
}

/** Whose request it is, and what lies where it reads or writes. */
interface Request {
  readonly operation: number;
  /** How many came before it in the run that begins at the last pause. */
  readonly number: number;
  readonly sector: number;
  readonly isRead: boolean;
  /** A deleted file is being ended meanwhile, behind the program's back: it may be that one's. */
  readonly isBehind: boolean;
  /** The file whose content it has; 0: it is metadata, journal or a flush. */
  readonly ino: number;
}

/** A workload on a disk; requests are counted from its first operation on. */
export class FaultyRun {
  readonly world = new World();
  readonly memory = new Memory(this.world, { ramBytes: 16 << 20, ledger: 'counts' });
  readonly disk: FaultyDisk;
  readonly store: DiskBlockStore;
  readonly workload: FileWorkload;
  /** Inodes that end, or have ended, after the last that used them is gone. */
  private readonly ending: Inode[] = [];

  constructor(options: WorkloadOptions, { image, pause }: Beginning) {
    this.disk = new FaultyDisk(this.memory, image.slice());
    this.store = new DiskBlockStore(this.memory, this.disk, options.blockBytes);
    this.workload = new FileWorkload(this.world, this.memory, this.store, options, pause ?? undefined);
    this.watch(this.workload.fs);
    this.workload.onMount = (fs): undefined => {
      this.watch(fs);
    };
    this.disk.requests = 0;
  }

  /** Who asks for the request that comes to the disk now, and for what. */
  asked(number: number, bio: Bio): Request {
    const { sector } = bio;
    const operation = this.workload.results.length - 1;
    const isBehind = this.ending.some((inode) => this.workload.fs.table.file(inode.ino) === inode);
    const isRead = bio.op === BioOp.read;
    const ino = bio.op === BioOp.flush ? 0 : this.fileAt(sector);
    return { operation, number, sector, isRead, isBehind, ino };
  }

  private fileAt(sector: number): number {
    const block = Math.floor((sector * 512) / this.store.blockBytes);
    const file = this.workload.fs.table
      .files()
      .find(({ extents }) => extents.all().some(({ start, length }) => block >= start && block < start + length));
    return file?.ino ?? 0;
  }

  private watch(fs: FileSystem): void {
    const evict = fs.evict.bind(fs);
    fs.evict = (inode): undefined => {
      this.ending.push(inode);
      evict(inode);
    };
  }

  /** Unmounts, and looks at what is left on disk and in memory: `look` at the files. What umount gave. */
  end(look: (fs: FileSystem) => void = () => undefined): number {
    const { world, memory, disk, store, workload } = this;
    const unmounted = world.settle(workload.fs.unmount());
    disk.faultOf = () => 'none';
    const { fs } = world.complete(mountFileSystem(memory, store));
    look(fs);
    expect(world.settle(fs.unmount())).toBe(0);
    expect(world.complete(checkFileSystem(memory, store))).toEqual([]);
    expect([disk.inFlight, disk.queue.inFlight, disk.queue.waiting]).toEqual([0, 0, 0]);
    assertMemorySane(memory);
    world.run();
    world.checkAtEnd();
    expect(world.findings.all).toEqual([]);
    return unmounted;
  }
}

/** A disk with a new file system. */
export function newDisk({ blocks, blockBytes }: WorkloadOptions): Beginning {
  const world = new World();
  const memory = new Memory(world, { ramBytes: 16 << 20 });
  const image = new Uint8Array(blocks * blockBytes);
  const store = new DiskBlockStore(memory, new FaultyDisk(memory, image), blockBytes);
  expect(world.settle(makeFileSystem(memory, store))).toBe(0);
  return { image, pause: null };
}

/** A workload without faults: what its operations gave, its requests, and where runs can begin. */
export interface Undisturbed {
  readonly results: readonly number[][];
  readonly requests: readonly Request[];
  readonly beginnings: readonly Beginning[];
}

/** Runs it in pieces, each on a machine of its own, as it is run when it is disturbed: the same requests come in each. */
export function undisturbed(options: WorkloadOptions): Undisturbed {
  const beginnings = [newDisk(options)];
  const requests: Request[] = [];
  const results: number[][] = [[]];
  for (const beginning of beginnings) {
    const run = new FaultyRun(options, beginning);
    const { disk, workload } = run;
    disk.faultOf = (number, bio) => {
      requests.push(run.asked(number, bio));
      return 'none';
    };
    const first = results.length;
    const last = workload.remountAfter(first - 1);
    workload.onPause = (pause) => {
      if (last < options.operations) beginnings.push({ image: disk.content.slice(), pause });
      return undefined;
    };
    workload.run(last);
    disk.faultOf = () => 'none';
    results.push(...workload.results.slice(first));
    expect(workload.wrongFiles()).toEqual([]);
    expect(run.end()).toBe(0);
  }
  expect(results.flat().filter(isFault)).toEqual([]);
  return { results, requests, beginnings };
}

/** The same with every request treated in a way that nobody must notice. */
export function disturbEach(options: WorkloadOptions, { results, beginnings }: Undisturbed, fault: Fault): void {
  const run = new FaultyRun(options, beginnings[0]);
  const { disk, workload } = run;
  const struck = new Set<number>();
  disk.faultOf = (request) => {
    if (struck.has(request - 1)) return 'none'; // what is sent again
    struck.add(request);
    return fault;
  };
  workload.run();
  expect(workload.results).toEqual(results);
  expect(workload.wrongFiles()).toEqual([]);
  expect(run.end()).toBe(0);
}

/** The same with a fault at one request: what is wrong with the errors that came and with what is on disk then, in words. */
export function disturb(options: WorkloadOptions, usual: Undisturbed, at: number, fault: Fault): string {
  const request = usual.requests[at];
  const beginning = usual.beginnings.findLast(({ pause }) => pause !== null && pause.operation < request.operation);
  const run = new FaultyRun(options, beginning ?? usual.beginnings[0]);
  const { disk, workload } = run;
  let struck: Request | null = null;
  disk.faultOf = (number, bio) => {
    if (number !== request.number || struck !== null) return 'none';
    struck = run.asked(number, bio);
    return fault;
  };
  workload.run(request.operation);
  // What was lost is still in memory, and must be until it is unmounted.
  const until = Math.min(request.operation + AFTERWARDS, workload.remountAfter(request.operation) - 1);
  if (!workload.isRemount(request.operation)) workload.run(Math.min(options.operations, until));
  expect(struck).toEqual(request);
  const isReadOnly = workload.wasAborted || workload.fs.isReadOnly;
  const wrong = complaint(workload, usual, request);
  let lost = '';
  const unmounted = run.end((fs) => (lost = lossOf(run, fs, request, isReadOnly)));
  const all = [wrong, ...workload.thirdThings, unmounted === 0 ? '' : `umount gives ${unmounted}`, lost];
  const said = all.filter((text) => text !== '').join('; ');
  return said === '' ? '' : `${fault} at request ${at}, operation ${request.operation}: ${said}`;
}

/**
 * Who asked is told once: -EIO, or -EROFS when what he wanted to change cannot be committed any more
 * (`jbd2_journal_abort`). Besides, and nothing else:
 *
 * - Of a file system that has become read-only nobody can change or sync anything.
 * - A file whose content was lost tells it by its own next fsync, too, when it was lost by somebody who writes it and does
 *   not look at its errors (errseq): a sync of everything, a collapse or an insertion (`filemap_write_and_wait_range`).
 * - The end of a deleted file is nobody's: what its commit meets is told to the next who needs the journal.
 */
function complaint(workload: FileWorkload, usual: Undisturbed, { operation, ino, isRead, isBehind }: Request): string {
  const { results, fs } = workload;
  const begun = results.findIndex((ofOne, i) => i > 0 && ofOne.length > 0);
  for (let i = begun; i < operation; i++) {
    if (results[i].join() !== usual.results[i].join()) return 'operations before the fault went otherwise';
  }
  const told = results[operation].filter(
    (result, i) => isFault(result) || isShort(result, usual.results[operation][i]),
  ).length;
  const later = results.slice(operation + 1).flat();
  if (isBehind && fs.isReadOnly) return told <= 1 ? '' : `${told} errors for who did not ask`;
  if (told !== 1) return `${told} errors for who asked: ${results[operation].join(', ')}`;
  if (fs.isReadOnly) return '';
  const struck = fileOf(workload, operation, ino);
  const isAskedAgain =
    !isRead && struck?.asked.includes(operation) === false && struck.asked.some((asked) => asked > operation);
  const more = later.filter(isFault).length;
  return more === (isAskedAgain ? 1 : 0) ? '' : `${more} errors for others: ${later.join(', ')}`;
}

/** The file with an inode number after an operation. */
function fileOf({ trees }: FileWorkload, operation: number, ino: number): ModelFile | undefined {
  return [...trees[operation].values()].find((file) => file?.ino === ino) ?? undefined;
}

/** Some bytes were written before the fault: only their number says so (`generic_perform_write`). */
function isShort(bytes: number, usual: number): boolean {
  return bytes >= 0 && bytes < usual;
}

/**
 * What is on disk and should not be, or is not and should, in words. Every name and every byte is there that the program
 * believes in; the content of a file that was struck may be old in each sector that was not synced, and of a file system that
 * became read-only everything since the last sync.
 */
function lossOf(
  { workload, world }: FaultyRun,
  fs: FileSystem,
  { ino, operation: struckIn }: Request,
  wasReadOnly: boolean,
): string {
  const { trees, committed } = workload;
  const struck = fileOf(workload, struckIn, ino);
  const paths = allPaths(world, fs, '/');
  let why = `the names are ${paths.join(' ')}`;
  const first = wasReadOnly ? committed : trees.length - 1;
  for (let operation = trees.length - 1; operation >= first; operation--) {
    const tree = trees[operation];
    if (!isTreeOf(tree, paths)) continue;
    why = '';
    for (const [path, file] of tree) {
      if (file === null) continue;
      const found = contentOf(world, fs, path);
      // What could not be written is not dirty any more: a later fsync has nothing of it to write.
      const synced = Math.max(0, ...file.synced.filter((sync) => file !== struck || sync < struckIn));
      const floor = Math.max(
        0,
        file.versions.findLastIndex((version) => version.operation <= synced),
      );
      const allowed = file.versions.slice(wasReadOnly || file === struck ? floor : -1).map(({ bytes }) => bytes);
      if (allowed.some((bytes) => same(bytes, found))) continue;
      const wrong = sectorOfNone(found, allowed);
      if (wrong !== '') why = `${path}: ${wrong}`;
    }
    if (why === '') return '';
  }
  return why;
}
