import { EFAULT, ENOMEM } from '@pincushion/sim';
import type { MaySleep, World } from '@pincushion/sim';
import {
  MADV_HUGEPAGE,
  MAP_ANONYMOUS,
  MAP_PRIVATE,
  MAP_SHARED,
  PAGE_SIZE,
  PG_anon,
  PG_anonExclusive,
  PROT_READ,
  VM_IO,
  VM_PFNMAP,
  ZERO_PFN,
  newGottenPages,
} from '../src/index';
import type { VmaBacking, Memory } from '../src/index';
import { MIB, RW, anon, assertMemorySane, frameAt, plain, setUp } from './machine-memory';

/** A device that offers frames of its own; page i holds the byte i + 1. */
function deviceFrames(memory: Memory, pages: number): { backing: VmaBacking; frames: number[] } {
  const mapping = memory.addOwner({ name: 'device' });
  const frames: number[] = [];
  for (let i = 0; i < pages; i++) {
    const pfn = memory.allocFolio(0);
    memory.frames.mapping[pfn] = mapping;
    memory.bytes.write(pfn, 0, Uint8Array.of(i + 1), 0, 1);
    frames.push(pfn);
  }
  return { backing: { name: 'device', fault: (_vma, index) => frames[index] ?? -EFAULT }, frames };
}

describe('anonymous faults', () => {
  it('shows the shared zero page to a reader and counts no reference for it', () => {
    const { mm, frames, memory } = setUp();
    const address = anon(mm, 2);
    const free = memory.framesFree;
    plain(mm.fault(address, false));
    expect(frameAt(mm, address)).toBe(ZERO_PFN);
    expect(frames.refcount[ZERO_PFN]).toBe(1);
    expect(memory.framesFree).toBe(free);
  });

  it('gives a writer a zeroed page of its own, exclusive (X-01)', () => {
    const { mm, frames } = setUp();
    const address = anon(mm, 1);
    plain(mm.fault(address, true));
    const pfn = frameAt(mm, address);
    expect(frames.flags[pfn] & (PG_anon | PG_anonExclusive)).toBe(PG_anon | PG_anonExclusive);
    expect([frames.refcount[pfn], frames.mapcount[pfn]]).toEqual([1, 1]);
  });

  it('replaces the zero page at the first write', () => {
    const { mm, memory } = setUp();
    const address = anon(mm, 1);
    plain(mm.fault(address, false));
    plain(mm.write(address + 8, Uint8Array.of(3)));
    expect(frameAt(mm, address)).not.toBe(ZERO_PFN);
    const into = new Uint8Array(16);
    plain(mm.read(address, into));
    expect([...into]).toEqual([0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0]);
    assertMemorySane(memory);
  });

  it('reuses a page that is not exclusive only when nobody else refers to it, and copies it otherwise (X-04)', () => {
    const { mm, memory, frames, gup, owner } = setUp();
    const address = anon(mm, 2);
    const gets = newGottenPages(1);
    plain(mm.write(address, Uint8Array.of(11)));
    plain(mm.write(address + PAGE_SIZE, Uint8Array.of(12)));
    plain(gup.getUserPagesFast(mm, address + PAGE_SIZE, 1, 0, gets, 0, owner));
    plain(mm.mprotect(address, 2 * PAGE_SIZE, PROT_READ));
    const before = [frameAt(mm, address), frameAt(mm, address + PAGE_SIZE)];
    for (const pfn of before) frames.flags[pfn] &= ~PG_anonExclusive; // as after a fork whose child has gone
    plain(mm.mprotect(address, 2 * PAGE_SIZE, RW));
    for (const page of [0, 1]) plain(mm.write(address + page * PAGE_SIZE + 1, Uint8Array.of(13)));
    expect(frameAt(mm, address)).toBe(before[0]);
    expect(frames.flags[before[0]] & PG_anonExclusive).not.toBe(0);
    expect(frameAt(mm, address + PAGE_SIZE)).not.toBe(before[1]);
    expect([...memory.bytes.view(frameAt(mm, address + PAGE_SIZE), 2)]).toEqual([12, 13]);
    expect([...memory.bytes.view(gets[0], 2)]).toEqual([12, 0]);
    assertMemorySane(memory);
    gup.putPages(gets, 0, 1);
  });

  it('refuses what the area does not allow', () => {
    const { mm } = setUp();
    const address = anon(mm, 1, PROT_READ);
    expect(plain(mm.fault(address, true))).toBe(-EFAULT);
    expect(plain(mm.fault(address, false))).toBe(0);
    expect(plain(mm.fault(address - PAGE_SIZE, false))).toBe(-EFAULT);
  });

  it('says so when memory is used up, and the memory stays sane', () => {
    const { mm, memory } = setUp({ ramBytes: 8 * MIB, minFreeBytes: 0 });
    const address = anon(mm, 2000);
    let done = 0;
    while (plain(mm.fault(address + done * PAGE_SIZE, true)) === 0) done++;
    expect(done).toBe(1024);
    expect(plain(mm.fault(address + done * PAGE_SIZE, true))).toBe(-ENOMEM);
    assertMemorySane(memory);
  });

  it('may not be called in an interrupt', () => {
    const { mm, world } = setUp();
    const address = anon(mm, 1);
    world.contexts.enter(2, 0);
    expect(() => mm.fault(address, true)).toThrow('SLEEP_IN_ATOMIC');
    world.contexts.leave();
  });
});

describe('huge anonymous folios', () => {
  it('back an aligned 2 MiB part of an advised area with one entry', () => {
    const { mm, memory, frames, vmstat } = setUp();
    const address = anon(mm, 1024);
    plain(mm.madvise(address, 4 * MIB, MADV_HUGEPAGE));
    plain(mm.write(address + 2 * MIB + 5000, Uint8Array.of(1, 2, 3)));
    const head = frameAt(mm, address + 2 * MIB);
    expect(frames.order[head]).toBe(9);
    expect(vmstat.thpFaultAlloc).toBe(1);
    expect(frameAt(mm, address + 4 * MIB - PAGE_SIZE)).toBe(head + 511);
    expect(frameAt(mm, address)).toBe(0);
    assertMemorySane(memory);
  });

  it('fall back to small pages when the area is too small or memory is too scattered', () => {
    const { mm, memory, frames } = setUp({ ramBytes: 8 * MIB });
    const small = anon(mm, 100);
    plain(mm.madvise(small, 100 * PAGE_SIZE, MADV_HUGEPAGE));
    plain(mm.fault(small, true));
    expect(frames.order[frameAt(mm, small)]).toBe(0);
    memory.allocFolio(9);
    const large = anon(mm, 512);
    plain(mm.madvise(large, 2 * MIB, MADV_HUGEPAGE));
    plain(mm.fault(large, true));
    expect(frames.order[frameAt(mm, large)]).toBe(0);
    assertMemorySane(memory);
  });
});

describe('mappings with something behind them', () => {
  it('show a device its own frames when shared', () => {
    const { mm, memory, frames } = setUp();
    const device = deviceFrames(memory, 2);
    const address = plain(mm.mmap(2 * PAGE_SIZE, RW, MAP_SHARED, 0, device.backing));
    plain(mm.write(address + PAGE_SIZE, Uint8Array.of(50)));
    expect(frameAt(mm, address + PAGE_SIZE)).toBe(device.frames[1]);
    const into = new Uint8Array(1);
    memory.bytes.read(device.frames[1], 0, into, 0, 1);
    expect(into[0]).toBe(50);
    expect([frames.refcount[device.frames[1]], frames.mapcount[device.frames[1]]]).toEqual([2, 1]);
    plain(mm.exit());
    expect([frames.refcount[device.frames[1]], frames.mapcount[device.frames[1]]]).toEqual([1, 0]);
  });

  it('copy the page at the first write when private, whether it was read before or not', () => {
    const { mm, memory } = setUp();
    const device = deviceFrames(memory, 2);
    const address = plain(mm.mmap(2 * PAGE_SIZE, RW, MAP_PRIVATE, 0, device.backing));
    plain(mm.fault(address, false));
    expect(frameAt(mm, address)).toBe(device.frames[0]);
    for (const page of [0, 1]) {
      plain(mm.write(address + page * PAGE_SIZE + 1, Uint8Array.of(99)));
      const into = new Uint8Array(2);
      plain(mm.read(address + page * PAGE_SIZE, into));
      expect([...into]).toEqual([page + 1, 99]);
      expect(frameAt(mm, address + page * PAGE_SIZE)).not.toBe(device.frames[page]);
      memory.bytes.read(device.frames[page], 0, into, 0, 2);
      expect([...into]).toEqual([page + 1, 0]);
    }
    assertMemorySane(memory);
  });

  it('end with a signal behind the end of the object', () => {
    const { mm, memory } = setUp();
    const { backing } = deviceFrames(memory, 1);
    const address = plain(mm.mmap(2 * PAGE_SIZE, RW, MAP_SHARED, 0, backing));
    expect(plain(mm.write(address, new Uint8Array(2 * PAGE_SIZE)))).toBe(PAGE_SIZE);
    expect(plain(mm.write(address + PAGE_SIZE, Uint8Array.of(1)))).toBe(-EFAULT);
  });

  it('map bare frame numbers without counting them', () => {
    const { mm, memory, frames } = setUp();
    const pfn = memory.allocFolio(0);
    const backing: VmaBacking = { name: 'registers', vmFlags: VM_PFNMAP | VM_IO, fault: () => pfn };
    const address = plain(mm.mmap(PAGE_SIZE, RW, MAP_SHARED, 0, backing));
    plain(mm.write(address, Uint8Array.of(7)));
    expect(memory.bytes.view(pfn, 1)[0]).toBe(7);
    expect([frames.refcount[pfn], frames.mapcount[pfn]]).toEqual([1, 0]);
    plain(mm.exit());
    expect(frames.refcount[pfn]).toBe(1);
  });

  it('tell the object about areas that come, split, join and go', () => {
    const { mm, memory } = setUp();
    let open = 0;
    const backing: VmaBacking = {
      ...deviceFrames(memory, 4).backing,
      open: () => {
        open++;
        return undefined;
      },
      close: () => {
        open--;
        return undefined;
      },
    };
    const address = plain(mm.mmap(4 * PAGE_SIZE, RW, MAP_SHARED, 0, backing));
    plain(mm.mprotect(address + PAGE_SIZE, PAGE_SIZE, PROT_READ));
    expect([open, mm.vmas.all.length]).toEqual([3, 3]);
    plain(mm.mprotect(address + PAGE_SIZE, PAGE_SIZE, RW));
    expect([open, mm.vmas.all.length]).toEqual([1, 1]);
    plain(mm.munmap(address + PAGE_SIZE, PAGE_SIZE));
    plain(mm.write(address + 3 * PAGE_SIZE, Uint8Array.of(1)));
    expect(memory.bytes.view(frameAt(mm, address + 3 * PAGE_SIZE), 1)[0]).toBe(1);
    plain(mm.exit());
    expect(open).toBe(0);
  });

  it('show the same shared anonymous page wherever it is mapped', () => {
    const { mm, memory } = setUp();
    const address = plain(mm.mmap(2 * PAGE_SIZE, RW, MAP_SHARED | MAP_ANONYMOUS));
    plain(mm.write(address, Uint8Array.of(5)));
    const frame = frameAt(mm, address);
    plain(mm.madvise(address, PAGE_SIZE, 4));
    const into = new Uint8Array(1);
    plain(mm.read(address, into));
    expect([into[0], frameAt(mm, address)]).toEqual([5, frame]);
    expect(plain(mm.write(address, new Uint8Array(3 * PAGE_SIZE)))).toBe(2 * PAGE_SIZE);
    assertMemorySane(memory);
  });

  it('may sleep in a fault, and the access goes on where it was', () => {
    const { mm, memory, world } = setUp();
    const device = deviceFrames(memory, 3);
    const address = plain(mm.mmap(3 * PAGE_SIZE, RW, MAP_SHARED, 0, slowly(world, device.backing)));
    const into = new Uint8Array(3 * PAGE_SIZE);
    const result = mm.read(address, into);
    expect(typeof result).not.toBe('number');
    expect(world.complete(result as Exclude<MaySleep, number>)).toBe(3 * PAGE_SIZE);
    expect([into[0], into[PAGE_SIZE], into[2 * PAGE_SIZE]]).toEqual([1, 2, 3]);
    expect(world.now).toBe(3000);
  });

  it('fail the access when the area vanished while the fault slept', () => {
    const { mm, memory, world } = setUp();
    const device = deviceFrames(memory, 1);
    const address = plain(mm.mmap(PAGE_SIZE, RW, MAP_SHARED, 0, slowly(world, device.backing)));
    world.after(500, 0, () => {
      plain(mm.munmap(address, PAGE_SIZE));
      return undefined;
    });
    const result = mm.read(address, new Uint8Array(8));
    expect(world.complete(result as Exclude<MaySleep, number>)).toBe(-EFAULT);
    expect(memory.frames.refcount[device.frames[0]]).toBe(1);
  });
});

/** The same object behind a disk that takes a microsecond per page. */
function slowly(world: World, backing: VmaBacking): VmaBacking {
  return {
    ...backing,
    *fault(vma, pageIndex, write) {
      yield* world.sleep(1000);
      const found = backing.fault(vma, pageIndex, write);
      return typeof found === 'number' ? found : yield* found;
    },
  };
}
