import { CrashWorkload, tryCrashes } from './crash-workload';

it.each([
  [1, 1024, 2048],
  [2, 4096, 512],
  [3, 1024, 600],
])(
  'a machine that stops after each write in turn finds everything that was synced (workload %i, blocks of %i bytes)',
  (seed, blockBytes, blocks) => {
    const workload = new CrashWorkload({ seed, operations: 500, blockBytes, blocks }).run();
    const { problems, tried } = tryCrashes(workload, 1, seed);
    expect(problems.slice(0, 3)).toEqual([]);
    expect(tried).toBeGreaterThan(workload.disk.events.length);
  },
);
