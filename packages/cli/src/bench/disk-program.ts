/** The machine of the benchmarks that do I/O: an NVMe device, and a program with a buffer for each I/O in flight. */
import { Machine, parseMachine } from '@pincushion/machine';
import type { Process } from '@pincushion/machine';
import { MAP_ANONYMOUS, MAP_POPULATE, MAP_PRIVATE, PROT_READ, PROT_WRITE } from '@pincushion/mm';
import { plugin as nvme } from '@pincushion/nvme-p2p';
import { World } from '@pincushion/sim';

export const DEPTH = 32;
export const BLOCK_BYTES = 4096;
/** 64 MiB, as the reference has. */
export const BLOCKS = 16_384;
export const DISK = 'nvme0n1';

interface DiskProgram {
  readonly world: World;
  readonly machine: Machine;
  readonly process: Process;
  /** Address of `DEPTH` blocks, touched. */
  readonly buffers: number;
}

/** Boots it; ledger `counts`. `data`: whether the device moves bytes. */
export function diskProgram(data: 'bytes' | 'none'): DiskProgram {
  const description = parseMachine(
    {
      memory: { ram: '1GiB' },
      cpus: 1,
      ledger: 'counts',
      devices: [{ name: 'nvme0', plugin: nvme.name, model: { data } }],
    },
    'nvme benchmark',
  );
  const world = new World();
  const machine = world.complete(Machine.boot(world, description, { plugins: [nvme] }), 'boot');
  const process = machine.process('bench');
  const access = PROT_READ | PROT_WRITE;
  const area = process.mmap(DEPTH * BLOCK_BYTES, access, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE);
  const buffers = world.settle(area, 'mmap');
  world.settle(process.write(buffers, new Uint8Array(DEPTH * BLOCK_BYTES).fill(0x5a)), 'write');
  return { world, machine, process, buffers };
}
