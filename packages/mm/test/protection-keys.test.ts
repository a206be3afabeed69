import { EACCES, EFAULT, EINVAL, ENOMEM, ENOSPC } from '@pincushion/sim';
import {
  FOLL_FORCE,
  FOLL_LONGTERM,
  FOLL_REMOTE,
  FOLL_WRITE,
  MADV_GUARD_INSTALL,
  MADV_GUARD_REMOVE,
  MADV_HUGEPAGE,
  MADV_PAGEOUT,
  MADV_POPULATE_READ,
  MADV_POPULATE_WRITE,
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_HUGETLB,
  MAP_PRIVATE,
  MAP_SHARED,
  PAGE_SIZE,
  PKEY_DISABLE_ACCESS,
  PKEY_DISABLE_WRITE,
  PROT_EXEC,
  PROT_READ,
  PTE_PKEY,
  PTE_PKEY_SHIFT,
  PinnedRanges,
  REGION_BYTES,
  TASK_SIZE,
  VM_PKEY,
  fixupUserFault,
  getDumpPage,
  indexOf,
  migrateFolio,
  newGottenPages,
  newPinnedPages,
  processVmReadv,
  processVmWritev,
  readProcMem,
  regionOf,
  writeProcMem,
} from '../src/index';
import type { Mm } from '../src/index';
import { ANON, MIB, RW, anon, assertMemorySane, frameAt, plain, setUp, touched } from './machine-memory';

const W = FOLL_WRITE;
const one = () => new Uint8Array(1);
const load = (mm: Mm, address: number) => plain(mm.read(address, one()));
const store = (mm: Mm, address: number) => plain(mm.write(address, Uint8Array.of(9)));

/** What the instruction WRPKRU is used for: the two bits of one key. */
function setKey(mm: Mm, key: number, denied: number): void {
  mm.pkeys.pkru = ((mm.pkeys.pkru & ~(3 << (2 * key))) | (denied << (2 * key))) >>> 0;
}

/** The key of the entry behind an address, or none. */
function keyAt(mm: Mm, address: number): number {
  return (mm.pageTable.flagsAt(regionOf(address), indexOf(address)) & PTE_PKEY) >>> PTE_PKEY_SHIFT;
}

/** Four written pages, of which the second has a key of its own, which `denied` says of. */
function withKey(denied: number, options = {}) {
  const machine = setUp(options);
  const { mm } = machine;
  const address = touched(mm, 4);
  const key = mm.pkeys.alloc(0, denied);
  expect(plain(mm.pkeyMprotect(address + PAGE_SIZE, PAGE_SIZE, RW, key))).toBe(0);
  return { ...machine, address, key, closed: address + PAGE_SIZE };
}

describe('pkey_alloc and pkey_free', () => {
  it('give fifteen keys; key 0 is there from the beginning, and PKRU opens it alone', () => {
    const { pkeys } = setUp().mm;
    expect(pkeys.pkru).toBe(0x55555554);
    expect(pkeys.alloc(0, PKEY_DISABLE_ACCESS | PKEY_DISABLE_WRITE)).toBe(1);
    expect(pkeys.pkru).toBe(0x5555555c);
    const rest = Array.from({ length: 14 }, () => pkeys.alloc(0, 0));
    expect(rest).toEqual([2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]);
    expect(pkeys.alloc(0, 0)).toBe(-ENOSPC);
    expect(pkeys.pkru).toBe(0xc);
  });

  it('refuse flags, other denials, and keys that the process does not have', () => {
    const { pkeys } = setUp().mm;
    expect([pkeys.alloc(1, 0), pkeys.alloc(0, 4)]).toEqual([-EINVAL, -EINVAL]);
    expect([1, 16, -1].map((key) => pkeys.free(key))).toEqual([-EINVAL, -EINVAL, -EINVAL]);
    expect(pkeys.free(pkeys.alloc(0, 0))).toBe(0);
    expect(pkeys.free(1)).toBe(-EINVAL);
  });

  it('leave memory with the key as it is: whoever gets the key next decides on it', () => {
    const { mm, closed, key } = withKey(0);
    expect(mm.pkeys.free(key)).toBe(0);
    expect(plain(mm.pkeyMprotect(closed, PAGE_SIZE, RW, key))).toBe(-EINVAL);
    expect(load(mm, closed)).toBe(1);
    expect(mm.pkeys.alloc(0, PKEY_DISABLE_ACCESS)).toBe(key);
    expect(load(mm, closed)).toBe(-EFAULT);
  });

  it('give even key 0 away once it was freed', () => {
    const { pkeys } = setUp().mm;
    expect(pkeys.free(0)).toBe(0);
    expect(pkeys.alloc(0, 0)).toBe(0);
  });
});

describe('pkey_mprotect', () => {
  it('asks for the key after the range: -EINVAL, but 0 for an empty range', () => {
    const { mm } = setUp();
    const address = touched(mm, 1);
    for (const key of [3, 16, -2]) expect(plain(mm.pkeyMprotect(address, PAGE_SIZE, RW, key))).toBe(-EINVAL);
    expect(plain(mm.pkeyMprotect(address, 0, RW, 3))).toBe(0);
    expect(plain(mm.pkeyMprotect(address + 1, PAGE_SIZE, RW, 0))).toBe(-EINVAL);
    expect(plain(mm.pkeyMprotect(0x10000, PAGE_SIZE, RW, 0))).toBe(-ENOMEM);
  });

  it('splits areas where the keys differ, and joins them where they agree again', () => {
    const { mm, memory, address, key } = withKey(0);
    const keys = () => mm.vmas.all.map((vma) => [(vma.start - address) / PAGE_SIZE, (vma.flags & VM_PKEY) !== 0]);
    expect(keys()).toEqual([
      [0, false],
      [1, true],
      [2, false],
    ]);
    expect([0, 1, 2].map((page) => keyAt(mm, address + page * PAGE_SIZE))).toEqual([0, key, 0]);
    assertMemorySane(memory);
    plain(mm.pkeyMprotect(address, 4 * PAGE_SIZE, RW, key));
    expect(keys()).toEqual([[0, true]]);
    plain(mm.pkeyMprotect(address, 4 * PAGE_SIZE, RW, 0));
    expect(keys()).toEqual([[0, false]]);
    assertMemorySane(memory);
  });

  it('with -1 is mprotect, which leaves the key where it is', () => {
    const { mm, closed, key } = withKey(0);
    plain(mm.mprotect(closed, PAGE_SIZE, PROT_READ));
    expect(keyAt(mm, closed)).toBe(key);
    plain(mm.pkeyMprotect(closed, PAGE_SIZE, RW, -1));
    expect(keyAt(mm, closed)).toBe(key);
  });

  it('keeps all four bits of every key in area and entry', () => {
    const { mm, memory } = setUp();
    const address = touched(mm, 16);
    for (let key = 1; key < 16; key++) {
      expect(mm.pkeys.alloc(0, 0)).toBe(key);
      plain(mm.pkeyMprotect(address + key * PAGE_SIZE, PAGE_SIZE, RW, key));
      expect(keyAt(mm, address + key * PAGE_SIZE)).toBe(key);
    }
    expect(mm.vmas.all).toHaveLength(16);
    assertMemorySane(memory);
  });

  it('opens no area further than it may be', () => {
    const { mm } = setUp();
    const backing = { name: 'rom', fault: () => -EINVAL, mmap: (vma: { flags: number }) => ((vma.flags &= ~0x20), 0) };
    const address = plain(mm.mmap(PAGE_SIZE, PROT_READ, MAP_SHARED, 0, backing));
    expect(plain(mm.pkeyMprotect(address, PAGE_SIZE, RW, mm.pkeys.alloc(0, 0)))).toBe(-EACCES);
  });
});

describe('loads and stores', () => {
  it('are SIGSEGV where the key denies them, whether the page is there or not', () => {
    const { mm, closed, key } = withKey(PKEY_DISABLE_ACCESS);
    const untouched = anon(mm, 1);
    plain(mm.pkeyMprotect(untouched, PAGE_SIZE, RW, key));
    for (const address of [closed, untouched]) {
      mm.signal = null;
      expect([load(mm, address), store(mm, address)]).toEqual([-EFAULT, -EFAULT]);
      expect(mm.signal).toBe('SIGSEGV');
      expect(plain(fixupUserFault(mm, address, false))).toBe(-EFAULT);
    }
    setKey(mm, key, PKEY_DISABLE_WRITE);
    for (const address of [closed, untouched]) expect([load(mm, address), store(mm, address)]).toEqual([1, -EFAULT]);
    setKey(mm, key, 0);
    for (const address of [closed, untouched]) expect([load(mm, address), store(mm, address)]).toEqual([1, 1]);
  });

  it('end short at a denied page, as copy_from_user does', () => {
    const { mm, address } = withKey(PKEY_DISABLE_ACCESS);
    expect(plain(mm.read(address, new Uint8Array(2 * PAGE_SIZE)))).toBe(PAGE_SIZE);
  });

  it('look at the key of the entry: a huge page, and one that came back from swap or moved', () => {
    const { mm, memory, key, closed } = withKey(0, { swapBytes: MIB });
    const huge = plain(mm.mmap(REGION_BYTES, RW, ANON));
    plain(mm.madvise(huge, REGION_BYTES, MADV_HUGEPAGE));
    plain(mm.pkeyMprotect(huge, REGION_BYTES, RW, key));
    store(mm, huge);
    plain(mm.madvise(closed, PAGE_SIZE, MADV_PAGEOUT));
    assertMemorySane(memory);
    store(mm, closed);
    expect([keyAt(mm, huge), keyAt(mm, closed)]).toEqual([key, key]);
    expect(migrateFolio(memory, frameAt(mm, closed), 1)).toBe(0);
    expect(keyAt(mm, closed)).toBe(key);
    assertMemorySane(memory);
    setKey(mm, key, PKEY_DISABLE_WRITE);
    expect([load(mm, huge), store(mm, huge)]).toEqual([1, -EFAULT]);
    expect([load(mm, closed), store(mm, closed)]).toEqual([1, -EFAULT]);
  });

  it('take no present page with an odd key for a guard page', () => {
    const { mm, memory, address, closed, key } = withKey(0);
    expect(key & 1).toBe(1);
    plain(mm.madvise(address, 4 * PAGE_SIZE, MADV_GUARD_REMOVE));
    expect(load(mm, closed)).toBe(1);
    plain(mm.madvise(address, 4 * PAGE_SIZE, MADV_GUARD_INSTALL));
    expect(load(mm, closed)).toBe(-EFAULT);
    assertMemorySane(memory);
    plain(mm.madvise(address, 4 * PAGE_SIZE, MADV_GUARD_REMOVE));
    expect(store(mm, closed)).toBe(1);
    expect(keyAt(mm, closed)).toBe(key);
  });
});

describe('what keeps a key', () => {
  it('mremap takes it along, a new mapping in its place has none, a child inherits keys and PKRU', () => {
    const { mm, memory, address, key } = withKey(PKEY_DISABLE_ACCESS);
    const target = anon(mm, 4);
    expect(plain(mm.mremap(address, 4 * PAGE_SIZE, target))).toBe(target);
    const closed = target + PAGE_SIZE;
    expect([keyAt(mm, closed), load(mm, closed)]).toEqual([key, -EFAULT]);
    const child = mm.fork('child') as Mm;
    assertMemorySane(memory);
    expect([child.pkeys.pkru, load(child, closed)]).toEqual([mm.pkeys.pkru, -EFAULT]);
    setKey(child, key, 0);
    expect([load(child, closed), store(child, closed), load(mm, closed)]).toEqual([1, 1, -EFAULT]);
    expect([child.pkeys.free(key), mm.pkeys.has(key)]).toEqual([0, true]);
    plain(mm.mmap(PAGE_SIZE, RW, ANON | MAP_FIXED, closed));
    expect(store(mm, closed)).toBe(1);
    assertMemorySane(memory);
  });
});

describe('execute-only memory', () => {
  it('has a key of its own that denies loads, and that nobody can ask for or free', () => {
    const { mm, memory } = setUp();
    const address = anon(mm, 2, PROT_EXEC);
    expect(load(mm, address)).toBe(-EFAULT);
    expect(mm.pkeys.free(1)).toBe(-EINVAL);
    expect(plain(mm.pkeyMprotect(address, PAGE_SIZE, RW, 1))).toBe(-EINVAL);
    expect(mm.pkeys.alloc(0, 0)).toBe(2);
    plain(mm.mprotect(address, PAGE_SIZE, RW));
    expect([store(mm, address), keyAt(mm, address)]).toEqual([1, 0]);
    plain(mm.mprotect(address, PAGE_SIZE, PROT_EXEC));
    expect([load(mm, address), keyAt(mm, address)]).toEqual([-EFAULT, 1]);
    assertMemorySane(memory);
  });

  it('is readable with a key that was asked for, and when no key is left', () => {
    const { mm } = setUp();
    const address = touched(mm, 1);
    plain(mm.pkeyMprotect(address, PAGE_SIZE, PROT_EXEC, 0));
    expect(load(mm, address)).toBe(1);
    while (mm.pkeys.alloc(0, 0) > 0);
    expect(load(mm, anon(mm, 1, PROT_EXEC))).toBe(1);
  });

  it('is closed again by the next of its kind after the process opened its key', () => {
    const { mm } = setUp();
    const address = anon(mm, 1, PROT_EXEC);
    mm.pkeys.pkru = 0;
    expect(load(mm, address)).toBe(1);
    anon(mm, 1, PROT_EXEC);
    expect(load(mm, address)).toBe(-EFAULT);
  });
});

describe('get_user_pages and protection keys (V-09)', () => {
  it('refuses a denied area with -EFAULT and says so; nothing is pinned', () => {
    const { mm, gup, owner, vmstat, closed, key } = withKey(PKEY_DISABLE_ACCESS);
    const pins = newPinnedPages(4);
    expect(plain(gup.pinUserPagesFast(mm, closed, 1, W | FOLL_LONGTERM, pins, 0, owner))).toBe(-EFAULT);
    expect(gup.why()).toBe('V-09: PKRU denies access to memory with the protection key of the area');
    expect(plain(gup.pinUserPages(mm, closed, 1, 0, pins, 0, owner))).toBe(-EFAULT);
    expect(plain(gup.getUserPagesFast(mm, closed, 1, FOLL_FORCE, newGottenPages(1), 0, owner))).toBe(-EFAULT);
    expect(gup.getUserPagesFastOnly(mm, closed, 1, 0, newGottenPages(1), 0, owner)).toBe(0);
    setKey(mm, key, PKEY_DISABLE_WRITE);
    expect(plain(gup.pinUserPagesFast(mm, closed, 1, W, pins, 0, owner))).toBe(-EFAULT);
    expect(gup.why()).toBe('V-09: PKRU denies writes to memory with the protection key of the area');
    expect(vmstat.nrFollPinAcquired).toBe(0);
    expect(plain(gup.pinUserPagesFast(mm, closed, 1, 0, pins, 0, owner))).toBe(1);
    gup.unpinUserPages(pins, 0, 1);
  });

  it('ends a range at a denied area: what lies before is pinned (E-07, E-09)', () => {
    const { mm, gup, owner, address } = withKey(PKEY_DISABLE_ACCESS);
    for (const pin of ['pinUserPagesFast', 'pinUserPages'] as const) {
      const pins = newPinnedPages(4);
      expect(plain(gup[pin](mm, address, 4, W, pins, 0, owner))).toBe(1);
      gup.unpinUserPages(pins, 0, 1);
    }
    const ranges = new PinnedRanges();
    expect(plain(gup.pinUserPageRanges(mm, address, 4, W, ranges, owner))).toBe(1);
    gup.unpinUserPageRanges(ranges);
  });

  it('takes open keys of every kind on the fast path, key by key', () => {
    const { mm, gup, owner, address, key } = withKey(0);
    const pins = newPinnedPages(4);
    expect(gup.getUserPagesFastOnly(mm, address, 4, W, newGottenPages(4), 0, owner)).toBe(4);
    expect(plain(gup.pinUserPagesFast(mm, address, 4, W, pins, 0, owner))).toBe(4);
    gup.unpinUserPages(pins, 0, 4);
    setKey(mm, key, PKEY_DISABLE_WRITE);
    expect(gup.getUserPagesFastOnly(mm, address, 4, 0, newGottenPages(4), 0, owner)).toBe(4);
    expect(gup.getUserPagesFastOnly(mm, address, 4, W, newGottenPages(4), 0, owner)).toBe(1);
  });

  it('asks for huge pages, too, and for key 0', () => {
    const { mm, gup, owner } = setUp({ hugetlb: { 9: 1 } });
    const huge = plain(mm.mmap(REGION_BYTES, RW, ANON));
    plain(mm.madvise(huge, REGION_BYTES, MADV_HUGEPAGE));
    const pool = plain(mm.mmap(REGION_BYTES, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB));
    const key = mm.pkeys.alloc(0, 0);
    for (const address of [huge, pool]) {
      plain(mm.pkeyMprotect(address, REGION_BYTES, RW, key));
      store(mm, address);
      setKey(mm, key, PKEY_DISABLE_WRITE);
      expect(gup.getUserPagesFastOnly(mm, address, 3, W, newGottenPages(3), 0, owner)).toBe(0);
      expect(plain(gup.pinUserPagesFast(mm, address, 3, W, newPinnedPages(3), 0, owner))).toBe(-EFAULT);
      expect(gup.getUserPagesFastOnly(mm, address, 3, 0, newGottenPages(3), 0, owner)).toBe(3);
      setKey(mm, key, 0);
      expect(gup.getUserPagesFastOnly(mm, address, 3, W, newGottenPages(3), 0, owner)).toBe(3);
    }
    const plainPages = touched(mm, 2);
    setKey(mm, 0, PKEY_DISABLE_WRITE);
    expect(plain(gup.pinUserPagesFast(mm, plainPages, 2, W, newPinnedPages(2), 0, owner))).toBe(-EFAULT);
  });

  it('lets those through who look from outside: process_vm, /proc/pid/mem', () => {
    const { mm, gup, owner, memory, closed } = withKey(PKEY_DISABLE_ACCESS);
    expect(plain(processVmReadv(mm, closed, one()))).toBe(1);
    expect(plain(processVmWritev(mm, closed, Uint8Array.of(3)))).toBe(1);
    expect(plain(readProcMem(mm, closed, one()))).toBe(1);
    expect(plain(writeProcMem(mm, closed, Uint8Array.of(4)))).toBe(1);
    const pins = newPinnedPages(1);
    expect(plain(gup.pinUserPagesRemote(mm, closed, 1, W, pins, 0, owner))).toBe(1);
    gup.unpinUserPages(pins, 0, 1);
    expect(plain(gup.faultIn(mm, closed, 1, W | FOLL_REMOTE))).toBe(1);
    assertMemorySane(memory);
  });

  it('leaves a hole in the core dump of the process itself', () => {
    const { mm, owner, address, closed, gup } = withKey(PKEY_DISABLE_ACCESS);
    const page = newGottenPages(1);
    expect(plain(getDumpPage(mm, closed, page, owner))).toBe(0);
    expect(plain(getDumpPage(mm, address, page, owner))).toBe(1);
    gup.putPages(page, 0, 1);
  });

  it('makes mlock fail with -ENOMEM and MADV_POPULATE with -EINVAL (V-10), as far as they would write', () => {
    const { mm, closed, key } = withKey(PKEY_DISABLE_ACCESS);
    expect(plain(mm.mlock(closed, PAGE_SIZE))).toBe(-ENOMEM);
    plain(mm.munlock(closed, PAGE_SIZE));
    expect(plain(mm.madvise(closed, PAGE_SIZE, MADV_POPULATE_READ))).toBe(-EINVAL);
    setKey(mm, key, PKEY_DISABLE_WRITE);
    expect(plain(mm.mlock(closed, PAGE_SIZE))).toBe(-ENOMEM);
    plain(mm.munlock(closed, PAGE_SIZE));
    expect(plain(mm.madvise(closed, PAGE_SIZE, MADV_POPULATE_READ))).toBe(0);
    expect(plain(mm.madvise(closed, PAGE_SIZE, MADV_POPULATE_WRITE))).toBe(-EINVAL);
    plain(mm.mprotect(closed, PAGE_SIZE, PROT_READ));
    expect(plain(mm.mlock(closed, PAGE_SIZE))).toBe(0);
  });

  it('keeps what was pinned before the key was closed, as any other change of permissions does', () => {
    const { mm, gup, owner, frames, closed, key } = withKey(0);
    const pins = newPinnedPages(1);
    expect(plain(gup.pinUserPagesFast(mm, closed, 1, W | FOLL_LONGTERM, pins, 0, owner))).toBe(1);
    setKey(mm, key, PKEY_DISABLE_ACCESS);
    expect(frames.refcount[frameAt(mm, closed)]).toBe(1025);
    gup.unpinUserPages(pins, 0, 1);
  });

  it('is asked at the end of user space as well', () => {
    const { mm, gup, owner } = setUp();
    const last = TASK_SIZE - PAGE_SIZE;
    expect(plain(mm.mmap(PAGE_SIZE, RW, ANON | MAP_FIXED, last))).toBe(last);
    store(mm, last);
    plain(mm.pkeyMprotect(last, PAGE_SIZE, RW, mm.pkeys.alloc(0, PKEY_DISABLE_ACCESS)));
    expect(plain(gup.pinUserPagesFast(mm, last, 1, 0, newPinnedPages(1), 0, owner))).toBe(-EFAULT);
  });
});
