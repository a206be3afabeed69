/** A job file under each way to hold the pages of direct I/O: what an I/O costs in operations on pages. */
import type { DirectIoHold } from '@pincushion/mm';
import { Machine, parseMachine } from '@pincushion/machine';
import { plugin as nvme } from '@pincushion/nvme-p2p';
import { PincushionError, World } from '@pincushion/sim';
import { WorkloadRun, parseFioJob } from '@pincushion/workloads';

const EVENTS = 20_000;

/** Reads and writes of 4 KiB and 64 KiB, 32 in flight, everything checked. */
const JOB = `
[global]
ioengine=libaio
direct=1
iodepth=32
size=4m
verify=crc32c
[prepare]
rw=write
bs=64k
[mixed]
stonewall
rw=randrw
bs=4k
number_ios=1000
`;

export interface JobCosts {
  readonly hold: DirectIoHold;
  readonly ios: number;
  /** Operations on the counts of pages, taking and giving back, per I/O: by pin, and by plain reference. */
  readonly pinOperations: number;
  readonly getOperations: number;
  /** Of the pages taken, those that needed the slow walk of GUP, in percent. */
  readonly slowPercent: number;
  /** Bios whose end was left to a work item, per I/O. */
  readonly deferredPerIo: number;
}

/** Runs the job. Throws when anything was lost or leaked. */
export function runJob(hold: DirectIoHold): JobCosts {
  const world = new World();
  const description = parseMachine(
    { memory: { ram: '256MiB', directIo: hold }, cpus: 2, devices: [{ name: 'nvme0', plugin: nvme.name }] },
    'direct-io-holds',
  );
  const machine = world.complete(Machine.boot(world, description, { plugins: [nvme] }), 'boot');
  const run = new WorkloadRun(machine, parseFioJob(JOB, 'the job'), {});
  run.start();
  while (run.step(EVENTS));
  const report = run.finish();
  const [finding] = report.findings;
  if ((finding as unknown) !== undefined) throw new PincushionError('INTERNAL', finding.summary);
  const { vmstat, ledger, writeback } = machine.memory;
  const pins = vmstat.nrFollPinAcquired + vmstat.nrFollPinReleased;
  const gets = ledger.counters.getsAcquired + ledger.counters.getsReleased;
  const { ios } = report.totals;
  return {
    hold,
    ios,
    pinOperations: pins / ios,
    getOperations: gets / ios,
    slowPercent: (200 * vmstat.gupSlowPages) / (pins + gets),
    deferredPerIo: writeback.counts.biosDeferred / ios,
  };
}
