/** Traces and job files through a file system: the same I/Os, on files, and nothing of them lost. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import type { Process } from '@pincushion/machine';
import { UsageError } from '@pincushion/sim';
import type { Task } from '@pincushion/sim';
import { WorkloadRun, moduleWorkload, readWorkload } from '../src/index';
import type { RunReport, Through, Workload, WorkloadRunOptions } from '../src/index';
import type { TestMachineOptions } from './memory-disk';
import { bootMachine } from './memory-disk';

const TRACES = join(__dirname, '../../../examples/traces');

function fio(...lines: string[]): Workload {
  return readWorkload('my.fio', Buffer.from(['[job]', ...lines].join('\n')));
}

function trace(...events: string[]): Workload {
  return readWorkload('my.blkparse.txt', Buffer.from(events.map((event) => `7,0 ${event} [test]`).join('\n')));
}

/** The beginning of a recorded trace; run-files.long.ts has all of all. */
function recorded(name: string, lines: number): Workload {
  const text = gunzipSync(readFileSync(join(TRACES, `${name}.blkparse.txt.gz`))).toString('latin1');
  return readWorkload(`${name}.blkparse.txt`, Buffer.from(text.split('\n').slice(0, lines).join('\n')));
}

function through(
  way: Through,
  workload: Workload,
  machine: TestMachineOptions = {},
  options: WorkloadRunOptions = {},
): RunReport {
  return new WorkloadRun(bootMachine(machine), workload, { clock: () => 0, through: way, ...options }).finish();
}

/** A program that puts a page of something else at the beginning of a file. */
function* overwrite(process: Process, path: string): Task {
  const fd = yield* process.open(path);
  const area = process.mmap(4096, 3, 0x22);
  const address = typeof area === 'number' ? area : yield* area;
  const filled = process.write(address, new Uint8Array(4096).fill(7));
  if (typeof filled !== 'number') yield* filled;
  expect(yield* process.pwrite(fd, address, 4096, 0)).toBe(4096);
  expect(yield* process.fsync(fd)).toBe(0);
  yield* process.exit();
}

const codes = (report: RunReport): readonly string[] => [...new Set(report.findings.map(({ code }) => code))];

const WAYS = ['fs:direct', 'fs:buffered'] as const;
const MIXED = ['rw=randrw', 'bs=4k', 'size=1m', 'iodepth=32', 'numjobs=4', 'fsync=64', 'verify=crc32c'];

describe.each(WAYS)('a run through %s', (way) => {
  it('has four jobs of 32 I/Os in flight on four files, and reads back what each has written', () => {
    const report = through(way, fio(...MIXED));
    expect(report.findings).toEqual([]);
    const [workload] = report.workloads;
    expect(workload.through).toBe(way === 'fs:direct' ? 'fs (direct)' : 'fs (buffered)');
    expect(workload.jobs.map(({ io }) => io.read.ios + io.write.ios)).toEqual([256, 256, 256, 256]);
    expect(Math.max(...workload.jobs.map(({ inFlightMost }) => inFlightMost))).toBe(32);
    const written = workload.jobs.reduce((sum, { io }) => sum + io.write.bytes, 0);
    expect(workload.verified.readBackBytes).toBe(written);
    expect(report.pins.released).toBe(report.pins.acquired);
    expect(report.mappings.undone).toBe(report.mappings.made);
  });

  it('shares a file between jobs that name it', () => {
    const report = through(way, fio(...MIXED, 'filename=/data/shared'));
    expect(report.findings).toEqual([]);
    expect(report.workloads[0].verified.readBackBytes).toBeLessThanOrEqual(1 << 20);
  });

  it('takes blocks that are no whole blocks of the file system', () => {
    const report = through(way, fio('rw=randrw', 'bs=512,1536', 'size=256k', 'iodepth=16', 'norandommap', 'fsync=16'));
    expect(report.findings).toEqual([]);
  });

  it('replays the beginning of the trace of a database with nothing lost', () => {
    const report = through(way, recorded('sqlite-wal', 600), { model: { sectors: 1 << 22 } });
    expect(report.findings).toEqual([]);
    expect(report.workloads[0].jobs[0].io.write.ios).toBeGreaterThan(200);
  });

  it('punches a hole for a discard, and syncs for a flush and a write with FUA', () => {
    const workload = trace(
      '0 1 10.000000000 1 Q W 8 + 16',
      '1 2 10.001000000 1 Q D 8 + 8',
      '0 3 10.002000000 1 Q FWFSM 64 + 16',
      '1 4 10.003000000 1 Q R 0 + 128',
      '1 5 10.004000000 1 Q FWS',
    );
    const report = through(way, workload);
    expect(report.findings).toEqual([]);
    const [{ io }] = report.workloads[0].jobs;
    expect([io.read.ios, io.write.ios, io.flush.ios, io.discard.ios]).toEqual([1, 2, 1, 1]);
  });

  it('finds what somebody else has written to the file', () => {
    const machine = bootMachine();
    const run = new WorkloadRun(machine, fio('rw=write', 'bs=4k', 'size=256k'), { clock: () => 0, through: way });
    while (run.progress().done < 32) run.step(100);
    machine.world.complete(overwrite(machine.process('vandal'), '/mnt/job.0.0'), 'vandal');
    const report = run.finish();
    expect(codes(report)).toEqual(['DATA_LOST']);
    expect(report.findings[0].summary).toContain('sectors 0 to 7 of /mnt/job.0.0');
  });

  it('gives the same bytes for the same seed', () => {
    const json = (): string => JSON.stringify(through(way, fio(...MIXED)));
    expect(json()).toBe(json());
  });

  it.each([0, 100])('ends when it is interrupted after %i I/Os, with everything given back', (ios) => {
    const run = new WorkloadRun(bootMachine(), fio(...MIXED), { clock: () => 0, through: way });
    run.step(2000);
    while (run.progress().done < ios) run.step(100);
    const report = run.interrupt();
    expect(report.workloads[0].interrupted).toBe(true);
    expect(report.findings).toEqual([]);
  });
});

describe('--through', () => {
  it('fs does what the job says: buffered, unless it is direct=1', () => {
    const small = ['rw=randrw', 'size=64k'];
    expect(through('fs', fio(...small)).workloads[0].through).toBe('fs (buffered)');
    expect(through('fs', fio(...small, 'direct=1')).workloads[0].through).toBe('fs (direct)');
    expect(through('fs', trace('0 1 10.0 1 Q W 8 + 8')).workloads[0].through).toBe('fs (direct)');
    expect(through('raw', fio(...small)).workloads[0].through).toBe('raw');
  });

  it('wants a size of each job, and no workload module', () => {
    expect(() => through('fs', fio('rw=read'))).toThrow(/JOB_INVALID.*size/s);
    const module = moduleWorkload('m.ts', { default: function* () {} });
    expect(() => through('fs', module)).toThrow(UsageError);
  });
});
