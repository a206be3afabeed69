import { CrashWorkload, tryCrashes } from './crash-workload';

/** A sample; `crash.long.ts` tries every point. */
it.each([
  [1, 1024, 2048, 67],
  [2, 4096, 512, 47],
  [3, 1024, 600, 89],
])(
  'a machine that stops after any write finds everything that was synced (workload %i, blocks of %i bytes)',
  (seed, blockBytes, blocks, step) => {
    const workload = new CrashWorkload({ seed, operations: 500, blockBytes, blocks }).run();
    const { problems, tried } = tryCrashes(workload, step, seed);
    expect(problems.slice(0, 3)).toEqual([]);
    expect(tried).toBeGreaterThan(40);
  },
);
