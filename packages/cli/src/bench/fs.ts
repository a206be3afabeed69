/**
 * `fs.*`: a file of 64 MiB on a file system on an NVMe disk.
 *
 * `fs.direct.read4k.qd32` is `nvme.read4k.qd32.data` with the file between the program and the disk: the same random blocks
 * at the same depth, read past the page cache. `….cost` is what a read then costs, in terms of one of the raw disk; both are
 * measured in one process, in turns.
 * `fs.buffered.write4k` writes blocks at random into the page cache, and calls fsync after every 1024: a figure of the way
 * from the program's write to the end of writeback and journal.
 */
import { DiskBlockStore, FileDirectIo, newFileSystem } from '@pincushion/fs';
import type { Opened } from '@pincushion/fs';
import type { MappableFile } from '@pincushion/mm';
import { Context, PincushionError } from '@pincushion/sim';
import type { World } from '@pincushion/sim';
import type { Benchmark, Effort, Figure } from './benchmark';
import { secondsOf } from './benchmark';
import * as program from './disk-program';
import { DiskReader } from './nvme';
import { median } from './report';

/** Imported bindings are getters once compiled; what runs per I/O reads constants of the module. */
const { DEPTH, BLOCK_BYTES, BLOCKS } = program;
const FILE_BYTES = BLOCKS * BLOCK_BYTES;
const PIECE_BYTES = 1 << 20;
/** A fifth of a second of work in each turn. */
const READS = 200_000;
const TURNS = 5;
/** The most that a direct read of a file may cost, in terms of one of the raw disk. */
const COST_AT_MOST = 2;
const WRITES = 40_000;
const WRITES_PER_SYNC = 1024;

/** A machine with a file system, and a file of it that is on disk and not cached. */
function diskWithFile() {
  const { world, machine, process, buffers } = program.diskProgram('bytes');
  const { memory } = machine;
  const store = new DiskBlockStore(memory, machine.disk(program.DISK));
  const fs = world.complete(newFileSystem(memory, store), 'mkfs');
  const file = openedIn(world, fs.create('/file'));
  const piece = new Uint8Array(PIECE_BYTES).fill(0x5a);
  for (let at = 0; at < FILE_BYTES; at += PIECE_BYTES) {
    expectResult('write', world.settle(file.write(at, piece, 0, PIECE_BYTES)), PIECE_BYTES);
  }
  expectResult('fsync', world.settle(file.fsync()), 0);
  expectResult('fadvise', world.settle(file.fadviseDontneed()), 0);
  return { world, process, buffers, file };
}

function openedIn(world: World, result: Opened): MappableFile {
  const file = typeof result === 'number' || 'mapping' in result ? result : world.complete(result, 'open');
  if (typeof file === 'number') throw new PincushionError('INTERNAL', `the file could not be made: ${file}`);
  return file;
}

function expectResult(what: string, actual: number, expected: number): void {
  if (actual !== expected) throw new PincushionError('INTERNAL', `${what} gave ${actual} and not ${expected}`);
}

/** A program with 32 buffers that keeps 32 direct reads of a file in flight. */
class FileReader {
  private readonly world: World;
  private readonly io: FileDirectIo;
  private readonly buffers: number;
  private readonly again: number;
  private left = 0;
  private failed = 0;
  private state = 1;

  constructor() {
    const { world, process, buffers, file } = diskWithFile();
    this.world = world;
    this.buffers = buffers;
    const io = file.direct?.(process.mm, process.name);
    if (!(io instanceof FileDirectIo)) throw new PincushionError('INTERNAL', 'the file has no direct I/O');
    this.io = io;
    io.onDone = (slot, result) => {
      if (result !== BLOCK_BYTES) this.failed++;
      if (this.left === 0) return undefined;
      this.left--;
      this.world.defer(this.again, slot);
      return undefined;
    };
    this.again = world.handler('bench: next I/O', Context.task, (slot) => {
      this.issue(slot);
      return undefined;
    });
  }

  /** Reads blocks in the random order of the reference. */
  read(count: number): void {
    this.left = count - DEPTH;
    for (let slot = 0; slot < DEPTH; slot++) this.issue(slot);
    this.world.run();
    expectResult('the I/Os that failed or never ended', this.failed + this.io.inFlight, 0);
  }

  private issue(slot: number): void {
    this.state = (Math.imul(this.state, 1103515245) + 12345) & 0x7fffffff;
    const position = ((this.state >> 8) & (BLOCKS - 1)) * BLOCK_BYTES;
    const r = this.io.submit(false, this.buffers + slot * BLOCK_BYTES, BLOCK_BYTES, position, 0, slot);
    // A task only where a page is missing; these are all there.
    if (typeof r !== 'number') this.world.spawn(r, { name: 'bench: submit' });
    else if (r !== 0) this.failed++;
  }
}

/** Reads of the file and of the raw disk in turns, after both were warmed up. */
function measureReads(effort: Effort): readonly Figure[] {
  const reads = effort === 'full' ? READS : READS / 100;
  const file = new FileReader();
  const disk = new DiskReader('bytes');
  disk.writeMedia();
  const turn = () => {
    const ours = secondsOf(() => {
      file.read(reads);
    });
    const raw = secondsOf(() => {
      disk.readMedia(reads);
    });
    return [ours, raw];
  };
  for (let i = 0; i < 2; i++) turn();
  const turns = Array.from({ length: TURNS }, turn);
  return [
    { name: 'fs.direct.read4k.qd32', unit: 'I/Os/s', value: reads / median(turns.map(([ours]) => ours)) },
    {
      name: 'fs.direct.read4k.qd32.cost',
      unit: 'times',
      value: median(turns.map(([ours, raw]) => ours / raw)),
      atMost: COST_AT_MOST,
    },
  ];
}

/** Writes blocks of the file in the random order of the reference. */
function* writeBlocks(file: MappableFile, count: number) {
  const block = new Uint8Array(BLOCK_BYTES).fill(0xa5);
  let state = 1;
  for (let i = 1; i <= count; i++) {
    state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
    const written = file.write(((state >> 8) & (BLOCKS - 1)) * BLOCK_BYTES, block, 0, BLOCK_BYTES);
    expectResult('write', typeof written === 'number' ? written : yield* written, BLOCK_BYTES);
    if (i % WRITES_PER_SYNC !== 0) continue;
    const synced = file.fsync();
    expectResult('fsync', typeof synced === 'number' ? synced : yield* synced, 0);
  }
  return 0;
}

function measureWrites(effort: Effort): readonly Figure[] {
  const writes = effort === 'full' ? WRITES : WRITES / 10;
  const { world, file } = diskWithFile();
  world.complete(writeBlocks(file, writes >> 1));
  const seconds = secondsOf(() => {
    world.complete(writeBlocks(file, writes));
  });
  return [{ name: 'fs.buffered.write4k', unit: 'I/Os/s', value: writes / seconds }];
}

export const fsBenchmarks: readonly Benchmark[] = [
  {
    name: 'fs.buffered.write4k',
    what: '4 KiB random writes to a file through the page cache, an fsync after every 1024',
    measure: measureWrites,
  },
  {
    name: 'fs.direct.read4k.qd32',
    what: '4 KiB random direct reads of a file at depth 32, and their cost in terms of the raw disk',
    measure: measureReads,
  },
];
