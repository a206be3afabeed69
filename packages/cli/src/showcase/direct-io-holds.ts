/**
 * Act: one job of direct I/O under the three ways to hold its pages, in operations per I/O, and what reclaim, fork,
 * writeback and truncation made of a page in flight.
 */
import Table from 'cli-table3';
import { PincushionError, formatNs } from '@pincushion/sim';
import { exampleFile } from '../clone-examples';
import { loadModule } from '../load-module';
import { PLAIN_TABLE } from '../table-style';
import type { Terminal } from '../terminal';
import type { Act } from './act';

/** Of examples/direct-io-holds, as far as it is shown. */
interface JobCosts {
  readonly hold: string;
  readonly ios: number;
  readonly pinOperations: number;
  readonly getOperations: number;
  readonly slowPercent: number;
  readonly deferredPerIo: number;
}

interface Disturbed {
  readonly hold: string;
  readonly by: string;
  readonly page: string;
  readonly arrives: boolean;
  readonly waitedNs: number;
  readonly deferred: number;
}

const HOLDS = ['pin', 'get', 'pin-longterm-only'] as const;
/** What is done to a page in flight, and the policy of the machine for held pages in writeback. */
const DISTURBANCES = [
  { by: 'reclaim', policy: 'linux', what: 'reclaim' },
  { by: 'fork', policy: 'linux', what: 'fork' },
  { by: 'writeback', policy: 'linux', what: 'fsync' },
  { by: 'writeback', policy: 'wait', what: 'fsync, policy wait' },
  { by: 'truncate', policy: 'linux', what: 'truncate' },
] as const;

export const directIoHolds: Act = {
  name: 'direct-io-holds',
  title: 'Direct I/O: pin its pages, or just refer to them?',
  run(stage) {
    const loaded = loadModule(exampleFile('examples/direct-io-holds/src/index.ts'), 'plugin');
    const runJob = loaded.runJob as (hold: string) => JobCosts;
    const disturb = loaded.disturb as (hold: string, by: string, policy: string) => Disturbed;
    const { bold, dim } = stage.colours;
    stage.out(
      '  Linux 6.18 pins (memory.directIo: pin), 6.1 took plain references (get); pin-longterm-only was proposed in 2021.\n',
    );
    const costs = HOLDS.map((hold) => runJob(hold));
    stage.out(
      `\n  ${bold('One job file')}${dim(`, ${costs[0].ios.toLocaleString('en')} I/Os, everything verified`)}\n`,
    );
    stage.out(costTable(costs, stage));
    stage.out(`\n  ${bold('A page that the disk fills')}${dim(', and somebody who comes meanwhile')}\n`);
    const rows = DISTURBANCES.map(({ by, policy, what }) => ({
      what,
      outcomes: HOLDS.map((hold) => disturb(hold, by, policy)),
    }));
    stage.out(fateTable(rows, stage));
    stage.out(longestWait(rows, stage));
    stage.out(
      dim(
        '  What the table cannot settle: the price of an operation on a machine with many CPUs, and how often programs fork or\n',
      ) + dim('  are short of memory with I/O in flight.\n'),
    );
    return Promise.resolve();
  },
};

interface Row {
  readonly what: string;
  readonly outcomes: readonly Disturbed[];
}

function costTable(costs: readonly JobCosts[], { colours }: Terminal): string {
  const rows = new Table({ ...PLAIN_TABLE });
  const heads = ['per I/O', 'pin operations', 'get operations', 'on the fast path', 'ends deferred'];
  rows.push(heads.map((head) => colours.dim(head)));
  for (const { hold, pinOperations, getOperations, slowPercent, deferredPerIo } of costs) {
    const numbers = [pinOperations.toFixed(1), getOperations.toFixed(1), `${(100 - slowPercent).toFixed(0)} %`];
    rows.push([`  ${hold}`, ...numbers, deferredPerIo.toFixed(2)]);
  }
  return `${rows.toString().replaceAll(/ +$/gm, '')}\n`;
}

function fateTable(fates: readonly Row[], { colours }: Terminal): string {
  const rows = new Table({ ...PLAIN_TABLE });
  rows.push(
    ['', 'held by', 'the page', 'the data', 'who came waits', 'end of the I/O'].map((head) => colours.dim(head)),
  );
  for (const { what, outcomes } of fates) {
    for (const [i, { hold, page, arrives, waitedNs, deferred }] of outcomes.entries()) {
      rows.push([
        i === 0 ? `  ${what}` : '',
        hold,
        page,
        arrives ? colours.green('arrives') : colours.red('is lost'),
        waitedNs > 0 ? formatNs(waitedNs) : '',
        deferred > 0 ? 'left to a work item' : '',
      ]);
    }
  }
  return `${rows.toString().replaceAll(/ +$/gm, '')}\n`;
}

/** Throws when nobody waited: then the table does not show what it says. */
function longestWait(fates: readonly Row[], { colours }: Terminal): string {
  const all = fates.flatMap(({ what, outcomes }) => outcomes.map((outcome) => ({ what, ...outcome })));
  const longest = all.reduce((a, b) => (b.waitedNs > a.waitedNs ? b : a));
  if (longest.waitedNs === 0) throw new PincushionError('INTERNAL', 'nobody waited for a page in flight');
  const who = `${longest.what.split(',')[0]} under ${longest.hold}`;
  return `  ${colours.bold('Longest wait')}: ${formatNs(longest.waitedNs)}, of ${who}, for the read to end\n`;
}
