/**
 * `nvme.read4k.qd32.*`: 4 KiB random direct reads at depth 32 through the NVMe plugin, as a program that keeps its
 * buffers would issue them: user pages pinned, mapped for DMA, read by the controller, completed in interrupt context,
 * unmapped, unpinned; ledger `counts`. `data` moves real bytes out of 64 MiB of written media, `nodata` none. The
 * reference (`nvme.*copy+pin.qd32` of bench/reference/c_reference.c) draws its blocks in the same way.
 */
import type { DirectIo } from '@pincushion/block';
import { BioOp } from '@pincushion/block';
import { Context, PincushionError } from '@pincushion/sim';
import type { World } from '@pincushion/sim';
import type { Benchmark } from './benchmark';
import { secondsOf } from './benchmark';
import * as program from './disk-program';

/** Imported bindings are getters once compiled; what runs per I/O reads constants of the module. */
const { DEPTH, BLOCK_BYTES, BLOCKS } = program;
const OP_WRITE = BioOp.write;
const OP_READ = BioOp.read;
const BLOCK_SECTORS = BLOCK_BYTES / 512;
/** A second of work, and before it half as much again so that V8 has settled: clocks and counters are beyond 31 bits. */
const READS = 2_000_000;

/** A program with 32 buffers that keeps 32 I/Os in flight. */
export class DiskReader {
  private readonly world: World;
  private readonly disk: DirectIo;
  private readonly buffers: number;
  private readonly again: number;
  private op: number = OP_WRITE;
  private next = 0;
  private left = 0;
  private failed = 0;
  private state = 1;

  constructor(data: 'bytes' | 'none') {
    const { world, process, buffers } = program.diskProgram(data);
    this.world = world;
    this.buffers = buffers;
    this.disk = process.directIo(program.DISK);
    this.disk.onDone = (slot, result) => {
      if (result !== BLOCK_BYTES) this.failed++;
      if (this.left === 0) return undefined;
      this.left--;
      this.world.defer(this.again, slot);
      return undefined;
    };
    // Completion runs in an interrupt; the next I/O is the program's, in task context.
    this.again = world.handler('bench: next I/O', Context.task, (slot) => {
      this.issue(slot);
      return undefined;
    });
  }

  /** Writes every block of the media once, so that reads find bytes. */
  writeMedia(): void {
    this.op = OP_WRITE;
    this.run(BLOCKS);
  }

  /** Reads blocks in the random order of the reference. */
  readMedia(count: number): void {
    this.op = OP_READ;
    this.run(count);
  }

  private run(count: number): void {
    this.left = count - DEPTH;
    for (let slot = 0; slot < DEPTH; slot++) this.issue(slot);
    this.world.run();
    if (this.failed > 0 || this.disk.inFlight > 0) {
      throw new PincushionError('INTERNAL', `${this.failed} I/Os failed, ${this.disk.inFlight} never ended`);
    }
  }

  private issue(slot: number): void {
    const sector = this.nextBlock() * BLOCK_SECTORS;
    const r = this.disk.submit(this.op, this.buffers + slot * BLOCK_BYTES, BLOCK_BYTES, sector, 0, slot);
    // A task only where a page is missing; these are all there.
    if (typeof r !== 'number') this.world.spawn(r, { name: 'bench: submit' });
    else if (r !== 0) this.failed++;
  }

  private nextBlock(): number {
    if (this.op === OP_WRITE) return this.next++;
    this.state = (Math.imul(this.state, 1103515245) + 12345) & 0x7fffffff;
    return (this.state >> 8) & (BLOCKS - 1);
  }
}

function readBenchmark(name: string, data: 'bytes' | 'none', what: string): Benchmark {
  return {
    name,
    what: `4 KiB random direct reads at depth 32 through the NVMe driver, ${what}`,
    measure: (effort) => {
      const reads = effort === 'full' ? READS : READS / 200;
      const reader = new DiskReader(data);
      reader.writeMedia();
      reader.readMedia(reads >> 1);
      const seconds = secondsOf(() => {
        reader.readMedia(reads);
      });
      return [{ name, unit: 'I/Os/s', value: reads / seconds }];
    },
  };
}

export const nvmeBenchmarks: readonly Benchmark[] = [
  readBenchmark('nvme.read4k.qd32.nodata', 'none', 'no bytes moved'),
  readBenchmark('nvme.read4k.qd32.data', 'bytes', 'bytes moved'),
];
