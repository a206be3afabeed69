/**
 * `fork.*`: fork of a process with 65,536 written pages, in pages per second: none of them pinned, which shares them, or all
 * of them, which copies 4 KiB for each. The running kernel does the same in bench/reference/kernel_pin_bench.c. As there,
 * the call alone counts, not the end of the child nor the faults with which the parent gets its pages back.
 */
import type { Mm } from '@pincushion/mm';
import { PincushionError } from '@pincushion/sim';
import type { Benchmark } from './benchmark';
import { secondsOf } from './benchmark';
import { PinnedProgram, done } from './pinned-program';
import { median } from './report';

const PAGES = 65_536;
const WARM_UP = 16;

function forkBenchmark(name: string, what: string, pinned: boolean, times: number): Benchmark {
  return {
    name,
    what: `fork of a process with 65,536 pages, ${what}`,
    measure: (effort) => {
      const pages = effort === 'full' ? PAGES : PAGES / 16;
      const program = new PinnedProgram({ pages, morePages: pages });
      program.write();
      if (pinned) program.pin();
      const seconds: number[] = [];
      for (let i = -WARM_UP; i < times; i++) {
        let child: Mm | number = 0;
        const taken = secondsOf(() => {
          child = program.mm.fork('child');
        });
        if (i >= 0) seconds.push(taken);
        done(expectChild(child).exit());
        if (!pinned) program.touch();
      }
      return [{ name, unit: 'pages/s', value: pages / median(seconds) }];
    },
  };
}

function expectChild(child: Mm | number): Mm {
  if (typeof child === 'number') throw new PincushionError('INTERNAL', `fork gave ${child}`);
  return child;
}

export const forkBenchmarks: readonly Benchmark[] = [
  forkBenchmark('fork.unpinned', 'none of them pinned', false, 31),
  forkBenchmark('fork.pinned', 'all of them pinned: each is copied', true, 7),
];
