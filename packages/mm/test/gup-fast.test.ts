import { armPoint, disarmPoint } from '@pincushion/sim';
import {
  FOLL_LONGTERM,
  FOLL_NOFAULT,
  FOLL_WRITE,
  MADV_HUGEPAGE,
  MAP_ANONYMOUS,
  MAP_SHARED,
  PAGE_SIZE,
  PG_p2pdma,
  PG_secretmem,
  PKEY_DISABLE_ACCESS,
  PKEY_DISABLE_WRITE,
  PROT_READ,
  VM_PFNMAP,
  frameOf,
  mmSites,
  newGottenPages,
  newPinnedPages,
} from '../src/index';
import type { VmaBacking } from '../src/index';
import { MIB, RW, anon, assertMemorySane, frameAt, plain, setUp, touched } from './machine-memory';

const W = FOLL_WRITE;
const LT = FOLL_LONGTERM;
const siteId = (name: string) => mmSites.find((site) => site.name === name)?.id;

afterEach(disarmPoint);

/** An address space with all kinds of pages in 16 MiB, the same each time. */
function mixture() {
  const set = setUp({ movableBytes: 16 * MIB });
  const { mm, memory } = set;
  const huge = anon(mm, 1024);
  plain(mm.madvise(huge, 4 * MIB, MADV_HUGEPAGE));
  plain(mm.fault(huge, true));
  plain(mm.fault(huge + 2 * MIB, true));
  plain(mm.munmap(huge + 2 * MIB, 5 * PAGE_SIZE));
  const small = touched(mm, 700);
  plain(mm.mprotect(small + 100 * PAGE_SIZE, 50 * PAGE_SIZE, 1));
  const read = anon(mm, 3);
  plain(mm.fault(read, false));
  const shared = plain(mm.mmap(4 * PAGE_SIZE, RW, MAP_SHARED | MAP_ANONYMOUS));
  plain(mm.write(shared, new Uint8Array(4 * PAGE_SIZE)));
  const device = memory.allocFolio(0);
  const coloured = touched(mm, 40);
  const keys = [0, PKEY_DISABLE_WRITE, PKEY_DISABLE_ACCESS];
  for (const [i, denied] of keys.entries()) {
    plain(mm.pkeyMprotect(coloured + 10 * (i + 1) * PAGE_SIZE, 10 * PAGE_SIZE, RW, mm.pkeys.alloc(0, denied)));
  }
  const tens = [0, 1, 2, 3].map((i) => coloured + 10 * i * PAGE_SIZE);
  return {
    ...set,
    starts: [huge, huge + 2 * MIB, huge + 3 * MIB, small, small + 90 * PAGE_SIZE, read, shared, ...tens],
    device,
  };
}

describe('the two bodies of the fast walk', () => {
  it('give the same pages, counts and flags for every kind of page', () => {
    const results = [false, true].map((armed) => {
      const { mm, gup, owner, frames, vmstat, starts } = mixture();
      if (armed) armPoint({ countdown: 1e9, onFire: () => undefined });
      const log: unknown[] = [];
      for (const start of starts) {
        for (const flags of [0, W, LT, W | LT]) {
          const pins = newPinnedPages(600);
          log.push(plain(gup.pinUserPagesFast(mm, start, 600, flags | FOLL_NOFAULT, pins, 0, owner)), [...pins]);
          if (flags < LT) {
            const gets = newGottenPages(600);
            log.push(gup.getUserPagesFastOnly(mm, start, 600, flags, gets, 0, owner), [...gets]);
          }
        }
      }
      disarmPoint();
      const used = 1 << 14;
      log.push([...frames.refcount.subarray(0, used)], [...frames.flags.subarray(0, used)]);
      log.push([...frames.pincount.subarray(0, used)], vmstat.nrFollPinAcquired - vmstat.nrFollPinReleased);
      return log;
    });
    expect(results[1]).toEqual(results[0]);
    expect(results[0].filter((entry) => entry === 600).length).toBeGreaterThan(4);
  });
});

describe('the fast walk', () => {
  it('leaves a read-only entry to the slow way when the caller will write (Q-02)', () => {
    const { mm, gup, owner } = setUp();
    const address = touched(mm, 1);
    plain(mm.mprotect(address, PAGE_SIZE, PROT_READ));
    const gets = newGottenPages(1);
    expect(gup.getUserPagesFastOnly(mm, address, 1, W, gets, 0, owner)).toBe(0);
    expect(plain(gup.pinUserPagesFast(mm, address, 1, W, newPinnedPages(1), 0, owner))).toBe(-14);
    expect(gup.getUserPagesFastOnly(mm, address, 1, 0, gets, 0, owner)).toBe(1);
  });

  it('takes no special entry, even where frames with page structures stand behind it (Q-02)', () => {
    const { mm, gup, owner, memory } = setUp();
    const pfn = memory.allocFolio(0);
    memory.frames.mapping[pfn] = memory.addOwner({ name: 'device' });
    const backing: VmaBacking = { name: 'device', vmFlags: VM_PFNMAP, fault: () => pfn };
    const address = plain(mm.mmap(PAGE_SIZE, RW, MAP_SHARED, 0, backing));
    plain(mm.fault(address, true));
    expect(gup.getUserPagesFastOnly(mm, address, 1, W, newGottenPages(1), 0, owner)).toBe(0);
    expect(memory.frames.refcount[pfn]).toBe(1);
  });

  it('refuses a file page whose owner is gone, and hidden pages (Q-04)', () => {
    const { mm, gup, owner, memory } = setUp();
    const pfn = memory.allocFolio(0);
    memory.frames.mapping[pfn] = memory.addOwner({ name: 'file' });
    const address = plain(mm.mmap(PAGE_SIZE, RW, MAP_SHARED, 0, { name: 'file', fault: () => pfn }));
    plain(mm.fault(address, true));
    const gets = newGottenPages(1);
    expect(gup.getUserPagesFastOnly(mm, address, 1, W, gets, 0, owner)).toBe(1);
    memory.frames.flags[pfn] |= PG_secretmem;
    expect(gup.getUserPagesFastOnly(mm, address, 1, W, gets, 0, owner)).toBe(0);
    memory.frames.flags[pfn] &= ~PG_secretmem;
    memory.frames.mapping[pfn] = 0;
    expect(gup.getUserPagesFastOnly(mm, address, 1, W, gets, 0, owner)).toBe(0);
    expect(memory.frames.refcount[pfn]).toBe(3);
  });
});

describe('a run of small pages', () => {
  it.each(Array.from({ length: 8 }, (_, i) => i))('ends at the page that may not be had, page %i', (bad) => {
    const { mm, gup, owner, frames } = setUp();
    const address = touched(mm, 8);
    const gets = newGottenPages(8);
    const take = () => gup.getUserPagesFastOnly(mm, address, 8, W, gets, 0, owner);
    expect([take(), take()]).toEqual([8, 8]); // the second time all have been referenced
    const pfn = frameAt(mm, address + bad * PAGE_SIZE);
    frames.flags[pfn] |= PG_p2pdma;
    expect(take()).toBe(bad);
    frames.flags[pfn] &= ~PG_p2pdma;
    plain(mm.mprotect(address + bad * PAGE_SIZE, PAGE_SIZE, PROT_READ));
    expect(take()).toBe(bad);
  });
});

describe('an unmap on another CPU', () => {
  it('after the entry was read and before the reference: the page is free already and is not taken', () => {
    const { mm, gup, owner, memory, vmstat } = setUp();
    const address = touched(mm, 3);
    let fired = 0;
    armPoint({
      countdown: 3, // the second page's first site
      onFire: (site) => {
        fired = site;
        plain(mm.munmap(address + PAGE_SIZE, PAGE_SIZE));
        return undefined;
      },
    });
    expect(plain(gup.pinUserPagesFast(mm, address, 3, W, newPinnedPages(3), 0, owner))).toBe(1);
    expect(fired).toBe(siteId('gup-fast-pte-read'));
    expect([vmstat.nrFollPinAcquired, vmstat.nrFollPinReleased]).toEqual([1, 0]);
    assertMemorySane(memory);
  });

  it('after the reference: the second look notices, the pin is undone and both show in vmstat (Q-03, Q-05)', () => {
    const { mm, gup, owner, memory, vmstat } = setUp();
    const address = touched(mm, 2);
    const frame = frameAt(mm, address);
    const free = memory.framesFree;
    let fired = 0;
    armPoint({
      countdown: 2,
      onFire: (site) => {
        fired = site;
        plain(mm.munmap(address, PAGE_SIZE));
        expect(memory.frames.refcount[frame]).toBe(1024);
        return undefined;
      },
    });
    const pins = newPinnedPages(2);
    expect(plain(gup.pinUserPagesFast(mm, address, 2, W, pins, 0, owner))).toBe(-14);
    expect(fired).toBe(siteId('gup-fast-after-ref'));
    expect([vmstat.nrFollPinAcquired, vmstat.nrFollPinReleased]).toEqual([1, 1]);
    expect(memory.framesFree).toBe(free + 1);
    assertMemorySane(memory);
  });

  it('that frees the whole table makes the walk stop as well', () => {
    const { mm, gup, owner, memory } = setUp();
    const address = touched(mm, 1);
    armPoint({
      countdown: 2,
      onFire: () => {
        plain(mm.munmap(address, PAGE_SIZE));
        touched(mm, 1);
        return undefined;
      },
    });
    expect(gup.getUserPagesFastOnly(mm, address, 1, W, newGottenPages(1), 0, owner)).toBe(0);
    assertMemorySane(memory);
  });

  it('may be one of the protection key: the second look notices (Q-03, V-09)', () => {
    const { mm, gup, owner, frames } = setUp();
    const address = touched(mm, 1);
    const key = mm.pkeys.alloc(0, 0);
    armPoint({
      countdown: 2,
      onFire: () => {
        plain(mm.pkeyMprotect(address, PAGE_SIZE, RW, key));
        return undefined;
      },
    });
    expect(gup.getUserPagesFastOnly(mm, address, 1, W, newGottenPages(1), 0, owner)).toBe(0);
    expect(frames.refcount[frameAt(mm, address)]).toBe(1);
  });

  it('of a huge page is noticed in the same way', () => {
    const { mm, gup, owner, memory } = setUp();
    const address = anon(mm, 512);
    plain(mm.madvise(address, 2 * MIB, MADV_HUGEPAGE));
    plain(mm.fault(address, true));
    armPoint({
      countdown: 2,
      onFire: () => {
        plain(mm.munmap(address, 2 * MIB));
        return undefined;
      },
    });
    expect(plain(gup.pinUserPagesFast(mm, address, 512, W, newPinnedPages(512), 0, owner))).toBe(-14);
    assertMemorySane(memory);
  });
});

describe('fork on another CPU', () => {
  it('keeps the fast walk out while it copies (Q-06), but not FOLL_GET (Q-07)', () => {
    const { mm, gup, owner, vmstat } = setUp();
    const address = touched(mm, 1);
    mm.writeProtectSeq = 1;
    expect(gup.getUserPagesFastOnly(mm, address, 1, W, newGottenPages(1), 0, owner)).toBe(1);
    const pins = newPinnedPages(1);
    let walked = false;
    armPoint({
      countdown: 1,
      onFire: () => {
        walked = true;
        return undefined;
      },
    });
    expect(plain(gup.pinUserPagesFast(mm, address, 1, W, pins, 0, owner))).toBe(1); // by the slow way
    expect(walked).toBe(false);
    expect(frameOf(pins[0])).toBe(frameAt(mm, address));
    expect(vmstat.nrFollPinAcquired).toBe(1);
  });

  it('that starts during the walk makes it give all pins back (T-19)', () => {
    const { mm, gup, owner, vmstat, frames } = setUp();
    const address = touched(mm, 3);
    armPoint({
      countdown: 4,
      onFire: () => {
        mm.writeProtectSeq += 2;
        return undefined;
      },
    });
    expect(plain(gup.pinUserPagesFast(mm, address, 3, W, newPinnedPages(3), 0, owner))).toBe(3);
    expect([vmstat.nrFollPinAcquired, vmstat.nrFollPinReleased]).toEqual([6, 3]);
    expect(frames.refcount[frameAt(mm, address)]).toBe(1025);
  });
});
