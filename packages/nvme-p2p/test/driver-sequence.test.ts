/** What the driver sends, step by step, beside what Linux 6.1 sent to the reference controller. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { MAP_ANONYMOUS, MAP_PRIVATE, PROT_READ, PROT_WRITE } from '@pincushion/driver';
import { testDevice } from '@pincushion/testing';
import { NvmeDriver } from '../src/index';
import { RecordingController } from './recording-controller';

const GOLDEN = join(__dirname, '../../../test/golden/linux-6.1/nvme-driver.json');

/** What the reference controller was, as far as the driver sees it. */
const AS_REFERENCE = { shadowDoorbells: true };

interface Step {
  readonly reg?: string;
  readonly v?: string;
  readonly admin?: string;
  readonly io?: string;
  readonly cns?: string;
  readonly fid?: string;
  readonly cdw11?: string;
  readonly args?: string;
  readonly times?: number;
}

/** As the recording has them: what came several times in a row is one step. */
function linux(): string[] {
  const { steps } = JSON.parse(readFileSync(GOLDEN, 'utf8')) as { readonly steps: readonly Step[] };
  return steps.map((step) => words(step) + (step.times === undefined ? '' : ` ×${step.times}`));
}

function words({ reg, v, admin, io, cns, fid, cdw11, args }: Step): string {
  if (reg !== undefined) return `${reg} ${v ?? ''}`;
  if (admin === undefined) return io ?? '';
  if (cns !== undefined) return `${admin} cns ${cns}`;
  if (fid !== undefined) return `${admin} ${fid} to ${cdw11 ?? ''}`;
  return args === undefined ? admin : `${admin} ${args}`;
}

/** The story of the recording: probe, four writes, two reads, a discard, zeroes, a reset. */
function ours(): string[] {
  const bed = testDevice(NvmeDriver, {
    hardware: RecordingController,
    name: 'nvme0',
    cpus: 2,
    model: { namespaces: [{ capacity: '64MiB' }], ...AS_REFERENCE },
  });
  const disk = bed.process.directIo('nvme0n1');
  const area = bed.process.mmap(0x20000, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS);
  const address = typeof area === 'number' ? area : bed.run(area);
  for (let i = 0; i < 4; i++) expect(bed.run(disk.write(address, 0x10000, i * 128))).toBe(0x10000);
  for (let i = 0; i < 2; i++) expect(bed.run(disk.read(address, 0x20000, i * 256))).toBe(0x20000);
  expect(disk.discard(0, 2048, 0, 1)).toBe(0);
  bed.advance('10ms');
  expect(disk.writeZeroes(0, 256, 0, 2)).toBe(0);
  bed.advance('10ms');
  bed.run(bed.driver.reset());
  bed.advance('10ms');
  const { seen } = bed.hardware;
  const sent = [...seen];
  seen.length = 0;
  bed.run(bed.device.remove('driver-unbind'));
  expect(compress(seen)).toEqual(['DELETE_SQ ×2', 'DELETE_CQ ×2', 'CC 0x464061', 'CC 0x460060']);
  bed.close();
  return sent;
}

/** Steps that come several times in a row become one. */
function compress(steps: readonly string[]): string[] {
  const rows: string[] = [];
  for (let i = 0; i < steps.length;) {
    let end = i;
    while (steps[end] === steps[i]) end++;
    rows.push(end - i === 1 ? steps[i] : `${steps[i]} ×${end - i}`);
    i = end;
  }
  return rows;
}

type Row = readonly [linux: string, ours: string];

/** Both lists beside each other, with as many equal steps in a row as there can be. */
function beside(a: readonly string[], b: readonly string[]): Row[] {
  const best: number[][] = Array.from({ length: a.length + 1 }, () => new Array<number>(b.length + 1).fill(0));
  for (let i = a.length - 1; i >= 0; i--) {
    for (let k = b.length - 1; k >= 0; k--) {
      best[i][k] = a[i] === b[k] ? best[i + 1][k + 1] + 1 : Math.max(best[i + 1][k], best[i][k + 1]);
    }
  }
  const rows: Row[] = [];
  let i = 0;
  let k = 0;
  while (i < a.length || k < b.length) {
    if (i < a.length && a[i] === b[k]) rows.push([a[i++], b[k++]]);
    else if (k >= b.length || (i < a.length && best[i + 1][k] >= best[i][k + 1])) rows.push([a[i++], '']);
    else rows.push(['', b[k++]]);
  }
  return rows;
}

/** Why steps are on one side only, in their order. */
const REASONS: readonly (readonly [step: string, why: string])[] = [
  ['GET_LOG_PAGE', 'SMART, for the hwmon device, which is not modelled'],
  ['READ ×3', 'the partition table; a disk here has no partitions'],
  ['IDENTIFY cns 0x0', 'beside the partition scan; nobody asks here'],
  ['IDENTIFY cns 0x3', 'beside the partition scan; nobody asks here'],
  ['READ ×48', 'programs that look at a disk after it was written (udev)'],
  ['READ ×48', 'programs that look at a disk after it was written (udev)'],
  ['IDENTIFY cns 0x1', 'by whoever asked for the reset; nobody asks here'],
];

const MANUAL = join(__dirname, '../../../docs/reference/nvme.md');

/** Rows of the table under the heading, without its head. */
function manualRows(): string[][] {
  const [, section = ''] = readFileSync(MANUAL, 'utf8').split('## What the driver sends\n');
  const [own] = section.split('\n## ');
  const lines = own.split('\n').filter((line) => line.startsWith('|'));
  return lines.slice(2).map((line) =>
    line
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim().replaceAll('`', '')),
  );
}

describe('the driver beside the recording of Linux 6.1', () => {
  const rows = beside(linux(), compress(ours()));

  it('sends the same steps in the same order, but for those that have a reason', () => {
    const differing = rows.filter(([theirs, own]) => theirs !== own);
    expect(differing.map(([theirs, own]) => theirs + own)).toEqual(REASONS.map(([step]) => step));
    expect(rows.length - differing.length).toBe(51);
  });

  it('is shown so in the manual', () => {
    let reason = 0;
    expect(manualRows()).toEqual(
      rows.map(([theirs, own]) => [theirs, own, theirs === own ? '' : (REASONS[reason++]?.[1] ?? '')]),
    );
  });
});
