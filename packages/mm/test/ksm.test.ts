import { EAGAIN } from '@pincushion/sim';
import { MADV_PAGEOUT, MADV_UNMERGEABLE } from '../src/process/madvise';
import { folioIsolateLru } from '../src/frames/lru';
import { reclaimFolios } from '../src/reclaim/reclaim';
import {
  FOLL_LONGTERM,
  FOLL_WRITE,
  MADV_DONTNEED,
  MADV_MERGEABLE,
  MAP_ANONYMOUS,
  MAP_SHARED,
  PAGE_SIZE,
  PG_anonExclusive,
  PG_dirty,
  PG_ksm,
  PG_mlocked,
  PG_swapcache,
  PROT_READ,
  PTE_DIRTY,
  PTE_SWAP,
  PTE_WRITE,
  ZERO_PFN,
  frameOf,
  indexOf,
  newGottenPages,
  newPinnedPages,
  regionOf,
  rmapWalk,
} from '../src/index';
import type { Memory, MemoryOptions, Mm } from '../src/index';
import { MIB, RW, anon, assertMemorySane, frameAt, plain, setUp } from './machine-memory';

const machines: Memory[] = [];

function machine(options: Partial<MemoryOptions> = { swapBytes: 16 * MIB }) {
  const made = setUp(options);
  machines.push(made.memory);
  return made;
}

afterEach(() => {
  for (const memory of machines.splice(0)) assertMemorySane(memory);
});

function write(mm: Mm, address: number, value: number): void {
  expect(plain(mm.write(address, Uint8Array.of(value)))).toBe(1);
}

function byteAt(mm: Mm, address: number): number {
  const into = new Uint8Array(1);
  expect(plain(mm.read(address, into))).toBe(1);
  return into[0];
}

/** Mergeable pages that begin with the given bytes, and are zero otherwise. */
function mergeable(mm: Mm, ...values: number[]): number[] {
  const address = anon(mm, values.length);
  expect(plain(mm.madvise(address, values.length * PAGE_SIZE, MADV_MERGEABLE))).toBe(0);
  return values.map((value, i) => {
    write(mm, address + i * PAGE_SIZE, value);
    return address + i * PAGE_SIZE;
  });
}

function pteAt(mm: Mm, address: number): number {
  return mm.pageTable.flagsAt(regionOf(address), indexOf(address));
}

function child(mm: Mm): Mm {
  const made = mm.fork('child');
  if (typeof made === 'number') throw new Error(`fork failed with ${made}`);
  return made;
}

function pin(mm: Mm, address: number, flags: number) {
  const { gup, ledger } = mm.memory;
  const pins = newPinnedPages(1);
  expect(plain(gup.pinUserPagesFast(mm, address, 1, flags, pins, 0, ledger.owner('nic')))).toBe(1);
  const unpin = (): void => {
    gup.unpinUserPages(pins, 0, 1);
  };
  return { pfn: frameOf(pins[0]), unpin };
}

/** How many entries the reverse map of a folio finds. */
function found(memory: Memory, head: number): number {
  let places = 0;
  rmapWalk(memory, head, () => ++places > 0);
  return places;
}

describe('merging', () => {
  it('makes pages of equal content one, read-only for all, and frees the others', () => {
    const { mm, memory, frames } = machine();
    const stranger = memory.createMm('stranger');
    const [a, b, other] = mergeable(mm, 7, 7, 8);
    const [c] = mergeable(stranger, 7);
    const free = memory.framesFree;
    memory.ksm.scan(3);
    const merged = frameAt(mm, a);
    expect([frameAt(mm, b), frameAt(stranger, c)]).toEqual([merged, merged]);
    expect([frames.refcount[merged], frames.mapcount[merged], memory.framesFree]).toEqual([3, 3, free + 2]);
    expect(frames.flags[merged] & (PG_ksm | PG_dirty | PG_anonExclusive)).toBe(PG_ksm | PG_dirty);
    for (const at of [a, b]) expect(pteAt(mm, at) & (PTE_WRITE | PTE_DIRTY)).toBe(0);
    expect(frameAt(mm, other)).not.toBe(merged);
    expect([byteAt(mm, a), byteAt(mm, b), byteAt(stranger, c), byteAt(mm, other)]).toEqual([7, 7, 7, 8]);
    expect(found(memory, merged)).toBe(3);
  });

  it('takes a page that did not change from one pass to the next, into the unstable tree or a merged page (6.11)', () => {
    const { mm, memory } = machine();
    const [a, b] = mergeable(mm, 7, 7);
    memory.ksm.scan(1);
    expect(frameAt(mm, a)).not.toBe(frameAt(mm, b));
    write(mm, a, 6);
    memory.ksm.scan(1);
    write(mm, a, 7);
    memory.ksm.scan(1);
    expect(frameAt(mm, a)).not.toBe(frameAt(mm, b));
    memory.ksm.scan(1);
    expect(frameAt(mm, a)).toBe(frameAt(mm, b));
    const [c] = mergeable(mm, 7);
    memory.ksm.scan(1);
    expect(frameAt(mm, c)).not.toBe(frameAt(mm, a));
    memory.ksm.scan(1);
    expect(frameAt(mm, c)).toBe(frameAt(mm, a));
  });

  it('forgets what was at an address that is empty at the next pass', () => {
    const { mm, memory } = machine();
    const [a, b] = mergeable(mm, 7, 7);
    memory.ksm.scan(1);
    plain(mm.madvise(b, PAGE_SIZE, MADV_DONTNEED));
    memory.ksm.scan(1);
    write(mm, b, 7);
    memory.ksm.scan(1);
    expect(frameAt(mm, b)).not.toBe(frameAt(mm, a));
    memory.ksm.scan(1);
    expect(frameAt(mm, b)).toBe(frameAt(mm, a));
  });

  it('treats pages full of zeros like others, and leaves the zero page alone', () => {
    const { mm, memory } = machine();
    const [a, b] = mergeable(mm, 0, 0);
    const empty = anon(mm, 1);
    plain(mm.madvise(empty, PAGE_SIZE, MADV_MERGEABLE));
    byteAt(mm, empty);
    expect(frameAt(mm, empty)).toBe(ZERO_PFN);
    memory.ksm.scan(3);
    expect(frameAt(mm, a)).toBe(frameAt(mm, b));
    expect(frameAt(mm, a)).not.toBe(ZERO_PFN);
    expect(frameAt(mm, empty)).toBe(ZERO_PFN);
  });

  it('looks at anonymous memory that was marked, and at nothing else', () => {
    const { mm, memory } = machine();
    const plainAddress = anon(mm, 2);
    for (let i = 0; i < 2; i++) write(mm, plainAddress + i * PAGE_SIZE, 7);
    const shared = plain(mm.mmap(2 * PAGE_SIZE, RW, MAP_SHARED | MAP_ANONYMOUS));
    expect(plain(mm.madvise(shared, 2 * PAGE_SIZE, MADV_MERGEABLE))).toBe(0);
    for (let i = 0; i < 2; i++) write(mm, shared + i * PAGE_SIZE, 7);
    memory.ksm.scan(3);
    for (const at of [plainAddress, shared]) expect(frameAt(mm, at)).not.toBe(frameAt(mm, at + PAGE_SIZE));
  });

  it('takes pages that fork shares and finds all who map them afterwards', () => {
    const { mm, memory, frames } = machine();
    const address = anon(mm, 1);
    write(mm, address, 7);
    const other = child(mm);
    plain(other.madvise(address, PAGE_SIZE, MADV_MERGEABLE));
    mergeable(other, 7);
    memory.ksm.scan(3);
    const merged = frameAt(mm, address);
    expect([frames.flags[merged] & PG_ksm, frameAt(other, address)]).toEqual([PG_ksm, merged]);
    expect(found(memory, merged)).toBe(3);
  });

  it('keeps a locked page locked, and counts each area that locks the merged one', () => {
    const { mm, memory, frames } = machine();
    const [a, b] = mergeable(mm, 7, 7);
    plain(mm.mlock(a, 2 * PAGE_SIZE));
    memory.ksm.scan(3);
    const merged = frameAt(mm, a);
    expect([frameAt(mm, b), frames.flags[merged] & PG_mlocked]).toEqual([merged, PG_mlocked]);
    plain(mm.munlock(a, PAGE_SIZE));
    expect(frames.flags[merged] & PG_mlocked).toBe(PG_mlocked);
    plain(mm.munlock(b, PAGE_SIZE));
    expect(frames.flags[merged] & PG_mlocked).toBe(0);
  });

  it('takes the swap slot of a page that it replaces', () => {
    const { mm, memory, gup, owner } = machine();
    const [a, b] = mergeable(mm, 7, 7);
    const gets = newGottenPages(1);
    plain(gup.getUserPagesFast(mm, a, 1, 0, gets, 0, owner));
    plain(mm.madvise(a, PAGE_SIZE, MADV_PAGEOUT)); // It stays in the swap cache, and comes back from there.
    gup.putPages(gets, 0, 1);
    byteAt(mm, a);
    expect(memory.swap.cache.size).toBe(1);
    memory.ksm.scan(4);
    expect(frameAt(mm, a)).toBe(frameAt(mm, b));
    expect([memory.swap.cache.size, memory.swap.slotsFree]).toEqual([0, memory.swap.slots]);
  });
});

describe('pages that others refer to', () => {
  it('are not merged while they are pinned; who met them first gets a copy of its own (break_cow)', () => {
    const { mm, memory, frames } = machine();
    const [a, b] = mergeable(mm, 7, 7);
    const { pfn, unpin } = pin(mm, a, FOLL_WRITE | FOLL_LONGTERM);
    const before = frameAt(mm, b);
    memory.ksm.scan(2);
    expect([frameAt(mm, a), pteAt(mm, a) & PTE_WRITE, frames.flags[pfn] & PG_anonExclusive]).toEqual([
      pfn,
      PTE_WRITE,
      PG_anonExclusive,
    ]);
    const now = frameAt(mm, b);
    expect([now === before, frames.flags[now] & (PG_ksm | PG_anonExclusive)]).toEqual([false, PG_anonExclusive]);
    memory.bytes.write(pfn, 0, Uint8Array.of(9), 0, 1); // The device writes on.
    expect([byteAt(mm, a), byteAt(mm, b)]).toEqual([9, 7]);
    memory.bytes.write(pfn, 0, Uint8Array.of(7), 0, 1);
    unpin();
    memory.ksm.scan(3);
    expect(frameAt(mm, a)).toBe(frameAt(mm, b));
  });

  it('are not merged while they are held, when they would be the merged page', () => {
    const { mm, memory, gup, owner } = machine();
    const [a, b] = mergeable(mm, 7, 7);
    const gets = newGottenPages(1);
    plain(gup.getUserPagesFast(mm, b, 1, FOLL_WRITE, gets, 0, owner));
    memory.ksm.scan(3);
    expect([frameAt(mm, b), pteAt(mm, b) & PTE_WRITE]).toEqual([gets[0], PTE_WRITE]);
    expect(frameAt(mm, a)).not.toBe(gets[0]);
    gup.putPages(gets, 0, 1);
  });

  it('are not merged into a page that is merged already', () => {
    const { mm, memory } = machine();
    const [a, b, c] = mergeable(mm, 7, 7, 3);
    memory.ksm.scan(3);
    write(mm, c, 7);
    const { pfn, unpin } = pin(mm, c, FOLL_WRITE);
    memory.ksm.scan(3);
    expect([frameAt(mm, c), frameAt(mm, a)]).toEqual([pfn, frameAt(mm, b)]);
    unpin();
    memory.ksm.scan(3);
    expect(frameAt(mm, c)).toBe(frameAt(mm, a));
  });
});

describe('a merged page', () => {
  function merged(options?: Partial<MemoryOptions>) {
    const made = machine(options);
    const [a, b] = mergeable(made.mm, 7, 7);
    made.memory.ksm.scan(3);
    const head = frameAt(made.mm, a);
    expect(frameAt(made.mm, b)).toBe(head);
    return { ...made, a, b, head };
  }

  it('is copied for each writer, also for the last who maps it', () => {
    const { mm, frames, a, b, head } = merged();
    write(mm, a, 1);
    expect([frameAt(mm, a) === head, frameAt(mm, b), frames.mapcount[head]]).toEqual([false, head, 1]);
    write(mm, b, 2);
    expect([frameAt(mm, b) === head, frames.refcount[head]]).toEqual([false, 0]);
    expect([byteAt(mm, a), byteAt(mm, b)]).toEqual([1, 2]);
  });

  it.each([FOLL_WRITE, FOLL_LONGTERM, 0])(
    'is never pinned itself: the pin (%i) gets a page of its own (X-03)',
    (flags) => {
      const { mm, frames, a, b, head } = merged();
      const { pfn, unpin } = pin(mm, a, flags);
      expect([pfn === head, frameAt(mm, a), frameAt(mm, b)]).toEqual([false, pfn, head]);
      expect(frames.flags[pfn] & (PG_anonExclusive | PG_ksm)).toBe(PG_anonExclusive);
      unpin();
    },
  );

  it('is mapped by a child after fork, and found there', () => {
    const { mm, memory, frames, a, b, head } = merged();
    const other = child(mm);
    expect([frameAt(other, a), frameAt(other, b), frames.mapcount[head]]).toEqual([head, head, 4]);
    expect(found(memory, head)).toBe(4);
    write(other, a, 1);
    memory.ksm.scan(2);
    write(other, a, 7);
    memory.ksm.scan(3);
    expect([frameAt(other, a), found(memory, head)]).toEqual([head, 4]); // merged for the second time: each place is found once
    plain(mm.exit());
    expect([frames.mapcount[head], byteAt(other, b)]).toEqual([2, 7]);
    plain(other.exit());
    expect(frames.refcount[head]).toBe(0);
  });

  it('is given up by MADV_UNMERGEABLE: a copy for everybody, read-only until written', () => {
    const { mm, memory, frames, a, b, head } = merged();
    expect(plain(mm.madvise(a, PAGE_SIZE, MADV_UNMERGEABLE))).toBe(0);
    const own = frameAt(mm, a);
    expect([own === head, frames.flags[own] & (PG_anonExclusive | PG_ksm), pteAt(mm, a) & PTE_WRITE]).toEqual([
      false,
      PG_anonExclusive,
      0,
    ]);
    expect([byteAt(mm, a), frameAt(mm, b)]).toEqual([7, head]);
    memory.ksm.scan(3);
    expect(frameAt(mm, a)).toBe(own);
    plain(mm.madvise(b, PAGE_SIZE, MADV_UNMERGEABLE));
    expect(frames.refcount[head]).toBe(0);
  });

  it('stays merged when there is no memory to give it up', () => {
    const { mm, memory, a, b, head, frames } = merged({ minFreeBytes: 0 }); // else reclaim would put it into swap
    const taken: number[] = [];
    for (let pfn = memory.allocFolio(0, 1); pfn > 0; pfn = memory.allocFolio(0, 1)) taken.push(pfn);
    expect(plain(mm.madvise(a, 2 * PAGE_SIZE, MADV_UNMERGEABLE))).toBe(-EAGAIN); // as madvise tells it
    expect([frameAt(mm, a), frameAt(mm, b)]).toEqual([head, head]);
    for (const pfn of taken) frames.put(pfn, 1);
  });

  it('is taken apart where it is moved to another address (prep_move_vma)', () => {
    const { mm, memory, frames, a, b, head } = merged();
    const far = anon(mm, 16);
    plain(mm.munmap(far, 16 * PAGE_SIZE));
    expect(plain(mm.mremap(a, PAGE_SIZE, far))).toBe(far);
    expect([frameAt(mm, far) === head, frames.flags[frameAt(mm, far)] & PG_ksm]).toEqual([false, 0]);
    expect([byteAt(mm, far), frameAt(mm, b), found(memory, head)]).toEqual([7, head, 1]);
  });

  it('goes to swap once for all, and comes back shared', () => {
    const { mm, memory, vmstat, a, b, head } = merged();
    expect(folioIsolateLru(memory, head)).toBe(true);
    expect(plain(reclaimFolios(memory, [head]))).toBe(1);
    expect([pteAt(mm, a) & PTE_SWAP, pteAt(mm, b) & PTE_SWAP, vmstat.pswpout]).toEqual([PTE_SWAP, PTE_SWAP, 1]);
    expect(memory.swap.users(frameAt(mm, a))).toBe(2);
    assertMemorySane(memory);
    expect([byteAt(mm, a), byteAt(mm, b)]).toEqual([7, 7]);
    memory.ksm.scan(4);
    expect(frameAt(mm, a)).toBe(frameAt(mm, b));
  });

  it('is forgotten with its last mapping; its frame may become anything', () => {
    const { mm, memory, a, head, frames } = merged();
    plain(mm.munmap(a, 2 * PAGE_SIZE));
    expect(frames.refcount[head]).toBe(0);
    const [c, d] = mergeable(mm, 7, 7);
    expect([frameAt(mm, c), frameAt(mm, d)]).toContain(head);
    expect(frames.flags[head] & PG_ksm).toBe(0);
    memory.ksm.scan(3);
    expect([frameAt(mm, c), frames.flags[frameAt(mm, c)] & PG_ksm]).toEqual([frameAt(mm, d), PG_ksm]);
  });

  it('becomes read-only for areas whose rights change, and readable again', () => {
    const { mm, a, head } = merged();
    plain(mm.mprotect(a, PAGE_SIZE, PROT_READ));
    plain(mm.mprotect(a, PAGE_SIZE, RW));
    expect([frameAt(mm, a), pteAt(mm, a) & PTE_WRITE]).toEqual([head, 0]);
    write(mm, a, 3);
    expect(frameAt(mm, a)).not.toBe(head);
  });
});

it('what an exited process had is forgotten', () => {
  const { mm, memory } = machine();
  const stranger = memory.createMm('stranger');
  mergeable(stranger, 7);
  memory.ksm.scan(2);
  plain(stranger.exit());
  const [a] = mergeable(mm, 7);
  memory.ksm.scan(3);
  expect(byteAt(mm, a)).toBe(7);
});

it('a page merged by KSM stays outside of a machine without swap', () => {
  const { mm, memory, frames } = machine({});
  const [a, b] = mergeable(mm, 7, 7);
  memory.ksm.scan(3);
  const head = frameAt(mm, a);
  folioIsolateLru(memory, head);
  expect(plain(reclaimFolios(memory, [head]))).toBe(0);
  expect([frameAt(mm, b), frames.flags[head] & PG_swapcache]).toEqual([head, 0]);
});
