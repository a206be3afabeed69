/**
 * `boot.2tib`: a machine with 1 TiB of RAM and 1 TiB of empty persistent memory, booted first thing in a fresh process:
 * milliseconds of wall time, and growth of the process in MiB (`boot.2tib.rss`). Nothing is warmed up on purpose, as
 * this is what somebody waits for who starts the command.
 */
import { Machine, parseMachine } from '@pincushion/machine';
import { World } from '@pincushion/sim';
import type { Benchmark } from './benchmark';
import { secondsOf } from './benchmark';
import { shrinkHeap } from './resident-memory';

const MIB = 1 << 20;

export const bootBenchmarks: readonly Benchmark[] = [
  {
    name: 'boot.2tib',
    what: 'boot with 1 TiB of RAM and 1 TiB of empty pmem: time, and growth of the process',
    measure: () => {
      const description = parseMachine({ memory: { ram: '1TiB', pmem: '1TiB' }, cpus: 4, devices: [] }, 'boot.2tib');
      shrinkHeap();
      const bytesBefore = process.memoryUsage().rss;
      const world = new World();
      const seconds = secondsOf(() => {
        world.complete(Machine.boot(world, description, { plugins: [] }), 'boot');
      });
      const growth = process.memoryUsage().rss - bytesBefore;
      return [
        { name: 'boot.2tib', unit: 'ms', value: seconds * 1000 },
        { name: 'boot.2tib.rss', unit: 'MiB', value: growth / MIB },
      ];
    },
  },
];
