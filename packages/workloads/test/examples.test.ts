import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { WorkloadRun, moduleWorkload, readWorkload } from '../src/index';
import type { RunReport, Workload } from '../src/index';
import { bootMachine } from './memory-disk';

const EXAMPLES = join(__dirname, '../../../examples');

function runOn(workload: Workload): RunReport {
  return new WorkloadRun(bootMachine({ model: { sectors: 1 << 22 } }), workload, { clock: () => 0 }).finish();
}

function runStrictly(job: string): RunReport {
  const report = runOn(readWorkload(job, readFileSync(join(EXAMPLES, 'jobs', job)), { strict: true }));
  expect(report.findings).toEqual([]);
  expect(report.pins.released).toBe(report.pins.acquired);
  expect(report.workloads[0].notes).toEqual([]);
  return report;
}

describe('the examples', () => {
  it('jobs/mixed-verify.fio runs without a warning and without a finding, and is at least half reads', () => {
    const report = runStrictly('mixed-verify.fio');
    const reads = report.workloads[0].jobs.reduce((sum, job) => sum + job.io.read.ios, 0);
    expect(reads / report.totals.ios).toBeGreaterThan(0.5);
  });

  it('jobs/paced-stream.fio runs without a warning and without a finding', () => {
    const paced = runStrictly('paced-stream.fio').workloads[0].jobs.find((job) => job.name === 'paced');
    // 20,000 a second for 100 ms.
    expect(paced?.io.write.ios).toBe(2000);
  });

  it('workload-module/src/write-then-read.ts finds its records as it wrote them', () => {
    // As the command does it: a file named at run time.
    const exported: unknown = jest.requireActual(
      require.resolve('../../../examples/workload-module/src/write-then-read'),
    );
    const report = runOn(moduleWorkload('write-then-read.ts', exported));
    expect(report.findings).toEqual([]);
    const { io } = report.workloads[0].jobs[0];
    expect([io.read.ios, io.write.ios, io.flush.ios]).toEqual([100, 100, 10]);
  });
});
