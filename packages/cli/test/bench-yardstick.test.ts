import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { UsageError } from '@pincushion/sim';
import { isMissed, ResultTable } from '../src/bench/report';
import { C_REFERENCE, RUNNING_KERNEL, Yardstick } from '../src/bench/yardstick';

let folder = '';

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'yardstick-test-'));
});

afterEach(() => {
  rmSync(folder, { recursive: true });
});

/** A program that prints `document`, whatever it is asked, and notes what that was. */
function program(document: unknown): string {
  const path = join(folder, 'yardstick');
  const notes = join(folder, 'asked');
  writeFileSync(path, `#!/bin/sh\necho "$@" >> ${notes}\ncat <<'END'\n${JSON.stringify(document)}\nEND\n`, {
    mode: 0o755,
  });
  return path;
}

function table(figures: Record<string, number>): ResultTable {
  const made = new ResultTable();
  made.add(Object.entries(figures).map(([name, value]) => ({ name, unit: 'pages/s', value })));
  return made;
}

describe('the running kernel as a yardstick', () => {
  it('is asked after each benchmark for the part that belongs to it, and gives the ratio', async () => {
    const document = { 'pin4k.pin+unpin': { median: 8 }, 'pinTHP.pin+unpin': { median: 300 } };
    const kernel = Yardstick.prepare(RUNNING_KERNEL, program(document));
    const ours = table({ 'pin.4k.sequential': 80e6, 'pin.2m.ranges': 12e9, 'boot.2tib': 30 });
    for (const name of ['pin.4k.sequential', 'pin.2m.ranges', 'boot.2tib']) await kernel.afterBenchmark(name);
    await kernel.afterRound(['pin.4k.sequential', 'pin.2m.ranges', 'boot.2tib']);
    expect(kernel.ratios(ours)).toEqual([
      { name: 'pin.4k.sequential', against: 'pin4k.pin+unpin', value: 10, rounds: [10], atLeast: 6 },
      { name: 'pin.2m.ranges', against: 'pinTHP.pin+unpin', value: 40, rounds: [40], atLeast: 30 },
    ]);
    expect(readFileSync(join(folder, 'asked'), 'utf8')).toBe('131072 5 pin\n131072 5 thp\n');
  });

  it('that cannot measure says why and what it needs', async () => {
    const document = { pin4k: { skipped: 'Operation not permitted' }, 'fork.unpinned': { median: 8 } };
    const kernel = Yardstick.prepare(RUNNING_KERNEL, program(document));
    await expect(kernel.afterBenchmark('pin.4k.random')).rejects.toThrow(
      /pin4k\.pin\+unpin: Operation not permitted.*root/,
    );
    await expect(kernel.afterBenchmark('fork.pinned')).rejects.toThrow(/fork\.pinned_copies: it has no such figure/);
    await kernel.afterBenchmark('fork.unpinned');
  });
});

describe('the C reference as a yardstick', () => {
  it('is asked once after each round; a ratio may be one of two figures of ours', async () => {
    const reference = Yardstick.prepare(C_REFERENCE, program({ 'hold.heap4.qd32.Mevents/s': 50 }));
    await reference.afterBenchmark('queue.depth32');
    await reference.afterRound(['queue.depth32', 'queue.depth1m']);
    expect(reference.ratios(table({ 'queue.depth32': 25e6, 'queue.depth1m': 15e6 }))).toEqual([
      { name: 'queue.depth32', against: 'hold.heap4.qd32.Mevents/s', value: 0.5, rounds: [0.5], atLeast: 0.4 },
      { name: 'queue.depth1m', against: 'queue.depth32', value: 0.6, rounds: [0.6], atLeast: 0.4 },
    ]);
  });

  it('must be there', () => {
    expect(() => Yardstick.prepare(C_REFERENCE, join(folder, 'nothing'))).toThrow(UsageError);
  });
});

describe('a promise', () => {
  it('is missed below what a ratio, and above what a figure may be', () => {
    expect([6, 5.99].map((value) => isMissed({ value, atLeast: 6 }))).toEqual([false, true]);
    expect([28, 28.01].map((value) => isMissed({ value, atMost: 28 }))).toEqual([false, true]);
    expect(isMissed({ value: 0 })).toBe(false);
  });

  it('about a figure goes with it into the report', () => {
    const made = new ResultTable();
    made.add([{ name: 'memory.bytesPerPage', unit: 'bytes', value: 27, atMost: 28 }]);
    expect(made.results()).toEqual([
      { name: 'memory.bytesPerPage', value: 27, unit: 'bytes', rounds: [27], atMost: 28 },
    ]);
  });
});
