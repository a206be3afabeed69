/** Bios over pages of the kernel, for tests: frames with known content, and what has arrived in them. */
import { BioPool, bioAddPage } from '@pincushion/block';
import type { Bio, BioOp } from '@pincushion/block';
import { PAGE_SIZE } from '@pincushion/mm';
import type { Memory } from '@pincushion/mm';

export interface Piece {
  readonly frame: number;
  readonly offset: number;
  readonly length: number;
}

export class KernelPages {
  readonly pool: BioPool;
  /** `privateData:status` of bios that have ended, in order. */
  readonly ended: string[] = [];

  constructor(
    private readonly memory: Memory,
    maxPages = 256,
  ) {
    this.pool = new BioPool(memory, maxPages);
  }

  /** Frames in ascending or scattered order of their numbers: no two neighbours when `scattered`. */
  frames(n: number, scattered = false): number[] {
    const all = Array.from({ length: scattered ? 2 * n : n }, () => this.memory.allocFolio(0));
    all.sort((a, b) => a - b);
    return scattered ? all.filter((_frame, i) => i % 2 === 0) : all;
  }

  fill(frame: number, offset: number, bytes: Uint8Array): void {
    this.memory.bytes.write(frame, offset, bytes, 0, bytes.length);
  }

  /** A bio of whole pages that is freed at its end, unless `endIo` is set afterwards. */
  bio(op: BioOp, sector: number, pages: readonly number[], id = 0): Bio {
    return this.pieces(
      op,
      sector,
      pages.map((frame) => ({ frame, offset: 0, length: PAGE_SIZE })),
      id,
    );
  }

  pieces(op: BioOp, sector: number, pieces: readonly Piece[], id = 0): Bio {
    const bio = this.pool.alloc();
    bio.op = op;
    bio.sector = sector;
    bio.privateData = id;
    for (const { frame, offset, length } of pieces) {
      if (bioAddPage(bio, frame, length, offset) !== length) throw new Error('the bio is full');
    }
    bio.endIo = (one) => {
      this.ended.push(`${one.privateData}:${one.status}`);
      this.pool.free(one);
      return undefined;
    };
    return bio;
  }

  /** A bio without data. */
  range(op: BioOp, sector: number, bytes: number, id = 0): Bio {
    const bio = this.pieces(op, sector, [], id);
    bio.bytes = bytes;
    return bio;
  }

  content(pieces: readonly Piece[]): Uint8Array {
    const all = new Uint8Array(pieces.reduce((sum, { length }) => sum + length, 0));
    let at = 0;
    for (const { frame, offset, length } of pieces) {
      this.memory.bytes.read(frame, offset, all, at, length);
      at += length;
    }
    return all;
  }
}
