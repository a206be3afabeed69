/**
 * `trace.10m`: a block trace of ten million I/Os of 4 KiB, replayed at depth 32 on an NVMe device that moves no bytes: how
 * fast, by how much the process grows while it runs, and what an I/O costs in terms of one of a trace a tenth as long.
 */
import { Machine, parseMachine } from '@pincushion/machine';
import { plugin as nvme } from '@pincushion/nvme-p2p';
import { World } from '@pincushion/sim';
import { BlockTrace, WorkloadRun } from '@pincushion/workloads';
import type { Benchmark, Effort, Figure } from './benchmark';
import { secondsOf } from './benchmark';
import { settleYoungHeap } from './resident-memory';

const MIB = 1024 * 1024;
const IOS = 10_000_000;
const BLOCK_SECTORS = 8;
/** Blocks of 4 KiB that the trace touches: 16 GiB. */
const BLOCKS = 1 << 22;
const SLICE_EVENTS = 100_000;
/** The most by which the process may grow from the first tenth of the trace to its end. */
const GROWTH_AT_MOST = 32;
/** The most that an I/O of the long trace may cost, in terms of one of the short trace. */
const COST_AT_MOST = 1.5;

/** Two reads to each write, at random, a microsecond apart. */
function madeTrace(count: number): BlockTrace {
  const trace = new BlockTrace('made up');
  let state = 1;
  for (let i = 0; i < count; i++) {
    state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
    const sector = ((state >> 8) & (BLOCKS - 1)) * BLOCK_SECTORS;
    trace.add(i * 1000, i % 3 === 2 ? 1 : 0, sector, BLOCK_SECTORS, 0, 0, i + 1);
  }
  return trace;
}

/** Replays a trace. The result is the seconds it took, and resident bytes a tenth of the way and at the end. */
function replay(count: number): { seconds: number; earlyBytes: number; lateBytes: number } {
  const description = parseMachine(
    {
      memory: { ram: '1GiB' },
      cpus: 1,
      ledger: 'counts',
      devices: [{ name: 'nvme0', plugin: nvme.name, model: { data: 'none' } }],
    },
    'trace benchmark',
  );
  const world = new World();
  const machine = world.complete(Machine.boot(world, description, { plugins: [nvme] }), 'boot');
  const trace = madeTrace(count);
  const workload = { kind: 'trace', source: trace.source, trace } as const;
  const run = new WorkloadRun(machine, workload, { verify: false, closedLoop: true, ioDepth: 32 });
  let earlyBytes = 0;
  let settlingSeconds = 0;
  const resident = (): number => {
    let bytes = 0;
    settlingSeconds += secondsOf(() => {
      settleYoungHeap();
      bytes = process.memoryUsage().rss;
    });
    return bytes;
  };
  let lateBytes = 0;
  const seconds = secondsOf(() => {
    run.start();
    while (run.step(SLICE_EVENTS)) {
      if (earlyBytes === 0 && run.progress().done > count / 10) earlyBytes = resident();
    }
    lateBytes = resident();
  });
  run.finish();
  return { seconds: seconds - settlingSeconds, earlyBytes, lateBytes };
}

function measure(effort: Effort): readonly Figure[] {
  const count = effort === 'full' ? IOS : IOS / 100;
  // Twice: the first warms up.
  replay(count / 10);
  const short = replay(count / 10);
  const long = replay(count);
  return [
    { name: 'trace.10m', unit: 'I/Os/s', value: count / long.seconds },
    { name: 'trace.10m.cost', unit: 'times', value: long.seconds / (10 * short.seconds), atMost: COST_AT_MOST },
    { name: 'trace.10m.rss', unit: 'MiB', value: (long.lateBytes - long.earlyBytes) / MIB, atMost: GROWTH_AT_MOST },
  ];
}

export const traceBenchmarks: readonly Benchmark[] = [
  { name: 'trace.10m', what: 'a block trace of ten million I/Os, replayed: rate, cost by length, growth', measure },
];
