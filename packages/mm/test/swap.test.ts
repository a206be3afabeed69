import { EFAULT, EIO, ENOMEM } from '@pincushion/sim';
import type { Blocker, Task, World } from '@pincushion/sim';
import { linux54 } from '../src/kernel-profile';
import { folioIsolateLru } from '../src/frames/lru';
import { MADV_DONTNEED, MADV_FREE, MADV_MERGEABLE, MADV_PAGEOUT, MADV_WILLNEED } from '../src/process/madvise';
import {
  FOLL_LONGTERM,
  FOLL_WRITE,
  MAP_ANONYMOUS,
  MAP_SHARED,
  PAGE_SIZE,
  PG_anonExclusive,
  PG_dirty,
  PG_lru,
  PG_mlocked,
  PG_swapcache,
  PROT_READ,
  PTE_DIRTY,
  PTE_PRESENT,
  PTE_SWAP,
  PTE_SWP_EXCLUSIVE,
  PTE_WRITE,
  indexOf,
  newGottenPages,
  newPinnedPages,
  regionOf,
} from '../src/index';
import type { Memory, Mm } from '../src/index';
import { reclaimFolios } from '../src/reclaim/reclaim';
import type { SwapStore } from '../src/reclaim/swap';
import { MIB, RW, anon, assertMemorySane, frameAt, plain, setUp, touched } from './machine-memory';

const SWAP_BITS = PTE_PRESENT | PTE_SWAP | PTE_SWP_EXCLUSIVE;

function machine(options: Parameters<typeof setUp>[0] = {}) {
  return setUp({ swapBytes: 16 * MIB, ...options });
}

function pteAt(mm: Mm, address: number): number {
  return mm.pageTable.flagsAt(regionOf(address), indexOf(address));
}

function pageout(mm: Mm, address: number, pages: number): void {
  expect(plain(mm.madvise(address, pages * PAGE_SIZE, MADV_PAGEOUT))).toBe(0);
}

function byteAt(mm: Mm, address: number): number {
  const into = new Uint8Array(1);
  expect(plain(mm.read(address, into))).toBe(1);
  return into[0];
}

function child(mm: Mm): Mm {
  const made = mm.fork('child');
  if (typeof made === 'number') throw new Error(`fork failed with ${made}`);
  return made;
}

/** Somebody holds a plain reference of the page, like a pipe. */
function held(memory: Memory, mm: Mm, address: number) {
  const gets = newGottenPages(1);
  const owner = memory.ledger.owner('pipe');
  expect(plain(memory.gup.getUserPagesFast(mm, address, 1, 0, gets, 0, owner))).toBe(1);
  return () => {
    memory.gup.putPages(gets, 0, 1);
  };
}

function spawn(world: World, name: string, body: () => Generator<Blocker, void, undefined>): void {
  world.spawn(body(), { name });
}

/** A store whose writes and reads take a microsecond; `fail` makes them answer -EIO. */
class SlowStore implements SwapStore {
  readonly name = 'slow swap';
  readonly synchronous = false;
  fail = false;
  private readonly kept = new Map<number, Uint8Array>();

  constructor(private readonly memory: Memory) {}

  write(slot: number, pfn: number): Task<number> {
    return this.later(() => {
      const page = new Uint8Array(PAGE_SIZE);
      this.memory.bytes.read(pfn, 0, page, 0, PAGE_SIZE);
      this.kept.set(slot, page);
    });
  }

  read(slot: number, pfn: number): Task<number> {
    return this.later(() => {
      this.memory.bytes.write(pfn, 0, this.kept.get(slot) ?? new Uint8Array(PAGE_SIZE), 0, PAGE_SIZE);
    });
  }

  private *later(transfer: () => void) {
    yield* this.memory.world.sleep(1000);
    if (this.fail) return -EIO;
    transfer();
    return 0;
  }
}

describe('swapping out', () => {
  it('leaves an entry that remembers that the page was exclusive, and frees the frame (X-02)', () => {
    const { mm, memory, vmstat } = machine();
    const address = touched(mm, 3);
    const free = memory.framesFree;
    pageout(mm, address, 3);
    expect(pteAt(mm, address) & SWAP_BITS).toBe(PTE_SWAP | PTE_SWP_EXCLUSIVE);
    expect(memory.framesFree).toBe(free + 3);
    expect(vmstat.pswpout).toBe(3);
    expect(memory.swap.slotsFree).toBe(memory.swap.slots - 3);
    assertMemorySane(memory);
  });

  it('does not happen without swap, or when it is full', () => {
    const { mm } = setUp();
    const address = touched(mm, 1);
    const pfn = frameAt(mm, address);
    pageout(mm, address, 1);
    expect(frameAt(mm, address)).toBe(pfn);
    const small = machine({ swapBytes: 2 * PAGE_SIZE });
    const pages = touched(small.mm, 3);
    pageout(small.mm, pages, 3);
    expect([0, 1, 2].map((i) => pteAt(small.mm, pages + i * PAGE_SIZE) & PTE_PRESENT)).toEqual([0, 0, PTE_PRESENT]);
    assertMemorySane(small.memory);
  });

  it('keeps pages of zeros without content', () => {
    const { mm, memory } = machine();
    const address = anon(mm, 1);
    plain(mm.write(address, Uint8Array.of(0)));
    pageout(mm, address, 1);
    expect(byteAt(mm, address)).toBe(0);
    expect(memory.bytes.isZero(frameAt(mm, address))).toBe(true);
  });
});

describe('a fault on a swapped page (do_swap_page)', () => {
  it('maps an exclusive page writable but clean for a reader, so that a write takes no fault (fact 22)', () => {
    const { mm, memory, frames } = machine();
    const address = touched(mm, 1);
    pageout(mm, address, 1);
    expect(byteAt(mm, address)).toBe(1);
    const pfn = frameAt(mm, address);
    expect(pteAt(mm, address) & (PTE_PRESENT | PTE_WRITE | PTE_DIRTY)).toBe(PTE_PRESENT | PTE_WRITE);
    expect(frames.flags[pfn] & (PG_anonExclusive | PG_swapcache | PG_dirty | PG_lru)).toBe(PG_anonExclusive | PG_lru);
    expect(frames.refcount[pfn]).toBe(1);
    expect(memory.swap.slotsFree).toBe(memory.swap.slots);
    assertMemorySane(memory);
  });

  it('does not map it writable where the area does not allow it', () => {
    const { mm } = machine();
    const address = touched(mm, 1);
    pageout(mm, address, 1);
    plain(mm.mprotect(address, PAGE_SIZE, PROT_READ));
    expect(byteAt(mm, address)).toBe(1);
    expect(pteAt(mm, address) & PTE_WRITE).toBe(0);
  });

  it('keeps a page that others have in swap, too, in the cache and read-only; a write copies it (fact 22)', () => {
    const { mm, memory, frames } = machine();
    const address = touched(mm, 1);
    pageout(mm, address, 1);
    const other = child(mm);
    expect(memory.swap.users(mm.pageTable.frameAt(regionOf(address), indexOf(address)))).toBe(2);
    expect(byteAt(mm, address)).toBe(1);
    const cached = frameAt(mm, address);
    expect(pteAt(mm, address) & PTE_WRITE).toBe(0);
    expect(frames.flags[cached] & (PG_swapcache | PG_anonExclusive)).toBe(PG_swapcache);
    expect(frames.refcount[cached]).toBe(2);
    plain(mm.write(address, Uint8Array.of(9)));
    expect(frameAt(mm, address)).not.toBe(cached);
    expect(byteAt(other, address)).toBe(1);
    expect(frameAt(other, address)).toBe(cached);
    assertMemorySane(memory);
  });

  it('gives the page to the writer when nobody needs the slot any more (should_try_to_free_swap)', () => {
    const { mm, memory, frames } = machine();
    const address = touched(mm, 1);
    pageout(mm, address, 1);
    const other = child(mm);
    expect(byteAt(mm, address)).toBe(1);
    const cached = frameAt(mm, address);
    plain(other.exit());
    plain(mm.write(address, Uint8Array.of(7)));
    expect(frameAt(mm, address)).toBe(cached);
    expect(frames.flags[cached] & (PG_swapcache | PG_dirty | PG_anonExclusive)).toBe(PG_dirty | PG_anonExclusive);
    expect(memory.swap.slotsFree).toBe(memory.swap.slots);
    assertMemorySane(memory);
  });

  it('brings pages in for a pin, writable at once', () => {
    const { mm, memory, gup, owner } = machine();
    const address = touched(mm, 2);
    pageout(mm, address, 2);
    const pins = newPinnedPages(2);
    expect(plain(gup.pinUserPagesFast(mm, address, 2, FOLL_WRITE | FOLL_LONGTERM, pins, 0, owner))).toBe(2);
    expect(pteAt(mm, address + PAGE_SIZE) & (PTE_WRITE | PTE_DIRTY)).toBe(PTE_WRITE | PTE_DIRTY);
    gup.unpinUserPages(pins, 0, 2);
    assertMemorySane(memory);
  });

  it('fails without a frame, and works later', () => {
    const { mm, world, memory } = machine();
    const address = touched(mm, 1);
    pageout(mm, address, 1);
    world.faults.arm('alloc', { nth: 1, errno: -ENOMEM });
    expect(plain(mm.fault(address, false))).toBe(-ENOMEM);
    expect(byteAt(mm, address)).toBe(1);
    assertMemorySane(memory);
  });
});

describe('slots', () => {
  it('go with the entries: DONTNEED, MADV_FREE and exit', () => {
    const { mm, memory } = machine();
    const address = touched(mm, 6);
    pageout(mm, address, 6);
    plain(mm.madvise(address, 2 * PAGE_SIZE, MADV_DONTNEED));
    expect(memory.swap.slotsFree).toBe(memory.swap.slots - 4);
    plain(mm.madvise(address + 2 * PAGE_SIZE, 2 * PAGE_SIZE, MADV_FREE));
    expect(memory.swap.slotsFree).toBe(memory.swap.slots - 2);
    expect(byteAt(mm, address)).toBe(0);
    plain(mm.exit());
    expect(memory.swap.slotsFree).toBe(memory.swap.slots);
  });

  it('are given out again, in runs aligned to the folio', () => {
    const { memory } = machine({ swapBytes: 64 * PAGE_SIZE });
    const { swap } = memory;
    const first = swap.allocate(0);
    const run = swap.allocate(3);
    expect(run % 8).toBe(0);
    for (let i = 0; i < 8; i++) {
      swap.use(run + i);
      expect(swap.disuse(run + i)).toBe(true); // HAS_CACHE is still there
    }
    expect(swap.slotsFree).toBe(swap.slots - 9);
    swap.enter(4096, run, 8);
    swap.leave(4096, 8);
    expect(swap.slotsFree).toBe(swap.slots - 1);
    const seen = new Set([first]);
    for (let slot = swap.allocate(0); slot !== 0; slot = swap.allocate(0)) {
      expect(seen.has(slot)).toBe(false);
      seen.add(slot);
    }
    expect(seen.size).toBe(64);
    expect(swap.slotsFree).toBe(0);
  });

  it('of a folio in the cache are kept until the last user goes, and then the unmapped folio leaves (free_swap_and_cache)', () => {
    const { mm, memory, frames } = machine();
    const address = touched(mm, 1);
    const pfn = frameAt(mm, address);
    const letGo = held(memory, mm, address);
    pageout(mm, address, 1);
    expect([frames.refcount[pfn], frames.mapcount[pfn]]).toEqual([2, 0]);
    expect(frames.flags[pfn] & (PG_swapcache | PG_dirty)).toBe(PG_swapcache | PG_dirty);
    plain(mm.madvise(address, PAGE_SIZE, MADV_DONTNEED));
    expect(frames.flags[pfn] & PG_swapcache).toBe(0);
    expect(frames.refcount[pfn]).toBe(1);
    expect(memory.swap.slotsFree).toBe(memory.swap.slots);
    letGo();
    assertMemorySane(memory);
  });
});

it('the last mapping of a page takes it out of the swap cache (free_swap_cache)', () => {
  const { mm, memory, frames } = machine();
  const address = touched(mm, 1);
  const pfn = frameAt(mm, address);
  const letGo = held(memory, mm, address);
  pageout(mm, address, 1);
  expect(byteAt(mm, address)).toBe(1);
  expect(frames.flags[pfn] & PG_swapcache).toBe(PG_swapcache);
  plain(mm.munmap(address, PAGE_SIZE));
  expect(frames.flags[pfn] & PG_swapcache).toBe(0);
  expect(memory.swap.slotsFree).toBe(memory.swap.slots);
  letGo();
  assertMemorySane(memory);
});

describe('swap that sleeps', () => {
  function slow() {
    const made = setUp();
    const store = new SlowStore(made.memory);
    made.memory.swap.on(store, 64);
    return { ...made, store };
  }

  it('is written and read while others run, through the swap cache', () => {
    const { mm, world, memory, frames } = slow();
    const address = touched(mm, 2);
    const pending = mm.madvise(address, 2 * PAGE_SIZE, MADV_PAGEOUT);
    expect(typeof pending).not.toBe('number');
    expect(world.settle(pending)).toBe(0);
    expect(pteAt(mm, address) & PTE_SWAP).toBe(PTE_SWAP);
    expect(world.settle(mm.fault(address, false))).toBe(0);
    expect(byteAt(mm, address)).toBe(1);
    expect(frames.flags[frameAt(mm, address)] & PG_swapcache).toBe(PG_swapcache);
    assertMemorySane(memory);
  });

  it('lets two faults on one page share the read', () => {
    const { mm, world, memory, vmstat } = slow();
    const address = touched(mm, 1);
    world.settle(mm.madvise(address, PAGE_SIZE, MADV_PAGEOUT));
    const other = child(mm);
    const results: number[] = [];
    for (const process of [mm, other]) {
      spawn(world, process.name, function* () {
        const into = new Uint8Array(1);
        const read = process.read(address, into);
        if (typeof read !== 'number') yield* read;
        results.push(into[0]);
      });
    }
    world.run();
    expect(results).toEqual([1, 1]);
    expect(frameAt(mm, address)).toBe(frameAt(other, address));
    expect(vmstat.pswpin).toBe(1);
    assertMemorySane(memory);
  });

  it('that fails to be written leaves the page in memory, dirty; one that cannot be read is a bus error', () => {
    const { mm, world, memory, store } = slow();
    const address = touched(mm, 1);
    store.fail = true;
    world.settle(mm.madvise(address, PAGE_SIZE, MADV_PAGEOUT));
    store.fail = false;
    expect(world.settle(mm.read(address, new Uint8Array(1)))).toBe(1);
    expect(byteAt(mm, address)).toBe(1);
    world.settle(mm.madvise(address, PAGE_SIZE, MADV_PAGEOUT));
    store.fail = true;
    expect(world.settle(mm.fault(address, false))).toBeLessThan(0);
    expect(world.settle(mm.read(address, new Uint8Array(1)))).toBe(-EFAULT);
    assertMemorySane(memory);
  });

  it('gives up a read whose page was unmapped meanwhile', () => {
    const { mm, world, memory } = slow();
    const address = touched(mm, 1);
    world.settle(mm.madvise(address, PAGE_SIZE, MADV_PAGEOUT));
    spawn(world, 'reader', function* () {
      const fault = mm.fault(address, false);
      if (typeof fault !== 'number') yield* fault;
    });
    spawn(world, 'unmapper', function* () {
      yield* world.sleep(10);
      plain(mm.munmap(address, PAGE_SIZE));
    });
    world.run();
    expect(memory.swap.cache.size).toBe(0);
    expect(memory.swap.slotsFree).toBe(memory.swap.slots);
    assertMemorySane(memory);
  });
});

it('gives each family of processes its own copy of a page that KSM had merged (ksm_might_need_to_copy)', () => {
  const { mm, memory, frames } = machine();
  const stranger = memory.createMm('stranger');
  const addresses = [mm, stranger].map((process) => {
    const address = anon(process, 1);
    plain(process.write(address, Uint8Array.of(42)));
    plain(process.madvise(address, PAGE_SIZE, MADV_MERGEABLE));
    return address;
  });
  memory.ksm.scan(3);
  const merged = frameAt(mm, addresses[0]);
  expect(frameAt(stranger, addresses[1])).toBe(merged);
  expect(folioIsolateLru(memory, merged)).toBe(true);
  expect(plain(reclaimFolios(memory, [merged]))).toBe(1);
  expect(byteAt(mm, addresses[0])).toBe(42);
  const first = frameAt(mm, addresses[0]);
  expect(frames.flags[first] & PG_swapcache).toBe(PG_swapcache);
  expect(byteAt(stranger, addresses[1])).toBe(42);
  expect(frameAt(stranger, addresses[1])).not.toBe(first);
  assertMemorySane(memory);
});

it('MADV_WILLNEED reads pages into the swap cache and maps none', () => {
  const { mm, memory, frames, vmstat } = machine();
  const address = touched(mm, 2);
  const shared = plain(mm.mmap(PAGE_SIZE, RW, MAP_SHARED | MAP_ANONYMOUS));
  plain(mm.write(shared, Uint8Array.of(8)));
  pageout(mm, address, 2);
  pageout(mm, shared, 1);
  expect(plain(mm.madvise(address, PAGE_SIZE, MADV_WILLNEED))).toBe(0);
  expect(plain(mm.madvise(shared, PAGE_SIZE, MADV_WILLNEED))).toBe(0);
  expect([memory.swap.cache.size, vmstat.pswpin]).toEqual([2, 2]);
  expect(pteAt(mm, address) & PTE_SWAP).toBe(PTE_SWAP);
  expect([byteAt(mm, address), byteAt(mm, shared)]).toEqual([1, 8]);
  expect(vmstat.pswpin).toBe(2);
  expect(frames.flags[frameAt(mm, address)] & (PG_swapcache | PG_anonExclusive)).toBe(PG_swapcache | PG_anonExclusive);
  assertMemorySane(memory);
});

it('a locked area takes pages out of the swap cache and locks those that are known already', () => {
  const { mm, memory, frames } = machine();
  const address = touched(mm, 2);
  const pfn = frameAt(mm, address);
  const letGo = held(memory, mm, address);
  pageout(mm, address, 2);
  plain(mm.mlock(address, 2 * PAGE_SIZE));
  expect(frameAt(mm, address)).toBe(pfn);
  expect(frames.flags[pfn] & (PG_swapcache | PG_mlocked)).toBe(PG_mlocked);
  // A page that had to be read escapes, as it does in the kernel.
  expect(frames.flags[frameAt(mm, address + PAGE_SIZE)] & PG_mlocked).toBe(0);
  letGo();
  assertMemorySane(memory);
});

it('before 5.19 only a writer gets a page that is his alone mapped writable', () => {
  const { mm, memory } = machine({ profile: linux54 });
  const address = touched(mm, 2);
  pageout(mm, address, 2);
  expect(byteAt(mm, address)).toBe(1);
  expect(pteAt(mm, address) & PTE_WRITE).toBe(0);
  plain(mm.write(address + PAGE_SIZE, Uint8Array.of(4)));
  expect(pteAt(mm, address + PAGE_SIZE) & PTE_WRITE).toBe(PTE_WRITE);
  const other = child(mm);
  expect(byteAt(other, address + PAGE_SIZE)).toBe(4);
  plain(mm.write(address + PAGE_SIZE, Uint8Array.of(5)));
  expect(byteAt(other, address + PAGE_SIZE)).toBe(4);
  assertMemorySane(memory);
});

it('mprotect of swapped pages changes what they come back as', () => {
  const { mm } = machine();
  const address = touched(mm, 1);
  pageout(mm, address, 1);
  plain(mm.mprotect(address, PAGE_SIZE, PROT_READ));
  expect(plain(mm.write(address, Uint8Array.of(3)))).toBe(-EFAULT);
  plain(mm.mprotect(address, PAGE_SIZE, RW));
  expect(plain(mm.write(address, Uint8Array.of(3)))).toBe(1);
  expect(byteAt(mm, address)).toBe(3);
});
