import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { RunReport, WorkloadRun, moduleWorkload, readWorkload } from '../src/index';
import type { Workload, WorkloadContext, WorkloadRunOptions } from '../src/index';
import type { TestMachineOptions } from './memory-disk';
import { bootMachine } from './memory-disk';

const EXAMPLES = join(__dirname, '../../../examples');

function fio(text: string): Workload {
  return readWorkload('my.fio', Buffer.from(text.replaceAll('; ', '\n')));
}

function trace(...events: string[]): Workload {
  const lines = events.map((event) => `7,0 ${event} [test]`);
  return readWorkload('my.blkparse.txt', Buffer.from(lines.join('\n')));
}

function recorded(name: string): Workload {
  const file = `${name}.blkparse.txt.gz`;
  return readWorkload(file, readFileSync(join(EXAMPLES, 'traces', file)));
}

function runOn(workload: Workload, machine: TestMachineOptions = {}, options: WorkloadRunOptions = {}): RunReport {
  const run = new WorkloadRun(bootMachine(machine), workload, { clock: () => 0, ...options });
  run.start();
  let steps = 0;
  while (run.step(5000)) if (++steps > 20000) throw new Error('the run does not end');
  return run.finish();
}

function codes(report: RunReport): string[] {
  return [...new Set(report.findings.map((finding) => finding.code))];
}

const MIXED = '[mixed]; rw=randrw; bs=4k,8k; size=2m; iodepth=8; fsync=16; verify=crc32c';

describe('WorkloadRun', () => {
  it('runs a fio job through pinned pages: everything completes, pins and mappings come out even', () => {
    const report = runOn(fio(MIXED));
    expect(report.findings).toEqual([]);
    expect(report.pins.acquired).toBeGreaterThan(500);
    expect(report.pins.released).toBe(report.pins.acquired);
    expect(report.mappings.undone).toBe(report.mappings.made);
    const [job] = report.workloads[0].jobs;
    expect(job.io.read.ios + job.io.write.ios).toBeGreaterThan(300);
    expect(job.io.flush.ios).toBeGreaterThan(5);
    expect(job.inFlightMost).toBe(8);
    expect(job.io.read.latency.p50Ns).toBeGreaterThanOrEqual(20_000);
    expect(report.workloads[0].verified.readBackBytes).toBeGreaterThanOrEqual(job.io.write.bytes / 2);
    expect(report.interrupts).toBeGreaterThan(0);
  });

  it('gives a report that its own schema accepts, also after JSON', () => {
    const report = runOn(fio(MIXED));
    expect(RunReport.parse(JSON.parse(JSON.stringify(report)))).toEqual(report);
  });

  it('gives the same bytes for the same seed, and others for another', () => {
    const json = (seed: number): string => JSON.stringify(runOn(fio(MIXED), { seed }));
    expect(json(1)).toBe(json(1));
    expect(json(1)).not.toBe(json(2));
  });

  it('replays a trace at its recorded times, on the CPUs of the recording', () => {
    const workload = trace(
      '0 1 10.000000000 1 Q W 8 + 8',
      '1 2 10.001000000 1 Q R 64 + 8',
      '0 3 10.002000000 1 Q FWFSM 8 + 16',
      '5 4 10.003000000 1 Q FWS',
      '0 5 10.004000000 1 Q D 8 + 8',
      '0 6 10.000500000 1 C W 8 + 8',
    );
    const report = runOn(workload, { model: { latencyNs: 100_000 } });
    expect(report.findings).toEqual([]);
    const [job] = report.workloads[0].jobs;
    expect([job.io.read.ios, job.io.write.ios, job.io.flush.ios, job.io.discard.ios]).toEqual([1, 2, 1, 1]);
    expect(job.io.write.recorded?.p50Ns).toBe(500_000);
    expect(job.io.read.recorded).toBeNull();
    // The write with flushes around it takes three times as long as the one without.
    expect(job.io.write.latency.maxNs).toBeGreaterThan(2.5 * job.io.write.latency.minNs);
    expect(report.workloads[0].virtualNs).toBeGreaterThanOrEqual(4_100_000);
    expect(report.workloads[0].virtualNs).toBeLessThan(4_200_000);
  });

  it('replays a trace in a closed loop as fast as the device answers, with so many in flight', () => {
    const workload = recorded('untar-python-tree');
    const report = runOn(workload, { model: { sectors: 1 << 22 } }, { closedLoop: true, ioDepth: 4 });
    expect(report.findings).toEqual([]);
    expect(report.totals.ios).toBe(5314);
    expect(report.workloads[0].jobs[0].inFlightMost).toBe(4);
  });

  it('replays the recorded SQLite trace: every I/O completes and nothing is lost', () => {
    const report = runOn(recorded('sqlite-wal'), { model: { sectors: 1 << 22 } });
    expect(report.findings).toEqual([]);
    expect(report.totals.ios).toBe(3312);
    expect(report.pins.acquired).toBe(report.pins.released);
    const { io } = report.workloads[0].jobs[0];
    expect(io.write.recorded?.count).toBe(io.write.ios);
  });

  it('keeps jobs apart by stonewall and startdelay', () => {
    const report = runOn(
      fio(
        '[a]; rw=write; bs=4k; size=64k; [b]; stonewall; rw=read; bs=4k; size=64k; startdelay=1ms; [c]; bs=4k; size=4k',
      ),
    );
    expect(report.findings).toEqual([]);
    expect(report.workloads[0].jobs.map((job) => job.name)).toEqual(['a', 'b', 'c']);
    expect(report.workloads[0].virtualNs).toBeGreaterThan(16 * 20_000 + 1_000_000 + 16 * 20_000);
  });

  it('lets clones write the same blocks at the same time without false alarms', () => {
    const report = runOn(fio('[w]; rw=randrw; bs=4k; size=64k; io_size=1m; numjobs=4; iodepth=4; norandommap'));
    expect(report.findings).toEqual([]);
  });

  it('leaves content alone when told not to verify', () => {
    const report = runOn(fio(MIXED), { model: { misdeed: 'lose-writes' } }, { verify: false });
    expect(report.findings).toEqual([]);
    expect(report.workloads[0].verified).toMatchObject({ on: false, sectorsChecked: 0, readBackBytes: 0 });
  });

  it.each([
    ['loses writes', 'lose-writes', ['DATA_LOST']],
    ['tears writes', 'tear-writes', ['DATA_TORN']],
    ['returns the neighbouring sector', 'shift-reads', ['DATA_MISPLACED']],
    ['says done and transfers nothing', 'skip-reads', ['DATA_LOST']],
    ['fails', 'fail', ['IO_FAILED']],
  ] as const)('finds a device that %s', (_what, misdeed, expected) => {
    const report = runOn(fio('[w]; rw=write; bs=4k; size=64k; io_size=128k'), { model: { misdeed, badBelow: 8 } });
    expect(codes(report)).toEqual(expect.arrayContaining([...expected]));
    expect(report.pins.released).toBe(report.pins.acquired);
  });

  it('names the I/Os that a device never completes, and ends all the same', () => {
    const report = runOn(fio('[w]; rw=read; bs=4k; size=64k; iodepth=2'), {
      model: { misdeed: 'forget', badBelow: 8 },
    });
    expect(codes(report)).toContain('IO_LOST');
    expect(report.findings.find((finding) => finding.code === 'IO_LOST')?.summary).toBe(
      'read of 8 sectors at sector 0 on disk0n1 was never completed',
    );
    expect(report.pins.released).toBeLessThan(report.pins.acquired);
  });

  it('finds mappings that a driver forgets to undo', () => {
    const report = runOn(fio('[w]; rw=read; bs=4k; size=64k'), { config: { keepMapped: true } });
    expect(codes(report)).toContain('DMA_MAPPING_LEAK');
  });

  it('stops in the middle with the figures so far, and nothing left in flight', () => {
    const run = new WorkloadRun(bootMachine(), fio('[w]; rw=randrw; bs=4k; size=100m; iodepth=8'));
    run.start();
    run.step(3000);
    expect(run.progress()).toMatchObject({ phase: 'running', total: 25600 });
    const report = run.interrupt();
    expect(report.workloads[0].interrupted).toBe(true);
    expect(report.totals.ios).toBeGreaterThan(50);
    expect(report.totals.ios).toBeLessThan(25600);
    expect(report.findings).toEqual([]);
    expect(report.pins.released).toBe(report.pins.acquired);
  });

  it('stops while reading back', () => {
    const run = new WorkloadRun(bootMachine(), fio('[w]; rw=write; bs=1m; size=64m; iodepth=8'));
    run.start();
    while (run.progress().phase !== 'reading back') run.step(50);
    const report = run.interrupt();
    expect(report.totals.ios).toBe(64);
    expect(report.workloads[0].interrupted).toBe(true);
    expect(report.workloads[0].verified.readBackBytes).toBeLessThan(64 << 20);
    expect(report.findings).toEqual([]);
    expect(report.pins.released).toBe(report.pins.acquired);
  });

  it('waits with the next I/O when buffers would take more than their share of memory', () => {
    const report = runOn(fio('[w]; rw=write; bs=16m; size=128m; iodepth=64'));
    expect(report.findings).toEqual([]);
    expect(report.workloads[0].jobs[0].io.write.ios).toBe(8);
    expect(report.pins.most).toBeLessThanOrEqual(64 * 256);
  });

  it('refuses what does not fit before anything starts', () => {
    const machine = bootMachine({ model: { sectors: 2048 } });
    expect(() => new WorkloadRun(machine, trace('0 1 0.0 1 Q R 2048 + 8'))).toThrow(
      /TRACE_INVALID: my\.blkparse\.txt:1/,
    );
    expect(() => new WorkloadRun(machine, fio('[a]; size=2m'))).toThrow(/JOB_INVALID: my\.fio:2/);
    expect(() => new WorkloadRun(machine, fio('[a]; size=1m'), { disk: 'disk1' })).toThrow(/DEVICE_UNKNOWN.*disk0n1/);
    const bare = bootMachine({ machine: { devices: [] } });
    expect(() => new WorkloadRun(bare, fio('[a]; size=1m'))).toThrow(/WORKLOAD_INVALID.*no disk/);
  });

  it('takes the name of a device for its first disk, and notes a filename that is no disk here', () => {
    const report = runOn(fio('[a]; size=64k; filename=/dev/sda'), {}, { disk: 'disk0' });
    expect(report.workloads[0].disk).toBe('disk0n1');
    expect(report.workloads[0].notes).toEqual(['my.fio: filename /dev/sda stands for disk0n1']);
  });
});

describe('workload modules', () => {
  it('run as a thread with processes of their own; their I/Os are counted', () => {
    const report = runOn(
      moduleWorkload('mine.ts', {
        default: function* (world: WorkloadContext) {
          const process = world.process('mine');
          const fd = yield* process.open(`/dev/${world.disk}`);
          const r = process.mmap(8192, 3, 0x22);
          const address = typeof r === 'number' ? r : yield* r;
          world.expect((yield* process.pwrite(fd, address, 8192, 0)) === 8192, 'a whole write');
          world.expect((yield* process.pread(fd, address, 4096, 0)) === 1, 'the impossible');
          yield* process.fsync(fd);
          yield* world.sleep(1000);
          world.note(`slept until ${world.now > 0 ? 'later' : 'never'}`);
        },
      }),
    );
    expect(report.findings.map((finding) => finding.summary)).toEqual(['mine: expected the impossible']);
    const { io } = report.workloads[0].jobs[0];
    expect([io.read.ios, io.write.ios, io.flush.ios]).toEqual([1, 1, 1]);
    expect(io.write.bytes).toBe(8192);
    expect(report.workloads[0].notes).toEqual(['slept until later']);
    expect(report.pins.released).toBe(report.pins.acquired);
  });

  it('can be interrupted; what they hold at that moment is no leak', () => {
    const run = new WorkloadRun(
      bootMachine(),
      moduleWorkload('mine.ts', {
        default: function* (world: WorkloadContext) {
          const process = world.process('mine');
          const fd = yield* process.open(`/dev/${world.disk}`);
          const r = process.mmap(4096, 3, 0x22);
          const address = typeof r === 'number' ? r : yield* r;
          for (;;) yield* process.pwrite(fd, address, 4096, 0);
        },
      }),
    );
    run.start();
    run.step(1000);
    const report = run.interrupt();
    expect(report.workloads[0].interrupted).toBe(true);
    expect(report.totals.ios).toBeGreaterThan(10);
    expect(report.findings).toEqual([]);
  });

  it('throw out of step what they throw', () => {
    const run = new WorkloadRun(
      bootMachine(),
      moduleWorkload('mine.ts', {
        *default() {
          throw new Error('of the module');
        },
      }),
    );
    run.start();
    expect(() => run.step(1000)).toThrow('of the module');
  });

  it('are refused without a default export that is a function', () => {
    expect(() => moduleWorkload('mine.ts', { other: 1 })).toThrow(/WORKLOAD_INVALID: mine\.ts.*no default export/);
    expect(() => moduleWorkload('mine.ts', { default: { default: 5 } })).toThrow(/default export of type number/);
  });
});

describe('readWorkload', () => {
  it('tells kinds by name, and by content where the name says nothing', () => {
    expect(readWorkload('x', Buffer.from('[a]\nrw=read')).kind).toBe('fio');
    expect(readWorkload('x', Buffer.from('7,0 0 1 0.0 1 Q R 0 + 8 [a]')).kind).toBe('trace');
    expect(() => readWorkload('x', Buffer.from('hello'))).toThrow(/WORKLOAD_INVALID: x/);
    expect(() => readWorkload('x.ts', Buffer.from(''))).toThrow(/WORKLOAD_INVALID: x\.ts/);
  });
});
