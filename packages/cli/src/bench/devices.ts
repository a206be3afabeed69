/**
 * `nvme.devices`: what an I/O costs when 256 of them are in flight to 256 NVMe devices, one to each, in terms of the same 256
 * in flight to one device. Both are measured in one process, in turns.
 */
import type { DirectIo } from '@pincushion/block';
import { BioOp } from '@pincushion/block';
import { Context, PincushionError } from '@pincushion/sim';
import type { World } from '@pincushion/sim';
import type { Benchmark, Effort, Figure } from './benchmark';
import { secondsOf } from './benchmark';
import * as program from './disk-program';
import { median } from './report';

/** Imported bindings are getters once compiled; what runs per I/O reads constants of the module. */
const { BLOCK_BYTES, BLOCKS } = program;
const OP_READ = BioOp.read;
const BLOCK_SECTORS = BLOCK_BYTES / 512;
const DEPTH = 256;
const READS = 400_000;
const TURNS = 5;
/** The most that an I/O may cost among 256 devices, in terms of one among as many of one device. */
const COST_AT_MOST = 2;

/** A program that keeps 256 reads in flight, to its devices in turn. */
class ManyDiskReader {
  private readonly world: World;
  private readonly disks: readonly DirectIo[];
  private readonly buffers: number;
  private left = 0;
  private failed = 0;
  private state = 1;

  constructor(devices: number) {
    const { world, process, buffers } = program.diskProgram('none', { devices, buffers: DEPTH });
    this.world = world;
    this.buffers = buffers;
    const again = world.handler('bench: next I/O', Context.task, (slot) => {
      this.issue(slot);
      return undefined;
    });
    this.disks = Array.from({ length: devices }, (_, i) => {
      const disk = process.directIo(`nvme${i}n1`);
      disk.onDone = (slot, result) => {
        if (result !== BLOCK_BYTES) this.failed++;
        if (this.left === 0) return undefined;
        this.left--;
        world.defer(again, slot);
        return undefined;
      };
      return disk;
    });
  }

  read(count: number): void {
    this.left = count - DEPTH;
    for (let slot = 0; slot < DEPTH; slot++) this.issue(slot);
    this.world.run();
    const inFlight = this.disks.reduce((sum, disk) => sum + disk.inFlight, 0);
    if (this.failed + inFlight > 0) {
      throw new PincushionError('INTERNAL', `${this.failed} I/Os failed, ${inFlight} never ended`);
    }
  }

  private issue(slot: number): void {
    this.state = (Math.imul(this.state, 1103515245) + 12345) & 0x7fffffff;
    const sector = ((this.state >> 8) & (BLOCKS - 1)) * BLOCK_SECTORS;
    const disk = this.disks[slot % this.disks.length];
    const r = disk.submit(OP_READ, this.buffers + slot * BLOCK_BYTES, BLOCK_BYTES, sector, 0, slot);
    // A task only where a page is missing; these are all there.
    if (typeof r !== 'number') this.world.spawn(r, { name: 'bench: submit' });
    else if (r !== 0) this.failed++;
  }
}

function measure(effort: Effort): readonly Figure[] {
  const reads = effort === 'full' ? READS : READS / 100;
  const one = new ManyDiskReader(1);
  const many = new ManyDiskReader(DEPTH);
  const turn = () => {
    const alone = secondsOf(() => {
      one.read(reads);
    });
    const among = secondsOf(() => {
      many.read(reads);
    });
    return among / alone;
  };
  for (let i = 0; i < 2; i++) turn();
  const value = median(Array.from({ length: TURNS }, turn));
  return [{ name: 'nvme.devices', unit: 'times', value, atMost: COST_AT_MOST }];
}

export const deviceBenchmarks: readonly Benchmark[] = [
  { name: 'nvme.devices', what: '4 KiB reads, 256 in flight to 256 devices: cost in terms of one device', measure },
];
