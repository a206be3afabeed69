import { EBUSY, EINTR, EINVAL, ENOMEM } from '@pincushion/sim';
import type { MaySleep } from '@pincushion/sim';
import { AddressSpace } from '../src/page-cache/address-space';
import { MADV_PAGEOUT } from '../src/process/madvise';
import { addNewFolio } from '../src/page-cache/page-cache';
import { folioWaitWriteback } from '../src/page-cache/writeback';
import {
  FOLL_LONGTERM,
  FOLL_WRITE,
  Gfp,
  HUGETLB_2M_ORDER,
  MADV_HUGEPAGE,
  MADV_MERGEABLE,
  MAP_ANONYMOUS,
  MAP_HUGETLB,
  MAP_SHARED,
  PAGE_SIZE,
  PG_anonExclusive,
  PG_cma,
  PG_dirty,
  PG_ksm,
  PG_locked,
  PG_mlocked,
  PG_private,
  PG_swapcache,
  PG_unevictable,
  PG_uptodate,
  PG_writeback,
  PMD_HUGE,
  PROT_NONE,
  PROT_READ,
  PTE_WRITE,
  REGION_BYTES,
  SecretMemory,
  compactMemory,
  evacuate,
  frameOf,
  indexOf,
  linux54,
  memfdPinFolios,
  migrateFolio,
  newGottenPages,
  newPinnedPages,
  newShmemFile,
  regionOf,
  takeBack,
  uffdRegisterWp,
  uffdWriteprotect,
} from '../src/index';
import type { Memory, MemoryOptions, Mm } from '../src/index';
import { ANON, MIB, RW, anon, assertMemorySane, frameAt, plain, setUp, touched } from './machine-memory';

const LONGTERM = FOLL_WRITE | FOLL_LONGTERM;
const SHARED = MAP_SHARED | MAP_ANONYMOUS;
const machines: Memory[] = [];

/** A machine whose user pages come from ZONE_MOVABLE unless said otherwise. */
function machine(options: Partial<MemoryOptions> = { movableBytes: 32 * MIB }) {
  const made = setUp(options);
  machines.push(made.memory);
  return made;
}

afterEach(() => {
  for (const memory of machines.splice(0)) assertMemorySane(memory);
});

function zoneName(memory: Memory, pfn: number): string | undefined {
  return memory.zoneOf(pfn)?.name;
}

function zone(memory: Memory, name: string) {
  const found = memory.zones.find((each) => each.name === name);
  if (found === undefined) throw new Error(`no zone ${name}`);
  return found;
}

function byteAt(mm: Mm, address: number): number {
  const into = new Uint8Array(1);
  expect(plain(mm.read(address, into))).toBe(1);
  return into[0];
}

function write(mm: Mm, address: number, value: number): void {
  expect(plain(mm.write(address, Uint8Array.of(value)))).toBe(1);
}

function pteAt(mm: Mm, address: number): number {
  return mm.pageTable.flagsAt(regionOf(address), indexOf(address));
}

function child(mm: Mm): Mm {
  const made = mm.fork('child');
  if (typeof made === 'number') throw new Error(`fork failed with ${made}`);
  return made;
}

/** Pins one page; the result unpins it. */
function pin(mm: Mm, address: number, flags: number): () => void {
  const { gup, ledger } = mm.memory;
  const pins = newPinnedPages(1);
  expect(plain(gup.pinUserPagesFast(mm, address, 1, flags, pins, 0, ledger.owner('nic')))).toBe(1);
  return () => {
    gup.unpinUserPages(pins, 0, 1);
  };
}

/** A plain reference of one page, as a pipe has it; the result drops it. */
function hold(mm: Mm, address: number): () => void {
  const { gup, ledger } = mm.memory;
  const gets = newGottenPages(1);
  expect(plain(gup.getUserPagesFast(mm, address, 1, 0, gets, 0, ledger.owner('pipe')))).toBe(1);
  return () => {
    gup.putPages(gets, 0, 1);
  };
}

function longterm(mm: Mm, address: number, pages = 1, flags = LONGTERM): MaySleep {
  const { gup, ledger } = mm.memory;
  return gup.pinUserPages(mm, address, pages, flags, newPinnedPages(pages), 0, ledger.owner('nic'));
}

/** All that the pages of a range say of themselves. */
function snapshot(mm: Mm, address: number, pages: number): unknown {
  const { frames } = mm.memory;
  return Array.from({ length: pages }, (_, i) => {
    const at = address + i * PAGE_SIZE;
    const pfn = frameAt(mm, at);
    const head = frames.headOf(pfn);
    return [
      pfn,
      pteAt(mm, at),
      frames.refcount[head],
      frames.pincount[head],
      frames.mapcount[pfn],
      frames.largeMapcount[head],
      frames.entireMapcount[head],
      frames.mapping[head],
      frames.flags[pfn] & ~PG_dirty, // the dirty bit of an entry that was cleared goes to the folio, and stays there
    ];
  });
}

/** Touched memory in one huge folio. */
function huge(mm: Mm): number {
  const address = Math.ceil(anon(mm, 1024) / REGION_BYTES) * REGION_BYTES;
  plain(mm.madvise(address, REGION_BYTES, MADV_HUGEPAGE));
  write(mm, address, 1);
  write(mm, address + 300 * PAGE_SIZE, 5);
  expect(mm.pageTable.tableOf(regionOf(address))).toBe(PMD_HUGE);
  return address;
}

/** Two pages of a file with buffers, mapped shared and read once. */
function mappedFile(options: Partial<MemoryOptions> = { movableBytes: 32 * MIB }) {
  const made = machine(options);
  const { memory, mm, frames } = made;
  const mapping = new AddressSpace(memory, 'file', { size: 2 * PAGE_SIZE }, { readFolio: () => 0 }, true);
  for (let index = 0; index < 2; index++) {
    const head = addNewFolio(mapping, index, Gfp.movable);
    frames.flags[head] |= PG_private | PG_uptodate;
    frames.get(head, 1);
    memory.bytes.fill(head, 0, 40 + index, PAGE_SIZE);
  }
  const fault = (_vma: unknown, index: number): number => mapping.pages.get(index) ?? -EINVAL;
  const backing = { name: 'file', mapping, mapsAround: false, fault };
  const address = plain(mm.mmap(2 * PAGE_SIZE, PROT_READ, MAP_SHARED, 0, backing));
  for (let i = 0; i < 2; i++) plain(mm.fault(address + i * PAGE_SIZE, false));
  return { ...made, mapping, address };
}

describe('a long-term pin', () => {
  it.each([
    ['CMA', { cmaBytes: 32 * MIB }],
    ['Movable', { movableBytes: 32 * MIB }],
  ])('moves pages out of %s, pins each once and keeps the data (T-11, L-05)', (name, options) => {
    const { mm, memory, gup, owner, frames, vmstat } = machine(options);
    const address = touched(mm, 3);
    const free = memory.framesFree;
    const before = frameAt(mm, address);
    const pte = pteAt(mm, address);
    expect(zoneName(memory, before)).toBe(name);
    const pins = newPinnedPages(3);
    expect(plain(gup.pinUserPagesFast(mm, address, 3, LONGTERM, pins, 0, owner))).toBe(3);
    for (let i = 0; i < 3; i++) {
      const pfn = frameAt(mm, address + i * PAGE_SIZE);
      expect(frameOf(pins[i])).toBe(pfn);
      expect(zoneName(memory, pfn)).toBe('DMA32');
      expect([frames.refcount[pfn], frames.mapcount[pfn], frames.flags[pfn] & PG_anonExclusive]).toEqual([
        1025,
        1,
        PG_anonExclusive,
      ]);
      expect(byteAt(mm, address + i * PAGE_SIZE)).toBe(i + 1);
    }
    expect(pteAt(mm, address)).toBe(pte);
    expect([frames.refcount[before], memory.framesFree]).toEqual([0, free]);
    expect([vmstat.pgmigrateSuccess, vmstat.pgmigrateFail]).toEqual([3, 0]);
    expect(vmstat.nrFollPinAcquired - vmstat.nrFollPinReleased).toBe(3);
    gup.unpinUserPages(pins, 0, 3);
  });

  it.each([
    ['a plain reference', hold],
    ['a short pin', (mm: Mm, address: number) => pin(mm, address, FOLL_WRITE)],
  ])('is refused while %s holds one of the pages; nothing is pinned (T-12, L-01, L-03)', (_what, take) => {
    const { mm, gup, vmstat } = machine();
    const address = touched(mm, 3);
    const release = take(mm, address + 2 * PAGE_SIZE);
    const pinned = vmstat.nrFollPinAcquired - vmstat.nrFollPinReleased;
    const before = snapshot(mm, address + 2 * PAGE_SIZE, 1);
    expect(plain(longterm(mm, address, 3))).toBe(-ENOMEM);
    expect(gup.why()).toMatch(/^L-01: /);
    expect(vmstat.nrFollPinAcquired - vmstat.nrFollPinReleased).toBe(pinned);
    expect(snapshot(mm, address + 2 * PAGE_SIZE, 1)).toEqual(before);
    expect(vmstat.pgmigrateFail).toBe(1);
    release();
    pin(mm, address + 2 * PAGE_SIZE, LONGTERM)();
  });

  it('stays where it is under a profile that only leaves CMA (L-01 before 5.13)', () => {
    const movable = machine({ movableBytes: 32 * MIB, profile: linux54 });
    const there = touched(movable.mm, 1);
    const gets = newPinnedPages(1);
    const { gup, mm, owner } = movable;
    const got = plain(gup.pinUserPages(mm, there, 1, LONGTERM, gets, 0, owner));
    expect([got, zoneName(movable.memory, frameAt(mm, there))]).toEqual([1, 'Movable']);
    gup.unpinUserPages(gets, 0, 1);
  });

  it('of memory that is not there yet is given memory where it may stay, and a short one is not', () => {
    const { mm, memory, vmstat } = machine({ cmaBytes: 32 * MIB });
    const address = anon(mm, 2);
    const unpin = [pin(mm, address, LONGTERM), pin(mm, address + PAGE_SIZE, FOLL_WRITE)];
    expect([0, 1].map((i) => zoneName(memory, frameAt(mm, address + i * PAGE_SIZE)))).toEqual(['DMA32', 'CMA']);
    expect(vmstat.pgmigrateSuccess).toBe(0);
    for (const each of unpin) each();
  });

  it('moves shared memory for all who map it, and for the file', () => {
    const { mm, memory } = machine();
    const address = plain(mm.mmap(PAGE_SIZE, RW, SHARED));
    write(mm, address, 7);
    const other = child(mm);
    write(other, address, 8);
    const unpin = pin(mm, address, LONGTERM);
    expect(zoneName(memory, frameAt(mm, address))).toBe('DMA32');
    expect(frameAt(other, address)).toBe(frameAt(mm, address));
    write(other, address, 9);
    expect(byteAt(mm, address)).toBe(9);
    plain(other.munmap(address, PAGE_SIZE));
    unpin();
  });

  it('moves a page of a file with the reference of its buffers, dirty or not', () => {
    const { mm, memory, frames, mapping, address } = mappedFile();
    const old = frameAt(mm, address);
    frames.flags[old] |= PG_dirty;
    mapping.tagDirty(0);
    const unpin = pin(mm, address, FOLL_LONGTERM);
    const head = frameAt(mm, address);
    expect(head).not.toBe(old);
    expect([mapping.pages.get(0), frames.flags[head] & (PG_private | PG_dirty)]).toEqual([head, PG_private | PG_dirty]);
    expect([frames.refcount[head], frames.refcount[old]]).toEqual([1024 + 3, 0]);
    expect([byteAt(mm, address), zoneName(memory, head)]).toEqual([40, 'DMA32']);
    unpin();
  });

  it('waits for a page that is being written, and moves it then (MIGRATE_SYNC)', () => {
    const { mm, memory, world, frames, mapping, address } = mappedFile();
    const head = frameAt(mm, address);
    frames.flags[head] |= PG_writeback;
    const pending = longterm(mm, address, 1, FOLL_LONGTERM);
    if (typeof pending === 'number') throw new Error(`did not wait: ${pending}`);
    expect(frames.refcount[head]).toBe(4); // Nothing is pinned meanwhile: mapping, cache, buffers and who waits.
    function* disk() {
      yield* world.sleep(5000);
      frames.flags[head] &= ~PG_writeback;
      mapping.folioWaiters.wakeAll();
    }
    world.spawn(disk(), { name: 'the disk' });
    expect(world.complete(pending)).toBe(1);
    expect(world.now).toBe(5000);
    expect(zoneName(memory, frameAt(mm, address))).toBe('DMA32');
    expect(plain(folioWaitWriteback(mapping, frameAt(mm, address)))).toBe(0);
  });

  it('moves a mlocked page, which stays mlocked until munlock', () => {
    const { mm, memory, frames } = machine();
    const address = touched(mm, 1);
    plain(mm.mlock(address, PAGE_SIZE));
    pin(mm, address, LONGTERM)();
    const pfn = frameAt(mm, address);
    expect(zoneName(memory, pfn)).toBe('DMA32');
    expect(frames.flags[pfn] & (PG_mlocked | PG_unevictable)).toBe(PG_mlocked | PG_unevictable);
    plain(mm.munlock(address, PAGE_SIZE));
    expect(frames.flags[pfn] & (PG_mlocked | PG_unevictable)).toBe(0);
  });

  it('moves a huge page of a pool, unless somebody holds a part of it', () => {
    const { mm, memory, frames } = machine({
      ramBytes: 128 * MIB,
      movableBytes: 64 * MIB,
      hugetlb: { [HUGETLB_2M_ORDER]: 8 },
    });
    const address = plain(mm.mmap(REGION_BYTES, RW, ANON | MAP_HUGETLB));
    write(mm, address + 9 * PAGE_SIZE, 7);
    expect(zoneName(memory, frameAt(mm, address))).toBe('Movable');
    const release = hold(mm, address + 3 * PAGE_SIZE);
    const before = snapshot(mm, address, 1);
    expect(plain(longterm(mm, address))).toBe(-ENOMEM);
    expect(snapshot(mm, address, 1)).toEqual(before);
    release();
    const unpin = pin(mm, address, LONGTERM);
    expect(zoneName(memory, frameAt(mm, address))).toBe('DMA32');
    expect([byteAt(mm, address + 9 * PAGE_SIZE), frames.pincount[frameAt(mm, address)]]).toEqual([7, 1]);
    unpin();
  });

  it('ends with -EINTR instead of going round for ever when no place is good enough (L-02)', () => {
    const { mm, memory, gup, frames, vmstat } = machine();
    const address = touched(mm, 1);
    const prepare = memory.prepareFolio.bind(memory);
    memory.prepareFolio = (head, order, where) => {
      prepare(head, order, where);
      frames.flags[head] |= PG_cma;
    };
    expect(plain(longterm(mm, address))).toBe(-EINTR);
    expect(gup.why()).toMatch(/^L-02: /);
    expect(vmstat.nrFollPinAcquired).toBe(vmstat.nrFollPinReleased);
    const file = newShmemFile(memory, 'memfd', PAGE_SIZE);
    expect(plain(memfdPinFolios(memory, file, 0, 1, newPinnedPages(1), 1, new Int32Array(1), 0))).toBe(-EINTR);
    expect(vmstat.nrFollPinAcquired).toBe(vmstat.nrFollPinReleased);
    file.close();
    for (let pfn = 1; pfn < frames.count; pfn++) if (frames.refcount[pfn] !== 0) frames.flags[pfn] &= ~PG_cma;
  });

  it('gives way to a fatal signal (L-02, E-03)', () => {
    const { mm, gup } = machine();
    const address = touched(mm, 1);
    mm.fatalSignal = true;
    expect(plain(longterm(mm, address))).toBe(-EINTR);
    expect(gup.why()).toMatch(/^E-03: /);
  });

  it('of a file by its descriptor moves the folios, too (E-11)', () => {
    const { memory, gup, owner } = machine();
    const file = newShmemFile(memory, 'memfd', PAGE_SIZE);
    plain(file.write(0, Uint8Array.of(6), 0, 1));
    const folios = newPinnedPages(1);
    expect(plain(memfdPinFolios(memory, file, 0, 1, folios, 1, new Int32Array(1), owner))).toBe(1);
    expect([zoneName(memory, frameOf(folios[0])), memory.bytes.view(frameOf(folios[0]), 1)[0]]).toEqual(['DMA32', 6]);
    gup.unpinFolios(folios, 0, 1);
    file.close();
  });
});

describe('a short pin', () => {
  it.each([{ movableBytes: 32 * MIB }, { cmaBytes: 32 * MIB }])('stays where it is: %j', (options) => {
    const { mm, vmstat } = machine(options);
    const address = touched(mm, 1);
    const before = frameAt(mm, address);
    pin(mm, address, FOLL_WRITE)();
    expect([frameAt(mm, address), vmstat.pgmigrateSuccess]).toEqual([before, 0]);
  });
});

describe('large folios', () => {
  it('move whole with their huge mapping when a page of them is pinned long-term', () => {
    const { mm, memory, frames, vmstat } = machine();
    const address = huge(mm);
    const old = frameAt(mm, address);
    expect(zoneName(memory, old)).toBe('Movable');
    const unpin = pin(mm, address + 3 * PAGE_SIZE, LONGTERM);
    const head = frameAt(mm, address);
    expect([mm.pageTable.tableOf(regionOf(address)), zoneName(memory, head)]).toEqual([PMD_HUGE, 'DMA32']);
    expect([frames.order[head], frames.refcount[head], frames.pincount[head], vmstat.pgmigrateSuccess]).toEqual([
      9, 2, 1, 512,
    ]);
    expect([byteAt(mm, address), byteAt(mm, address + 300 * PAGE_SIZE)]).toEqual([1, 5]);
    unpin();
  });

  it('move whole when small entries map them', () => {
    const { mm, memory, frames } = machine();
    const address = huge(mm);
    plain(mm.mprotect(address, PAGE_SIZE, PROT_READ));
    expect(mm.pageTable.tableOf(regionOf(address))).not.toBe(PMD_HUGE);
    pin(mm, address + 3 * PAGE_SIZE, LONGTERM)();
    const head = frameAt(mm, address);
    expect([frames.order[head], frames.largeMapcount[head], zoneName(memory, head)]).toEqual([9, 512, 'DMA32']);
    for (const k of [0, 3, 511]) {
      const pfn = frameAt(mm, address + k * PAGE_SIZE);
      expect([pfn, frames.flags[pfn] & PG_anonExclusive]).toEqual([head + k, PG_anonExclusive]);
    }
    expect([pteAt(mm, address) & PTE_WRITE, pteAt(mm, address + PAGE_SIZE) & PTE_WRITE]).toEqual([0, PTE_WRITE]);
    expect(byteAt(mm, address + 300 * PAGE_SIZE)).toBe(5);
  });

  it('are split first when a part of them is mapped no more (try_split_folio)', () => {
    const { mm, memory, frames } = machine();
    const address = huge(mm);
    plain(mm.munmap(address + 8 * PAGE_SIZE, PAGE_SIZE));
    pin(mm, address, LONGTERM)();
    const pfn = frameAt(mm, address);
    expect([frames.order[pfn], zoneName(memory, pfn), byteAt(mm, address)]).toEqual([0, 'DMA32', 1]);
    expect(byteAt(mm, address + 300 * PAGE_SIZE)).toBe(5);
  });

  it('are split when there is no room for them in one piece', () => {
    const { mm, memory, frames } = machine({ ramBytes: 16 * MIB, movableBytes: 8 * MIB });
    const address = huge(mm);
    const rest: number[] = [];
    for (let pfn = memory.allocFolio(8); pfn > 0; pfn = memory.allocFolio(8)) rest.push(pfn);
    frames.put(rest[0], 1); // Half of what the whole folio needs.
    pin(mm, address, LONGTERM)();
    const pfn = frameAt(mm, address);
    expect([frames.order[pfn], zoneName(memory, pfn), byteAt(mm, address)]).toEqual([0, 'DMA32', 1]);
    expect(byteAt(mm, address + 300 * PAGE_SIZE)).toBe(5);
  });

  it.each([
    ['a huge mapping', () => undefined],
    ['small entries', (mm: Mm, address: number) => plain(mm.mprotect(address, PAGE_SIZE, PROT_READ))],
  ])('that are pinned stay, with %s, and all is put back (X-02)', (_what, change) => {
    const { mm, memory, frames } = machine();
    const address = huge(mm);
    change(mm, address);
    const unpin = pin(mm, address + 3 * PAGE_SIZE, FOLL_WRITE);
    const before = snapshot(mm, address, 512);
    frames.flags[frameAt(mm, address)] &= ~PG_dirty;
    expect(migrateFolio(memory, frameAt(mm, address), Gfp.kernel)).toBeLessThan(0);
    expect(snapshot(mm, address, 512)).toEqual(before);
    // `set_pmd_migration_entry` asks for pins before it notes what the entry knew of writes, `try_to_migrate_one` after.
    const isHuge = mm.pageTable.tableOf(regionOf(address)) === PMD_HUGE;
    expect(frames.flags[frameAt(mm, address)] & PG_dirty).toBe(isHuge ? 0 : PG_dirty);
    unpin();
    const release = hold(mm, address + 4 * PAGE_SIZE);
    const held = snapshot(mm, address, 512);
    expect(migrateFolio(memory, frameAt(mm, address), Gfp.kernel)).toBeLessThan(0);
    expect(snapshot(mm, address, 512)).toEqual(held);
    release();
    expect(migrateFolio(memory, frameAt(mm, address), Gfp.kernel)).toBe(0);
  });
});

describe('an entry', () => {
  it('shows the new page with the rights, marks and protection it had', () => {
    const { mm, memory, frames } = machine();
    const address = touched(mm, 4);
    plain(mm.mprotect(address + PAGE_SIZE, PAGE_SIZE, PROT_NONE));
    plain(mm.mprotect(address + 2 * PAGE_SIZE, PAGE_SIZE, PROT_READ));
    expect(uffdRegisterWp(mm, address + 3 * PAGE_SIZE, address + 4 * PAGE_SIZE)).toBe(0);
    expect(uffdWriteprotect(mm, address + 3 * PAGE_SIZE, address + 4 * PAGE_SIZE, true)).toBe(0);
    for (let i = 0; i < 4; i++) {
      const at = address + i * PAGE_SIZE;
      const [pte, old] = [pteAt(mm, at), frameAt(mm, at)];
      expect(migrateFolio(memory, old, Gfp.kernel)).toBe(0);
      expect([pteAt(mm, at), frameAt(mm, at) === old]).toEqual([pte, false]);
      // What the entry knew of writes is the folio's now, too (`try_to_migrate_one`).
      expect(frames.flags[frameAt(mm, at)] & (PG_anonExclusive | PG_dirty)).toBe(PG_anonExclusive | PG_dirty);
    }
  });

  it('of a pinned anonymous page is put back exactly (X-02)', () => {
    const { mm, memory, vmstat } = machine();
    const address = touched(mm, 1);
    const unpin = pin(mm, address, FOLL_WRITE);
    const before = snapshot(mm, address, 1);
    expect(migrateFolio(memory, frameAt(mm, address), Gfp.kernel)).toBeLessThan(0);
    expect(snapshot(mm, address, 1)).toEqual(before);
    expect([vmstat.pgmigrateSuccess, vmstat.pgmigrateFail]).toEqual([0, 1]);
    unpin();
  });

  it('of pinned shared memory is put back in every process', () => {
    const { mm, memory } = machine();
    const address = plain(mm.mmap(PAGE_SIZE, RW, SHARED));
    write(mm, address, 7);
    const other = child(mm);
    write(other, address, 8);
    const unpin = pin(mm, address, FOLL_WRITE);
    const before = [snapshot(mm, address, 1), snapshot(other, address, 1)];
    expect(migrateFolio(memory, frameAt(mm, address), Gfp.kernel)).toBeLessThan(0);
    expect([snapshot(mm, address, 1), snapshot(other, address, 1)]).toEqual(before);
    unpin();
  });

  it('of a page that fork shares shows the new page in both processes, exclusive in none', () => {
    const { mm, memory, frames } = machine();
    const address = touched(mm, 1);
    const other = child(mm);
    expect(migrateFolio(memory, frameAt(mm, address), Gfp.kernel)).toBe(0);
    const pfn = frameAt(mm, address);
    expect([frameAt(other, address), frames.mapcount[pfn], frames.flags[pfn] & PG_anonExclusive]).toEqual([pfn, 2, 0]);
    write(other, address, 9);
    expect([byteAt(mm, address), byteAt(other, address)]).toEqual([1, 9]);
  });
});

describe('pages with other owners', () => {
  it('take their place in the swap cache along', () => {
    const { mm, memory, frames } = machine({ movableBytes: 32 * MIB, swapBytes: 16 * MIB });
    const address = touched(mm, 1);
    const release = hold(mm, address);
    plain(mm.madvise(address, PAGE_SIZE, MADV_PAGEOUT));
    release();
    const old = [...memory.swap.cache.values()][0];
    const slot = memory.swap.slotOf(old);
    expect(migrateFolio(memory, old, Gfp.kernel)).toBe(0);
    const now = memory.swap.cache.get(slot) ?? 0;
    expect([now === old, frames.flags[now] & PG_swapcache, frames.refcount[now]]).toEqual([false, PG_swapcache, 1]);
    expect([byteAt(mm, address), frameAt(mm, address)]).toEqual([1, now]);
  });

  it('that KSM merged move for all who map them, and can still be found', () => {
    const { mm, memory, frames } = machine();
    const stranger = memory.createMm('stranger');
    const address = [mm, stranger].map((each) => {
      const at = touched(each, 1);
      plain(each.madvise(at, PAGE_SIZE, MADV_MERGEABLE));
      return at;
    });
    memory.ksm.scan(3);
    const old = frameAt(mm, address[0]);
    expect(migrateFolio(memory, old, Gfp.kernel)).toBe(0);
    const now = frameAt(mm, address[0]);
    expect([frameAt(stranger, address[1]), frames.mapcount[now], frames.flags[now] & PG_ksm]).toEqual([now, 2, PG_ksm]);
    const third = touched(mm, 1);
    plain(mm.madvise(third, PAGE_SIZE, MADV_MERGEABLE));
    memory.ksm.scan(3);
    expect([frameAt(mm, third), frames.mapcount[now]]).toEqual([now, 3]);
  });

  it('of secret memory never move (secretmem_migrate_folio)', () => {
    const { mm, memory } = machine();
    const secret = new SecretMemory(memory);
    secret.truncate(PAGE_SIZE);
    const address = plain(mm.mmap(PAGE_SIZE, RW, MAP_SHARED, 0, secret));
    write(mm, address, 3);
    const pfn = frameAt(mm, address);
    expect(migrateFolio(memory, pfn, Gfp.kernel)).toBe(-EBUSY);
    compactMemory(memory);
    expect([frameAt(mm, address), byteAt(mm, address)]).toEqual([pfn, 3]);
    secret.release();
  });

  it.each([PG_writeback, PG_locked])('that are busy (%i) stay, and no frame is lost by trying', (busy) => {
    const { mm, memory, frames, address } = mappedFile({});
    const hole = frameAt(mm, address);
    expect(migrateFolio(memory, hole, Gfp.kernel)).toBe(0);
    const heads = [0, 1].map((i) => frameAt(mm, address + i * PAGE_SIZE));
    for (const head of heads) frames.flags[head] |= busy;
    const free = memory.framesFree;
    expect(hole).toBeLessThan(Math.min(...heads));
    expect(migrateFolio(memory, heads[1], Gfp.kernel)).toBe(-EBUSY);
    compactMemory(memory);
    expect([frameAt(mm, address), frameAt(mm, address + PAGE_SIZE), memory.framesFree]).toEqual([...heads, free]);
    for (const head of heads) frames.flags[head] &= ~busy;
  });
});

describe('compaction', () => {
  it('moves pages down to where memory is free and leaves pinned ones in place', () => {
    const { mm, memory, vmstat } = machine({});
    const hole = touched(mm, 8);
    const address = touched(mm, 8);
    const shared = plain(mm.mmap(PAGE_SIZE, RW, SHARED));
    write(mm, shared, 30);
    const unpin = [pin(mm, address + 2 * PAGE_SIZE, FOLL_WRITE), pin(mm, shared, FOLL_WRITE)];
    const before = [snapshot(mm, address + 2 * PAGE_SIZE, 1), snapshot(mm, shared, 1)];
    const places = Array.from({ length: 8 }, (_, i) => frameAt(mm, address + i * PAGE_SIZE));
    plain(mm.munmap(hole, 8 * PAGE_SIZE));
    const free = memory.framesFree;
    expect(compactMemory(memory)).toBe(7);
    expect([snapshot(mm, address + 2 * PAGE_SIZE, 1), snapshot(mm, shared, 1)]).toEqual(before);
    for (let i = 0; i < 8; i++) {
      expect(frameAt(mm, address + i * PAGE_SIZE) < places[i]).toBe(i !== 2);
      expect(byteAt(mm, address + i * PAGE_SIZE)).toBe(i + 1);
    }
    // The anonymous page is not even tried (`isolate_migratepages_block`), the shared one is, and put back.
    expect([memory.framesFree, vmstat.pgmigrateSuccess, vmstat.pgmigrateFail]).toEqual([free, 7, 1]);
    for (const each of unpin) each();
  });
});

describe('memory that goes offline', () => {
  it('is emptied, cannot be allocated, is shown, and comes back', () => {
    const { mm, memory, frames } = machine({ ramBytes: 32 * MIB, movableBytes: 12 * MIB, minFreeBytes: 0 });
    const address = touched(mm, 700);
    const { start } = zone(memory, 'Movable');
    const free = memory.framesFree;
    expect(memory.offlineRange(start, start + 1024)).toBe(0);
    expect(memory.offline.ranges).toEqual([{ start, end: start + 1024 }]);
    expect([memory.offline.frames, memory.framesFree, memory.offline.has(start + 5)]).toEqual([
      1024,
      free - 1024,
      true,
    ]);
    for (const i of [0, 255, 699]) {
      const pfn = frameAt(mm, address + i * PAGE_SIZE);
      expect([memory.offline.has(pfn), byteAt(mm, address + i * PAGE_SIZE)]).toEqual([false, (i + 1) & 255]);
    }
    assertMemorySane(memory);
    const all: number[] = [];
    for (let pfn = memory.allocFolio(0, Gfp.movable); pfn > 0; pfn = memory.allocFolio(0, Gfp.movable)) all.push(pfn);
    expect(all.some((pfn) => memory.offline.has(pfn))).toBe(false);
    expect(memory.framesFree).toBe(0);
    expect(memory.onlineRange(start, start + 1024)).toBe(0);
    expect([memory.framesFree, memory.offline.ranges]).toEqual([1024, []]);
    expect(memory.allocFolio(10, Gfp.movable)).toBe(start);
    frames.put(start, 1);
    for (const pfn of all) frames.put(pfn, 1);
  });

  it.each([
    ['anonymous', ANON],
    ['shared', SHARED],
  ])('stays in use while a page of it is pinned: -EBUSY, all as before (section 14; %s)', (_what, flags) => {
    const { mm, memory } = machine();
    const address = plain(mm.mmap(PAGE_SIZE, RW, flags));
    write(mm, address, 4);
    const unpin = pin(mm, address, FOLL_WRITE);
    const { start } = zone(memory, 'Movable');
    const before = snapshot(mm, address, 1);
    const free = memory.framesFree;
    expect(memory.offlineRange(start, start + 1024)).toBe(-EBUSY);
    expect(snapshot(mm, address, 1)).toEqual(before);
    expect([memory.framesFree, memory.offline.ranges]).toEqual([free, []]);
    assertMemorySane(memory);
    unpin();
    expect(memory.offlineRange(start, start + 1024)).toBe(0);
    expect([byteAt(mm, address), memory.offline.has(frameAt(mm, address))]).toEqual([4, false]);
  });

  it('is refused before anything moves where the kernel has a page (has_unmovable_pages)', () => {
    const { mm, memory, frames } = machine({});
    const address = touched(mm, 1);
    const kernels = memory.allocFolio(0);
    const pfn = frameAt(mm, address);
    const start = pfn & -1024;
    expect(kernels & -1024).toBe(start);
    expect(memory.offlineRange(start, start + 1024)).toBe(-EBUSY);
    expect(frameAt(mm, address)).toBe(pfn);
    frames.put(kernels, 1);
    expect(memory.offlineRange(start, start + 1024)).toBe(0);
  });

  it('takes whole blocks that are online, of one zone', () => {
    const { memory } = machine();
    const { start } = zone(memory, 'Movable');
    expect(memory.offlineRange(start + 1, start + 1025)).toBe(-EINVAL);
    expect(memory.offlineRange(start, start)).toBe(-EINVAL);
    expect(memory.offlineRange(start - 1024, start + 1024)).toBe(-EINVAL);
    expect(memory.offlineRange(0, 1024)).toBe(-EINVAL);
    expect(memory.onlineRange(start, start + 1024)).toBe(-EINVAL);
    expect(memory.offlineRange(start + 1024, start + 3072)).toBe(0);
    expect(memory.offlineRange(start, start + 2048)).toBe(-EINVAL);
    expect(memory.onlineRange(start + 2048, start + 3072)).toBe(0);
    expect(memory.offline.ranges).toEqual([{ start: start + 1024, end: start + 2048 }]);
  });
});

describe('a contiguous allocation', () => {
  it('moves users out of CMA and gives frames in a row, each with one reference', () => {
    const { mm, memory, frames } = machine({ cmaBytes: 8 * MIB });
    const address = touched(mm, 300);
    const { start } = zone(memory, 'CMA');
    expect(frameAt(mm, address)).toBe(start);
    const free = memory.framesFree;
    expect(memory.allocContigRange(100)).toBe(start);
    expect([frames.refcount[start], frames.refcount[start + 99], memory.framesFree]).toEqual([1, 1, free - 100]);
    for (const i of [0, 99, 100, 299]) expect(byteAt(mm, address + i * PAGE_SIZE)).toBe((i + 1) & 255);
    assertMemorySane(memory);
    expect(memory.allocContigRange(100)).toBe(start + 128);
    memory.freeContigRange(start, 100);
    expect(memory.allocContigRange(128)).toBe(start);
    memory.freeContigRange(start, 128);
    memory.freeContigRange(start + 128, 100);
    expect(memory.framesFree).toBe(free);
  });

  it('takes another range when a page of the first is pinned, and fails with -EBUSY when all have one', () => {
    const { mm, memory } = machine({ cmaBytes: 8 * MIB });
    const address = touched(mm, 2048);
    const { start } = zone(memory, 'CMA');
    const unpin = [pin(mm, address + 5 * PAGE_SIZE, FOLL_WRITE)];
    const before = snapshot(mm, address + 5 * PAGE_SIZE, 1);
    const range = memory.allocContigRange(1024);
    expect(range).toBe(start + 1024);
    memory.freeContigRange(range, 1024);
    for (let i = 6; i < 2048; i++) unpin.push(pin(mm, address + i * PAGE_SIZE, FOLL_WRITE));
    const again = touched(mm, 1024); // The area is full again, of pages that are then pinned.
    for (let i = 0; i < 1024; i++) unpin.push(pin(mm, again + i * PAGE_SIZE, FOLL_WRITE));
    const free = memory.framesFree;
    expect(memory.allocContigRange(1024)).toBe(-EBUSY);
    expect([memory.framesFree, snapshot(mm, address + 5 * PAGE_SIZE, 1)]).toEqual([free, before]);
    for (const each of unpin) each();
    expect(memory.allocContigRange(1024)).toBe(start);
    memory.freeContigRange(start, 1024);
  });

  it('gives back what a large folio had beyond the range', () => {
    const { mm, memory } = machine({ cmaBytes: 8 * MIB });
    const address = huge(mm);
    const { start } = zone(memory, 'CMA');
    expect(frameAt(mm, address)).toBe(start);
    const free = memory.framesFree;
    expect(memory.allocContigRange(100)).toBe(start);
    expect(memory.framesFree).toBe(free - 100);
    expect(byteAt(mm, address + 300 * PAGE_SIZE)).toBe(5);
    assertMemorySane(memory);
    memory.freeContigRange(start, 100);
  });

  it('sets nothing apart but the range, wherever in a large folio it begins and ends', () => {
    const { mm, memory } = machine();
    const address = huge(mm);
    const head = frameAt(mm, address);
    const free = memory.framesFree;
    expect(evacuate(memory, head + 100, head + 200)).toBe(0);
    expect([memory.framesFree, byteAt(mm, address + 300 * PAGE_SIZE)]).toEqual([free - 100, 5]);
    expect(memory.allocFolio(5, Gfp.movable)).toBe(head + 224); // What lay behind the range is free again.
    memory.putFolio(head + 224);
    takeBack(memory, head + 100, head + 200);
    expect(memory.framesFree).toBe(free);
  });

  it('needs an area that is large enough', () => {
    expect(machine({}).memory.allocContigRange(1)).toBe(-ENOMEM);
    expect(machine({ cmaBytes: 8 * MIB }).memory.allocContigRange(4096)).toBe(-ENOMEM);
  });
});
