/** Memory that is too small for what is asked of it: watermarks, kswapd, direct reclaim, swap, and the end of it. */
import { Context, ENOMEM } from '@pincushion/sim';
import type { Blocker, Task, World } from '@pincushion/sim';
import {
  AddressSpace,
  FOLL_LONGTERM,
  FOLL_WRITE,
  MADV_COLD,
  MAP_ANONYMOUS,
  MAP_SHARED,
  PAGE_SIZE,
  PG_locked,
  PG_private,
  PG_uptodate,
  PROT_READ,
  PTE_PRESENT,
  filemapFault,
  genericFileRead,
  indexOf,
  linux61,
  linux618,
  newPinnedPages,
  regionOf,
} from '../src/index';
import type { AddressSpaceOps, KernelProfile, Memory, MemoryOptions, Mm, PinnedPages, Vma } from '../src/index';
import type { SwapStore } from '../src/reclaim/swap';
import { MIB, RW, anon, assertMemorySane, codes, frameAt, plain, setUp, touched } from './machine-memory';

const W = FOLL_WRITE;
const MIB_PAGES = MIB / PAGE_SIZE;

/** 16 MiB, of which the kernel hands out twelve. */
function small(options: Partial<MemoryOptions> = {}) {
  return setUp({ ramBytes: 16 * MIB, ledger: 'full', ...options });
}

function zoneOf(memory: Memory) {
  const zone = memory.zones.find(({ name }) => name === 'DMA32');
  const buddy = zone?.buddy ?? null;
  if (zone === undefined || buddy === null) throw new Error('no zone');
  return { ...zone, buddy };
}

/** How many of `pages` pages are in memory. */
function presentOf(mm: Mm, start: number, pages: number): number {
  let present = 0;
  for (let address = start; address < start + pages * PAGE_SIZE; address += PAGE_SIZE) {
    if ((mm.pageTable.flagsAt(regionOf(address), indexOf(address)) & PTE_PRESENT) !== 0) present++;
  }
  return present;
}

/** A byte that tells page from page, in pages `from` to `to` of an area. */
function fill(mm: Mm, address: number, from: number, to: number): void {
  let written = 0;
  for (let i = from; i < to; i++) written += plain(mm.write(address + i * PAGE_SIZE, Uint8Array.of(i % 251)));
  expect(written).toBe(to - from);
}

function wrongBytes(mm: Mm, address: number, from: number, to: number): number {
  const byte = new Uint8Array(1);
  let wrong = 0;
  for (let i = from; i < to; i++) {
    if (plain(mm.read(address + i * PAGE_SIZE, byte)) !== 1 || byte[0] !== i % 251) wrong++;
  }
  return wrong;
}

/** Swap on a device: 20 microseconds for a page, one at a time for each who asks. */
class SlowStore implements SwapStore {
  readonly name = 'slow swap';
  readonly synchronous = false;
  writes = 0;
  private readonly kept = new Map<number, Uint8Array>();

  constructor(private readonly memory: Memory) {}

  *write(slot: number, pfn: number): Task<number> {
    const page = new Uint8Array(PAGE_SIZE);
    this.memory.bytes.read(pfn, 0, page, 0, PAGE_SIZE);
    yield* this.memory.world.sleep(20_000);
    this.kept.set(slot, page);
    this.writes++;
    return 0;
  }

  *read(slot: number, pfn: number): Task<number> {
    yield* this.memory.world.sleep(20_000);
    this.memory.bytes.write(pfn, 0, this.kept.get(slot) ?? new Uint8Array(PAGE_SIZE), 0, PAGE_SIZE);
    return 0;
  }
}

function run(world: World, body: () => Generator<Blocker, void, undefined>): void {
  const thread = world.spawn(body(), { name: 'program' });
  world.run();
  expect(thread.state).toBe('done');
}

/** A file of which each page can be read at once; with `buffers` each has private data of its file system. */
function cleanFile(memory: Memory, pages: number, buffers = false): AddressSpace {
  const { frames } = memory;
  const ops: AddressSpaceOps = {
    readFolio: (_mapping, head) => {
      frames.flags[head] = (frames.flags[head] & ~PG_locked) | PG_uptodate | (buffers ? PG_private : 0);
      if (buffers) frames.get(head, 1);
      return 0;
    },
    releaseFolio: (_mapping, head) => {
      frames.flags[head] &= ~PG_private;
      frames.put(head, 1);
      return true;
    },
  };
  return new AddressSpace(memory, 'file', { size: pages * PAGE_SIZE }, ops, true);
}

describe('watermarks', () => {
  it('are computed as the kernel does (calculate_min_free_kbytes, __setup_per_zone_wmarks)', () => {
    const { memory } = setUp({ ramBytes: 64 * MIB, movableBytes: 16 * MIB });
    const marks = memory.zones.map(({ name, watermarks }) => [name, watermarks]);
    // 44 MiB for the kernel: min_free_kbytes is the root of 16 * 45,056, 849; 212 pages.
    expect(marks).toEqual([
      ['DMA32', { min: 212, low: 265, high: 318 }],
      ['Movable', { min: 32, low: 51, high: 70 }],
    ]);
    expect(setUp({ minFreeBytes: 0 }).memory.zones[0].watermarks).toEqual({ min: 0, low: 0, high: 0 });
  });

  it('leave a reserve to those who may not sleep', () => {
    const { memory, world } = small();
    const { watermarks, buddy } = zoneOf(memory);
    while (memory.allocFolio(0) > 0);
    expect([buddy.framesFree, memory.pressure.starving]).toEqual([watermarks.min, true]);
    world.contexts.enter(Context.hardirq, 0);
    expect(memory.allocFolio(0)).toBeGreaterThan(0);
    while (memory.allocFolio(0) > 0);
    world.contexts.leave();
    expect(buddy.framesFree).toBe(watermarks.min - Math.floor((watermarks.min * 5) / 8));
    expect(memory.allocFolio(0)).toBe(-ENOMEM);
  });

  it('wake kswapd below the low mark, which frees up to the high mark and ends', () => {
    const { memory, mm, world } = small({ swapBytes: 32 * MIB });
    const { watermarks, buddy } = zoneOf(memory);
    const address = anon(mm, 16 * MIB_PAGES);
    let pages = 0;
    for (; buddy.framesFree >= watermarks.low; pages++) plain(mm.fault(address + pages * PAGE_SIZE, true));
    plain(mm.fault(address + pages * PAGE_SIZE, true));
    expect([memory.pressure.kswapdRuns, memory.vmstat.pswpout]).toEqual([1, 0]);
    world.run();
    expect(buddy.framesFree).toBeGreaterThanOrEqual(watermarks.high);
    expect(memory.pressure.pagesFreedByKswapd).toBeGreaterThan(0);
    expect(memory.pressure.stalls).toBe(0);
    assertMemorySane(memory);
  });
});

describe('a program with more memory than the machine', () => {
  it('finds every byte again; the rest is in swap', () => {
    const { memory, mm, world } = small({ swapBytes: 32 * MIB });
    const pages = 24 * MIB_PAGES;
    const address = anon(mm, pages);
    fill(mm, address, 0, pages);
    assertMemorySane(memory);
    expect(memory.pressure.stalls).toBeGreaterThan(0);
    expect(memory.vmstat.pswpout).toBeGreaterThan(12 * MIB_PAGES);
    expect(wrongBytes(mm, address, 0, pages)).toBe(0);
    assertMemorySane(memory);
    plain(mm.exit());
    world.run();
    expect([memory.swap.slotsFree, memory.swap.cache.size]).toEqual([memory.swap.slots, 0]);
    expect(codes(world)).toEqual([]);
  });

  it('shares it: shared memory goes to swap and comes back as well', () => {
    const { memory, mm } = small({ swapBytes: 32 * MIB });
    const pages = 20 * MIB_PAGES;
    const address = plain(mm.mmap(pages * PAGE_SIZE, RW, MAP_SHARED | MAP_ANONYMOUS));
    fill(mm, address, 0, pages);
    const child = mm.fork('child') as Mm;
    expect(wrongBytes(child, address, 0, pages)).toBe(0);
    assertMemorySane(memory);
  });

  it('waits for a device: who faults sleeps until his page is read, and kswapd writes meanwhile', () => {
    const { memory, mm, world } = small({ ramBytes: 8 * MIB });
    const store = new SlowStore(memory);
    memory.swap.on(store, 32 * MIB_PAGES);
    const pages = 1400;
    const address = anon(mm, pages);
    let wrong = 0;
    run(world, function* () {
      const byte = new Uint8Array(1);
      for (let i = 0; i < pages; i++) {
        const r = mm.write(address + i * PAGE_SIZE, Uint8Array.of(i % 251));
        if ((typeof r === 'number' ? r : yield* r) !== 1) wrong++;
      }
      for (let i = 0; i < pages; i++) {
        const r = mm.read(address + i * PAGE_SIZE, byte);
        if ((typeof r === 'number' ? r : yield* r) !== 1 || byte[0] !== i % 251) wrong++;
      }
    });
    expect(wrong).toBe(0);
    expect(store.writes).toBe(memory.vmstat.pswpout);
    expect(memory.pressure.pagesFreedByKswapd).toBeGreaterThan(0);
    expect(memory.swap.writesOnTheirWay).toBe(0);
    assertMemorySane(memory);
    expect(codes(world)).toEqual([]);
  });

  it('may fork although the copies for its pinned pages do not fit: reclaim makes room', () => {
    const { memory, mm, gup, owner } = small({ swapBytes: 32 * MIB });
    const pinned = touched(mm, 600);
    const pins = newPinnedPages(600);
    expect(plain(gup.pinUserPagesFast(mm, pinned, 600, W | FOLL_LONGTERM, pins, 0, owner))).toBe(600);
    const address = anon(mm, 11 * MIB_PAGES);
    fill(mm, address, 0, 11 * MIB_PAGES);
    const child = mm.fork('child');
    if (typeof child === 'number') throw new Error('fork failed');
    expect(frameAt(child, pinned)).not.toBe(frameAt(mm, pinned));
    assertMemorySane(memory);
    gup.unpinUserPages(pins, 0, 600);
  });
});

describe('reclaim under pressure', () => {
  it('leaves pinned and mlocked pages where they are (section 14)', () => {
    const { memory, mm, gup, owner } = small({ swapBytes: 32 * MIB });
    const pinned = touched(mm, 500);
    const locked = touched(mm, 300);
    const pins = newPinnedPages(500);
    plain(gup.pinUserPagesFast(mm, pinned, 500, W | FOLL_LONGTERM, pins, 0, owner));
    plain(mm.mlock(locked, 300 * PAGE_SIZE));
    const where = [0, 499].map((i) => frameAt(mm, pinned + i * PAGE_SIZE));
    const address = anon(mm, 20 * MIB_PAGES);
    fill(mm, address, 0, 20 * MIB_PAGES);
    expect([presentOf(mm, pinned, 500), presentOf(mm, locked, 300)]).toEqual([500, 300]);
    expect([0, 499].map((i) => frameAt(mm, pinned + i * PAGE_SIZE))).toEqual(where);
    gup.unpinUserPages(pins, 0, 500);
    plain(mm.munlock(locked, 300 * PAGE_SIZE));
    fill(mm, address, 0, 20 * MIB_PAGES);
    expect([presentOf(mm, pinned, 500), presentOf(mm, locked, 300)]).toEqual([0, 0]);
    assertMemorySane(memory);
  });

  it('gives pages that are used again a second chance (folio_check_references)', () => {
    const { mm, memory } = small({ swapBytes: 64 * MIB });
    const busy = touched(mm, 200);
    const idle = touched(mm, 200);
    const address = anon(mm, 40 * MIB_PAGES);
    for (let i = 0; i < 40 * MIB_PAGES; i++) {
      plain(mm.write(address + i * PAGE_SIZE, Uint8Array.of(1)));
      plain(mm.read(busy + (i % 200) * PAGE_SIZE, new Uint8Array(1)));
    }
    const before = memory.vmstat.pswpin;
    expect([presentOf(mm, busy, 200), presentOf(mm, idle, 200)]).toEqual([200, 0]);
    expect(before).toBeLessThan(400); // the busy pages went at most once or twice, before they were known
    assertMemorySane(memory);
  });

  it('takes clean pages of files before anonymous memory, and needs no swap for it', () => {
    const { mm, memory } = small({ swapBytes: 32 * MIB });
    const address = anon(mm, 6 * MIB_PAGES);
    fill(mm, address, 0, 6 * MIB_PAGES);
    const file = cleanFile(memory, 30 * MIB_PAGES);
    const into = new Uint8Array(PAGE_SIZE);
    let read = 0;
    for (let i = 0; i < 30 * MIB_PAGES; i++) read += plain(genericFileRead(file, i * PAGE_SIZE, into, 0, PAGE_SIZE));
    expect(read).toBe(30 * MIB);
    expect(memory.vmstat.pswpout).toBe(0);
    expect(file.pages.size).toBeLessThan(6 * MIB_PAGES);
    expect(wrongBytes(mm, address, 0, 6 * MIB_PAGES)).toBe(0);
    assertMemorySane(memory);
  });

  it('keeps the order of the lists through all that can happen to a folio', () => {
    const { mm, memory } = small({ swapBytes: 64 * MIB });
    const address = anon(mm, 14 * MIB_PAGES);
    fill(mm, address, 0, 14 * MIB_PAGES);
    expect(memory.lru.on).toBe(true);
    plain(mm.mlock(address, MIB));
    plain(mm.munlock(address, MIB));
    const child = mm.fork('child') as Mm;
    fill(child, address, 0, MIB_PAGES);
    plain(child.munmap(address + 2 * MIB, MIB));
    assertMemorySane(memory);
    plain(child.exit());
    fill(mm, address, 0, 14 * MIB_PAGES);
    assertMemorySane(memory);
  });
});

describe('memory that is out', () => {
  it('is an error for who asked and a report of who has it, not a hang', () => {
    const { mm, gup, owner, memory, world } = small();
    const pins = newPinnedPages(300);
    plain(gup.pinUserPagesFast(mm, touched(mm, 300), 300, W | FOLL_LONGTERM, pins, 0, owner));
    const address = anon(mm, 20 * MIB_PAGES);
    let i = 0;
    while (plain(mm.write(address + i * PAGE_SIZE, Uint8Array.of(1))) === 1) i++;
    expect(plain(mm.write(address + i * PAGE_SIZE, Uint8Array.of(1)))).toBe(-ENOMEM);
    expect(plain(gup.pinUserPagesFast(mm, address + i * PAGE_SIZE, 1, W, newPinnedPages(1), 0, owner))).toBe(-ENOMEM);
    expect(gup.why()).toMatch(/^E-04: no memory/);
    const [finding] = world.findings.all;
    expect(codes(world)).toEqual(['OUT_OF_MEMORY']);
    expect(finding.summary).toBe('memory has no page left for a page of prog, and nothing more can be reclaimed');
    expect(finding.details.join('\n')).toMatch(
      /zone DMA32: 110 of 3072 pages free, min 110, low 137\nno swap\n300 pages \(1 MiB\) are pinned\n {2}300 pages of prog by nic0 at .*pressure\.test/,
    );
    assertMemorySane(memory);
    plain(mm.munmap(address, MIB)); // what is freed can be had again
    expect(plain(mm.write(address + i * PAGE_SIZE, Uint8Array.of(1)))).toBe(1);
    gup.unpinUserPages(pins, 0, 300);
  });

  it('is said when swap is full, and ends when somebody gives up memory', () => {
    const { mm, memory, world } = small({ swapBytes: 2 * MIB });
    const hog = memory.createMm('hog');
    const address = anon(hog, 20 * MIB_PAGES);
    let i = 0;
    while (plain(hog.write(address + i * PAGE_SIZE, Uint8Array.of(1))) === 1) i++;
    expect(codes(world)).toEqual(['OUT_OF_MEMORY']);
    expect(world.findings.all[0].details).toContainEqual(expect.stringMatching(/^swap: \d of 512 pages free$/));
    expect(plain(mm.write(anon(mm, 1), Uint8Array.of(1)))).toBe(-ENOMEM);
    plain(hog.exit());
    touched(mm, 500);
    expect(codes(world)).toEqual(['OUT_OF_MEMORY']);
    assertMemorySane(memory);
  });

  it('is no business of reclaim when an error was planned', () => {
    const { mm, memory, world } = small();
    world.faults.arm('alloc', { nth: 1, errno: -ENOMEM });
    expect(plain(mm.write(anon(mm, 1), Uint8Array.of(1)))).toBe(-ENOMEM);
    expect([memory.pressure.stalls, codes(world)]).toEqual([0, []]);
  });
});

describe('buffers of file pages that a device has pinned', () => {
  /** Reads a file with buffers until memory is short, with its first page pinned; whether that page has its buffers still. */
  function underPressure(profile: KernelProfile) {
    const { mm, memory, gup, owner, frames } = small({ profile });
    const file = cleanFile(memory, 32 * MIB_PAGES, true);
    const backing = { name: 'file', mapping: file, fault: (_vma: Vma, index: number) => filemapFault(file, index) };
    const address = plain(mm.mmap(PAGE_SIZE, PROT_READ, MAP_SHARED, 0, backing));
    const pins = newPinnedPages(1);
    expect(plain(gup.pinUserPages(mm, address, 1, 0, pins, 0, owner))).toBe(1);
    plain(mm.madvise(address, PAGE_SIZE, MADV_COLD)); // else the pin has made it an active page
    const pinned = frameAt(mm, address);
    expect(frames.flags[pinned] & PG_private).not.toBe(0);
    const into = new Uint8Array(PAGE_SIZE);
    for (let i = 1; i < 32 * MIB_PAGES; i++) plain(genericFileRead(file, i * PAGE_SIZE, into, 0, PAGE_SIZE));
    expect(file.pages.get(0)).toBe(pinned);
    expect(file.pages.size).toBeLessThan(13 * MIB_PAGES);
    const hasBuffers = (frames.flags[pinned] & PG_private) !== 0;
    gup.unpinUserPages(pins, 0, 1);
    assertMemorySane(memory);
    return hasBuffers;
  }

  it('stay since 6.4', () => {
    expect(underPressure(linux618)).toBe(true);
  });

  it('go before, so that the page is dirtied behind the back of its file system (W-03)', () => {
    expect(underPressure(linux61)).toBe(false);
  });
});

describe('programs drawn at random in too little memory', () => {
  it.each([1, 2, 3])('find what they wrote, and all is given back at the end (seed %i)', (seed) => {
    const { mm, memory, gup, owner, world } = small({ ramBytes: 8 * MIB, swapBytes: 16 * MIB });
    const draw = world.choices.stream('pressure', seed);
    const pages = 800;
    const models = [{ mm, bytes: new Uint8Array(pages) }];
    const address = anon(mm, pages);
    const pins: PinnedPages[] = [];
    for (let step = 0; step < 6000; step++) {
      const model = models[draw.below(models.length)];
      const page = draw.below(pages);
      const what = draw.below(1000);
      if (what < 600) {
        expect(plain(model.mm.write(address + page * PAGE_SIZE, Uint8Array.of(step & 255)))).toBe(1);
        model.bytes[page] = step & 255;
      } else if (what < 980) {
        const byte = new Uint8Array(1);
        expect(plain(model.mm.read(address + page * PAGE_SIZE, byte))).toBe(1);
        expect(byte[0]).toBe(model.bytes[page]);
      } else if (what < 990) {
        const pin = newPinnedPages(1);
        expect(plain(gup.pinUserPagesFast(model.mm, address + page * PAGE_SIZE, 1, W, pin, 0, owner))).toBe(1);
        pins.push(pin);
      } else if (what < 994) {
        plain(model.mm.munlock(address, pages * PAGE_SIZE));
        plain(model.mm.mlock(address + page * PAGE_SIZE, Math.min(40, pages - page) * PAGE_SIZE));
      } else if (what < 996 && models.length < 3) {
        const child = model.mm.fork('child');
        if (typeof child !== 'number') models.push({ mm: child, bytes: model.bytes.slice() });
      } else if (what < 997 && models.length > 1) {
        plain((models.pop() ?? model).mm.exit());
      } else for (const pin of pins.splice(0, 5)) gup.unpinUserPages(pin, 0, 1);
      if (step % 1500 === 0) assertMemorySane(memory);
    }
    expect(memory.vmstat.pswpin).toBeGreaterThan(100);
    for (const pin of pins) gup.unpinUserPages(pin, 0, 1);
    for (const model of models) plain(model.mm.exit());
    world.run();
    assertMemorySane(memory);
    expect([memory.swap.slotsFree, codes(world)]).toEqual([memory.swap.slots, []]);
    expect(memory.ledger.livePins()).toEqual([]);
  });
});
