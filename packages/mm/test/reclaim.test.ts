import { EINVAL } from '@pincushion/sim';
import { AddressSpace } from '../src/page-cache/address-space';
import { linux54, linux61 } from '../src/kernel-profile';
import { MADV_COLD, MADV_FREE, MADV_PAGEOUT } from '../src/process/madvise';
import {
  FOLL_LONGTERM,
  FOLL_WRITE,
  MADV_HUGEPAGE,
  MAP_ANONYMOUS,
  MAP_SHARED,
  PAGE_SIZE,
  PG_anonExclusive,
  PG_dirty,
  PG_lru,
  PG_private,
  PG_swapbacked,
  PG_swapcache,
  PTE_DIRTY,
  PTE_PRESENT,
  PTE_SWAP,
  PTE_WRITE,
  ZERO_PFN,
  indexOf,
  newGottenPages,
  newPinnedPages,
  regionOf,
} from '../src/index';
import type { Memory, Mm } from '../src/index';
import { addNewFolio } from '../src/page-cache/page-cache';
import { newShmemFile } from '../src/page-cache/shmem';
import { MIB, RW, anon, assertMemorySane, frameAt, plain, setUp, touched } from './machine-memory';

function machine() {
  return setUp({ swapBytes: 16 * MIB });
}

function pteAt(mm: Mm, address: number): number {
  return mm.pageTable.flagsAt(regionOf(address), indexOf(address));
}

function advise(mm: Mm, address: number, pages: number, advice: number): void {
  expect(plain(mm.madvise(address, pages * PAGE_SIZE, advice))).toBe(0);
}

function byteAt(mm: Mm, address: number): number {
  const into = new Uint8Array(1);
  expect(plain(mm.read(address, into))).toBe(1);
  return into[0];
}

/** `n` plain references of one page, as pipes have them; the result gives them back. */
function held(memory: Memory, mm: Mm, address: number, n = 1): () => void {
  const gets = newGottenPages(n);
  const owner = memory.ledger.owner('pipe');
  for (let i = 0; i < n; i++) expect(plain(memory.gup.getUserPagesFast(mm, address, 1, 0, gets, i, owner))).toBe(1);
  return () => {
    memory.gup.putPages(gets, 0, n);
  };
}

function pinned(memory: Memory, mm: Mm, address: number): () => void {
  const pins = newPinnedPages(1);
  const owner = memory.ledger.owner('nic');
  expect(plain(memory.gup.pinUserPagesFast(mm, address, 1, FOLL_WRITE | FOLL_LONGTERM, pins, 0, owner))).toBe(1);
  return () => {
    memory.gup.unpinUserPages(pins, 0, 1);
  };
}

function child(mm: Mm): Mm {
  const made = mm.fork('child');
  if (typeof made === 'number') throw new Error(`fork failed with ${made}`);
  return made;
}

/** A file whose clean pages have buffers, which it is asked to release. */
function cachedFile(options: Parameters<typeof setUp>[0] = {}) {
  const made = setUp({ swapBytes: 16 * MIB, ...options });
  const { memory } = made;
  const released: number[] = [];
  const mapping = new AddressSpace(
    memory,
    'file',
    { size: 2 * PAGE_SIZE },
    {
      readFolio: () => 0,
      releaseFolio: (_mapping, head) => {
        released.push(head);
        memory.frames.flags[head] &= ~PG_private;
        memory.frames.put(head, 1);
        return true;
      },
    },
    true,
  );
  const heads = [0, 1].map((index) => {
    const head = addNewFolio(mapping, index, 1);
    memory.frames.flags[head] |= PG_private;
    memory.frames.get(head, 1);
    return head;
  });
  const backing = { name: 'file', mapping, mapsAround: false, fault: (_vma: unknown, index: number) => heads[index] };
  const address = plain(made.mm.mmap(2 * PAGE_SIZE, RW, MAP_SHARED, 0, backing));
  for (let i = 0; i < 2; i++) plain(made.mm.fault(address + i * PAGE_SIZE, false));
  return { ...made, mapping, heads, released, address };
}

describe('MADV_PAGEOUT of anonymous memory', () => {
  it('passes a pinned page by before it touches its mapping (fact 20, section 14)', () => {
    const { mm, memory, frames } = machine();
    const address = touched(mm, 2);
    const pfn = frameAt(mm, address);
    const unpin = pinned(memory, mm, address);
    advise(mm, address, 2, MADV_PAGEOUT);
    expect(frameAt(mm, address)).toBe(pfn);
    expect(frames.flags[pfn] & (PG_swapcache | PG_anonExclusive | PG_lru)).toBe(PG_anonExclusive | PG_lru);
    expect(pteAt(mm, address + PAGE_SIZE) & PTE_SWAP).toBe(PTE_SWAP);
    assertMemorySane(memory);
    unpin();
    advise(mm, address, 1, MADV_PAGEOUT);
    expect(pteAt(mm, address) & PTE_SWAP).toBe(PTE_SWAP);
  });

  it('unmaps a page with plain references, which comes back as the same frame, coherent (fact 20)', () => {
    const { mm, memory, frames } = machine();
    const address = touched(mm, 1);
    const pfn = frameAt(mm, address);
    const letGo = held(memory, mm, address);
    advise(mm, address, 1, MADV_PAGEOUT);
    expect(pteAt(mm, address) & PTE_SWAP).toBe(PTE_SWAP);
    expect(frames.flags[pfn] & (PG_swapcache | PG_dirty | PG_anonExclusive)).toBe(PG_swapcache | PG_dirty);
    plain(mm.write(address, Uint8Array.of(8)));
    expect(frameAt(mm, address)).toBe(pfn);
    expect(frames.flags[pfn] & PG_anonExclusive).not.toBe(0);
    assertMemorySane(memory);
    letGo();
  });

  it.each([
    [1020, PTE_SWAP, PG_swapcache],
    [1021, PTE_PRESENT, PG_swapcache], // with the reference of the swap cache it looks pinned, and stays mapped
    [1022, PTE_PRESENT, 0],
  ])(
    'counts its own references when it asks whether %i others could be pins (fact 2, P-01)',
    (references, pte, cached) => {
      const { mm, memory, frames } = machine();
      const address = touched(mm, 1);
      const pfn = frameAt(mm, address);
      const letGo = held(memory, mm, address, references);
      advise(mm, address, 1, MADV_PAGEOUT);
      expect(pteAt(mm, address) & (PTE_PRESENT | PTE_SWAP)).toBe(pte);
      expect(frames.flags[pfn] & PG_swapcache).toBe(cached);
      assertMemorySane(memory);
      letGo();
    },
  );

  it('leaves pages alone that another process maps, too (fact 21)', () => {
    const { mm, memory } = machine();
    const address = touched(mm, 1);
    const pfn = frameAt(mm, address);
    const other = child(mm);
    advise(mm, address, 1, MADV_PAGEOUT);
    expect(frameAt(mm, address)).toBe(pfn);
    plain(other.exit());
    advise(mm, address, 1, MADV_PAGEOUT);
    expect(pteAt(mm, address) & PTE_SWAP).toBe(PTE_SWAP);
    assertMemorySane(memory);
  });

  it('writes a page again only if it is dirty', () => {
    const { mm, memory, vmstat } = machine();
    const address = touched(mm, 1);
    advise(mm, address, 1, MADV_PAGEOUT);
    const other = child(mm);
    expect(byteAt(mm, address)).toBe(1);
    advise(mm, address, 1, MADV_PAGEOUT);
    expect(vmstat.pswpout).toBe(1);
    expect(byteAt(other, address)).toBe(1);
    assertMemorySane(memory);
  });

  it('is refused for locked memory, like MADV_COLD', () => {
    const { mm } = machine();
    const address = touched(mm, 1);
    plain(mm.mlock(address, PAGE_SIZE));
    expect(plain(mm.madvise(address, PAGE_SIZE, MADV_PAGEOUT))).toBe(-EINVAL);
    expect(plain(mm.madvise(address, PAGE_SIZE, MADV_COLD))).toBe(-EINVAL);
  });
});

describe('huge folios', () => {
  function huge() {
    const made = machine();
    const raw = anon(made.mm, 1024);
    const address = Math.ceil(raw / (2 * MIB)) * 2 * MIB;
    plain(made.mm.madvise(address, 2 * MIB, MADV_HUGEPAGE));
    plain(made.mm.write(address + 3 * PAGE_SIZE, Uint8Array.of(1)));
    plain(made.mm.write(address + 300 * PAGE_SIZE, Uint8Array.of(5)));
    expect(made.frames.order[frameAt(made.mm, address)]).toBe(9);
    return { ...made, address };
  }

  it('are swapped out whole, into slots in a row, and come back page by page', () => {
    const { mm, memory, address } = huge();
    advise(mm, address, 512, MADV_PAGEOUT);
    const slot = mm.pageTable.frameAt(regionOf(address), 0);
    expect(mm.pageTable.frameAt(regionOf(address), 511)).toBe(slot + 511);
    expect(byteAt(mm, address + 300 * PAGE_SIZE)).toBe(5);
    expect(pteAt(mm, address) & PTE_SWAP).toBe(PTE_SWAP);
    assertMemorySane(memory);
  });

  it('stay whole and mapped as long as anybody holds a reference (can_split_folio)', () => {
    const { mm, memory, address } = huge();
    const letGo = held(memory, mm, address + 3 * PAGE_SIZE);
    advise(mm, address, 512, MADV_PAGEOUT);
    expect(mm.pageTable.tableOf(regionOf(address))).toBe(-1);
    advise(mm, address, 8, MADV_PAGEOUT);
    expect(mm.pageTable.tableOf(regionOf(address))).toBe(-1);
    letGo();
    assertMemorySane(memory);
  });

  it('are split when only a part is meant: zeros become the zero page, data stays or goes (fact 21)', () => {
    const { mm, memory, address } = huge();
    advise(mm, address, 8, MADV_PAGEOUT);
    expect(frameAt(mm, address)).toBe(ZERO_PFN);
    expect(pteAt(mm, address + 3 * PAGE_SIZE) & PTE_SWAP).toBe(PTE_SWAP);
    expect(pteAt(mm, address + 300 * PAGE_SIZE) & PTE_PRESENT).toBe(PTE_PRESENT);
    expect(frameAt(mm, address + 301 * PAGE_SIZE)).toBe(ZERO_PFN);
    assertMemorySane(memory);
  });

  it('are split when swap has no slots in a row for them, and as many pages go as there is room for', () => {
    const { mm, memory } = setUp({ swapBytes: 100 * PAGE_SIZE });
    const address = Math.ceil(anon(mm, 1024) / (2 * MIB)) * 2 * MIB;
    plain(mm.madvise(address, 2 * MIB, MADV_HUGEPAGE));
    for (let i = 0; i < 300; i++) plain(mm.write(address + i * PAGE_SIZE, Uint8Array.of(1 + (i % 200))));
    advise(mm, address, 512, MADV_PAGEOUT);
    const swapped = Array.from({ length: 512 }, (_, i) => pteAt(mm, address + i * PAGE_SIZE) & PTE_SWAP);
    expect(swapped.filter((bit) => bit !== 0)).toHaveLength(100);
    expect(memory.swap.slotsFree).toBe(0);
    assertMemorySane(memory);
    for (let i = 0; i < 300; i++) expect(byteAt(mm, address + i * PAGE_SIZE)).toBe(1 + (i % 200));
    assertMemorySane(memory);
  });

  it('given up by MADV_FREE go whole; with a reference they stay, mapped by small entries', () => {
    const { mm, memory, frames, vmstat, address } = huge();
    const head = frameAt(mm, address);
    advise(mm, address, 512, MADV_FREE);
    expect(frames.flags[head] & (PG_swapbacked | PG_dirty)).toBe(0);
    const letGo = held(memory, mm, address + 3 * PAGE_SIZE);
    advise(mm, address, 512, MADV_PAGEOUT);
    expect(mm.pageTable.tableOf(regionOf(address))).toBeGreaterThan(0);
    expect(byteAt(mm, address + 300 * PAGE_SIZE)).toBe(5);
    letGo();
    advise(mm, address, 512, MADV_PAGEOUT);
    expect(vmstat.pglazyfreed).toBe(512);
    expect(byteAt(mm, address + 300 * PAGE_SIZE)).toBe(0);
    assertMemorySane(memory);
  });
});

describe('MADV_FREE', () => {
  it('makes pages clean and not swap-backed, and reclaim throws them away (fact 19)', () => {
    const { mm, memory, frames, vmstat } = machine();
    const address = touched(mm, 1);
    const pfn = frameAt(mm, address);
    advise(mm, address, 1, MADV_FREE);
    expect(pteAt(mm, address) & (PTE_PRESENT | PTE_WRITE | PTE_DIRTY)).toBe(PTE_PRESENT | PTE_WRITE);
    expect(frames.flags[pfn] & (PG_swapbacked | PG_dirty)).toBe(0);
    advise(mm, address, 1, MADV_PAGEOUT);
    expect(pteAt(mm, address)).toBe(0);
    expect([vmstat.pglazyfreed, vmstat.pswpout]).toEqual([1, 0]);
    expect(byteAt(mm, address)).toBe(0);
    assertMemorySane(memory);
  });

  it('is taken back by a write of the process, and the page is worth swap again', () => {
    const { mm, memory, frames } = machine();
    const address = touched(mm, 1);
    const pfn = frameAt(mm, address);
    advise(mm, address, 1, MADV_FREE);
    plain(mm.write(address, Uint8Array.of(6)));
    advise(mm, address, 1, MADV_PAGEOUT);
    expect(frameAt(mm, address)).toBe(pfn);
    expect(frames.flags[pfn] & (PG_swapbacked | PG_dirty)).toBe(PG_swapbacked | PG_dirty);
    advise(mm, address, 1, MADV_PAGEOUT);
    expect(byteAt(mm, address)).toBe(6);
    assertMemorySane(memory);
  });

  it('does not lose a pinned page: a reference keeps it, and what the device dirtied is saved (fact 19)', () => {
    const { mm, memory, frames } = machine();
    const address = touched(mm, 1);
    const pfn = frameAt(mm, address);
    const unpin = pinned(memory, mm, address);
    advise(mm, address, 1, MADV_FREE);
    advise(mm, address, 1, MADV_PAGEOUT);
    expect(frameAt(mm, address)).toBe(pfn);
    memory.bytes.write(pfn, 0, Uint8Array.of(77), 0, 1);
    frames.flags[pfn] |= PG_dirty; // unpin_user_pages_dirty_lock
    unpin();
    advise(mm, address, 1, MADV_PAGEOUT);
    expect(byteAt(mm, address)).toBe(77);
    assertMemorySane(memory);
  });

  it('leaves pages alone that others share', () => {
    const { mm, memory, frames } = machine();
    const address = touched(mm, 1);
    advise(mm, address, 1, MADV_PAGEOUT);
    const other = child(mm);
    expect(byteAt(mm, address)).toBe(1);
    advise(mm, address, 1, MADV_FREE); // still in swap for the other
    expect(frames.flags[frameAt(mm, address)] & PG_swapcache).toBe(PG_swapcache);
    expect(byteAt(other, address)).toBe(1);
    assertMemorySane(memory);
  });
});

describe('older kernels', () => {
  it('put pinned anonymous pages into the swap cache (before 5.11)', () => {
    const { mm, memory } = setUp({ swapBytes: 16 * MIB, profile: linux54 });
    const address = touched(mm, 1);
    const pfn = frameAt(mm, address);
    const unpin = pinned(memory, mm, address);
    advise(mm, address, 1, MADV_PAGEOUT);
    expect(pteAt(mm, address) & PTE_SWAP).toBe(PTE_SWAP);
    expect(memory.frames.flags[pfn] & PG_swapcache).toBe(PG_swapcache); // the reference keeps it in the swap cache
    unpin();
    assertMemorySane(memory);
  });

  it('release the buffers of pinned file pages (before 6.4)', () => {
    const { mm, memory, heads, released, address } = cachedFile({ profile: linux61 });
    const pins = newPinnedPages(1);
    plain(memory.gup.pinUserPagesFast(mm, address, 1, 0, pins, 0, memory.ledger.owner('nic')));
    advise(mm, address, 1, MADV_PAGEOUT);
    expect(released).toEqual([heads[0]]);
    memory.gup.unpinUserPages(pins, 0, 1);
  });
});

describe('shared memory', () => {
  function shared() {
    const made = machine();
    const file = newShmemFile(made.memory, 'memfd', 4 * PAGE_SIZE);
    const address = plain(made.mm.mmap(4 * PAGE_SIZE, RW, MAP_SHARED, 0, file.backing));
    plain(made.mm.write(address, Uint8Array.of(5)));
    return { ...made, file, address };
  }

  it('goes to swap and leaves its slot in the page cache (shmem_writeout)', () => {
    const { mm, memory, file, address } = shared();
    advise(mm, address, 4, MADV_PAGEOUT);
    expect(pteAt(mm, address)).toBe(0);
    expect([file.mapping.pages.size, file.mapping.swapped.size]).toEqual([0, 1]);
    expect(byteAt(mm, address)).toBe(5);
    expect([file.mapping.pages.size, file.mapping.swapped.size]).toEqual([1, 0]);
    expect(memory.frames.flags[frameAt(mm, address)] & PG_dirty).toBe(PG_dirty); // swap no longer has the content
    expect(memory.swap.slotsFree).toBe(memory.swap.slots);
    assertMemorySane(memory);
  });

  it('comes back for read and write of the file, and is forgotten when it is truncated', () => {
    const { mm, memory, file, address } = shared();
    advise(mm, address, 4, MADV_PAGEOUT);
    const into = new Uint8Array(1);
    expect(memory.world.settle(file.read(0, into, 0, 1))).toBe(1);
    expect(into[0]).toBe(5);
    expect(byteAt(mm, address)).toBe(5);
    advise(mm, address, 4, MADV_PAGEOUT);
    expect(memory.swap.slotsFree).toBe(memory.swap.slots - 1);
    plain(mm.munmap(address, 4 * PAGE_SIZE));
    plain(file.truncate(0));
    expect(memory.swap.slotsFree).toBe(memory.swap.slots);
    file.close();
  });

  it('that is pinned is unmapped and stays in the page cache, so the device and all mappings agree (fact 20)', () => {
    const { mm, memory, frames, address } = shared();
    const pfn = frameAt(mm, address);
    const unpin = pinned(memory, mm, address);
    advise(mm, address, 1, MADV_PAGEOUT);
    expect(pteAt(mm, address)).toBe(0);
    expect(frames.mapcount[pfn]).toBe(0);
    memory.bytes.write(pfn, 0, Uint8Array.of(9), 0, 1);
    expect(byteAt(mm, address)).toBe(9);
    expect(frameAt(mm, address)).toBe(pfn);
    unpin();
    assertMemorySane(memory);
  });

  it('of processes that all forgot it still counts its users', () => {
    const { mm, memory } = machine();
    const address = plain(mm.mmap(2 * PAGE_SIZE, RW, MAP_SHARED | MAP_ANONYMOUS));
    plain(mm.write(address, Uint8Array.of(3)));
    advise(mm, address, 2, MADV_PAGEOUT);
    const other = child(mm);
    plain(mm.munmap(address, 2 * PAGE_SIZE));
    expect(byteAt(other, address)).toBe(3);
    plain(other.exit());
    expect(memory.swap.slotsFree).toBe(memory.swap.slots);
    assertMemorySane(memory);
  });
});

describe('files', () => {
  it('lose their clean pages, buffers first', () => {
    const { mm, memory, mapping, heads, released, address } = cachedFile();
    advise(mm, address, 2, MADV_PAGEOUT);
    expect(released).toEqual(heads);
    expect(mapping.pages.size).toBe(0);
    expect(pteAt(mm, address)).toBe(0);
    assertMemorySane(memory);
  });

  it('keep dirty pages, unmapped: reclaim leaves writing to writeback', () => {
    const { mm, frames, mapping, heads, address } = cachedFile();
    frames.flags[heads[0]] |= PG_dirty;
    advise(mm, address, 2, MADV_PAGEOUT);
    expect([...mapping.pages.values()]).toEqual([heads[0]]);
    expect(frames.mapcount[heads[0]]).toBe(0);
    expect(frames.flags[heads[0]] & PG_dirty).toBe(PG_dirty);
  });

  it('keep the buffers of a pinned page, and lose those of one with plain references (section 14)', () => {
    const { mm, memory, frames, mapping, heads, released, address } = cachedFile();
    const pins = newPinnedPages(1);
    plain(memory.gup.pinUserPagesFast(mm, address, 1, 0, pins, 0, memory.ledger.owner('nic')));
    const letGo = held(memory, mm, address + PAGE_SIZE);
    advise(mm, address, 2, MADV_PAGEOUT);
    expect(released).toEqual([heads[1]]);
    expect(frames.flags[heads[0]] & PG_private).toBe(PG_private);
    expect(mapping.pages.size).toBe(2);
    expect([frames.mapcount[heads[0]], frames.mapcount[heads[1]]]).toEqual([0, 0]);
    memory.gup.unpinUserPages(pins, 0, 1);
    letGo();
  });

  it('keep mapped, pinned and dirty pages when caches are dropped (fact 27)', () => {
    const { mm, memory, frames, mapping, heads, address } = cachedFile();
    const pins = newPinnedPages(1);
    plain(memory.gup.pinUserPagesFast(mm, address, 1, 0, pins, 0, memory.ledger.owner('nic')));
    expect(memory.dropCaches(1)).toBe(0);
    plain(mm.munmap(address, 2 * PAGE_SIZE));
    expect(memory.dropCaches(2)).toBe(0);
    expect(memory.dropCaches(1)).toBe(1);
    memory.gup.unpinUserPages(pins, 0, 1);
    frames.flags[heads[0]] |= PG_dirty;
    expect(memory.dropCaches(1)).toBe(0);
    frames.flags[heads[0]] &= ~PG_dirty;
    expect(memory.dropCaches(3)).toBe(1);
    expect(mapping.pages.size).toBe(0);
  });
});
