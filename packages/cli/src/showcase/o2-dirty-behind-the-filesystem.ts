/**
 * Act: objective O2 of the debate about pinned pages. A driver marks a page dirty that its file system takes for clean. A
 * kernel of 2019 stops, one of 2022 loses the data, one of 2025 keeps it as long as its reclaim leaves the page alone.
 */
import Table from 'cli-table3';
import { PincushionError, errnoName } from '@pincushion/sim';
import { exampleFile } from '../clone-examples';
import { loadModule } from '../load-module';
import { PLAIN_TABLE } from '../table-style';
import type { Terminal } from '../terminal';
import type { Act } from './act';
import { showBlocks, showTimeline } from './corrupt-block';
import type { Moment } from './corrupt-block';

/** Of examples/o2-dirty-behind-the-filesystem, as far as it is shown. */
interface Setting {
  readonly kernel: string;
  readonly pinned: string;
  readonly by: 'fsync' | 'flusher';
}

interface Outcome {
  readonly setting: Setting;
  readonly expected: Uint8Array;
  readonly found: Uint8Array;
  readonly isSaved: boolean;
  readonly fsync: number | string;
  readonly hadBuffers: boolean;
  readonly becameDirty: number;
  readonly asked: number;
  readonly counts: Readonly<Record<'bounced' | 'deferred' | 'waits', number>>;
  readonly timeline: readonly Moment[];
}

type Experiment = (setting: Setting) => Outcome;

const KERNELS = ['5.4', '6.1', '6.18'] as const;
const POLICIES = ['linux', 'bounce', 'skip', 'wait'] as const;

export const o2DirtyBehindTheFileSystem: Act = {
  name: 'o2-dirty-behind-the-filesystem',
  title: 'A driver marks a page dirty that its file system has forgotten',
  run(stage) {
    const loaded = loadModule(exampleFile('examples/o2-dirty-behind-the-filesystem/src/index.ts'), 'plugin');
    const experiment = loaded.dirtyBehindTheFileSystem as Experiment;
    const { bold, dim, red } = stage.colours;
    const [old, lost, kept] = KERNELS.map((kernel) => experiment({ kernel, pinned: 'linux', by: 'fsync' }));
    if (typeof old.fsync !== 'string' || lost.isSaved || !kept.isSaved) {
      throw new PincushionError('INTERNAL', 'the three kernels do not behave as they are told');
    }
    stage.out(
      '  A frame grabber fills a page of a mapped file. In the middle of frame 2 the page is written back, and then\n',
    );
    stage.out('  memory is short. Linux 6.1:\n\n');
    showTimeline(lost.timeline, stage);
    stage.out(`\n  ${bold('The page of the program, and the block on the disk after fsync')}\n`);
    showBlocks(lost.expected, lost.found, stage);
    stage.out(
      dim(
        '  Writeback found a dirty page that the file system knows nothing about, warned, and forgot that it was dirty.\n',
      ),
    );
    stage.out(`\n  ${bold('Linux 5.4')} had no other answer than BUG:\n  ${red(old.fsync)}\n`);

    stage.out(`\n  ${bold('Each kernel under each policy')}${dim(' (memory.writeback.pinned)')}\n`);
    const runs = KERNELS.flatMap((kernel) => POLICIES.map((pinned) => experiment({ kernel, pinned, by: 'fsync' })));
    stage.out(table(runs, stage));
    for (const { setting, isSaved } of runs) {
      if (setting.pinned !== 'bounce' || setting.kernel === '5.4' || isSaved) continue;
      throw new PincushionError('INTERNAL', `a frame is lost under bounce, on ${setting.kernel}`);
    }
    stage.out(
      dim(
        '  5.4 cannot tell a pin from another reference, so no policy sees it. 6.18 saves the frame because its reclaim leaves\n',
      ) +
        dim(
          '  the buffers of a pinned page alone; the page still became dirty once more often than the file system was asked.\n',
        ),
    );
    return Promise.resolve();
  },
};

function table(runs: readonly Outcome[], { colours }: Terminal): string {
  const { dim, green, red } = colours;
  const rows = new Table({ ...PLAIN_TABLE });
  const heads = ['kernel', 'policy', 'fsync', 'frame', 'buffers at the end', 'dirty / asked', 'extra copies', 'waits'];
  rows.push(heads.map((head) => dim(head)));
  for (const { setting, fsync, isSaved, hadBuffers, becameDirty, asked, counts } of runs) {
    const said = typeof fsync === 'string' ? red('BUG') : fsync === 0 ? 'ok' : errnoName(fsync);
    rows.push([
      `  ${setting.kernel}`,
      setting.pinned,
      said,
      isSaved ? green('on the disk') : red('lost'),
      hadBuffers ? 'there' : 'gone',
      `${becameDirty} / ${asked}`,
      String(counts.bounced),
      String(counts.waits),
    ]);
  }
  return `${rows.toString().replaceAll(/ +$/gm, '')}\n`;
}
