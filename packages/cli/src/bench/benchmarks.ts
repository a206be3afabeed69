/** All benchmarks, in the order in which they are run and listed. */
import type { Benchmark } from './benchmark';
import { bootBenchmarks } from './boot';
import { deviceBenchmarks } from './devices';
import { flashBenchmarks } from './flash';
import { forkBenchmarks } from './fork';
import { fsBenchmarks } from './fs';
import { memoryBenchmarks } from './memory-use';
import { nvmeBenchmarks } from './nvme';
import { pinBenchmarks } from './pin';
import { queueBenchmarks } from './queue';
import { traceBenchmarks } from './trace';

export const benchmarks: readonly Benchmark[] = [
  ...queueBenchmarks,
  ...nvmeBenchmarks,
  ...deviceBenchmarks,
  ...flashBenchmarks,
  ...fsBenchmarks,
  ...traceBenchmarks,
  ...pinBenchmarks,
  ...forkBenchmarks,
  ...memoryBenchmarks,
  ...bootBenchmarks,
];
