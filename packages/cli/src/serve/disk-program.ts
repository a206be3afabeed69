/**
 * The program inside of the machine that serves block requests: each is direct I/O of the program on a raw disk, so its buffer
 * is pinned, goes through the block layer to the driver, and is read by the program when the I/O has ended.
 *
 *   read    buffer ← disk, the program reads it           flush           the disk's write cache
 *   write   the program fills the buffer → disk           trim, zeroes    without a buffer
 *
 * FUA is the I/O and then a flush, as generic_write_sync does for a file that was opened with O_DSYNC.
 */
import { DirectIo } from '@pincushion/block';
import type { Disk } from '@pincushion/block';
import type { Machine, Process } from '@pincushion/machine';
import type { Task } from '@pincushion/sim';
import { EINVAL, ENODEV, ENOSPC, WaitQueue } from '@pincushion/sim';
import { ProgramBuffers, settled } from './program-buffers';
import type { BlockRequest, ServedReply } from './request';

const SECTOR_BYTES = 512;
const NOTHING = new Uint8Array(0);

export class DiskProgram {
  private readonly process: Process;
  private readonly buffers: ProgramBuffers;
  private readonly disks = new Map<string, DirectIo>();
  private readonly results = new Map<number, number>();
  private readonly changed: WaitQueue;
  private nextToken = 1;

  constructor(private readonly machine: Machine) {
    this.process = machine.process('nbd-server');
    this.buffers = new ProgramBuffers(this.process);
    this.changed = new WaitQueue(machine.world, 'requests of nbd-server');
  }

  /** Task context. */
  *serve(request: BlockRequest): Task<ServedReply> {
    const { op, offset, length, fua } = request;
    const io = this.ioOf(request.disk);
    const error = io === null ? -ENODEV : refusal(request, io.disk);
    if (io === null || error !== 0) return { status: error, result: 0, data: NOTHING };
    let data: Uint8Array = NOTHING;
    let status = 0;
    if (op === 'read' || op === 'write') {
      const address = yield* this.buffers.take(length);
      if (address < 0) return { status: address, result: 0, data };
      const moved = op === 'read' ? yield* this.read(io, address, request) : yield* this.write(io, address, request);
      this.buffers.give(address, length);
      if (typeof moved === 'number') status = moved;
      else data = moved;
    } else if (op !== 'flush') {
      status = yield* this.range(io, op, offset / SECTOR_BYTES, length / SECTOR_BYTES);
    }
    if (status === 0 && (op === 'flush' || (fua && op !== 'read'))) status = yield* io.sync();
    return { status, result: 0, data };
  }

  private *read(io: DirectIo, address: number, { offset, length }: BlockRequest): Task<Uint8Array | number> {
    const got = yield* io.read(address, length, offset / SECTOR_BYTES);
    if (got < 0) return got;
    const into = new Uint8Array(length);
    const loaded = yield* settled(this.process.read(address, into));
    return loaded < 0 ? loaded : into;
  }

  private *write(io: DirectIo, address: number, { offset, length, data }: BlockRequest): Task<number> {
    if (data === null) return -EINVAL;
    const stored = yield* settled(this.process.write(address, data));
    if (stored < 0) return stored;
    const written = yield* io.write(address, length, offset / SECTOR_BYTES);
    return written < 0 ? written : 0;
  }

  private *range(io: DirectIo, op: 'trim' | 'zeroes', sector: number, sectors: number): Task<number> {
    const token = this.nextToken++;
    const { cpu } = this.process;
    const taken = op === 'trim' ? io.discard(sector, sectors, cpu, token) : io.writeZeroes(sector, sectors, cpu, token);
    if (taken < 0) return taken;
    yield* this.changed.waitUntil(() => this.results.has(token));
    const result = this.results.get(token) ?? 0;
    this.results.delete(token);
    return result < 0 ? result : 0;
  }

  /** Null when the disk has gone before the first request. */
  private ioOf(name: string): DirectIo | null {
    const known = this.disks.get(name);
    if (known !== undefined || !this.machine.diskNames.includes(name)) return known ?? null;
    const io = new DirectIo(this.machine.memory, this.machine.disk(name), this.process.mm, this.process.name);
    io.onDone = (token, result) => {
      this.results.set(token, result);
      this.changed.wakeAll();
    };
    this.disks.set(name, io);
    return io;
  }
}

/** 0, or the errno for what is not whole blocks or beyond the end. */
function refusal({ op, offset, length, data }: BlockRequest, disk: Disk): number {
  if (op === 'flush') return 0;
  const { blockMask } = disk;
  if (length <= 0 || (offset & blockMask) !== 0 || (length & blockMask) !== 0) return -EINVAL;
  if (op === 'write' && data?.length !== length) return -EINVAL;
  if (offset + length > disk.capacitySectors * SECTOR_BYTES) return op === 'read' || op === 'trim' ? -EINVAL : -ENOSPC;
  return 0;
}
