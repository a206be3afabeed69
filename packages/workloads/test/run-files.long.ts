/** Each recorded trace through a file system, as fast as the device answers. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { WorkloadRun, readWorkload } from '../src/index';
import { bootMachine } from './memory-disk';

const TRACES = join(__dirname, '../../../examples/traces');

describe.each(['fs:direct', 'fs:buffered'] as const)('a recorded trace through %s', (through) => {
  it.each(['sqlite-wal', 'postgres-pgbench', 'untar-python-tree'])('%s loses nothing and leaks nothing', (name) => {
    const file = `${name}.blkparse.txt.gz`;
    const workload = readWorkload(file, readFileSync(join(TRACES, file)));
    const machine = bootMachine({ model: { sectors: 1 << 26 } });
    const report = new WorkloadRun(machine, workload, { clock: () => 0, through, closedLoop: true }).finish();
    expect(report.findings).toEqual([]);
    expect(report.totals.failed).toBe(0);
    expect(report.workloads[0].verified.readBackBytes).toBeGreaterThan(0);
    expect(report.pins.released).toBe(report.pins.acquired);
    expect(report.mappings.undone).toBe(report.mappings.made);
  });
});
