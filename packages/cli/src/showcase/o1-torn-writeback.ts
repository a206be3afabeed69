/**
 * Act: objective O1 of the debate about pinned pages. A page of a file is written to disk while a device still fills it;
 * the corrupt block beside what it should be, how it came to that, and the same run under each policy with its cost.
 */
import Table from 'cli-table3';
import { PincushionError, errnoName, formatNs } from '@pincushion/sim';
import { exampleFile } from '../clone-examples';
import { loadModule } from '../load-module';
import { PLAIN_TABLE } from '../table-style';
import type { Terminal } from '../terminal';
import type { Act } from './act';
import { showBlocks, showTimeline } from './corrupt-block';
import type { Moment } from './corrupt-block';

/** Of examples/o1-torn-writeback, as far as it is shown. */
interface Setting {
  readonly pinned: string;
  readonly gup?: string;
  readonly stableWrites?: boolean;
  readonly by: 'fsync' | 'flusher';
  readonly first?: 'frame' | 'write';
}

interface Outcome {
  readonly setting: Setting;
  readonly expected: Uint8Array | null;
  readonly found: Uint8Array;
  readonly isIntact: boolean;
  readonly isWholeFrame: boolean;
  readonly fsync: { readonly result: number; readonly tookNs: number } | null;
  readonly grab: { readonly result: number; readonly tookNs: number };
  readonly counts: Readonly<Record<'bounced' | 'deferred' | 'waits' | 'waitedNsMax' | 'gupBusy' | 'gupWaits', number>>;
  readonly timeline: readonly Moment[];
}

type Experiment = (setting: Setting) => Outcome;

const POLICIES = ['linux', 'bounce', 'skip', 'wait'] as const;

export const o1TornWriteback: Act = {
  name: 'o1-torn-writeback',
  title: 'A page is written to disk while a device still fills it',
  run(stage) {
    const loaded = loadModule(exampleFile('examples/o1-torn-writeback/src/index.ts'), 'plugin');
    const experiment = loaded.writeWhileDeviceWrites as Experiment;
    const { bold, dim } = stage.colours;
    const torn = experiment({ pinned: 'linux', by: 'fsync' });
    if (torn.expected === null || torn.isIntact) throw new PincushionError('INTERNAL', 'the block is not torn');
    stage.out('  A frame grabber fills a page of a mapped file; in the middle of frame 2 the program calls fsync.\n\n');
    showTimeline(torn.timeline, stage);
    stage.out(`\n  ${bold('The block on the disk')}${dim(', in eight parts of 512 bytes')}\n`);
    showBlocks(torn.expected, torn.found, stage);
    stage.out(
      dim(
        '  fsync has said that all is well, and the checksum of the block is wrong. The unpin has made the page dirty again:\n',
      ) + dim('  a later write mends the block, if the power stays on and nobody reads it before.\n'),
    );

    stage.out(
      `\n  ${bold('The same under each policy')}${dim(' (memory.writeback.pinned; linux is what Linux does)')}\n`,
    );
    const runs = (['fsync', 'flusher'] as const).flatMap((by) => POLICIES.map((pinned) => experiment({ pinned, by })));
    stage.out(policyTable(runs, stage));
    expectIntact(runs.filter(({ setting }) => setting.pinned === 'bounce' || setting.pinned === 'wait'));
    stage.out(
      dim(
        '  bounce keeps the block whole, not the frame: a copy of half a frame is half a frame. skip cannot leave out what\n',
      ) + dim('  fsync is asked for. wait lets fsync wait for the device, and for ever when a pin never ends.\n'),
    );

    stage.out(`\n  ${bold('When the pin comes while the page is on its way')}${dim(' (memory.writeback.gup)')}\n`);
    const late = [
      ...(['ignore', 'busy', 'wait'] as const).map((gup) =>
        experiment({ pinned: 'bounce', gup, by: 'fsync', first: 'write' }),
      ),
      experiment({ pinned: 'bounce', gup: 'ignore', stableWrites: true, by: 'fsync', first: 'write' }),
    ];
    stage.out(lateTable(late, stage));
    expectIntact(late.slice(1));
    stage.out(
      dim(
        '  bounce does not see that pin: the page was not pinned when it was given to the disk. So it was proposed together\n',
      ) + dim('  with a GUP that looks, and a machine with bounce has gup: wait unless it says otherwise.\n'),
    );
    return Promise.resolve();
  },
};

/** A showcase that fails must not look like one that works. */
function expectIntact(outcomes: readonly Outcome[]): void {
  for (const { setting, isIntact } of outcomes) {
    if (!isIntact) throw new PincushionError('INTERNAL', `a torn block under ${setting.pinned}, by ${setting.by}`);
  }
}

function verdict({ expected, isIntact, isWholeFrame }: Outcome, { colours }: Terminal): readonly string[] {
  const block =
    expected === null ? colours.green('not written') : isIntact ? colours.green('intact') : colours.red('torn');
  return [block, isWholeFrame ? 'whole' : 'in parts'];
}

function policyTable(runs: readonly Outcome[], stage: Terminal): string {
  const { dim } = stage.colours;
  const rows = new Table({ ...PLAIN_TABLE });
  rows.push(
    ['written by', 'policy', 'block', 'frame', 'fsync took', 'extra copies', 'longest wait', 'deferred'].map((head) =>
      dim(head),
    ),
  );
  for (const outcome of runs) {
    const { setting, fsync, counts } = outcome;
    rows.push([
      `  ${setting.by}`,
      setting.pinned,
      ...verdict(outcome, stage),
      fsync === null ? '' : formatNs(fsync.tookNs),
      String(counts.bounced),
      counts.waits === 0 ? '0' : formatNs(counts.waitedNsMax),
      String(counts.deferred),
    ]);
  }
  return `${rows.toString().replaceAll(/ +$/gm, '')}\n`;
}

function lateTable(runs: readonly Outcome[], stage: Terminal): string {
  const { dim } = stage.colours;
  const rows = new Table({ ...PLAIN_TABLE });
  rows.push(['a pin for writing', 'block', 'the frame took', ''].map((head) => dim(head)));
  for (const outcome of runs) {
    const { setting, grab } = outcome;
    const what = setting.stableWrites === true ? 'ignore, and the store wants stable pages' : (setting.gup ?? 'ignore');
    const took = grab.result < 0 ? `refused: ${errnoName(grab.result)}` : formatNs(grab.tookNs);
    rows.push([`  ${what}`, verdict(outcome, stage)[0], took, '']);
  }
  return `${rows.toString().replaceAll(/ +$/gm, '')}\n`;
}
