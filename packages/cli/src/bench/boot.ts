/**
 * `boot.2tib`: a machine with 1 TiB of RAM and 1 TiB of empty persistent memory, booted first thing in a fresh process:
 * milliseconds of wall time, and growth of the process in MiB (`boot.2tib.rss`). Nothing is warmed up on purpose, as
 * this is what somebody waits for who starts the command.
 */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { Machine, parseMachine } from '@pincushion/machine';
import { World } from '@pincushion/sim';
import type { Benchmark } from './benchmark';
import { secondsOf } from './benchmark';

const MIB = 1 << 20;
const SETTLE_MS = 200;
const UNTOUCHED_BYTES = 2 ** 32;

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

/**
 * Brings the heap to the size it will have during the boot anyway. A large ArrayBuffer makes V8 give back what the
 * loading of the program has left over (some 10 MiB), and that would hide as much growth.
 */
function shrinkHeap(): void {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  new Uint8Array(UNTOUCHED_BYTES).at(0);
  collect();
  // The host gets its pages back in the background.
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, SETTLE_MS);
}
