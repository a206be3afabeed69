import { WorkloadRun, mergeReports, readWorkload, renderReport } from '../src/index';
import type { RunReport } from '../src/index';
import type { TestMachineOptions } from './memory-disk';
import { bootMachine } from './memory-disk';

function reportOf(job: string, options: TestMachineOptions = {}): RunReport {
  const workload = readWorkload('my.fio', Buffer.from(job));
  let now = 0;
  return new WorkloadRun(bootMachine(options), workload, { clock: () => (now += 250) }).finish();
}

const JOB = '[a]\nrw=write\nbs=4k\nsize=8m\n[b]\nrw=read\nbs=4k\nsize=64k\noffset=16m\nbogus=1\n';

describe('renderReport', () => {
  it('shows I/Os, bytes, latencies, pins, mappings and that nothing was found', () => {
    const text = renderReport(reportOf(JOB));
    expect(text).toMatch(/^my\.fio {2}fio on disk0n1, as the job file says, [\d.]+ ms of virtual time\n/);
    expect(text).toMatch(/\n {2}a {2}write {2}2,048 {3}8 MiB {2}[\d.]+ µs +[\d.]+ µs +[\d.]+ µs\n/);
    expect(text).toMatch(/\n {2}content {3}[\d,]+ sectors checked; 8 MiB written was read back\n/);
    expect(text).toContain('note      my.fio: options without effect here: bogus (line 10)');
    expect(text).toMatch(/\npins {8}([\d,]+) pages taken, \1 given back, at most [\d,]+ at once\n/);
    expect(text).toMatch(/in 250 ms; 8,256 I\/Os per second\n/);
    expect(text).toMatch(/no findings: nothing lost, nothing leaked\n$/);
  });

  it('shows recorded latencies beside the emulated ones', () => {
    const lines = ['7,0 0 1 0.0 1 Q W 8 + 8 [a]', '7,0 0 2 0.000070000 1 C W 8 + 8 [0]'].join('\n');
    const workload = readWorkload('my.blkparse.txt', Buffer.from(lines));
    const text = renderReport(new WorkloadRun(bootMachine(), workload).finish());
    expect(text).toMatch(/I\/Os {2}bytes .* recorded p50 .*\n {2}write .* µs .* 70 µs {2}70 µs {2}70 µs\n/);
  });

  it('lists findings with sites and details, the first dozen of many', () => {
    const report = reportOf('[a]\nrw=randwrite\nbs=512\nsize=64k\n', { model: { misdeed: 'lose-writes' } });
    const text = renderReport(report, {
      heading: (t) => t,
      quiet: (t) => t,
      good: (t) => `<good ${t}>`,
      bad: (t) => `<bad ${t}>`,
    });
    expect(text).toContain('<bad DATA_LOST>  sectors 0 to 127 of disk0n1: expected generation');
    expect(text).toMatch(/\n {4}written: generation \d+ {2}at /);
    expect(text).toMatch(/\n {4}expected at byte 0: 50 49 4e 43/);
    const many = { ...report, findings: Array.from({ length: 20 }, () => report.findings[0]) };
    expect(renderReport(many)).toContain('  and 8 more; --json lists them all');
  });
});

describe('mergeReports', () => {
  it('adds counts, keeps the most of the mosts and all workloads and findings', () => {
    const a = reportOf('[a]\nrw=write\nbs=4k\nsize=64k\n');
    const b = reportOf('[b]\nrw=write\nbs=64k\nsize=640k\n', { model: { misdeed: 'lose-writes' } });
    const both = mergeReports([a, b]);
    expect(both.workloads.map((workload) => workload.jobs[0].name)).toEqual(['a', 'b']);
    expect(both.totals.ios).toBe(26);
    expect(both.pins.acquired).toBe(a.pins.acquired + b.pins.acquired);
    expect(both.pins.most).toBe(b.pins.most);
    expect(both.findings).toEqual(b.findings);
    expect(both.wall).toMatchObject({ elapsedMs: 500, iosPerSecond: 52 });
    expect(mergeReports([a])).toBe(a);
  });
});
