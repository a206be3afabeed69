/**
 * `queue.*`: the event queue in the hold model: take the earliest event, put it back one latency later, so that the
 * number of outstanding events stays what it is. The latencies are those of bench/reference/c_reference.c (`hold.*`):
 * a table of 65,536 values between 70 and 90 µs, so that both sides do the same work in the same order.
 */
import { EventQueue } from '@pincushion/sim';
import type { Benchmark, Effort } from './benchmark';
import { secondsOf } from './benchmark';

const TABLE_ENTRIES = 65_536;

function latencyTable(): Float64Array {
  const latencyNs = new Float64Array(TABLE_ENTRIES);
  let state = 1;
  for (let i = 0; i < TABLE_ENTRIES; i++) {
    state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
    latencyNs[i] = 70_000 + (state % 20_000);
  }
  return latencyNs;
}

function holdEventsPerSecond(depth: number, events: number): number {
  const latencyNs = latencyTable();
  const queue = new EventQueue();
  let next = 0;
  for (let i = 0; i < depth; i++) queue.push(latencyNs[next++ & (TABLE_ENTRIES - 1)], 0, i);
  const hold = (count: number): void => {
    for (let i = 0; i < count; i++) {
      queue.popUntil(Infinity);
      queue.push(queue.now + latencyNs[next++ & (TABLE_ENTRIES - 1)], 0, queue.arg);
    }
  };
  hold(events >> 1);
  return (
    events /
    secondsOf(() => {
      hold(events);
    })
  );
}

function holdBenchmark(name: string, what: string, depth: number, events: number): Benchmark {
  return {
    name,
    what: `event queue, take one and put one, ${what} outstanding`,
    measure: (effort: Effort) => [
      { name, unit: 'events/s', value: holdEventsPerSecond(depth, effort === 'full' ? events : events / 20) },
    ],
  };
}

export const queueBenchmarks: readonly Benchmark[] = [
  holdBenchmark('queue.depth32', '32', 32, 2_000_000),
  holdBenchmark('queue.depth1m', 'a million', 1_000_000, 2_000_000),
];
