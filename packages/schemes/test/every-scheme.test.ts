/** What must hold for any pin-tracking scheme, run for each of them; what a scheme may leave out it declares. */
import {
  FOLL_WRITE,
  MAP_ANONYMOUS,
  MAP_PRIVATE,
  Memory,
  PAGE_SIZE,
  PIN_TAG,
  PROT_READ,
  PROT_WRITE,
  newPinnedPages,
} from '@pincushion/mm';
import { schemes } from '@pincushion/schemes';
import { ENOMEM, World } from '@pincushion/sim';
import type { MaySleep } from '@pincushion/sim';

function machine(name: string) {
  const world = new World({ seed: 1 });
  const memory = new Memory(world, { ramBytes: 32 * 1024 * 1024, scheme: schemes[name], ledger: 'counts' });
  const { scheme, frames } = memory;
  const run = (result: MaySleep): number => (typeof result === 'number' ? result : world.complete(result));
  const one = (pfn: number): Int32Array => new Int32Array([pfn]);
  return { world, memory, scheme, frames, run, one };
}

describe.each(Object.keys(schemes))('the scheme %s', (name) => {
  it('is known by its name', () => {
    expect(machine(name).scheme.name).toBe(name);
  });

  it('takes and gives back pins so that the count of references is what it was', () => {
    const { memory, scheme, frames } = machine(name);
    const pfns = Int32Array.from({ length: 6 }, () => memory.allocFolio(0));
    expect(scheme.acquire(pfns, 1, 4)).toBe(4);
    for (let i = 0; i < 6; i++) {
      if (i >= 1 && i < 5) expect(frames.refcount[pfns[i]]).toBeGreaterThan(1);
      else expect(frames.refcount[pfns[i]]).toBe(1);
    }
    scheme.release(pfns, 1, 4);
    expect(pfns.map((pfn) => frames.refcount[pfn])).toEqual(new Int32Array(6).fill(1));
  });

  it('counts several pins of one page', () => {
    const { memory, scheme, frames, one } = machine(name);
    const pfn = memory.allocFolio(0);
    for (let i = 0; i < 10; i++) expect(scheme.acquire(one(pfn), 0, 1)).toBe(1);
    for (let i = 0; i < 9; i++) scheme.release(one(pfn), 0, 1);
    expect(frames.refcount[pfn]).toBeGreaterThan(1);
    scheme.release(one(pfn), 0, 1);
    expect(frames.refcount[pfn]).toBe(1);
  });

  it('gives back entries that carry the tag of a pinned page', () => {
    const { memory, scheme, frames, one } = machine(name);
    const pfn = memory.allocFolio(0);
    scheme.acquire(one(pfn), 0, 1);
    scheme.release(one(pfn | PIN_TAG), 0, 1);
    expect(frames.refcount[pfn]).toBe(1);
  });

  it('keeps a page alive that nobody else holds, and frees it with the last pin', () => {
    const { memory, scheme, one } = machine(name);
    const pfn = memory.allocFolio(0);
    scheme.acquire(one(pfn), 0, 1);
    scheme.acquire(one(pfn), 0, 1);
    const free = memory.framesFree;
    memory.putFolio(pfn);
    scheme.release(one(pfn), 0, 1);
    expect(memory.framesFree).toBe(free);
    scheme.release(one(pfn), 0, 1);
    expect(memory.framesFree).toBe(free + 1);
  });

  it.each([0, -1, -2_000_000_000])('refuses a page whose count is %p and stops there (R-20)', (count) => {
    const { memory, scheme, frames } = machine(name);
    const pfns = Int32Array.from({ length: 3 }, () => memory.allocFolio(0));
    frames.refcount[pfns[1]] = count;
    expect(scheme.acquire(pfns, 0, 3)).toBe(1);
    expect(frames.refcount[pfns[1]]).toBe(count);
    expect(frames.refcount[pfns[2]]).toBe(1);
  });

  it('takes and gives back pins of a large folio by number of pages, and frees it with the last', () => {
    const { memory, scheme, frames } = machine(name);
    const before = memory.framesFree;
    const head = memory.allocFolio(9);
    expect(scheme.acquireFolio(head, 512)).toBe(0);
    expect(scheme.acquireFolio(head, 3)).toBe(0);
    expect(frames.refcount[head]).toBeGreaterThan(512);
    memory.putFolio(head);
    scheme.releaseFolio(head, 514);
    expect(memory.framesFree).toBe(before - 512);
    scheme.releaseFolio(head, 1);
    expect(memory.framesFree).toBe(before);
  });

  it('refuses a large folio whose count is not positive with -ENOMEM', () => {
    const { memory, scheme, frames } = machine(name);
    const head = memory.allocFolio(4);
    frames.refcount[head] = 0;
    expect(scheme.acquireFolio(head, 1)).toBe(-ENOMEM);
    frames.refcount[head] = -5;
    expect(scheme.acquireFolio(head, 1)).toBe(-ENOMEM);
    expect(frames.refcount[head]).toBe(-5);
  });

  it('reports a release that nobody can owe, and leaves the count alone', () => {
    const { world, memory, scheme, frames } = machine(name);
    const pfn = memory.allocFolio(0);
    frames.refcount[pfn] = 0;
    scheme.release(new Int32Array([pfn]), 0, 1);
    const head = memory.allocFolio(2);
    scheme.releaseFolio(head, 4);
    expect(world.findings.all.map((finding) => finding.code)).toEqual(['PIN_DOUBLE_RELEASE', 'PIN_DOUBLE_RELEASE']);
    expect([frames.refcount[pfn], frames.refcount[head]]).toEqual([0, 1]);
  });

  it('answers the query as its capabilities declare, with no false negative', () => {
    const { memory, scheme, one } = machine(name);
    const small = memory.allocFolio(0);
    const large = memory.allocFolio(3);
    const { query, exactLarge } = scheme.capabilities;
    expect([scheme.isPinned(small), scheme.isPinned(large)]).toEqual(['no', 'no']);
    scheme.acquire(one(small), 0, 1);
    expect(scheme.acquireFolio(large, 2)).toBe(0);
    if (query) {
      expect(scheme.isPinned(small)).not.toBe('no');
      expect(scheme.isPinned(large + 5)).not.toBe('no');
      if (exactLarge) expect(scheme.isPinned(large)).toBe('yes');
    } else {
      expect([scheme.isPinned(small), scheme.isPinned(large)]).toEqual(['no', 'no']);
    }
    scheme.release(one(small), 0, 1);
    scheme.releaseFolio(large, 2);
    expect([scheme.isPinned(small), scheme.isPinned(large)]).toEqual(['no', 'no']);
  });

  it('carries pin_user_pages: the buffer of a process outlives its unmapping and is free after the unpin', () => {
    const { memory, run, world } = machine(name);
    const mm = memory.createMm('program');
    const before = memory.framesFree;
    const address = run(mm.mmap(8 * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS));
    const pages = newPinnedPages(8);
    expect(run(memory.gup.pinUserPages(mm, address, 8, FOLL_WRITE, pages, 0, 0))).toBe(8);
    run(mm.munmap(address, 8 * PAGE_SIZE));
    expect(memory.framesFree).toBe(before - 8);
    memory.gup.unpinUserPages(pages, 0, 8);
    expect(memory.framesFree).toBe(before);
    expect(memory.ledger.counters).toMatchObject({ pinsAcquired: 8, pinsReleased: 8 });
    world.checkAtEnd();
    expect(world.findings.all).toEqual([]);
  });
});

describe('get-put', () => {
  it('does not tell a pin from any other reference: one count for both', () => {
    const { memory, scheme, frames, one } = machine('get-put');
    const pfn = memory.allocFolio(0);
    scheme.acquire(one(pfn), 0, 1);
    expect(frames.refcount[pfn]).toBe(2);
    memory.putFolio(pfn);
    scheme.release(one(pfn), 0, 1);
    expect(frames.refcount[pfn]).toBe(0);
  });
});
