/** Runs through a file system on a disk that goes wrong: what fails is counted, nothing hangs, and fsck has the last word. */
import { FaultPlan } from '@pincushion/sim';
import { WorkloadRun, readWorkload } from '../src/index';
import type { RunReport, Through, Workload } from '../src/index';
import type { TestMachineOptions } from './memory-disk';
import { bootMachine } from './memory-disk';

function fio(...lines: string[]): Workload {
  return readWorkload('my.fio', Buffer.from(['[job]', ...lines].join('\n')));
}

const MIXED = ['rw=randrw', 'bs=4k', 'size=256k', 'iodepth=32', 'numjobs=2', 'fsync=16', 'verify=crc32c'];

/** A small disk. */
const SECTORS = 1 << 16;
/** When the file system is there. */
const MOUNTED_NS = mountedNs();

function mountedNs(): number {
  const machine = bootMachine({ model: { sectors: SECTORS } });
  machine.world.complete(new WorkloadRun(machine, fio(...MIXED), { through: 'fs' }).mount());
  return machine.world.now + 1;
}

/** `plan` is armed as the command does it: when everything is mounted. */
function through(way: Through, machine: TestMachineOptions, plan?: string, lines = MIXED): RunReport {
  const booted = bootMachine({ ...machine, model: { sectors: SECTORS, ...machine.model } });
  const run = new WorkloadRun(booted, fio(...lines), { clock: () => 0, through: way });
  booted.world.complete(run.mount());
  if (plan !== undefined) booted.world.faults.armPlan(FaultPlan.parse(plan));
  return run.finish();
}

const codes = (report: RunReport): readonly string[] => [...new Set(report.findings.map(({ code }) => code))].sort();

function expectNothingHeld({ pins, mappings }: RunReport): void {
  expect(pins.released).toBe(pins.acquired);
  expect(mappings.undone).toBe(mappings.made);
}

/** What fsync could not write is found to be old when it is read back, after a buffered write that was done. */
const told = (way: Through): string[] => (way === 'fs:direct' ? ['IO_FAILED'] : ['DATA_LOST', 'IO_FAILED']);

describe.each(['fs:direct', 'fs:buffered'] as const)('a run through %s whose disk goes wrong', (way) => {
  it('counts what fails and ends, when all fails from some command on', () => {
    const report = through(way, { model: { misdeed: 'fail', badFromNs: MOUNTED_NS } });
    expect(codes(report)).toEqual(told(way));
    expect(report.totals.failed).toBeGreaterThan(3);
    expectNothingHeld(report);
  });

  it.each([0, 100_000, 400_000])('has a whole file system when it fails for 50 µs, %i ns after the mount', (ns) => {
    const badFromNs = MOUNTED_NS + ns;
    const report = through(way, { model: { misdeed: 'fail', badFromNs, badToNs: badFromNs + 50_000 } });
    expect(report.findings[0].code).toBe('IO_FAILED');
    expect(told(way)).toEqual(expect.arrayContaining([...codes(report)]));
    expectNothingHeld(report);
  });

  it('finds with fsck that the disk has lost what it said it had written: the bitmap of blocks', () => {
    const report = through(way, { model: { misdeed: 'lose-writes', badFromNs: MOUNTED_NS, badBelow: 24 } });
    expect(codes(report)).toEqual(['FS_INCONSISTENT']);
    expect(report.findings[0].details[0]).toMatch(/^block-free-but-used: block \d+, inode \d+ has it$/);
  });
});

describe('a call that fails in a run', () => {
  it('fails one I/O, directly through a file system as on the raw disk', () => {
    const lines = ['rw=randwrite', 'bs=4k', 'size=256k', 'iodepth=1', 'direct=1'];
    const failed = (['raw', 'fs'] as const).map((way) => {
      const report = through(way, {}, 'pin@5', lines);
      expect(codes(report)).toEqual(['IO_FAILED']);
      expectNothingHeld(report);
      return report.totals.failed;
    });
    expect(failed).toEqual([1, 1]);
  });
});
