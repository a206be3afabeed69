/** The machine of the benchmarks that do I/O: NVMe devices, and a program with a buffer for each I/O in flight. */
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
  /** Address of the blocks, touched. */
  readonly buffers: number;
}

/** Boots it; ledger `counts`. `data`: whether the devices move bytes. The buffers are of a block each. */
export function diskProgram(
  data: 'bytes' | 'none',
  { devices = 1, buffers: count = DEPTH }: { devices?: number; buffers?: number } = {},
): DiskProgram {
  const description = parseMachine(
    {
      // Rings and lists of a device take some 8 MiB.
      memory: { ram: `${1 + (devices >> 6)}GiB` },
      cpus: 1,
      ledger: 'counts',
      devices: Array.from({ length: devices }, (_, i) => ({ name: `nvme${i}`, plugin: nvme.name, model: { data } })),
    },
    'nvme benchmark',
  );
  const world = new World();
  const machine = world.complete(Machine.boot(world, description, { plugins: [nvme] }), 'boot');
  const process = machine.process('bench');
  const access = PROT_READ | PROT_WRITE;
  const area = process.mmap(count * BLOCK_BYTES, access, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE);
  const buffers = world.settle(area, 'mmap');
  world.settle(process.write(buffers, new Uint8Array(count * BLOCK_BYTES).fill(0x5a)), 'write');
  return { world, machine, process, buffers };
}
