import { BioOp, BioPool, BlkStatus, RamDisk, bioAddPage, submitBio } from '@pincushion/block';
import type { Bio } from '@pincushion/block';
import { Gfp, Memory, PAGE_SIZE } from '@pincushion/mm';
import { World } from '@pincushion/sim';

const CHUNK_BYTES = 64 << 10;
const DISK_BYTES = 1 << 20;

function setUp() {
  const world = new World();
  const memory = new Memory(world, { ramBytes: 16 << 20, ledger: 'full' });
  const disk = new RamDisk(memory, DISK_BYTES);
  const pool = new BioPool(memory, 4);
  const frames = Array.from({ length: 3 }, () => memory.allocFolio(0, Gfp.kernel));
  const ended: Bio[] = [];
  /** Pieces of the frames, in order: offset and length. */
  const submit = (op: number, at: number, pieces: readonly (readonly [number, number])[]): Bio => {
    const bio = pool.alloc();
    bio.op = op;
    bio.sector = at / 512;
    pieces.forEach(([offset, length], i) => bioAddPage(bio, frames[i], length, offset));
    bio.endIo = (done) => {
      ended.push(done);
      return undefined;
    };
    submitBio(disk, bio);
    return bio;
  };
  const fill = (frame: number, byte: number): void => {
    memory.bytes.fill(frames[frame], 0, byte, PAGE_SIZE);
  };
  const byteOf = (frame: number, at: number): number => {
    const byte = new Uint8Array(1);
    memory.bytes.read(frames[frame], at, byte, 0, 1);
    return byte[0];
  };
  return { world, disk, pool, submit, fill, byteOf, ended };
}

describe('a RAM disk', () => {
  it('has ended a bio when submitBio returns, without an event (brd_submit_bio)', () => {
    const { world, disk, submit, ended } = setUp();
    const bio = submit(BioOp.write, 0, [[0, PAGE_SIZE]]);
    expect([ended, bio.status, disk.inFlight]).toEqual([[bio], BlkStatus.ok, 0]);
    expect(world.eventsPending).toBe(0);
  });

  it('keeps what is written, across its parts and from pieces with gaps between them; the rest reads as zeros', () => {
    const { submit, fill, byteOf } = setUp();
    fill(0, 1);
    fill(1, 2);
    const at = CHUNK_BYTES - 1024;
    submit(BioOp.write, at, [
      [512, 1536],
      [1024, 512],
    ]);
    for (const frame of [0, 1, 2]) fill(frame, 9);
    submit(BioOp.read, at - 512, [[0, 3072]]);
    expect([0, 511, 512, 1024, 1536, 2047, 2048, 2559, 2560, 3071].map((byte) => byteOf(0, byte))).toEqual([
      0, 0, 1, 1, 1, 1, 2, 2, 0, 0,
    ]);
    expect(byteOf(0, 3072)).toBe(9);
  });

  it('forgets what is discarded', () => {
    const { pool, disk, submit, fill, byteOf } = setUp();
    fill(0, 1);
    submit(BioOp.write, CHUNK_BYTES - PAGE_SIZE, [[0, PAGE_SIZE]]);
    submit(BioOp.write, CHUNK_BYTES, [[0, PAGE_SIZE]]);
    const bio = pool.alloc();
    bio.op = BioOp.discard;
    bio.sector = (CHUNK_BYTES - 512) / 512;
    bio.bytes = 1024;
    submitBio(disk, bio);
    submit(BioOp.read, CHUNK_BYTES - 1024, [[0, 2048]]);
    expect([0, 511, 512, 1535, 1536].map((byte) => byteOf(0, byte))).toEqual([1, 1, 0, 0, 1]);
  });

  it('fails what lies beyond its end', () => {
    const { world, submit } = setUp();
    const bio = submit(BioOp.read, DISK_BYTES, [[0, 512]]);
    world.run();
    expect(bio.status).toBe(BlkStatus.ioerr);
  });
});
