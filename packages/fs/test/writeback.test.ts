import { EFAULT, EIO } from '@pincushion/sim';
import {
  FOLL_LONGTERM,
  FOLL_WRITE,
  MADV_PAGEOUT,
  MAP_PRIVATE,
  PAGE_SIZE,
  PG_dirty,
  PG_private,
  PG_writeback,
  PTE_DIRTY,
  PTE_WRITE,
  assertMemorySane,
  newGottenPages,
  newPinnedPages,
} from '@pincushion/mm';
import { bitsAt, byteOf, filled, frameAt, load, map, mount, plain, store, writePage, opened } from './mounted';
import { SlowStore } from './slow-store';

describe('dirty tracking of shared mappings', () => {
  it('maps a page read-only and clean for a reader, with its buffers and without (fact 28, fact 29)', () => {
    const { mm, frames, file, memory } = filled(2);
    const address = map(mm, file, 2);
    expect(load(mm, address)).toBe(1);
    const pfn = frameAt(mm, address);
    expect(bitsAt(mm, address) & (PTE_WRITE | PTE_DIRTY)).toBe(0);
    expect([frames.refcount[pfn], frames.flags[pfn] & PG_private]).toEqual([3, PG_private]);
    plain(mm.munmap(address, 2 * PAGE_SIZE));
    expect(plain(file.fadviseDontneed())).toBe(0);
    const again = map(mm, file, 2);
    expect(load(mm, again)).toBe(1);
    expect([frames.refcount[frameAt(mm, again)], frames.flags[frameAt(mm, again)] & PG_private]).toEqual([2, 0]);
    assertMemorySane(memory);
  });

  it('asks the file system at the first write to a page, which becomes dirty and gets buffers (page_mkwrite)', () => {
    const { mm, frames, fs } = mount();
    const file = opened(fs.create('hole'));
    plain(file.truncate(2 * PAGE_SIZE));
    const address = map(mm, file, 2);
    expect(load(mm, address)).toBe(0);
    const pfn = frameAt(mm, address);
    expect(frames.refcount[pfn]).toBe(2);
    store(mm, address, 7);
    expect(frameAt(mm, address)).toBe(pfn);
    expect(bitsAt(mm, address) & (PTE_WRITE | PTE_DIRTY)).toBe(PTE_WRITE | PTE_DIRTY);
    expect(frames.flags[pfn] & (PG_dirty | PG_private)).toBe(PG_dirty | PG_private);
    expect(frames.refcount[pfn]).toBe(3);
  });

  it('cleans and write-protects at fsync, so that the next write is noticed again (W-01)', () => {
    const { mm, frames, file, onDisk, memory } = filled(1);
    const address = map(mm, file, 1);
    store(mm, address, 9);
    const pfn = frameAt(mm, address);
    expect(plain(file.fsync())).toBe(0);
    expect(frames.flags[pfn] & PG_dirty).toBe(0);
    expect(bitsAt(mm, address) & (PTE_WRITE | PTE_DIRTY)).toBe(0);
    expect(onDisk(0)).toBe(9);
    store(mm, address, 10);
    expect(frames.flags[pfn] & PG_dirty).toBe(PG_dirty);
    expect(onDisk(0)).toBe(9);
    assertMemorySane(memory);
  });

  it('leaves private mappings alone at fsync, and never writes their copies', () => {
    const { mm, file, onDisk } = filled(1);
    const address = map(mm, file, 1, undefined, MAP_PRIVATE);
    store(mm, address, 99);
    expect(plain(file.fsync())).toBe(0);
    expect(bitsAt(mm, address) & (PTE_WRITE | PTE_DIRTY)).toBe(PTE_WRITE | PTE_DIRTY);
    expect(onDisk(0)).toBe(1);
  });

  it('refuses long-term write pins of shared mappings and allows short ones (V-06, fact 11)', () => {
    const { mm, gup, owner, file } = filled(2);
    const address = map(mm, file, 2);
    const pages = newPinnedPages(2);
    expect(plain(gup.pinUserPagesFast(mm, address, 1, FOLL_WRITE | FOLL_LONGTERM, pages, 0, owner))).toBe(-EFAULT);
    expect(gup.why()).toContain('V-06');
    expect(plain(gup.pinUserPagesFast(mm, address, 2, FOLL_WRITE, pages, 0, owner))).toBe(2);
    gup.unpinUserPages(pages, 0, 2);
  });

  it('syncs the range of an msync only', () => {
    const { mm, file, onDisk } = filled(3);
    const address = map(mm, file, 3);
    for (let k = 0; k < 3; k++) store(mm, address + k * PAGE_SIZE, 60 + k);
    expect(plain(mm.msync(address + PAGE_SIZE, PAGE_SIZE))).toBe(0);
    expect([0, 1, 2].map((block) => onDisk(block))).toEqual([1, 61, 3]);
  });
});

describe('writeback under a pin', () => {
  it('does not look at pins: the page is clean while the device writes, and dirty again at the end (fact 25, W-02)', () => {
    const { mm, memory, frames, gup, owner, file, onDisk } = filled(1);
    const address = map(mm, file, 1);
    const pages = newPinnedPages(1);
    expect(plain(gup.pinUserPagesFast(mm, address, 1, FOLL_WRITE, pages, 0, owner))).toBe(1);
    const pfn = frameAt(mm, address);
    expect(plain(file.fsync())).toBe(0);
    expect(frames.flags[pfn] & PG_dirty).toBe(0);
    memory.bytes.fill(pfn, 0, 77, PAGE_SIZE); // the device, by the bus
    expect(plain(file.fsync())).toBe(0);
    expect(onDisk(0)).toBe(1);
    expect(plain(gup.unpinUserPagesDirtyLock(pages, 0, 1, true))).toBe(0);
    expect(frames.flags[pfn] & PG_dirty).toBe(PG_dirty);
    expect(plain(file.fsync())).toBe(0);
    expect(onDisk(0)).toBe(77);
    assertMemorySane(memory);
  });

  it('loses what a driver dirties after the buffers went: writeback has nowhere to write it (W-03, objective O2)', () => {
    const { mm, memory, frames, gup, owner, file, onDisk, fs } = filled(1);
    plain(file.fadviseDontneed());
    const address = map(mm, file, 1);
    const pages = newPinnedPages(1);
    expect(plain(gup.pinUserPagesFast(mm, address, 1, 0, pages, 0, owner))).toBe(1); // a read pin asks for no buffers
    const pfn = frameAt(mm, address);
    expect(frames.flags[pfn] & PG_private).toBe(0);
    memory.bytes.fill(pfn, 0, 77, PAGE_SIZE);
    plain(gup.unpinUserPagesDirtyLock(pages, 0, 1, true)); // by a driver that writes through it all the same
    expect(plain(file.fsync())).toBe(0);
    expect([frames.flags[pfn] & PG_dirty, onDisk(0), fs.lostWrites]).toEqual([0, 1, 1]);
  });

  it('keeps a pinned page in the cache when it is no longer needed (fact 27)', () => {
    const { mm, memory, gup, owner, file } = filled(2);
    const address = map(mm, file, 2);
    const pages = newPinnedPages(1);
    plain(gup.pinUserPagesFast(mm, address, 1, 0, pages, 0, owner));
    const pfn = frameAt(mm, address);
    plain(mm.munmap(address, 2 * PAGE_SIZE));
    plain(file.fadviseDontneed());
    expect([...file.mapping.pages.entries()]).toEqual([[0, pfn]]);
    gup.unpinUserPages(pages, 0, 1);
    plain(file.fadviseDontneed());
    expect(file.mapping.pages.size).toBe(0);
    assertMemorySane(memory);
  });

  it('begins to write dirty pages with the advice and drops them with the next one', () => {
    const { file, onDisk } = filled(2);
    writePage(file, 1, 33);
    plain(file.fadviseDontneed());
    expect([...file.mapping.pages.keys()]).toEqual([1]);
    expect(onDisk(1)).toBe(33);
    plain(file.fadviseDontneed());
    expect(file.mapping.pages.size).toBe(0);
  });
});

describe('a store that waits', () => {
  function slow(pages: number) {
    let slowStore: SlowStore | null = null;
    const machine = mount({ makeStore: (memory, inner) => (slowStore = new SlowStore(memory, inner)) });
    const slowed = slowStore as unknown as SlowStore;
    slowed.stableWrites = true;
    const file = opened(machine.fs.create('data'));
    const { world } = machine;
    for (let k = 0; k < pages; k++)
      world.settle(file.write(k * PAGE_SIZE, new Uint8Array(PAGE_SIZE).fill(k + 1), 0, PAGE_SIZE));
    expect(world.settle(file.fsync())).toBe(0);
    return { ...machine, file, slowStore: slowed };
  }

  it('lets a fault sleep until its page is read, and maps what was read with it', () => {
    const { world, mm, memory, file } = slow(3);
    plain(file.fadviseDontneed());
    const address = plain(mm.mmap(3 * PAGE_SIZE, 3, 1, 0x10000000000, file.backing));
    const byte = new Uint8Array(1);
    const before = world.now;
    expect(world.settle(mm.read(address + PAGE_SIZE, byte))).toBe(1);
    expect([byte[0], world.now - before]).toEqual([2, 3000]);
    expect(frameAt(mm, address + 2 * PAGE_SIZE)).not.toBe(0);
    assertMemorySane(memory);
  });

  it('shows PG_writeback while a page is written, and makes a writer to the mapping wait (W-08)', () => {
    const { world, mm, frames, file } = slow(1);
    const address = map(mm, file, 1);
    expect(world.settle(mm.write(address, Uint8Array.of(5)))).toBe(1);
    const pfn = frameAt(mm, address);
    const seen: number[] = [];
    world.spawn(
      (function* () {
        const synced = file.fsync();
        if (typeof synced !== 'number') yield* synced;
        seen.push(world.now);
      })(),
      { name: 'sync' },
    );
    world.spawn(
      (function* () {
        yield* world.sleep(500);
        expect(frames.flags[pfn] & PG_writeback).toBe(PG_writeback);
        const written = mm.write(address, Uint8Array.of(6));
        expect(typeof written).not.toBe('number');
        if (typeof written !== 'number') yield* written;
        seen.push(world.now);
      })(),
      { name: 'write' },
    );
    const start = world.now;
    world.run();
    expect(seen.map((at) => at - start)).toEqual([1000, 1000]);
    expect(frames.flags[pfn] & PG_dirty).toBe(PG_dirty);
  });

  it('survives truncation of the page that is being read', () => {
    const { world, mm, memory, file } = slow(1);
    plain(file.fadviseDontneed());
    const address = map(mm, file, 1);
    const results: number[] = [];
    world.spawn(
      (function* () {
        const got = mm.read(address, new Uint8Array(1));
        results.push(typeof got === 'number' ? got : yield* got);
      })(),
      { name: 'read' },
    );
    world.spawn(
      (function* () {
        yield* world.sleep(500);
        plain(file.truncate(0));
      })(),
      { name: 'truncate' },
    );
    world.run();
    expect(results).toEqual([-EFAULT]);
    assertMemorySane(memory);
  });

  it('gives a block to nobody else before the page on its way to it has arrived: truncation waits', () => {
    const { world, fs, file } = slow(1);
    world.settle(file.write(0, new Uint8Array(PAGE_SIZE).fill(8), 0, PAGE_SIZE));
    const synced = file.fsync();
    if (typeof synced === 'number') throw new Error('the store did not wait');
    world.spawn(synced, { name: 'sync' });
    world.run({ untilNs: world.now + 500 });
    const start = world.now;
    const free = fs.allocator.blocksFree;
    const truncated = file.truncate(0);
    expect(fs.allocator.blocksFree).toBe(free);
    expect(world.settle(truncated)).toBe(0);
    expect([world.now - start, fs.allocator.blocksFree - free]).toEqual([500, 1]);
  });

  it('keeps an unlinked file until its page has arrived at the store', () => {
    const { world, memory, fs, file } = slow(1);
    world.settle(file.write(0, new Uint8Array(PAGE_SIZE).fill(8), 0, PAGE_SIZE));
    const synced = file.fsync();
    if (typeof synced === 'number') throw new Error('the store did not wait');
    world.spawn(synced, { name: 'sync' });
    world.run({ untilNs: world.now + 500 });
    const free = fs.allocator.blocksFree;
    expect(plain(fs.unlink('data'))).toBe(0);
    file.close();
    expect(fs.allocator.blocksFree).toBe(free);
    world.run();
    expect(fs.allocator.blocksFree).toBe(free + 1);
    assertMemorySane(memory);
  });

  it('reports a failed write to fsync, once', () => {
    const { world, fs, file, slowStore } = slow(1);
    world.settle(file.write(0, Uint8Array.of(1), 0, 1));
    slowStore.failFrom = fs.layout.dataStart;
    expect(world.settle(file.fsync())).toBe(-EIO);
    slowStore.failFrom = Infinity;
    expect(world.settle(file.fsync())).toBe(0);
  });
});

describe('read-ahead', () => {
  it('reads a small window for a read at the start, and marks a page that fault-around leaves out', () => {
    const { mm, file } = filled(8);
    plain(file.fadviseDontneed());
    expect(byteOf(file, 0)).toBe(1);
    expect([...file.mapping.pages.keys()]).toEqual([0, 1, 2, 3]);
    const address = map(mm, file, 8);
    expect(load(mm, address)).toBe(1);
    expect([1, 2, 3].map((k) => frameAt(mm, address + k * PAGE_SIZE) !== 0)).toEqual([false, true, true]);
  });

  it('reads one page for a single read elsewhere, and all around a fault', () => {
    const { mm, file } = filled(8);
    plain(file.fadviseDontneed());
    expect(byteOf(file, 3 * PAGE_SIZE)).toBe(4);
    expect([...file.mapping.pages.keys()]).toEqual([3]);
    const address = map(mm, file, 8);
    expect(load(mm, address + 5 * PAGE_SIZE)).toBe(6);
    expect([...file.mapping.pages.keys()].sort()).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
    expect(frameAt(mm, address)).not.toBe(0); // the fault began again and mapped what had been read with its page
  });

  it('does not wait for the store when a hole is wanted, so the pages read with it are not mapped yet', () => {
    const { mm, file } = filled(3);
    plain(file.punchHole(PAGE_SIZE, PAGE_SIZE));
    plain(file.fadviseDontneed());
    const address = map(mm, file, 3);
    expect(load(mm, address + PAGE_SIZE)).toBe(0);
    expect([0, 2].map((k) => frameAt(mm, address + k * PAGE_SIZE))).toEqual([0, 0]);
    expect(load(mm, address)).toBe(1);
    expect(frameAt(mm, address + 2 * PAGE_SIZE)).not.toBe(0);
  });

  it('gives who may not try again its page alone, as /proc/pid/mem (no FOLL_UNLOCKABLE)', () => {
    const { mm, gup, owner, file } = filled(8);
    plain(file.fadviseDontneed());
    const address = map(mm, file, 8);
    const pages = newGottenPages(1);
    expect(plain(gup.getUserPagesRemote(mm, address + PAGE_SIZE, 1, 0, pages, 0, owner))).toBe(1);
    expect([0, 1, 2].map((k) => frameAt(mm, address + k * PAGE_SIZE) !== 0)).toEqual([false, true, false]);
    gup.putPages(pages, 0, 1);
  });

  it('takes a dirty page that reclaim wanted for a mark: who comes back to it has more read ahead (PG_reclaim)', () => {
    const { mm, file } = filled(3);
    const address = map(mm, file, 3);
    store(mm, address + PAGE_SIZE, 9);
    expect(load(mm, address)).toBe(1);
    expect(plain(mm.madvise(address, 3 * PAGE_SIZE, MADV_PAGEOUT))).toBe(0);
    expect([...file.mapping.pages.keys()]).toEqual([1]);
    expect(load(mm, address + PAGE_SIZE)).toBe(9);
    expect([...file.mapping.pages.keys()]).toEqual([1, 2]);
  });

  it('maps nothing around a fault behind the end when the window begins with the last page (can_map_large)', () => {
    const { mm, file } = filled(1);
    const address = map(mm, file, 4);
    expect(plain(mm.read(address + PAGE_SIZE, new Uint8Array(1)))).toBe(-EFAULT);
    expect(frameAt(mm, address)).toBe(0);
  });
});
