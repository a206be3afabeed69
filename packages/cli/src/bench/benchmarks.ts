/** All benchmarks, in the order in which they are run and listed. */
import type { Benchmark } from './benchmark';
import { bootBenchmarks } from './boot';
import { forkBenchmarks } from './fork';
import { fsBenchmarks } from './fs';
import { memoryBenchmarks } from './memory-use';
import { nvmeBenchmarks } from './nvme';
import { pinBenchmarks } from './pin';
import { queueBenchmarks } from './queue';

export const benchmarks: readonly Benchmark[] = [
  ...queueBenchmarks,
  ...nvmeBenchmarks,
  ...fsBenchmarks,
  ...pinBenchmarks,
  ...forkBenchmarks,
  ...memoryBenchmarks,
  ...bootBenchmarks,
];
