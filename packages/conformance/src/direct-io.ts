/**
 * The two files that the recordings' direct I/O reads and writes, on a file system on a RAM disk: `pattern`, whose block k is
 * full of byte k, and `scratch`. Neither is in the page cache.
 */
import type { FileSystem } from '@pincushion/fs';
import { openedAtOnce } from '@pincushion/fs';
import { PAGE_SIZE } from '@pincushion/mm';
import type { DirectTransfers, MappableFile, Mm } from '@pincushion/mm';
import { EOPNOTSUPP } from '@pincushion/sim';
import type { MaySleep } from '@pincushion/sim';

const PATTERN_BLOCKS = 256;
const SCRATCH_BLOCKS = 16;

export class DirectIoFiles {
  private readonly pattern: BlockFile;
  private readonly scratch: BlockFile;

  constructor(settle: (result: MaySleep) => number, fs: FileSystem) {
    this.pattern = new BlockFile(settle, fs, '.pattern', PATTERN_BLOCKS);
    this.scratch = new BlockFile(settle, fs, '.scratch', SCRATCH_BLOCKS);
  }

  /** Reads blocks of the pattern from block `first` on: pages, fewer at its end, or -errno. */
  read(mm: Mm, address: number, pages: number, first: number): number {
    this.pattern.fill(first, first + pages);
    return this.pattern.transfer((io) => io.read(address, pages * PAGE_SIZE, first * PAGE_SIZE), mm);
  }

  /** Writes to the beginning of the scratch file: pages or -errno. */
  write(mm: Mm, address: number, pages: number): number {
    this.scratch.fill(0, pages);
    return this.scratch.transfer((io) => io.write(address, pages * PAGE_SIZE, 0), mm);
  }

  /** The first byte of the scratch file. */
  firstWritten(): number {
    return this.scratch.firstByte();
  }
}

/** A file opened with O_DIRECT, by whoever wants. */
class BlockFile {
  private readonly file: MappableFile;
  private readonly users = new Map<Mm, DirectTransfers>();
  private readonly isFilled: Uint8Array;

  constructor(
    private readonly settle: (result: MaySleep) => number,
    fs: FileSystem,
    name: string,
    blocks: number,
  ) {
    const file = openedAtOnce(fs.create(name));
    if (typeof file === 'number') throw new Error(`the disk of the recordings has no room for ${name}`);
    this.file = file;
    this.isFilled = new Uint8Array(blocks);
    settle(file.fallocate?.(0, 0, blocks * PAGE_SIZE) ?? -EOPNOTSUPP);
  }

  /** Gives blocks [first, end) their content, those that have none: what nobody reads need not be on disk. */
  fill(first: number, end: number): void {
    const { file, isFilled } = this;
    const from = isFilled.indexOf(0, first);
    if (from < 0 || from >= end) return;
    const content = new Uint8Array(PAGE_SIZE);
    for (let block = from; block < Math.min(end, isFilled.length); block++) {
      if (isFilled[block] !== 0) continue;
      isFilled[block] = 1;
      this.settle(file.write(block * PAGE_SIZE, content.fill(block), 0, PAGE_SIZE));
    }
    this.settle(file.syncFileRange());
    this.settle(file.fadviseDontneed());
  }

  /** Direct I/O of a process: pages or -errno. */
  transfer(move: (io: DirectTransfers) => MaySleep, mm: Mm): number {
    const io = this.users.get(mm) ?? this.file.direct?.(mm, 'direct I/O') ?? null;
    if (io === null) throw new Error('a file on a disk has no direct I/O');
    this.users.set(mm, io);
    const bytes = this.settle(move(io));
    return bytes < 0 ? bytes : bytes / PAGE_SIZE;
  }

  firstByte(): number {
    const byte = new Uint8Array(1);
    this.settle(this.file.read(0, byte, 0, 1));
    this.settle(this.file.fadviseDontneed());
    return byte[0];
  }
}
