import { armPoint, disarmPoint } from '@pincushion/sim';
import { PAGE_SIZE, PKEY_DISABLE_ACCESS, PROT_READ, mmSites } from '../src/index';
import type { Mm } from '../src/index';
import { RW, anon, assertMemorySane, frameAt, plain, setUp, touched } from './machine-memory';

const FLUSH = mmSites.find((site) => site.name === 'tlb-before-flush')?.id;

function byteAt(mm: Mm, address: number): number {
  const into = new Uint8Array(1);
  return plain(mm.read(address, into)) < 0 ? -1 : into[0];
}

/** What another CPU does between the change of the entries and the flush. */
function beforeFlush(act: () => void): { fired: number } {
  const seen = { fired: 0 };
  armPoint({
    countdown: 1,
    onFire: (site) => {
      seen.fired = site;
      act();
      return undefined;
    },
  });
  return seen;
}

afterEach(disarmPoint);

describe('a TLB with stale entries', () => {
  it("lets another CPU's store reach a page that fork has just shared, until the flush (dup_mmap, flush_tlb_mm)", () => {
    const { mm, memory } = setUp({ tlb: 'stale' });
    const address = touched(mm, 2);
    const seen = beforeFlush(() => {
      expect(plain(mm.write(address, Uint8Array.of(77)))).toBe(1);
    });
    const child = mm.fork('child');
    if (typeof child === 'number') throw new Error('fork failed');
    expect(seen.fired).toBe(FLUSH);
    expect([byteAt(mm, address), byteAt(child, address)]).toEqual([77, 77]);
    disarmPoint();
    plain(mm.write(address, Uint8Array.of(78))); // after the flush it is a copy-on-write fault
    expect([byteAt(mm, address), byteAt(child, address)]).toEqual([78, 77]);
    assertMemorySane(memory);
  });

  it('keeps a page that is unmapped from being freed before the flush (mmu_gather)', () => {
    const { mm, memory } = setUp({ tlb: 'stale' });
    const address = touched(mm, 1);
    const pfn = frameAt(mm, address);
    const free = memory.framesFree;
    const seen = beforeFlush(() => {
      expect([memory.framesFree, memory.frames.refcount[pfn]]).toEqual([free, 1]);
      expect(byteAt(mm, address)).toBe(1);
    });
    plain(mm.munmap(address, PAGE_SIZE));
    expect(seen.fired).toBe(FLUSH);
    expect([memory.framesFree, byteAt(mm, address)]).toEqual([free + 1, -1]);
    assertMemorySane(memory);
  });

  it('lets a store through that mprotect has just forbidden, and none afterwards (change_protection)', () => {
    const { mm, memory } = setUp({ tlb: 'stale' });
    const address = touched(mm, 1);
    beforeFlush(() => {
      expect(plain(mm.write(address, Uint8Array.of(9)))).toBe(1);
    });
    plain(mm.mprotect(address, PAGE_SIZE, PROT_READ));
    disarmPoint();
    expect([byteAt(mm, address), plain(mm.write(address, Uint8Array.of(10)))]).toEqual([9, -14]);
    assertMemorySane(memory);
  });

  it('has the protection key that the entry had; PKRU itself is never stale', () => {
    const { mm, memory } = setUp({ tlb: 'stale' });
    const address = touched(mm, 1);
    const key = mm.pkeys.alloc(0, PKEY_DISABLE_ACCESS);
    const seen: number[] = [];
    beforeFlush(() => {
      seen.push(byteAt(mm, address));
    });
    plain(mm.pkeyMprotect(address, PAGE_SIZE, RW, key));
    seen.push(byteAt(mm, address));
    disarmPoint();
    beforeFlush(() => {
      seen.push(byteAt(mm, address)); // the old translation has the key, and PKRU denies it
    });
    plain(mm.munmap(address, PAGE_SIZE));
    expect(seen).toEqual([1, -1, -1]);
    assertMemorySane(memory);
  });

  it('does not give rights that an entry never had', () => {
    const { mm } = setUp({ tlb: 'stale' });
    const address = anon(mm, 1, PROT_READ);
    const writes: number[] = [];
    byteAt(mm, address);
    beforeFlush(() => {
      writes.push(plain(mm.write(address, Uint8Array.of(1))));
    });
    plain(mm.munmap(address, PAGE_SIZE));
    expect(writes).toEqual([-14]);
  });
});

describe('an exact TLB', () => {
  it('has no window: nothing runs between the change of an entry and its effect', () => {
    const { mm } = setUp();
    const address = touched(mm, 1);
    const seen = beforeFlush(() => undefined);
    const child = mm.fork('child');
    plain(mm.mprotect(address, PAGE_SIZE, PROT_READ));
    plain(mm.munmap(address, PAGE_SIZE));
    expect([typeof child, seen.fired]).toEqual(['object', 0]);
  });
});
