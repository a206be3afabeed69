import { EIO } from '@pincushion/sim';
import type { MaySleep } from '@pincushion/sim';
import { FOLL_WRITE, PAGE_SIZE, PG_dirty, assertMemorySane, newPinnedPages } from '@pincushion/mm';
import type { MappableFile, PinnedWriteback, WritebackSettings } from '@pincushion/mm';
import { blockOf, frameAt, map, mount, plain, opened } from './mounted';
import { SlowStore, WRITE_NS } from './slow-store';

const SECOND = 1e9;
const MIB = 1 << 20;

function flushing(settings: Partial<WritebackSettings> = {}, options: { ramBytes?: number; writeNs?: number } = {}) {
  let slow: SlowStore | null = null;
  const machine = mount({
    blocks: 1 << 16,
    makeStore: (memory, inner) => (slow = new SlowStore(memory, inner, options.writeNs)),
    memory: { ramBytes: options.ramBytes ?? 64 * MIB, writeback: { flusher: true, ...settings } },
  });
  const file = opened(machine.fs.create('data'));
  return { ...machine, file, slow: slow as unknown as SlowStore };
}

function* wait(result: MaySleep) {
  return typeof result === 'number' ? result : yield* result;
}

function writePages(file: MappableFile, first: number, n: number): MaySleep {
  return file.write(first * PAGE_SIZE, new Uint8Array(n * PAGE_SIZE).fill(7), 0, n * PAGE_SIZE);
}

describe('the flusher', () => {
  it('writes a file that has been dirty for 30 s, at the next look 5 s apart, and then rests', () => {
    const { world, file, slow, memory } = flushing();
    world.settle(writePages(file, 0, 3));
    world.run({ untilNs: 29 * SECOND });
    expect([slow.written.length, memory.writeback.dirtyPages]).toEqual([0, 3]);
    expect(world.run()).toBe('idle');
    expect(slow.written.map(({ atNs }) => Math.floor(atNs / SECOND))).toEqual([30, 30, 30]);
    expect([world.eventsPending, memory.writeback.dirtyPages, memory.writeback.writebackPages]).toEqual([0, 0, 0]);
    assertMemorySane(memory);
  });

  it('is off unless asked for: nothing is written behind the back of a recording', () => {
    const { world, file, slow } = flushing({ flusher: false });
    world.settle(writePages(file, 0, 3));
    world.run({ untilNs: 100 * SECOND });
    expect(slow.written).toEqual([]);
  });

  it('begins at once when more than the background limit is dirty, and stops below it', () => {
    const { world, file, slow, memory } = flushing({ dirtyBackgroundRatio: 2, dirtyRatio: 50 });
    const { background } = memory.writeback.limits();
    world.settle(writePages(file, 0, background + 100));
    world.run({ untilNs: world.now + SECOND });
    expect(memory.writeback.dirtyPages).toBeLessThanOrEqual(background);
    expect(slow.written[0].atNs).toBeLessThan(SECOND);
  });

  it('leaves a write error with the file, and each opener hears of it once at fsync (EIO)', () => {
    const { world, file, fs, slow } = flushing();
    const other = opened(fs.open('data'));
    world.settle(writePages(file, 0, 1));
    slow.failFrom = fs.layout.dataStart;
    world.run();
    slow.failFrom = Infinity;
    const later = opened(fs.open('data'));
    const heard = [file, file, other, later].map((opened) => world.settle(opened.fsync()));
    expect(heard).toEqual([-EIO, 0, -EIO, -EIO]);
    const after = opened(fs.open('data'));
    expect([later, after].map((opened) => world.settle(opened.fsync()))).toEqual([0, 0]);
  });

  it.each(['skip', 'wait'] as const)(
    'leaves a pinned page for later and comes to rest (%s)',
    (pinned: PinnedWriteback) => {
      const machine = flushing({ pinned });
      const { world, fs, file, slow, mm, gup, owner, memory, frames } = machine;
      world.settle(writePages(file, 0, 2));
      const address = map(mm, file, 2);
      const pages = newPinnedPages(1);
      expect(plain(gup.pinUserPagesFast(mm, address, 1, FOLL_WRITE, pages, 0, owner))).toBe(1);
      expect(world.run()).toBe('idle');
      expect(slow.written.map(({ block }) => block)).toEqual([blockOf(fs, 'data', 1)]);
      expect(frames.flags[frameAt(mm, address)] & PG_dirty).toBe(PG_dirty);
      expect(memory.writeback.counts).toMatchObject({ deferred: 1, written: 1 });
      plain(gup.unpinUserPagesDirtyLock(pages, 0, 1, true));
      expect(world.run()).toBe('idle');
      expect([slow.written.length, memory.writeback.dirtyPages]).toEqual([2, 0]);
      assertMemorySane(memory);
    },
  );

  it('writes a copy of a pinned page once, not every 30 s, until the page is given back (bounce)', () => {
    const { world, file, slow, mm, gup, owner, memory } = flushing({ pinned: 'bounce' });
    world.settle(writePages(file, 0, 1));
    const address = map(mm, file, 1);
    const pages = newPinnedPages(1);
    plain(gup.pinUserPagesFast(mm, address, 1, FOLL_WRITE, pages, 0, owner));
    expect(world.run()).toBe('idle');
    expect([slow.written.length, memory.writeback.dirtyPages, memory.writeback.counts.bounced]).toEqual([1, 1, 1]);
    plain(gup.unpinUserPagesDirtyLock(pages, 0, 1, true));
    world.run();
    expect([slow.written.length, memory.writeback.dirtyPages]).toEqual([2, 0]);
  });
});

describe('fsync of many pages', () => {
  it('has up to 64 on their way at once, and says the first error when all have ended', () => {
    const { world, file, slow } = flushing({ flusher: false });
    world.settle(writePages(file, 0, 130));
    const start = world.now;
    expect(world.settle(file.syncFileRange())).toBe(0);
    expect(world.now - start).toBe(Math.ceil(130 / 64) * WRITE_NS);
    world.settle(writePages(file, 0, 3));
    slow.failFrom = 0;
    expect(world.settle(file.syncFileRange())).toBe(-EIO);
    expect([file.mapping.underWriteback.size, file.mapping.dirty.size]).toEqual([0, 0]);
  });
});

describe('who makes pages dirty too fast', () => {
  const TIGHT = { dirtyRatio: 20, dirtyBackgroundRatio: 10 };

  it('is made to wait, so that dirty pages stay below the limit; it gets on as fast as the device writes', () => {
    const { world, file, memory } = flushing(TIGHT, { ramBytes: 16 * MIB, writeNs: 100_000 });
    const pages = 3000;
    let most = 0;
    const { hard } = memory.writeback.limits();
    const writer = world.spawn(
      (function* () {
        for (let k = 0; k < pages; k += 8) {
          // The same pages again and again: the file fits in memory.
          expect(yield* wait(writePages(file, k % 1000, 8))).toBe(8 * PAGE_SIZE);
          most = Math.max(most, memory.writeback.dirtyPages + memory.writeback.writebackPages);
        }
      })(),
      { name: 'writer' },
    );
    world.run({ until: () => writer.ended });
    expect(writer.state).toBe('done');
    expect(most).toBeLessThanOrEqual(hard + 40);
    expect(memory.writeback.counts.throttled).toBeGreaterThan(0);
    expect(memory.writeback.counts.throttledNs).toBeGreaterThan(0);
  });

  it('by stores to a mapping waits, too (fault_dirty_shared_page)', () => {
    const { world, file, mm, memory } = flushing(TIGHT, { ramBytes: 16 * MIB, writeNs: 100_000 });
    const { hard } = memory.writeback.limits();
    const pages = hard + 64;
    world.settle(file.truncate(pages * PAGE_SIZE));
    const address = map(mm, file, pages);
    for (let k = 0; k < pages; k++) expect(world.settle(mm.write(address + k * PAGE_SIZE, Uint8Array.of(1)))).toBe(1);
    expect(memory.writeback.counts.throttled).toBeGreaterThan(0);
    expect(memory.writeback.dirtyPages).toBeLessThanOrEqual(hard);
    world.run();
    assertMemorySane(memory);
  });

  it('is named by the report of stuck tasks when everything dirty is pinned for ever (skip)', () => {
    const { world, file, mm, gup, owner, memory } = flushing({ ...TIGHT, pinned: 'skip' }, { ramBytes: 16 * MIB });
    const { background, hard } = memory.writeback.limits();
    const held = Math.floor((background + hard) / 2);
    world.settle(writePages(file, 0, held));
    const address = map(mm, file, hard + 100);
    const pages = newPinnedPages(held);
    expect(world.settle(gup.pinUserPagesFast(mm, address, held, FOLL_WRITE, pages, 0, owner))).toBe(held);
    world.spawn(
      (function* () {
        // Pinned as soon as it is dirty, so that nothing can be written.
        for (let k = held; k < hard + 64; k++) {
          yield* wait(writePages(file, k, 1));
          const one = newPinnedPages(1);
          expect(yield* wait(gup.pinUserPagesFast(mm, address + k * PAGE_SIZE, 1, FOLL_WRITE, one, 0, owner))).toBe(1);
        }
      })(),
      { name: 'writer' },
    );
    expect(world.run()).toBe('idle');
    world.checkAtEnd();
    const stuck = world.findings.all.find(({ code }) => code === 'TASK_STUCK');
    expect(stuck?.summary).toContain("thread 'writer' waits for ever for dirty pages to be written");
    expect(memory.writeback.dirtyPages).toBeGreaterThan(held);
  });
});
