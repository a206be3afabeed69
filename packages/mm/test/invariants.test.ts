import { FOLL_WRITE, PG_anonExclusive, PTE_PRESENT, newPinnedPages } from '../src/index';
import { anon, assertMemorySane, frameAt, plain, setUp, touched } from './machine-memory';

describe('the sanity check', () => {
  it('finds a mapcount that the page tables do not explain', () => {
    const { mm, memory, frames } = setUp();
    frames.mapcount[frameAt(mm, touched(mm, 1))]++;
    expect(() => {
      assertMemorySane(memory);
    }).toThrow(/MEMORY_INVALID.*mapcount 2, and 1/);
  });

  it('finds references that nobody has', () => {
    const { mm, memory, frames, gup, owner } = setUp();
    const address = touched(mm, 1);
    plain(gup.pinUserPagesFast(mm, address, 1, FOLL_WRITE, newPinnedPages(1), 0, owner));
    assertMemorySane(memory);
    frames.refcount[frameAt(mm, address)]++;
    expect(() => {
      assertMemorySane(memory);
    }).toThrow(/1 mappings, 0 of caches, 1 pins and 0 gets explain 1025/);
  });

  it('finds a writable page that is not exclusive (X-01)', () => {
    const { mm, memory, frames } = setUp();
    frames.flags[frameAt(mm, touched(mm, 1))] &= ~PG_anonExclusive;
    expect(() => {
      assertMemorySane(memory);
    }).toThrow(/not exclusive/);
  });

  it('finds a page that is mapped and free, and one outside of any area', () => {
    const { mm, memory } = setUp();
    const address = anon(mm, 2);
    const table = mm.pageTable.ensureTable(Math.floor(address / 0x200000));
    const index = (address % 0x200000) / 4096;
    mm.pageTable.set(table, index, 5000, PTE_PRESENT);
    expect(() => {
      assertMemorySane(memory);
    }).toThrow(/mapped and free/);
    mm.pageTable.clear(table, index);
    mm.pageTable.set(table, index - 1, 5000, PTE_PRESENT);
    expect(() => {
      assertMemorySane(memory);
    }).toThrow(/outside of any area/);
  });

  it('finds a free list that lost a block', () => {
    const { memory } = setUp();
    memory.allocFolio(0);
    const buddy = memory.zones[0].buddy;
    if (buddy === null) throw new Error('no allocator');
    buddy.lists[4] = 0;
    expect(() => {
      assertMemorySane(memory);
    }).toThrow(/frames are free and/);
  });
});
