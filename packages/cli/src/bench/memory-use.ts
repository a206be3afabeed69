/**
 * `memory.bytesPerPage`: what the emulator itself needs for a page of 4 KiB that a program has written to: frame table, page
 * table, reverse map, allocator. Measured as growth of the resident memory of a fresh process while 8,388,608 pages are
 * touched that keep no content; not the content, and not the array in which somebody holds pins.
 */
import type { Benchmark } from './benchmark';
import { PinnedProgram } from './pinned-program';
import { settleYoungHeap } from './resident-memory';

const PAGES = 8_388_608;
const WARM_UP_PAGES = 65_536;
/** Bytes. The kernel spends 72: a page structure and an entry, without what is shared. */
const AT_MOST = 28;

export const memoryBenchmarks: readonly Benchmark[] = [
  {
    name: 'memory.bytesPerPage',
    what: 'growth of the process per 4 KiB page that a program touches, content left out',
    measure: (effort) => {
      // Code that the compiler makes of the fault path is not to be counted.
      new PinnedProgram({ pages: WARM_UP_PAGES }).touch();
      const program = new PinnedProgram({ pages: effort === 'full' ? PAGES : PAGES / 16 });
      settleYoungHeap();
      const before = process.memoryUsage().rss;
      program.touch();
      settleYoungHeap();
      const bytes = (process.memoryUsage().rss - before) / program.pages;
      return [{ name: 'memory.bytesPerPage', unit: 'bytes', value: bytes, atMost: AT_MOST }];
    },
  },
];
