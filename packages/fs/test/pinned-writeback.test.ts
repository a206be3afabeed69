/**
 * What writeback does about pages that a device holds, policy by policy, and what a pin does that meets a page on its way
 * to the store. The proposals: Glisse and Kara 2018 (bounce, skip, GUP that looks at PG_writeback), Hubbard 2021 (wait).
 */
import type { MaySleep } from '@pincushion/sim';
import { EBUSY } from '@pincushion/sim';
import {
  FOLL_WRITE,
  PAGE_SIZE,
  PG_dirty,
  PG_private,
  PG_writeback,
  PTE_WRITE,
  assertMemorySane,
  newGottenPages,
  newPinnedPages,
} from '@pincushion/mm';
import type { GupUnderWriteback, MappableFile, MemoryOptions, PinnedWriteback } from '@pincushion/mm';
import { blockOf, bitsAt, frameAt, map, mount, plain, opened } from './mounted';
import { SlowStore, WRITE_NS } from './slow-store';

/** One file of one page full of 1, on the store, mapped, and pinned for a device that will write 2s. */
function pinned(
  pinnedPolicy: PinnedWriteback,
  options: { gup?: GupUnderWriteback; memory?: Partial<MemoryOptions> } = {},
) {
  let slow: SlowStore | null = null;
  const machine = mount({
    makeStore: (memory, inner) => (slow = new SlowStore(memory, inner)),
    memory: { writeback: { pinned: pinnedPolicy, gup: options.gup ?? 'ignore' }, ...options.memory },
  });
  const { world, mm, gup, owner, memory, disk } = machine;
  const file = opened(machine.fs.create('data'));
  world.settle(file.write(0, new Uint8Array(PAGE_SIZE).fill(1), 0, PAGE_SIZE));
  expect(world.settle(file.fsync())).toBe(0);
  const address = map(mm, file, 1);
  const pages = newPinnedPages(1);
  const pin = (): number => world.settle(gup.pinUserPagesFast(mm, address, 1, FOLL_WRITE, pages, 0, owner));
  const unpin = (): number => world.settle(gup.unpinUserPagesDirtyLock(pages, 0, 1, true));
  expect(pin()).toBe(1);
  const pfn = frameAt(mm, address);
  /** The device writes the first bytes of the page. */
  const device = (bytes: number, value = 2): void => {
    memory.bytes.fill(pfn, 0, value, bytes);
  };
  /** How many bytes of the block on the store are 2. */
  const changedOnDisk = (): number => disk.peek(blockOf(machine.fs, 'data', 0)).filter((byte) => byte === 2).length;
  return {
    ...machine,
    file,
    address,
    pfn,
    pages,
    pin,
    unpin,
    device,
    changedOnDisk,
    slow: slow as unknown as SlowStore,
  };
}

function* wait(result: MaySleep) {
  return typeof result === 'number' ? result : yield* result;
}

/** Starts an fsync; the result comes when it has ended. */
function fsyncing({ world }: ReturnType<typeof mount>, file: MappableFile) {
  const seen: { result: number | null; atNs: number } = { result: null, atNs: 0 };
  world.spawn(
    (function* () {
      seen.result = yield* wait(file.fsync());
      seen.atNs = world.now;
    })(),
    { name: 'fsync' },
  );
  return seen;
}

describe('writeback of a page that a device writes to (objective O1)', () => {
  it('linux: what the device writes meanwhile is on the store, although nobody says that the page is dirty (W-02)', () => {
    const machine = pinned('linux');
    const { world, file, device, changedOnDisk, frames, pfn, unpin, memory } = machine;
    fsyncing(machine, file);
    world.run({ untilNs: world.now + WRITE_NS / 2 });
    device(100);
    world.run();
    expect([changedOnDisk(), frames.flags[pfn] & PG_dirty]).toEqual([100, 0]);
    expect(memory.writeback.counts).toMatchObject({ written: 2, writtenPinned: 1, bounced: 0 });
    unpin();
    assertMemorySane(memory);
  });

  it('bounce: the store gets the page as it was; it stays dirty, keeps its buffers, and is written again after the unpin', () => {
    const machine = pinned('bounce');
    const { world, file, device, changedOnDisk, frames, pfn, unpin, memory } = machine;
    const free = memory.framesFree;
    const synced = fsyncing(machine, file);
    world.run({ untilNs: world.now + WRITE_NS / 2 });
    expect([frames.flags[pfn] & (PG_writeback | PG_dirty), memory.framesFree]).toEqual([
      PG_writeback | PG_dirty,
      free - 1,
    ]);
    device(100);
    world.run();
    expect([synced.result, changedOnDisk(), memory.framesFree]).toEqual([0, 0, free]);
    expect(frames.flags[pfn] & (PG_dirty | PG_private)).toBe(PG_dirty | PG_private);
    unpin();
    expect(world.settle(file.fsync())).toBe(0);
    expect([changedOnDisk(), frames.flags[pfn] & PG_dirty]).toEqual([100, 0]);
    expect(memory.writeback.counts).toMatchObject({ written: 3, bounced: 1, writtenPinned: 0 });
    assertMemorySane(memory);
  });

  it('bounce: without a page for the copy fsync says -ENOMEM and the page is as dirty as before', () => {
    const machine = pinned('bounce');
    const { world, file, frames, pfn, memory, unpin } = machine;
    const taken: number[] = [];
    for (let head = memory.allocFolio(0); head > 0; head = memory.allocFolio(0)) taken.push(head);
    expect(world.settle(file.fsync())).toBeLessThan(0);
    expect(frames.flags[pfn] & PG_dirty).toBe(PG_dirty);
    for (const head of taken) frames.put(head, 1);
    unpin();
    expect(world.settle(file.fsync())).toBe(0);
    assertMemorySane(memory);
  });

  it('skip: fsync cannot leave a page out, so it writes it as it is (W-06)', () => {
    const machine = pinned('skip');
    const { world, file, device, changedOnDisk, memory, unpin } = machine;
    fsyncing(machine, file);
    world.run({ untilNs: world.now + WRITE_NS / 2 });
    device(100);
    world.run();
    expect(changedOnDisk()).toBe(100);
    expect(memory.writeback.counts).toMatchObject({ deferred: 0, writtenPinned: 1 });
    unpin();
  });

  it('wait: fsync returns when the device has given the page back, with what it wrote', () => {
    const machine = pinned('wait');
    const { world, file, device, changedOnDisk, memory, unpin, frames, pfn } = machine;
    const start = world.now;
    const synced = fsyncing(machine, file);
    world.run({ untilNs: start + 10_000 });
    expect([synced.result, memory.writeback.waiting, frames.flags[pfn] & PG_dirty]).toEqual([null, true, PG_dirty]);
    device(100);
    unpin();
    world.run();
    expect([synced.result, synced.atNs - start, changedOnDisk()]).toEqual([0, 10_000 + WRITE_NS, 100]);
    expect(memory.writeback.counts).toMatchObject({ waits: 1, waitedNs: 10_000, waitedNsMax: 10_000 });
    expect(memory.writeback.waiting).toBe(false);
    assertMemorySane(memory);
  });

  it('wait: a pin that never ends is named by the report of stuck tasks, with its owner', () => {
    const machine = pinned('wait');
    const { world, file, unpin } = machine;
    fsyncing(machine, file);
    expect(world.run()).toBe('idle');
    world.checkAtEnd();
    const stuck = world.findings.all.find(({ code }) => code === 'TASK_STUCK');
    expect(stuck?.summary).toContain(
      "thread 'fsync' waits for ever for page 0 of data to be given back, pinned by nic0",
    );
    unpin();
  });

  it('wait: an fsync does not wait for a page that is no longer of the file', () => {
    const machine = pinned('wait');
    const { world, file, unpin, memory } = machine;
    const synced = fsyncing(machine, file);
    world.run();
    expect(synced.result).toBeNull();
    world.settle(file.truncate(0));
    world.run();
    expect(synced.result).toBe(0);
    unpin();
    assertMemorySane(memory);
  });

  it.each(['bounce', 'skip', 'wait'] as const)(
    '%s: direct I/O that takes plain references is not seen (profile 6.1)',
    (policy) => {
      const machine = pinned(policy, { memory: { directIo: 'get' } });
      const { world, mm, gup, owner, file, address, device, changedOnDisk, unpin, memory } = machine;
      unpin();
      const pages = newGottenPages(1);
      expect(world.settle(gup.getUserPagesFast(mm, address, 1, FOLL_WRITE, pages, 0, owner))).toBe(1);
      const synced = fsyncing(machine, file);
      world.run({ untilNs: world.now + WRITE_NS / 2 });
      device(100);
      world.run();
      expect([synced.result, changedOnDisk()]).toEqual([0, 100]);
      expect(memory.writeback.counts).toMatchObject({ bounced: 0, waits: 0 });
      gup.putPages(pages, 0, 1);
    },
  );

  it('pin-longterm-only: a transfer with plain references is waited for, a pin is not but gets a copy (Hubbard 2021)', () => {
    const machine = pinned('wait', { memory: { directIo: 'pin-longterm-only' } });
    const { world, mm, gup, owner, file, address, device, changedOnDisk, unpin, memory } = machine;
    const synced = fsyncing(machine, file);
    world.run();
    expect([synced.result, memory.writeback.counts.bounced]).toEqual([0, 1]);
    unpin();
    const pages = newGottenPages(1);
    expect(world.settle(gup.getUserPagesFast(mm, address, 1, FOLL_WRITE, pages, 0, owner))).toBe(1);
    const again = fsyncing(machine, file);
    world.run();
    expect(again.result).toBeNull();
    device(100);
    gup.putPages(pages, 0, 1);
    world.run();
    expect([again.result, changedOnDisk(), memory.writeback.counts.waits]).toEqual([0, 100, 1]);
    assertMemorySane(memory);
  });
});

describe('a pin that meets a page under writeback (Glisse 2018)', () => {
  /** The page is on its way to the store, and nobody holds it. */
  function onItsWay(gup: GupUnderWriteback) {
    const machine = pinned('linux', { gup });
    machine.unpin();
    const synced = fsyncing(machine, machine.file);
    machine.world.run({ untilNs: machine.world.now + WRITE_NS / 2 });
    expect(machine.frames.flags[machine.pfn] & PG_writeback).toBe(PG_writeback);
    return { ...machine, synced };
  }

  it('ignore: takes it, as Linux does', () => {
    const { pin, unpin, frames, pfn } = onItsWay('ignore');
    expect(pin()).toBe(1);
    expect(frames.flags[pfn] & PG_writeback).toBe(PG_writeback);
    unpin();
  });

  it('busy: is refused for writing, by the fast path and by the slow one, and not for reading', () => {
    const { world, pin, gup, mm, owner, address, memory, pages } = onItsWay('busy');
    expect(pin()).toBe(-EBUSY);
    expect(gup.why()).toContain('Glisse 2018');
    expect(plain(gup.pinUserPagesFast(mm, address, 1, 0, pages, 0, owner))).toBe(1);
    gup.unpinUserPages(pages, 0, 1);
    world.run();
    expect(pin()).toBe(1);
    expect(memory.writeback.counts.gupBusy).toBe(1);
    gup.unpinUserPages(pages, 0, 1);
  });

  it('busy: is refused, too, when a process has made the page writable meanwhile: the fast path looks at the page', () => {
    const { world, pin, mm, address, memory } = onItsWay('busy');
    expect(world.settle(mm.write(address, Uint8Array.of(7)))).toBe(1);
    expect(bitsAt(mm, address) & PTE_WRITE).toBe(PTE_WRITE);
    expect([pin(), memory.vmstat.nrFollPinAcquired - memory.vmstat.nrFollPinReleased]).toEqual([-EBUSY, 0]);
  });

  it('wait: has the page when its write has ended, writable', () => {
    const { world, gup, mm, owner, address, pages, memory, unpin } = onItsWay('wait');
    const start = world.now;
    expect(world.settle(gup.pinUserPagesFast(mm, address, 1, FOLL_WRITE, pages, 0, owner))).toBe(1);
    expect([world.now - start, bitsAt(mm, address) & PTE_WRITE, memory.writeback.counts.gupWaits]).toEqual([
      WRITE_NS / 2,
      PTE_WRITE,
      1,
    ]);
    unpin();
    assertMemorySane(memory);
  });
});
