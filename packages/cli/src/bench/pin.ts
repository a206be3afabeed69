/**
 * `pin.*`: long-term write pins of a buffer of 131,072 pages and their release, in pages per second: 4 KiB pages in frames
 * in a row, in frames drawn at random, in calls of eight pages; 2 MiB folios into an array of pages and by ranges.
 * The running kernel does the same in bench/reference/kernel_pin_bench.c (`pin4k.*`, `pinTHP.*`), where the calls of eight
 * take the same eight pages each time; here they go through the buffer. It has no figure of its own for random frames.
 *
 * `…afterSchemes` is the first of these again in a process where eight other pin schemes have pinned before: what the
 * compiler has learnt from them must not slow down the next. `pin.growth` is the cost of a page when 8,388,608 are pinned
 * by one call, divided by that of one of 8,192.
 */
import type { FrameTable, PinScheme } from '@pincushion/mm';
import { BiasScheme } from '@pincushion/mm';
import { schemes } from '@pincushion/schemes';
import type { Benchmark, Effort } from './benchmark';
import { secondsOf } from './benchmark';
import { PinnedProgram } from './pinned-program';
import { median } from './report';

const PAGES = 131_072;
const BATCH = 8;
const FEW_PAGES = 8192;
const MANY_PAGES = 8_388_608;
/** The most that pinning may cost per page among 8 million, in terms of the cost among 8 thousand. */
const GROWTH_AT_MOST = 2;
const GROWTH_ROUNDS = 5;

type SchemeMaker = (frames: FrameTable) => PinScheme;

/** How much one benchmark does: repetitions, and passes over the buffer in each, about as long as one of the kernel's. */
interface Work {
  readonly passes: number;
  readonly repetitions: number;
}

function pinBenchmark(
  name: string,
  what: string,
  { passes, repetitions }: Work,
  make: (pages: number) => (passes: number) => void,
): Benchmark {
  return {
    name,
    what: `long-term pin and unpin, ${what}`,
    measure: (effort) => {
      const isFull = effort === 'full';
      const pages = isFull ? PAGES : PAGES / 16;
      const pinAndUnpin = make(pages);
      const seconds: number[] = [];
      for (let i = isFull ? -repetitions : 0; i < repetitions; i++) {
        const taken = secondsOf(() => {
          pinAndUnpin(passes);
        });
        if (i >= 0) seconds.push(taken);
      }
      return [{ name, unit: 'pages/s', value: (pages * passes) / median(seconds) }];
    },
  };
}

function small(pages: number): PinnedProgram {
  const program = new PinnedProgram({ pages });
  program.touch();
  return program;
}

function huge(pages: number): PinnedProgram {
  const program = new PinnedProgram({ pages, huge: true });
  program.touch();
  return program;
}

/** Eight other schemes: those there are, and classes of their own that do what the usual one does. */
function otherSchemes(): readonly SchemeMaker[] {
  const others = Object.keys(schemes).filter((name) => name !== 'bias');
  const makers: SchemeMaker[] = others.map((name) => schemes[name]);
  while (makers.length < 8) makers.push(anotherBias());
  return makers;
}

function anotherBias(): SchemeMaker {
  class AnotherBias extends BiasScheme {}
  return (frames) => new AnotherBias(frames);
}

function runOtherSchemes(): void {
  for (const scheme of otherSchemes()) {
    for (const isHuge of [false, true]) {
      const program = new PinnedProgram({ pages: FEW_PAGES, huge: isHuge, scheme });
      program.touch();
      program.pinAndUnpin(200);
      program.pinAndUnpinInBatches(BATCH, 20);
    }
  }
}

/** Seconds per page of one measurement of each size, alternating, after both were warmed up. */
function growth(effort: Effort): number {
  const [few, many] = [FEW_PAGES, effort === 'full' ? MANY_PAGES : MANY_PAGES / 64].map(small);
  const times = many.pages / few.pages;
  few.pinAndUnpin(times);
  many.pinAndUnpin(1);
  const ratios: number[] = [];
  for (let round = 0; round < GROWTH_ROUNDS; round++) {
    const fewSeconds = secondsOf(() => {
      few.pinAndUnpin(times);
    });
    const manySeconds = secondsOf(() => {
      many.pinAndUnpin(1);
    });
    ratios.push(manySeconds / fewSeconds);
  }
  return median(ratios);
}

export const pinBenchmarks: readonly Benchmark[] = [
  pinBenchmark('pin.4k.sequential', '4 KiB pages in frames in a row', { passes: 8, repetitions: 21 }, (pages) => {
    const program = small(pages);
    return program.pinAndUnpin.bind(program);
  }),
  pinBenchmark(
    'pin.4k.sequential.afterSchemes',
    'the same after eight other pin schemes',
    { passes: 8, repetitions: 21 },
    (pages) => {
      runOtherSchemes();
      const program = small(pages);
      return program.pinAndUnpin.bind(program);
    },
  ),
  pinBenchmark('pin.4k.random', '4 KiB pages in frames drawn at random', { passes: 4, repetitions: 21 }, (pages) => {
    const program = new PinnedProgram({ pages });
    program.touchAtRandom();
    return program.pinAndUnpin.bind(program);
  }),
  pinBenchmark('pin.4k.batch8', '4 KiB pages in calls of eight', { passes: 8, repetitions: 21 }, (pages) => {
    const program = small(pages);
    return program.pinAndUnpinInBatches.bind(program, BATCH);
  }),
  pinBenchmark('pin.2m.array', '2 MiB folios into an array of pages', { passes: 4, repetitions: 101 }, (pages) => {
    const program = huge(pages);
    return program.pinAndUnpin.bind(program);
  }),
  pinBenchmark('pin.2m.ranges', '2 MiB folios by ranges', { passes: 100, repetitions: 101 }, (pages) => {
    const program = huge(pages);
    return program.pinAndUnpinRanges.bind(program);
  }),
  {
    name: 'pin.growth',
    what: 'cost of a page among 8,388,608 pinned by one call, in terms of one among 8,192',
    measure: (effort) => [{ name: 'pin.growth', unit: 'times', value: growth(effort), atMost: GROWTH_AT_MOST }],
  },
];
