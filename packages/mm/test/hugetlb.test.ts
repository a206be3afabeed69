import { EFAULT, EINVAL, ENOMEM } from '@pincushion/sim';
import {
  FOLL_DUMP,
  FOLL_FORCE,
  FOLL_LONGTERM,
  FOLL_WRITE,
  HUGETLB_1G_ORDER,
  HUGETLB_2M_ORDER,
  MADV_DONTNEED,
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_HUGETLB,
  MAP_HUGE_1GB,
  MAP_NORESERVE,
  MAP_PRIVATE,
  MAP_SHARED,
  PAGE_SIZE,
  PG_anon,
  PG_anonExclusive,
  PG_hugetlb,
  PG_swapbacked,
  PG_uptodate,
  PROT_READ,
  Pipe,
  evacuate,
  linux54,
  memoryContradictions,
  newGottenPages,
  newHugetlbFile,
  newPinnedPages,
  rmapWalk,
  takeBack,
  uffdRegisterWp,
  uffdWriteprotect,
} from '../src/index';
import type { HugetlbPool, Memory, MemoryOptions, Mm } from '../src/index';
import { ANON, MIB, RW, assertMemorySane, frameAt, plain, setUp } from './machine-memory';

const HUGE = 2 * MIB;
const GIB = 2 ** 30;
const PRIVATE = ANON | MAP_HUGETLB;
const SHARED = MAP_SHARED | MAP_ANONYMOUS | MAP_HUGETLB;

function machine(pages = 8, options: Partial<MemoryOptions> = {}) {
  const set = setUp({ hugetlb: { [HUGETLB_2M_ORDER]: pages }, ...options });
  return { ...set, pool: poolOf(set.memory) };
}

function poolOf(memory: Memory, order = HUGETLB_2M_ORDER): HugetlbPool {
  const pool = memory.hugetlb.get(order);
  if (pool === undefined) throw new Error('no pool');
  return pool;
}

function mapped(mm: Mm, pages: number, flags = PRIVATE): number {
  const address = plain(mm.mmap(pages * HUGE, RW, flags));
  expect(address).toBeGreaterThan(0);
  return address;
}

function write(mm: Mm, address: number, value: number): number {
  return plain(mm.write(address, Uint8Array.of(value)));
}

function read(mm: Mm, address: number): number {
  const byte = new Uint8Array(1);
  const got = plain(mm.read(address, byte));
  return got < 0 ? got : byte[0];
}

function forked(mm: Mm): Mm {
  const child = mm.fork('child');
  if (typeof child === 'number') throw new Error(`fork: ${child}`);
  return child;
}

function pinned(mm: Mm, address: number, pages: number, flags = FOLL_WRITE | FOLL_LONGTERM) {
  const pins = newPinnedPages(pages);
  const { gup } = mm.memory;
  expect(plain(gup.pinUserPagesFast(mm, address, pages, flags, pins, 0, mm.memory.ledger.owner('nic')))).toBe(pages);
  return pins;
}

describe('a pool of huge pages', () => {
  it('keeps its pages apart from the page allocator, without references, and gets them back', () => {
    const { memory, mm, pool } = machine(4);
    const free = memory.framesFree;
    const address = mapped(mm, 2);
    write(mm, address, 1);
    expect([pool.pagesTotal, pool.pagesFree, memory.framesFree]).toEqual([4, 3, free]);
    const head = frameAt(mm, address);
    plain(mm.munmap(address, 2 * HUGE));
    expect([pool.pagesFree, pool.pagesReserved, memory.frames.refcount[head]]).toEqual([4, 0, 0]);
    expect(memory.frames.flags[head] & (PG_hugetlb | PG_anon)).toBe(PG_hugetlb);
    assertMemorySane(memory);
  });

  it('promises no more than it has (hugetlb_acct_memory), and without a promise a mapping may be of any size', () => {
    const { mm, pool } = machine(2);
    mapped(mm, 2);
    expect([pool.pagesReserved, pool.available]).toEqual([2, 0]);
    expect(plain(mm.mmap(HUGE, RW, PRIVATE))).toBe(-ENOMEM);
    const unbacked = mapped(mm, 4, PRIVATE | MAP_NORESERVE);
    expect(write(mm, unbacked, 1)).toBe(-EFAULT);
    expect(mm.signal).toBe('SIGBUS');
  });

  it('hands out zeroed pages, also ones used before', () => {
    const { mm } = machine(1);
    const first = mapped(mm, 1);
    write(mm, first + 5 * PAGE_SIZE, 7);
    plain(mm.munmap(first, HUGE));
    expect(read(mm, mapped(mm, 1) + 5 * PAGE_SIZE)).toBe(0);
  });

  it('makes the machine refuse a pool that does not fit its memory', () => {
    expect(() => machine(64)).toThrow(/huge pages/);
  });

  it('does not know other sizes than 2 MiB and 1 GiB', () => {
    const { mm } = machine();
    expect(plain(mm.mmap(HUGE, RW, PRIVATE | (24 << 26)))).toBe(-EINVAL);
    expect(plain(mm.mmap(HUGE, RW, PRIVATE | MAP_HUGE_1GB))).toBe(-ENOMEM);
  });
});

describe('a private mapping of huge pages', () => {
  it('gets an exclusive anonymous page, not swap-backed, that reads map read-only (hugetlb_no_page)', () => {
    const { mm, frames } = machine();
    const address = mapped(mm, 1);
    expect(read(mm, address)).toBe(0);
    const head = frameAt(mm, address);
    const marks = PG_anon | PG_anonExclusive | PG_uptodate | PG_swapbacked;
    expect(frames.flags[head] & marks).toBe(PG_anon | PG_anonExclusive | PG_uptodate);
    expect([frames.refcount[head], frames.entireMapcount[head], frames.largeMapcount[head]]).toEqual([1, 1, 1]);
    write(mm, address + HUGE - PAGE_SIZE, 3);
    expect(frameAt(mm, address)).toBe(head);
  });

  it('is cut between huge pages only: EINVAL for the rest of the calls', () => {
    const { mm } = machine();
    const address = mapped(mm, 2);
    write(mm, address, 1);
    expect(plain(mm.munmap(address + PAGE_SIZE, PAGE_SIZE))).toBe(-EINVAL);
    expect(plain(mm.munmap(address, PAGE_SIZE))).toBe(-EINVAL);
    expect(plain(mm.mprotect(address, PAGE_SIZE, PROT_READ))).toBe(-EINVAL);
    expect(plain(mm.mremap(address, HUGE, address + 8 * HUGE + PAGE_SIZE))).toBe(-EINVAL);
    expect(plain(mm.mmap(PAGE_SIZE, RW, ANON | MAP_FIXED, address))).toBe(-EINVAL);
    expect(plain(mm.madvise(address + PAGE_SIZE, PAGE_SIZE, MADV_DONTNEED))).toBe(-EINVAL);
    // A beginning that fits and an end inside a page: nothing of that page goes.
    expect(plain(mm.madvise(address, PAGE_SIZE, MADV_DONTNEED))).toBe(0);
    expect(read(mm, address)).toBe(1);
  });

  it('takes a page over that nobody else maps, whoever refers to it: the leak of vmsplice (hugetlb_wp)', () => {
    const { memory, mm, frames } = machine();
    const address = mapped(mm, 1);
    write(mm, address, 1);
    const child = forked(mm);
    const pipe = new Pipe(memory);
    expect(plain(pipe.vmsplice(child, address, PAGE_SIZE))).toBe(PAGE_SIZE);
    plain(child.munmap(address, HUGE));
    const head = frameAt(mm, address);
    write(mm, address, 9);
    expect([frameAt(mm, address), frames.refcount[head]]).toEqual([head, 2]);
    const seen = new Uint8Array(1);
    pipe.read(seen);
    expect(seen[0]).toBe(9);
  });

  it('copies a page that two map, and both keep their content', () => {
    const { memory, mm, frames } = machine();
    const address = mapped(mm, 1);
    write(mm, address + 7 * PAGE_SIZE, 1);
    const child = forked(mm);
    expect(frames.flags[frameAt(mm, address)] & PG_anonExclusive).toBe(0);
    write(child, address + 7 * PAGE_SIZE, 2);
    expect([read(mm, address + 7 * PAGE_SIZE), read(child, address + 7 * PAGE_SIZE)]).toEqual([1, 2]);
    assertMemorySane(memory);
  });

  it('gives the reservation back when a page is dropped, so that the next write finds one', () => {
    const { mm, pool } = machine(2);
    const address = mapped(mm, 2);
    write(mm, address, 1);
    expect(pool.pagesReserved).toBe(1);
    plain(mm.madvise(address, HUGE, MADV_DONTNEED));
    expect(pool.pagesReserved).toBe(2);
    expect(write(mm, address, 2)).toBe(1);
  });

  it('moves with its reservation (mremap)', () => {
    const { memory, mm, pool } = machine(2);
    const address = mapped(mm, 2);
    write(mm, address, 1);
    const head = frameAt(mm, address);
    const target = address - 16 * HUGE;
    expect(plain(mm.mremap(address, 2 * HUGE, target))).toBe(target);
    expect([frameAt(mm, target), pool.pagesReserved]).toEqual([head, 1]);
    expect(write(mm, target + HUGE, 2)).toBe(1);
    plain(mm.munmap(target, 2 * HUGE));
    expect([pool.pagesFree, pool.pagesReserved]).toEqual([2, 0]);
    assertMemorySane(memory);
  });

  it('leaves a reservation that nobody gives back when only a part of it moves (fixup_hugetlb_reservations)', () => {
    const { mm, pool } = machine(4);
    const address = mapped(mm, 2);
    plain(mm.mremap(address, HUGE, address - 16 * HUGE));
    plain(mm.exit());
    expect([pool.pagesFree, pool.pagesReserved]).toEqual([4, 1]);
  });
});

describe('fork with huge pages', () => {
  it('copies a page that may be pinned at once, as a huge page (fact 3, P-04)', () => {
    const { memory, mm, gup, frames } = machine();
    const address = mapped(mm, 2);
    write(mm, address, 1);
    write(mm, address + HUGE, 2);
    const pins = pinned(mm, address + 3 * PAGE_SIZE, 1);
    const head = frameAt(mm, address);
    const child = forked(mm);
    expect(frameAt(child, address)).not.toBe(head);
    expect(frames.order[frameAt(child, address)]).toBe(HUGETLB_2M_ORDER);
    expect(frameAt(child, address + HUGE)).toBe(frameAt(mm, address + HUGE));
    write(mm, address + 3 * PAGE_SIZE, 5);
    expect(frameAt(mm, address)).toBe(head);
    expect(read(child, address + 3 * PAGE_SIZE)).toBe(0);
    gup.unpinUserPages(pins, 0, 1);
    assertMemorySane(memory);
  });

  it('fails, and undoes the child, when the pool has no page for the early copy', () => {
    const { memory, mm, pool } = machine(2);
    const address = mapped(mm, 2);
    write(mm, address, 1);
    pinned(mm, address, 1);
    expect(mm.fork('child')).toBe(-ENOMEM);
    expect([memory.mms.size, pool.pagesReserved, pool.pagesFree]).toEqual([1, 1, 1]);
    expect(write(mm, address, 2)).toBe(1);
  });

  it('before 5.12 shared pinned pages too', () => {
    const { mm } = machine(8, { profile: linux54 });
    const address = mapped(mm, 1);
    write(mm, address, 1);
    pinned(mm, address, 1);
    expect(frameAt(forked(mm), address)).toBe(frameAt(mm, address));
  });

  it('leaves the child without a reservation: it gets SIGBUS where the parent gets its page', () => {
    const { mm } = machine(2);
    const address = mapped(mm, 2);
    write(mm, address, 1);
    const child = forked(mm);
    expect(read(child, address + HUGE)).toBe(-EFAULT);
    expect(child.signal).toBe('SIGBUS');
    expect(write(mm, address + HUGE, 2)).toBe(1);
  });

  it('takes a shared page from the child for the parent that reserved it (unmap_ref_private)', () => {
    const { memory, mm } = machine(1);
    const address = mapped(mm, 1);
    write(mm, address, 1);
    const head = frameAt(mm, address);
    const child = forked(mm);
    expect(write(mm, address, 2)).toBe(1);
    expect([frameAt(mm, address), frameAt(child, address)]).toEqual([head, 0]);
    expect(read(child, address)).toBe(-EFAULT);
    assertMemorySane(memory);
  });
});

describe('a file of huge pages', () => {
  function shared(mm: Mm, pages = 2) {
    const file = newHugetlbFile(mm.memory, 'F', pages * HUGE, HUGETLB_2M_ORDER);
    if (typeof file === 'number') throw new Error('no file');
    const address = plain(mm.mmap(pages * HUGE, RW, MAP_SHARED, 0, file.backing));
    return { file, address };
  }

  it('holds 512 references of each page, plus one per mapping (fact 29)', () => {
    const { memory, mm, frames } = machine();
    const { address } = shared(mm);
    write(mm, address, 1);
    const head = frameAt(mm, address);
    expect(frames.refcount[head]).toBe(513);
    expect(frames.flags[head] & (PG_anon | PG_anonExclusive)).toBe(0);
    const child = forked(mm);
    expect(frameAt(child, address)).toBe(0); // It finds the page itself.
    expect(read(child, address)).toBe(1);
    expect(frames.refcount[head]).toBe(514);
    assertMemorySane(memory);
  });

  it('maps a read page writable and dirty at once where it is shared', () => {
    const { mm } = machine();
    const { address } = shared(mm);
    read(mm, address);
    const faults = mm.faults;
    write(mm, address, 1);
    expect(mm.faults).toBe(faults);
  });

  it('parts with a pinned page when a hole is punched: the device keeps it, processes get a new one (fact 18)', () => {
    const { memory, mm, gup, frames, pool } = machine();
    const { file, address } = shared(mm);
    write(mm, address, 1);
    const pins = pinned(mm, address, 1);
    const head = frameAt(mm, address);
    const free = pool.pagesFree;
    expect(plain(file.punchHole(0, HUGE))).toBe(0);
    expect([frames.refcount[head], frames.mapping[head], frames.flags[head] & PG_uptodate]).toEqual([1, 0, 0]);
    expect(read(mm, address)).toBe(0);
    gup.unpinUserPages(pins, 0, 1);
    expect(pool.pagesFree).toBe(free);
    assertMemorySane(memory);
  });

  it('zeroes parts of pages, takes whole ones away, private copies included', () => {
    const { mm } = machine();
    const { file, address } = shared(mm);
    const copy = plain(mm.mmap(2 * HUGE, RW, MAP_PRIVATE, 0, file.backing));
    for (const at of [address, copy]) for (const page of [0, 1, 512]) write(mm, at + page * PAGE_SIZE, 4);
    expect(plain(file.punchHole(PAGE_SIZE, HUGE))).toBe(0);
    expect([read(mm, address), read(mm, address + PAGE_SIZE), read(mm, address + HUGE)]).toEqual([4, 0, 0]);
    expect(read(mm, copy + HUGE)).toBe(4);
    expect(plain(file.punchHole(0, HUGE))).toBe(0);
    expect(read(mm, copy)).toBe(0);
  });

  it('is truncated to whole pages; beyond the end is SIGBUS, and the reservation is gone', () => {
    const { memory, mm, pool } = machine();
    const { file, address } = shared(mm);
    write(mm, address + HUGE, 1);
    expect(plain(file.truncate(PAGE_SIZE))).toBe(-EINVAL);
    expect(plain(file.truncate(HUGE))).toBe(0);
    expect(read(mm, address + HUGE)).toBe(-EFAULT);
    expect(mm.signal).toBe('SIGBUS');
    expect([pool.pagesReserved, pool.pagesFree]).toEqual([1, 8]);
    assertMemorySane(memory);
  });

  it('shows a private reader the cached page, and gives a private writer a copy', () => {
    const { memory, mm, frames } = machine();
    const { file, address } = shared(mm);
    write(mm, address, 4);
    const copy = plain(mm.mmap(HUGE, RW, MAP_PRIVATE, 0, file.backing));
    expect(read(mm, copy)).toBe(4);
    expect(frameAt(mm, copy)).toBe(frameAt(mm, address));
    write(mm, copy, 5);
    expect([read(mm, address), frames.refcount[frameAt(mm, address)]]).toEqual([4, 513]);
    assertMemorySane(memory);
  });

  it('lives until the last descriptor and the last mapping are gone', () => {
    const { mm, pool } = machine();
    const { file, address } = shared(mm);
    write(mm, address, 1);
    plain(mm.munmap(address, 2 * HUGE));
    expect([pool.pagesFree, pool.pagesReserved]).toEqual([7, 1]);
    file.close();
    expect([pool.pagesFree, pool.pagesReserved]).toEqual([8, 0]);
  });

  it('reads holes as zeros, has no write(), and an anonymous shared one ends with its mapping', () => {
    const { mm, pool } = machine();
    const { file, address } = shared(mm);
    write(mm, address + PAGE_SIZE, 6);
    const bytes = new Uint8Array(2);
    expect(plain(file.read(PAGE_SIZE, bytes, 0, 1))).toBe(1);
    expect(plain(file.read(HUGE, bytes, 1, 1))).toBe(1);
    expect([...bytes]).toEqual([6, 0]);
    expect(plain(file.write())).toBe(-EINVAL);
    const other = mapped(mm, 1, SHARED);
    write(mm, other, 1);
    const free = pool.pagesFree;
    plain(mm.munmap(other, HUGE));
    expect(pool.pagesFree).toBe(free + 1);
  });
});

describe('grabbing huge pages of a pool', () => {
  it('counts pins per folio, one for each part, on both paths', () => {
    const { memory, mm, gup, frames } = machine();
    const address = mapped(mm, 2);
    const slow = newPinnedPages(4);
    const owner = memory.ledger.owner('nic');
    const flags = FOLL_WRITE | FOLL_LONGTERM;
    expect(plain(gup.pinUserPages(mm, address + 510 * PAGE_SIZE, 4, flags, slow, 0, owner))).toBe(4);
    const fast = pinned(mm, address, 3);
    const heads = [frameAt(mm, address), frameAt(mm, address + HUGE)];
    expect(heads.map((head) => frames.pincount[head])).toEqual([5, 2]);
    gup.unpinUserPages(slow, 0, 4);
    gup.unpinUserPages(fast, 0, 3);
    expect(heads.map((head) => frames.refcount[head])).toEqual([1, 1]);
    assertMemorySane(memory);
  });

  it('unshares a page for a read-only pin, and not for a get (fact 8)', () => {
    const { memory, mm, gup } = machine();
    const address = mapped(mm, 1);
    write(mm, address, 1);
    const child = forked(mm);
    const shared = frameAt(mm, address);
    const gotten = newGottenPages(1);
    const owner = memory.ledger.owner('pipe');
    expect(plain(gup.getUserPagesFast(mm, address, 1, 0, gotten, 0, owner))).toBe(1);
    expect(frameAt(mm, address)).toBe(shared);
    gup.putPages(gotten, 0, 1);
    pinned(mm, address, 1, FOLL_LONGTERM);
    expect(frameAt(mm, address)).not.toBe(shared);
    expect(frameAt(child, address)).toBe(shared);
  });

  it('writes with FOLL_FORCE through a read-only private mapping to the exclusive page (recorded)', () => {
    const { memory, mm, gup } = machine();
    const address = mapped(mm, 1);
    write(mm, address, 1);
    plain(mm.mprotect(address, HUGE, PROT_READ));
    const pages = newGottenPages(1);
    const owner = memory.ledger.owner('ptrace');
    expect(plain(gup.getUserPages(mm, address, 1, FOLL_WRITE, pages, 0, owner))).toBe(-EFAULT);
    expect(plain(gup.getUserPages(mm, address, 1, FOLL_WRITE | FOLL_FORCE, pages, 0, owner))).toBe(1);
    expect(pages[0]).toBe(frameAt(mm, address));
  });

  it('a core dump leaves out what neither the mapping nor the file has', () => {
    const { memory, mm, gup, pool } = machine();
    const address = mapped(mm, 1);
    const pages = newGottenPages(1);
    const got = gup.getUserPagesRemote(mm, address, 1, FOLL_DUMP, pages, 0, memory.ledger.owner('dump'));
    expect(plain(got)).toBe(-EFAULT);
    expect(pool.pagesFree).toBe(8);
  });

  it('moves a page out of ZONE_MOVABLE for a long-term pin, and the pool keeps its size (L-07)', () => {
    const { memory, mm, frames, pool } = machine(8, { ramBytes: 128 * MIB, movableBytes: 64 * MIB });
    const address = mapped(mm, 1);
    write(mm, address, 7);
    const before = frameAt(mm, address);
    expect(memory.zoneOf(before)?.name).toBe('Movable');
    pinned(mm, address, 1);
    const after = frameAt(mm, address);
    expect(memory.zoneOf(after)?.name).not.toBe('Movable');
    expect([read(mm, address), frames.pincount[after], frames.flags[after] & PG_hugetlb]).toEqual([7, 1, PG_hugetlb]);
    plain(mm.exit());
    expect(pool.pagesFree).toBe(7); // The pinned one is still in use; its old frames went to the page allocator.
    assertMemorySane(memory);
  });

  it('a fault inside a long-term pin takes a page where the pin may stay (L-07)', () => {
    const { memory, mm } = machine(8, { ramBytes: 128 * MIB, movableBytes: 12 * MIB });
    const address = mapped(mm, 1);
    pinned(mm, address, 1);
    expect(memory.zoneOf(frameAt(mm, address))?.name).not.toBe('Movable');
    // A pool that lies in ZONE_MOVABLE as a whole has none: SIGBUS, which GUP tells as EFAULT.
    const other = machine(8, { ramBytes: 128 * MIB, movableBytes: 64 * MIB });
    const owner = other.memory.ledger.owner('nic');
    const pins = newPinnedPages(1);
    const flags = FOLL_WRITE | FOLL_LONGTERM;
    expect(plain(other.gup.pinUserPages(other.mm, mapped(other.mm, 1), 1, flags, pins, 0, owner))).toBe(-EFAULT);
  });
});

describe('huge pages and the rest of memory', () => {
  it('stay protected by userfaultfd while they are missing, and show no trace of it', () => {
    const { mm } = machine();
    const address = mapped(mm, 1);
    expect(uffdRegisterWp(mm, address, address + HUGE)).toBe(0);
    expect(uffdWriteprotect(mm, address, address + PAGE_SIZE, true)).toBe(-EINVAL);
    expect(uffdWriteprotect(mm, address, address + HUGE, true)).toBe(0);
    expect(frameAt(mm, address)).toBe(0);
    write(mm, address, 1);
    expect(mm.faults).toBe(2); // The first maps the page, still protected; the second ends the protection.
  });

  it('make way for a contiguous allocation: free ones are exchanged, used ones moved', () => {
    const { memory, mm, pool, world } = machine(4, { ramBytes: 128 * MIB });
    const address = mapped(mm, 2);
    write(mm, address, 5);
    const start = frameAt(mm, address) & -1024;
    expect(evacuate(memory, start, start + 1024)).toBe(0);
    expect(frameAt(mm, address)).not.toBe(start);
    expect([read(mm, address), pool.pagesFree]).toEqual([5, 3]);
    takeBack(memory, start, start + 1024);
    assertMemorySane(memory);
    expect(world.findings.all).toEqual([]);
  });

  it('of 1 GiB come from untouched memory, are one folio, one mapping, one copy at fork', () => {
    const { memory, mm, frames, gup } = setUp({
      ramBytes: 4 * GIB,
      hugetlb: { [HUGETLB_1G_ORDER]: 2 },
      ledger: 'counts',
    });
    const pool = poolOf(memory, HUGETLB_1G_ORDER);
    const address = plain(mm.mmap(GIB, RW, PRIVATE | MAP_HUGE_1GB));
    expect(address % GIB).toBe(0);
    write(mm, address + 700 * MIB, 1);
    const head = frameAt(mm, address);
    expect(head % (1 << 18)).toBe(0);
    expect(frames.headOf(frameAt(mm, address + 700 * MIB))).toBe(head);
    expect([frames.refcount[head], frames.entireMapcount[head], frames.largeMapcount[head]]).toEqual([1, 1, 1]);
    const pins = pinned(mm, address + HUGE - PAGE_SIZE, 2);
    expect(pins[1] & 0x3fffffff).toBe(head + 512);
    expect([frames.refcount[head], frames.pincount[head]]).toEqual([3, 2]);
    const gotten = newGottenPages(1);
    expect(gup.getUserPagesFastOnly(mm, address + 3 * HUGE, 1, FOLL_WRITE, gotten, 0, memory.ledger.owner('x'))).toBe(
      1,
    );
    gup.putPages(gotten, 0, 1);
    let places = 0;
    rmapWalk(memory, head, () => ++places > 0);
    expect(places).toBe(1);
    const child = forked(mm);
    expect(frames.headOf(frameAt(child, address))).not.toBe(head);
    expect([read(child, address + 700 * MIB), pool.pagesFree]).toEqual([1, 0]);
    expect(plain(mm.munmap(address, HUGE))).toBe(-EINVAL);
    plain(child.exit());
    plain(mm.munmap(address, GIB));
    expect([frames.refcount[head], frames.largeMapcount[head]]).toEqual([2, 0]);
    gup.unpinUserPages(pins, 0, 2);
    expect([pool.pagesFree, pool.pagesReserved]).toEqual([2, 0]);
    expect(memoryContradictions(memory)).toEqual([]);
  });
});
