/** All benchmarks, in the order in which they are run and listed. */
import type { Benchmark } from './benchmark';
import { bootBenchmarks } from './boot';
import { nvmeBenchmarks } from './nvme';
import { queueBenchmarks } from './queue';

export const benchmarks: readonly Benchmark[] = [...queueBenchmarks, ...nvmeBenchmarks, ...bootBenchmarks];
