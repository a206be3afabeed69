import {
  FOLL_WRITE,
  MADV_PAGEOUT,
  MAP_SHARED,
  PAGE_SIZE,
  PG_anonExclusive,
  PG_dirty,
  PG_ksm,
  PG_lru,
  PTE_MIGRATION,
  PTE_PKEY_SHIFT,
  PTE_PRESENT,
  PTE_PROTNONE,
  PTE_SPECIAL,
  PTE_WRITE,
  VM_EXEC,
  VM_READ,
  VM_WRITE,
  Vma,
  memoryContradictions,
  newPinnedPages,
  newShmemFile,
} from '../src/index';
import { swapDuplicate } from '../src/reclaim/swap';
import { MIB, RW, anon, assertMemorySane, frameAt, plain, setUp, touched } from './machine-memory';

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

  /** A process with private pages and a shared file, on a memory with swap and huge pages. */
  function machine() {
    const kit = setUp({ swapBytes: 4 * MIB, hugetlb: { 9: 2 } });
    const address = touched(kit.mm, 4);
    const file = newShmemFile(kit.memory, 'f', 4 * PAGE_SIZE);
    const mapped = plain(kit.mm.mmap(4 * PAGE_SIZE, RW, MAP_SHARED, 0, file.backing));
    plain(kit.mm.write(mapped, Uint8Array.of(1)));
    assertMemorySane(kit.memory);
    return { ...kit, address, file, mapped, pfn: frameAt(kit.mm, address) };
  }
  type Kit = ReturnType<typeof machine>;

  const entry = ({ mm, address }: Kit) => {
    const region = Math.floor(address / (2 * MIB));
    return { region, index: Math.floor((address % (2 * MIB)) / PAGE_SIZE), table: mm.pageTable.tableOf(region) };
  };
  const setEntry = (kit: Kit, pfn: number, bits: number): void => {
    const { table, index } = entry(kit);
    kit.mm.pageTable.set(table, index, pfn, bits);
  };
  const bitsOf = (kit: Kit): number => {
    const { region, index } = entry(kit);
    return kit.mm.pageTable.flagsAt(region, index);
  };
  const areaOf = ({ mm, address }: Kit): Vma => {
    const vma = mm.vmas.lookup(address);
    if (vma === null) throw new Error('no area');
    return vma;
  };
  const pageOut = ({ mm, address }: Kit): number => plain(mm.madvise(address, PAGE_SIZE, MADV_PAGEOUT));

  it.each<[string, (kit: Kit) => void, RegExp]>([
    [
      'an area that its reverse map forgot',
      (kit) => void areaOf(kit).anonVma?.vmas.delete(areaOf(kit)),
      /not in its own reverse map/,
    ],
    [
      'an area that its file forgot',
      ({ file }) => {
        file.mapping.vmas.clear();
      },
      /which does not know it/,
    ],
    [
      'an area of a file that is gone',
      ({ file }) => void file.mapping.vmas.add(new Vma(4096, 8192, 0, null, 0)),
      /by an area that is gone/,
    ],
    [
      'a writable entry in a read-only area',
      (kit) => void (areaOf(kit).flags &= ~VM_WRITE),
      /is writable and its area is not/,
    ],
    [
      'an entry that allows what its area does not',
      (kit) => void (areaOf(kit).flags &= ~(VM_READ | VM_WRITE | VM_EXEC)),
      /its area allows no access/,
    ],
    [
      'a closed entry in an open area',
      (kit) => {
        setEntry(kit, kit.pfn, bitsOf(kit) | PTE_PROTNONE);
      },
      /closed and its area allows access/,
    ],
    [
      'an entry with another protection key than its area',
      (kit) => {
        setEntry(kit, kit.pfn, bitsOf(kit) | (5 << PTE_PKEY_SHIFT));
      },
      /has protection key 5 and its area 0 \(V-09\)/,
    ],
    [
      'a write to the zero page',
      (kit) => {
        setEntry(kit, 1, PTE_PRESENT | PTE_SPECIAL | PTE_WRITE);
      },
      /may write to the zero page/,
    ],
    [
      'an entry that waits for nobody',
      (kit) => {
        setEntry(kit, kit.pfn, PTE_MIGRATION);
      },
      /waits for a page that nobody is moving/,
    ],
    [
      'a reverse map that leads elsewhere',
      ({ frames, pfn }) => void (frames.index[pfn] += 1),
      /its reverse map finds 0/,
    ],
    [
      'an anonymous page on no list',
      ({ frames, pfn }) => void (frames.flags[pfn] &= ~PG_lru),
      /mapped, and on no list/,
    ],
    [
      'a merged page that is not anonymous',
      ({ frames, mm, mapped }) => void (frames.flags[frameAt(mm, mapped)] |= PG_ksm),
      /merged by KSM and not anonymous/,
    ],
    [
      "a page cache with somebody else's frame",
      ({ file, pfn }) => void file.mapping.pages.set(3, pfn),
      /as page 3, and the frame is somebody else's/,
    ],
    [
      'a page that is cached and in swap',
      ({ file }) => void file.mapping.swapped.set(0, 1),
      /in the cache and in swap/,
    ],
    [
      'a frame that was lost',
      ({ memory, frames }) => void (frames.refcount[memory.allocFolio(0)] = 0),
      /is lost: nobody has it/,
    ],
    [
      'a free frame with references',
      ({ memory, frames }) => {
        const block = memory.allocFolio(3);
        memory.putFolio(block);
        frames.refcount[block + 1] = 1;
      },
      /is free and has 1 references/,
    ],
    [
      'swap slots with too many users',
      (kit) =>
        void (pageOut(kit), swapDuplicate(kit.memory, kit.mm.pageTable.frameAt(entry(kit).region, entry(kit).index))),
      /has 2 users, and 1 entries/,
    ],
    [
      'promises a pool cannot keep',
      ({ memory }) => void ((memory.hugetlb.get(9) as { pagesReserved: number }).pagesReserved = 3),
      /has 2 free and promised 3/,
    ],
    ['locked_vm that no area explains', ({ mm }) => void (mm.lockedVm += 1), /accounts 1 locked pages/],
  ])('finds %s', (_what, plant, message) => {
    const kit = machine();
    plant(kit);
    expect(memoryContradictions(kit.memory).join('\n')).toMatch(message);
  });

  it('finds a page of a shared file that may be written to although it is clean (W-01)', () => {
    const kit = machine();
    const vma = kit.mm.vmas.lookup(kit.mapped);
    if (vma === null) throw new Error('no area');
    Object.defineProperty(vma, 'needsDirtyTracking', { value: true });
    kit.frames.flags[frameAt(kit.mm, kit.mapped)] &= ~PG_dirty;
    expect(memoryContradictions(kit.memory).join('\n')).toMatch(/its file believes to be clean \(W-01\)/);
  });
});
