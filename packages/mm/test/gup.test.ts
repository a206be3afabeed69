import { EEXIST, EFAULT, EHWPOISON, EINTR, EINVAL, ENOMEM, EOPNOTSUPP, EOVERFLOW, EREMOTEIO } from '@pincushion/sim';
import type { MaySleep } from '@pincushion/sim';
import {
  FOLL_ANON,
  FOLL_DUMP,
  FOLL_FORCE,
  FOLL_GET,
  FOLL_HWPOISON,
  FOLL_LONGTERM,
  FOLL_NOFAULT,
  FOLL_NOWAIT,
  FOLL_PCI_P2PDMA,
  FOLL_PIN,
  FOLL_TOUCH,
  FOLL_WRITE,
  MADV_DONTNEED,
  MADV_HUGEPAGE,
  MAP_ANONYMOUS,
  MAP_PRIVATE,
  MAP_SHARED,
  PAGE_SIZE,
  PG_dirty,
  PG_p2pdma,
  PG_referenced,
  PIN_TAG,
  PROT_NONE,
  PROT_READ,
  PROT_WRITE,
  PTE_WRITE,
  VM_IO,
  VM_PFNMAP,
  ZERO_PFN,
  frameOf,
  newGottenPages,
  newPinnedPages,
} from '../src/index';
import type { GottenPages, PinnedPages, VmaBacking } from '../src/index';
import { ANON, MIB, RW, anon, assertMemorySane, codes, frameAt, plain, setUp, touched } from './machine-memory';

const W = FOLL_WRITE;
const LT = FOLL_LONGTERM;

describe('arguments', () => {
  it('with flags that exclude one another are refused by all calls but three with -EINVAL, by those with 0 (F-08)', () => {
    const { mm, gup, owner, world } = setUp();
    const address = touched(mm, 1);
    const pins = newPinnedPages(1);
    const gets = newGottenPages(1);
    for (const flags of [FOLL_PIN, FOLL_TOUCH, FOLL_GET]) {
      expect(plain(gup.pinUserPages(mm, address, 1, flags, pins, 0, owner))).toBe(0);
      expect(plain(gup.pinUserPagesUnlocked(mm, address, 1, flags, pins, 0, owner))).toBe(0);
      expect(plain(gup.pinUserPagesRemote(mm, address, 1, flags, pins, 0, owner))).toBe(0);
      expect(plain(gup.pinUserPagesFast(mm, address, 1, flags, pins, 0, owner))).toBe(-EINVAL);
    }
    for (const flags of [FOLL_PIN, FOLL_TOUCH, LT]) {
      expect(plain(gup.getUserPages(mm, address, 1, flags, gets, 0, owner))).toBe(-EINVAL);
      expect(plain(gup.getUserPagesFast(mm, address, 1, flags, gets, 0, owner))).toBe(-EINVAL);
      expect(gup.getUserPagesFastOnly(mm, address, 1, flags, gets, 0, owner)).toBe(-EINVAL);
    }
    expect(new Set(codes(world))).toEqual(new Set(['GUP_BAD_FLAGS']));
    expect(world.findings.count).toBe(3);
  });

  it.each([
    ['F-01', FOLL_PIN],
    ['F-02', FOLL_GET],
    ['F-05', LT | FOLL_PCI_P2PDMA],
    ['F-07', FOLL_DUMP],
    ['F-07', FOLL_ANON],
  ])('%s names the rule of the refusal', (rule, flags) => {
    const { mm, gup, owner } = setUp();
    expect(plain(gup.pinUserPagesFast(mm, touched(mm, 1), 1, flags, newPinnedPages(1), 0, owner))).toBe(-EINVAL);
    expect(gup.why()).toMatch(new RegExp(`^${rule}: `));
  });

  it('F-03: a long-term get is refused', () => {
    const { mm, gup, owner } = setUp();
    expect(plain(gup.getUserPagesFast(mm, touched(mm, 1), 1, LT, newGottenPages(1), 0, owner))).toBe(-EINVAL);
    expect(gup.why()).toMatch(/^F-03: /);
  });

  it('F-04: FOLL_GET without an array is refused; without the flag the pages are only faulted in (E-10)', () => {
    const { mm, gup, owner, frames } = setUp();
    const address = anon(mm, 3);
    expect(plain(gup.getUserPages(mm, address, 3, FOLL_GET, null, 0, owner))).toBe(-EINVAL);
    expect(gup.why()).toMatch(/^F-04: /);
    expect(plain(gup.getUserPages(mm, address, 3, W, null, 0, owner))).toBe(3);
    expect(frames.refcount[frameAt(mm, address + PAGE_SIZE)]).toBe(1);
  });

  it('of no pages give 0 (E-01), of ranges beyond user space an error before any pin (E-02)', () => {
    const { mm, gup, owner, vmstat } = setUp();
    const pins = newPinnedPages(4);
    expect(plain(gup.pinUserPagesFast(mm, 0, 0, W, pins, 0, owner))).toBe(0);
    expect(plain(gup.pinUserPagesFast(mm, 0x7ffffffff000, 4, W, pins, 0, owner))).toBe(-EFAULT);
    expect(plain(gup.pinUserPagesFast(mm, 2 ** 53 - 8192, 4, W, pins, 0, owner))).toBe(-EOVERFLOW);
    expect(vmstat.nrFollPinAcquired).toBe(0);
  });
});

describe('pinning anonymous memory', () => {
  it('T-01: each page gets 1024 references, the counter the pages, and the mm its mark (E-05)', () => {
    const { mm, gup, owner, frames, vmstat, memory } = setUp();
    const address = touched(mm, 16);
    const pins = newPinnedPages(18);
    expect(mm.hasPinned).toBe(false);
    expect(plain(gup.pinUserPagesFast(mm, address + 123, 16, W | LT, pins, 2, owner))).toBe(16);
    for (let i = 0; i < 16; i++) {
      expect(pins[2 + i]).toBe(frameAt(mm, address + i * PAGE_SIZE) | PIN_TAG);
      expect(frames.refcount[frameOf(pins[2 + i])]).toBe(1025);
    }
    expect([vmstat.nrFollPinAcquired, mm.hasPinned]).toEqual([16, true]);
    assertMemorySane(memory);
    gup.unpinUserPages(pins, 2, 16);
    expect(frames.refcount[frameOf(pins[9])]).toBe(1);
    expect(vmstat.nrFollPinReleased).toBe(16);
    assertMemorySane(memory);
  });

  it('T-02: pages of a huge folio count in its head, three for three', () => {
    const { mm, gup, owner, frames, vmstat, memory } = setUp();
    const address = anon(mm, 512);
    plain(mm.madvise(address, 2 * MIB, MADV_HUGEPAGE));
    plain(mm.fault(address, true));
    const head = frameAt(mm, address);
    const pins = newPinnedPages(3);
    expect(plain(gup.pinUserPagesFast(mm, address + 5 * PAGE_SIZE, 3, W | LT, pins, 0, owner))).toBe(3);
    expect([frames.refcount[head], frames.pincount[head], vmstat.nrFollPinAcquired]).toEqual([4, 3, 3]);
    expect([...pins].map(frameOf)).toEqual([head + 5, head + 6, head + 7]);
    assertMemorySane(memory);
    gup.unpinUserPages(pins, 1, 2);
    gup.unpinUserPage(pins[0]);
    expect([frames.refcount[head], frames.pincount[head], vmstat.nrFollPinReleased]).toEqual([1, 0, 3]);
  });

  it('counts pages of a folio that is mapped by single entries in the same way', () => {
    const { mm, gup, owner, frames, memory } = setUp();
    const address = anon(mm, 1024);
    plain(mm.madvise(address, 2 * MIB, MADV_HUGEPAGE));
    plain(mm.fault(address, true));
    const head = frameAt(mm, address);
    plain(mm.munmap(address, PAGE_SIZE));
    const pins = newPinnedPages(600);
    expect(plain(gup.pinUserPagesFast(mm, address + PAGE_SIZE, 600, W, pins, 0, owner))).toBe(600);
    expect([frames.refcount[head], frames.pincount[head]]).toEqual([511 + 511, 511]);
    assertMemorySane(memory);
    gup.unpinUserPages(pins, 0, 600);
    expect([frames.refcount[head], frames.pincount[head]]).toEqual([511, 0]);
    assertMemorySane(memory);
  });

  it('faults missing pages in, on the slow way, and marks them accessed and dirty there (FOLL_TOUCH)', () => {
    const { mm, gup, owner, frames } = setUp();
    const address = anon(mm, 600);
    const pins = newPinnedPages(600);
    expect(plain(gup.pinUserPagesFast(mm, address, 600, W, pins, 0, owner))).toBe(600);
    expect(frames.flags[frameOf(pins[0])] & PG_referenced).not.toBe(0);
    const other = anon(mm, 1);
    expect(plain(gup.pinUserPages(mm, other, 1, W, pins, 0, owner))).toBe(1);
    expect(frames.flags[frameOf(pins[0])] & (PG_referenced | PG_dirty)).toBe(0);
  });

  it('T-05: a hole ends the range; a hole at the start is an error (E-03, E-09)', () => {
    const { mm, gup, owner } = setUp();
    const address = touched(mm, 4);
    plain(mm.munmap(address + 2 * PAGE_SIZE, PAGE_SIZE));
    const pins = newPinnedPages(4);
    expect(plain(gup.pinUserPagesFast(mm, address, 4, W, pins, 0, owner))).toBe(2);
    expect(plain(gup.pinUserPages(mm, address + PAGE_SIZE, 3, W, pins, 2, owner))).toBe(1);
    expect(plain(gup.pinUserPagesFast(mm, address + 2 * PAGE_SIZE, 2, W, pins, 0, owner))).toBe(-EFAULT);
    expect(gup.why()).toBe('E-03: nothing is mapped at the address');
  });

  it('T-08: a short pin for reading takes the zero page and counts nothing (R-04)', () => {
    const { mm, gup, owner, frames, vmstat } = setUp();
    const pins = newPinnedPages(2);
    const address = anon(mm, 2);
    expect(plain(gup.pinUserPagesFast(mm, address, 2, 0, pins, 0, owner))).toBe(2);
    expect([...pins].map(frameOf)).toEqual([ZERO_PFN, ZERO_PFN]);
    expect([frames.refcount[ZERO_PFN], vmstat.nrFollPinAcquired]).toEqual([1, 0]);
    gup.unpinUserPages(pins, 0, 2);
    expect([frames.refcount[ZERO_PFN], vmstat.nrFollPinReleased]).toEqual([1, 0]);
    const gets = newGottenPages(1);
    expect(plain(gup.getUserPagesFast(mm, address, 1, 0, gets, 0, owner))).toBe(1);
    expect(frames.refcount[ZERO_PFN]).toBe(2);
    gup.putPages(gets, 0, 1);
    expect(frames.refcount[ZERO_PFN]).toBe(1);
  });

  it('T-08: a long-term pin for reading first gets an anonymous page, mapped read-only (X-06)', () => {
    const { mm, gup, owner, frames, vmstat, memory } = setUp();
    const pins = newPinnedPages(1);
    const address = anon(mm, 1);
    expect(plain(gup.pinUserPagesFast(mm, address, 1, LT, pins, 0, owner))).toBe(1);
    const pinned = frameOf(pins[0]);
    expect(pinned).not.toBe(ZERO_PFN);
    expect([frames.refcount[pinned], vmstat.nrFollPinAcquired]).toEqual([1025, 1]);
    const index = (address % (2 * MIB)) / PAGE_SIZE;
    expect(mm.pageTable.flagsAt(Math.floor(address / (2 * MIB)), index) & PTE_WRITE).toBe(0);
    plain(mm.write(address, Uint8Array.of(8)));
    expect(frameAt(mm, address)).toBe(pinned);
    assertMemorySane(memory);
  });

  it('refuses a pin for writing of a page that may only be read, without FOLL_FORCE (V-07)', () => {
    const { mm, gup, owner } = setUp();
    const address = anon(mm, 1, PROT_READ);
    plain(mm.fault(address, false));
    const pins = newPinnedPages(1);
    expect(plain(gup.pinUserPagesFast(mm, address, 1, W, pins, 0, owner))).toBe(-EFAULT);
    expect(gup.why()).toBe('V-07: the area is not writable');
    expect(plain(gup.pinUserPagesFast(mm, address, 1, W | FOLL_FORCE, pins, 0, owner))).toBe(1);
    expect(frameOf(pins[0])).toBe(frameAt(mm, address));
    expect(plain(mm.write(address, Uint8Array.of(1)))).toBe(-EFAULT);
  });

  it('goes on with the same page for a process that writes to what it made read-only and writable again (X-07)', () => {
    const { mm, gup, owner } = setUp();
    const address = touched(mm, 1);
    const pins = newPinnedPages(1);
    plain(gup.pinUserPagesFast(mm, address, 1, W | LT, pins, 0, owner));
    plain(mm.mprotect(address, PAGE_SIZE, PROT_READ));
    plain(mm.mprotect(address, PAGE_SIZE, RW));
    plain(mm.write(address, Uint8Array.of(2)));
    expect(frameAt(mm, address)).toBe(frameOf(pins[0]));
  });

  it('R-21: the page whose count is used up is refused with -ENOMEM', () => {
    const { mm, gup, owner, frames } = setUp({ ledger: 'counts' });
    const address = touched(mm, 1);
    const pins = newPinnedPages(1);
    frames.refcount[frameAt(mm, address)] = -2147483647;
    expect(plain(gup.pinUserPagesFast(mm, address, 1, W, pins, 0, owner))).toBe(-ENOMEM);
    expect(gup.why()).toMatch(/^R-21: /);
    expect(gup.folioMaybeDmaPinned(frameAt(mm, address))).toBe(true);
  });

  it('T-09: 1023 gets make a small page look pinned, but never a large folio', () => {
    const { mm, gup, owner } = setUp();
    const small = touched(mm, 1);
    const large = anon(mm, 512);
    plain(mm.madvise(large, 2 * MIB, MADV_HUGEPAGE));
    plain(mm.fault(large, true));
    const gets = newGottenPages(2046);
    for (let i = 0; i < 1022; i++) plain(gup.getUserPagesFast(mm, small, 1, 0, gets, i, owner));
    expect(gup.folioMaybeDmaPinned(frameAt(mm, small))).toBe(false);
    plain(gup.getUserPagesFast(mm, small, 1, 0, gets, 1022, owner));
    for (let i = 0; i < 1023; i++) plain(gup.getUserPagesFast(mm, large, 1, 0, gets, 1023 + i, owner));
    expect(gup.folioMaybeDmaPinned(frameAt(mm, small))).toBe(true);
    expect(gup.folioMaybeDmaPinned(frameAt(mm, large + PAGE_SIZE))).toBe(false);
  });

  it('E-12: of a huge mapping one page is taken first, and given back when the rest cannot be had', () => {
    const { mm, gup, owner, frames, vmstat } = setUp({ ledger: 'counts' });
    const address = anon(mm, 512);
    plain(mm.madvise(address, 2 * MIB, MADV_HUGEPAGE));
    plain(mm.fault(address, true));
    const head = frameAt(mm, address);
    frames.refcount[head] = 2147483647;
    const pins = newPinnedPages(3);
    expect(plain(gup.pinUserPages(mm, address, 3, W, pins, 0, owner))).toBe(-EFAULT);
    expect([frames.refcount[head], frames.pincount[head]]).toEqual([2147483647, 0]);
    expect([vmstat.nrFollPinAcquired, vmstat.nrFollPinReleased]).toEqual([1, 1]);
  });

  it('stops inside a huge mapping when the array or the area ends', () => {
    const { mm, gup, owner, frames } = setUp();
    const address = anon(mm, 1024);
    plain(mm.madvise(address, 4 * MIB, MADV_HUGEPAGE));
    plain(mm.fault(address, true));
    const pins = newPinnedPages(20);
    expect(plain(gup.pinUserPages(mm, address + 5 * PAGE_SIZE, 7, W, pins, 0, owner))).toBe(7);
    expect([...pins.subarray(7)]).toEqual(new Array(13).fill(0));
    expect(frames.pincount[frameAt(mm, address)]).toBe(7);
  });

  it('ends before the next page when a fatal signal is pending (E-03)', () => {
    const { mm, gup, owner } = setUp();
    const address = anon(mm, 2);
    mm.fatalSignal = true;
    expect(plain(gup.pinUserPages(mm, address, 2, W, newPinnedPages(2), 0, owner))).toBe(-EINTR);
  });

  it('never faults with FOLL_NOFAULT, nor on the fast-only way', () => {
    const { mm, gup, owner } = setUp();
    const address = anon(mm, 2);
    plain(mm.write(address, Uint8Array.of(1)));
    const pins = newPinnedPages(2);
    expect(plain(gup.pinUserPagesFast(mm, address, 2, W | FOLL_NOFAULT, pins, 0, owner))).toBe(1);
    expect(plain(gup.pinUserPagesFast(mm, address + PAGE_SIZE, 1, W | FOLL_NOFAULT, pins, 1, owner))).toBe(-EFAULT);
    const gets = newGottenPages(2);
    expect(gup.getUserPagesFastOnly(mm, address, 2, W, gets, 0, owner)).toBe(1);
    expect(gup.getUserPagesFastOnly(mm, address + PAGE_SIZE, 1, W, gets, 1, owner)).toBe(0);
  });

  it('tells a core dump about holes and zero pages instead of filling them', () => {
    const { mm, gup, owner } = setUp();
    const address = anon(mm, 2);
    plain(mm.fault(address, false));
    const gets = newGottenPages(1);
    for (const page of [0, 1]) {
      expect(plain(gup.getUserPages(mm, address + page * PAGE_SIZE, 1, FOLL_DUMP, gets, 0, owner))).toBe(-EFAULT);
    }
    expect(frameAt(mm, address + PAGE_SIZE)).toBe(0);
  });

  it('fails the chosen pin when that fault is armed', () => {
    const { mm, gup, owner, world } = setUp();
    world.faults.arm('pin', { nth: 1, errno: -ENOMEM });
    expect(plain(gup.pinUserPagesFast(mm, touched(mm, 1), 1, W, newPinnedPages(1), 0, owner))).toBe(-ENOMEM);
  });

  it('shows every run of pages on the tracepoints', () => {
    const { mm, gup, owner, world } = setUp();
    const address = touched(mm, 4);
    const first = frameAt(mm, address);
    plain(mm.munmap(address + PAGE_SIZE, PAGE_SIZE));
    plain(mm.mmap(PAGE_SIZE, RW, ANON, address + PAGE_SIZE));
    plain(mm.write(address, new Uint8Array(4 * PAGE_SIZE)));
    const seen: unknown[] = [];
    world.trace.subscribe((tp, frame, pages, by, flags) => {
      seen.push([tp.name, frame, pages, by, flags]);
      return undefined;
    });
    const pins = newPinnedPages(4);
    plain(gup.pinUserPagesFast(mm, address, 2, W, pins, 0, owner));
    plain(gup.pinUserPagesFast(mm, address + 2 * PAGE_SIZE, 2, W, pins, 2, owner));
    gup.unpinUserPages(pins, 2, 2);
    expect(seen).toContainEqual(['gup:pin', first + 2, 2, owner, W | FOLL_PIN]);
    expect(seen).toContainEqual(['gup:unpin', first + 2, 2, 0, 0]);
  });
});

describe('areas that are refused', () => {
  const areasRefused: [string, number, number, number, Partial<VmaBacking>][] = [
    ['V-01', -EFAULT, 0, RW, { vmFlags: VM_IO }],
    ['V-01', -EFAULT, W, RW, { vmFlags: VM_PFNMAP }],
    ['V-02', -EFAULT, FOLL_ANON, RW, {}],
    ['V-03', -EOPNOTSUPP, LT, RW, { fsDax: true }],
    ['V-05', -EFAULT, 0, RW, { secret: true }],
    ['V-06', -EFAULT, W | LT, RW, { tracksDirty: true }],
    ['V-07', -EFAULT, W | FOLL_FORCE, PROT_READ, {}],
    ['V-08', -EFAULT, 0, PROT_WRITE, {}],
  ];
  it.each(areasRefused)('%s gives %i', (rule, errno, flags, prot, traits) => {
    const { mm, gup, owner, memory } = setUp();
    const pfn = memory.allocFolio(0);
    memory.frames.mapping[pfn] = memory.addOwner({ name: 'object' });
    const backing: VmaBacking = { name: 'object', fault: () => pfn, ...traits };
    const address = plain(mm.mmap(PAGE_SIZE, prot, MAP_SHARED, 0, backing));
    expect(plain(gup.pinUserPages(mm, address, 1, flags, newPinnedPages(1), 0, owner))).toBe(errno);
    expect(gup.why()).toMatch(new RegExp(`^${rule}: `));
    expect(memory.frames.refcount[pfn]).toBeLessThan(1024);
  });

  it('are not those that track dirty pages, for short pins, for reading, or when private (V-06)', () => {
    const { mm, gup, owner, memory } = setUp();
    const pfn = memory.allocFolio(0);
    memory.frames.mapping[pfn] = memory.addOwner({ name: 'file' });
    const backing: VmaBacking = { name: 'file', tracksDirty: true, fault: () => pfn };
    const shared = plain(mm.mmap(PAGE_SIZE, RW, MAP_SHARED, 0, backing));
    const own = plain(mm.mmap(PAGE_SIZE, RW, MAP_PRIVATE, 0, backing));
    const pins = newPinnedPages(3);
    expect(plain(gup.pinUserPagesFast(mm, shared, 1, W, pins, 0, owner))).toBe(1);
    expect(plain(gup.pinUserPages(mm, shared, 1, LT, pins, 1, owner))).toBe(1);
    expect(plain(gup.pinUserPagesFast(mm, own, 1, W | LT, pins, 2, owner))).toBe(1);
    expect([...pins].map((entry) => frameOf(entry) === pfn)).toEqual([true, true, false]);
    assertMemorySane(memory);
  });

  it('T-06: shared anonymous memory may be pinned for long and for writing', () => {
    const { mm, gup, owner, frames } = setUp();
    const address = plain(mm.mmap(2 * PAGE_SIZE, RW, MAP_SHARED | MAP_ANONYMOUS));
    const pins = newPinnedPages(2);
    expect(plain(gup.pinUserPagesFast(mm, address, 2, W | LT, pins, 0, owner))).toBe(2);
    expect(frames.refcount[frameOf(pins[0])]).toBe(2 + 1024);
    expect(plain(gup.pinUserPagesFast(mm, address, 2, W | LT | FOLL_NOFAULT, pins, 0, owner))).toBe(2);
  });

  it('a long-term pin for reading takes no file page out of a private mapping, a short one does', () => {
    const { mm, gup, owner, memory } = setUp();
    const pfn = memory.allocFolio(0);
    memory.frames.mapping[pfn] = memory.addOwner({ name: 'file' });
    memory.bytes.write(pfn, 5, Uint8Array.of(77), 0, 1);
    const backing: VmaBacking = { name: 'file', fault: () => pfn };
    const address = plain(mm.mmap(PAGE_SIZE, RW, MAP_PRIVATE, 0, backing));
    const pins = newPinnedPages(2);
    expect(plain(gup.pinUserPagesFast(mm, address, 1, 0, pins, 0, owner))).toBe(1);
    expect(plain(gup.pinUserPagesFast(mm, address, 1, LT, pins, 1, owner))).toBe(1);
    expect([frameOf(pins[0]), frameOf(pins[1]) === pfn]).toEqual([pfn, false]);
    expect(memory.bytes.view(frameOf(pins[1]), 6)[5]).toBe(77);
    assertMemorySane(memory);
  });

  it('memory of a PCI device is only for those who ask for it (R-06)', () => {
    const { mm, gup, owner, memory } = setUp();
    const pfn = memory.allocFolio(0);
    memory.frames.mapping[pfn] = memory.addOwner({ name: 'p2p provider' });
    memory.frames.flags[pfn] |= PG_p2pdma;
    const address = plain(mm.mmap(PAGE_SIZE, RW, MAP_SHARED, 0, { name: 'bar', fault: () => pfn }));
    plain(mm.fault(address, true));
    const pins = newPinnedPages(1);
    expect(plain(gup.pinUserPagesFast(mm, address, 1, W, pins, 0, owner))).toBe(-EREMOTEIO);
    expect(gup.why()).toMatch(/^R-06: /);
    expect(gup.getUserPagesFastOnly(mm, address, 1, W, newGottenPages(1), 0, owner)).toBe(0);
    expect(plain(gup.pinUserPagesFast(mm, address, 1, W | FOLL_PCI_P2PDMA, pins, 0, owner))).toBe(1);
  });

  it('a fault that ends with poison is -EHWPOISON only for those who ask (E-04)', () => {
    const { mm, gup, owner } = setUp();
    const address = plain(mm.mmap(PAGE_SIZE, RW, MAP_SHARED, 0, { name: 'bad', fault: () => -EHWPOISON }));
    const pins = newPinnedPages(1);
    expect(plain(gup.pinUserPages(mm, address, 1, W, pins, 0, owner))).toBe(-EFAULT);
    expect(plain(gup.pinUserPages(mm, address, 1, W | FOLL_HWPOISON, pins, 0, owner))).toBe(-EHWPOISON);
    const none = plain(mm.mmap(PAGE_SIZE, RW, MAP_SHARED, 0, { name: 'full', fault: () => -ENOMEM }));
    expect(plain(gup.pinUserPages(mm, none, 1, W, pins, 0, owner))).toBe(-ENOMEM);
  });

  it('a PFN entry without a page structure gives -EEXIST where only the entry shows it (E-08)', () => {
    const { mm, gup, owner } = setUp();
    const backing: VmaBacking = { name: 'frames', vmFlags: VM_PFNMAP, fault: () => 9999 };
    const address = plain(mm.mmap(PAGE_SIZE, RW, MAP_SHARED, 0, backing));
    plain(mm.fault(address, false));
    mm.vmas.all[0].flags &= ~VM_PFNMAP;
    expect(plain(gup.getUserPages(mm, address, 1, 0, newGottenPages(1), 0, owner))).toBe(-EEXIST);
    expect(plain(gup.getUserPages(mm, address, 1, 0, null, 0, owner))).toBe(1);
  });

  it('inaccessible memory can neither be pinned nor gotten', () => {
    const { mm, gup, owner } = setUp();
    const address = touched(mm, 1);
    plain(mm.mprotect(address, PAGE_SIZE, PROT_NONE));
    expect(plain(gup.pinUserPagesFast(mm, address, 1, 0, newPinnedPages(1), 0, owner))).toBe(-EFAULT);
  });
});

describe('long-term pins and ZONE_MOVABLE', () => {
  it('fault new pages in outside of it', () => {
    const { mm, gup, owner, memory } = setUp({ movableBytes: 32 * MIB });
    const pins = newPinnedPages(2);
    expect(plain(gup.pinUserPagesFast(mm, anon(mm, 2), 2, W | LT, pins, 0, owner))).toBe(2);
    expect(memory.zoneOf(frameOf(pins[1]))?.name).toBe('DMA32');
    expect(plain(gup.pinUserPagesFast(mm, anon(mm, 1), 1, W, pins, 0, owner))).toBe(1);
    expect(memory.zoneOf(frameOf(pins[0]))?.name).toBe('Movable');
  });

  it('move pages that are there already, with their content, and pin the new ones (T-11, L-05)', () => {
    const { mm, gup, owner, memory, vmstat } = setUp({ movableBytes: 32 * MIB });
    const address = touched(mm, 3);
    const before = frameAt(mm, address);
    const pins = newPinnedPages(3);
    expect(plain(gup.pinUserPagesFast(mm, address, 3, W | LT, pins, 0, owner))).toBe(3);
    expect(memory.zoneOf(frameOf(pins[0]))?.name).toBe('DMA32');
    expect([frameAt(mm, address), memory.bytes.view(frameOf(pins[2]), 1)[0]]).toEqual([frameOf(pins[0]), 3]);
    expect([memory.frames.refcount[before], memory.frames.refcount[frameOf(pins[0])]]).toEqual([0, 1025]);
    expect([vmstat.pgmigrateSuccess, vmstat.nrFollPinAcquired - vmstat.nrFollPinReleased]).toEqual([3, 3]);
    gup.unpinUserPages(pins, 0, 3);
    assertMemorySane(memory);
  });

  it('are refused when somebody else holds one of the pages, and nothing stays pinned (T-12, L-01, L-03)', () => {
    const { mm, gup, owner, memory, frames } = setUp({ movableBytes: 32 * MIB });
    const address = touched(mm, 3);
    const held = newGottenPages(1);
    plain(gup.getUserPagesFast(mm, address + PAGE_SIZE, 1, 0, held, 0, owner));
    const pins = newPinnedPages(3);
    expect(plain(gup.pinUserPagesFast(mm, address, 3, W | LT, pins, 0, owner))).toBe(-ENOMEM);
    expect(gup.why()).toMatch(/^L-01: /);
    expect([...pins]).toEqual([0, 0, 0]);
    expect(frames.refcount[frameAt(mm, address)]).toBe(1);
    expect(frames.refcount[held[0]]).toBe(2);
    gup.putPages(held, 0, 1);
    assertMemorySane(memory);
  });
});

describe('releasing', () => {
  it('frees the page of a process that has gone with its last pin', () => {
    const { mm, gup, owner, memory, frames } = setUp();
    const free = memory.framesFree;
    const pins = newPinnedPages(2);
    plain(gup.pinUserPagesFast(mm, touched(mm, 2), 2, W, pins, 0, owner));
    plain(mm.exit());
    expect([frames.refcount[frameOf(pins[0])], memory.framesFree]).toEqual([1024, free - 2]);
    memory.bytes.write(frameOf(pins[0]), 0, Uint8Array.of(1), 0, 1);
    gup.unpinUserPages(pins, 0, 2);
    expect(memory.framesFree).toBe(free);
    assertMemorySane(memory);
  });

  it('T-13: a device sees the old page after MADV_DONTNEED', () => {
    const { mm, gup, owner, memory } = setUp();
    const address = touched(mm, 1);
    const pins = newPinnedPages(1);
    plain(gup.pinUserPagesFast(mm, address, 1, W, pins, 0, owner));
    plain(mm.madvise(address, PAGE_SIZE, MADV_DONTNEED));
    plain(mm.write(address, Uint8Array.of(200)));
    expect(memory.bytes.view(frameOf(pins[0]), 1)[0]).toBe(1);
  });

  it('T-18: an errno as the number of pages is reported and releases nothing', () => {
    const { mm, gup, owner, world, frames } = setUp();
    const pins = newPinnedPages(1);
    plain(gup.pinUserPagesFast(mm, touched(mm, 1), 1, W, pins, 0, owner));
    gup.unpinUserPages(pins, 0, -EFAULT);
    expect(codes(world)).toEqual(['PIN_WRONG_RELEASE']);
    expect(frames.refcount[frameOf(pins[0])]).toBe(1025);
  });

  it('skips empty entries', () => {
    const { mm, gup, owner, memory } = setUp({ ledger: 'counts' });
    const pins = newPinnedPages(5);
    plain(gup.pinUserPagesFast(mm, touched(mm, 1), 1, W, pins, 2, owner));
    gup.unpinUserPages(pins, 0, 5);
    expect(memory.ledger.counters.pinnedNow).toBe(0);
    expect(memory.ledger.counters.pinsReleased).toBe(1);
  });

  it('marks pages dirty only when asked, and only in task context (U-02, U-03)', () => {
    const { mm, gup, owner, frames, world } = setUp();
    const address = touched(mm, 2);
    const pins = newPinnedPages(2);
    plain(gup.pinUserPagesFast(mm, address, 2, W, pins, 0, owner));
    world.contexts.enter(2, 0);
    expect(() => gup.unpinUserPagesDirtyLock(pins, 0, 2, true)).toThrow('SLEEP_IN_ATOMIC');
    gup.unpinUserPages(pins, 1, 1);
    world.contexts.leave();
    plain(gup.unpinUserPagesDirtyLock(pins, 0, 1, true));
    expect(gup.isDirty(pins[0])).toBe(true);
    expect(gup.isDirty(pins[1])).toBe(false);
    expect(frames.refcount[frameOf(pins[0])]).toBe(1);
    plain(gup.pinUserPagesFast(mm, address + PAGE_SIZE, 1, W, pins, 1, owner));
    plain(gup.unpinUserPagesDirtyLock(pins, 1, 1, false));
    expect(gup.isDirty(pins[1])).toBe(false);
  });

  it('throws when pages go back to the function of the other kind, naming both', () => {
    const { mm, gup, owner, frames } = setUp();
    const address = touched(mm, 2);
    const pins = newPinnedPages(1);
    const gets = newGottenPages(1);
    plain(gup.pinUserPagesFast(mm, address, 1, W, pins, 0, owner));
    plain(gup.getUserPagesFast(mm, address + PAGE_SIZE, 1, W, gets, 0, owner));
    expect(() => {
      gup.putPages(pins as unknown as GottenPages, 0, 1);
    }).toThrow(/PIN_WRONG_RELEASE: putPages at gup\.test\.ts:\d+.*taken by pin.*pinned at gup\.test\.ts:\d+/);
    expect(() => {
      gup.unpinUserPages(gets as unknown as PinnedPages, 0, 1);
    }).toThrow(/PIN_WRONG_RELEASE: unpinUserPages at gup\.test\.ts:\d+.*taken by get.*gotten at gup\.test\.ts:\d+/);
    expect([frames.refcount[frameOf(pins[0])], frames.refcount[gets[0]]]).toEqual([1025, 2]);
  });

  it('T-14: a page that is put instead of unpinned is never freed and looks pinned for ever (U-04)', () => {
    const { mm, gup, owner, frames, memory } = setUp({ ledger: 'counts' });
    const free = memory.framesFree;
    const pins = newPinnedPages(1);
    plain(gup.pinUserPagesFast(mm, touched(mm, 1), 1, W, pins, 0, owner));
    memory.putFolio(frameOf(pins[0]));
    plain(mm.exit());
    expect([frames.refcount[frameOf(pins[0])], memory.framesFree]).toEqual([1023, free - 1]);
  });

  it('U-05: a large folio put instead of unpinned is found when it is freed', () => {
    const { mm, gup, owner, memory, world } = setUp();
    const address = anon(mm, 512);
    plain(mm.madvise(address, 2 * MIB, MADV_HUGEPAGE));
    plain(mm.fault(address, true));
    const pins = newPinnedPages(1);
    plain(gup.pinUserPagesFast(mm, address, 1, W, pins, 0, owner));
    memory.putFolio(frameOf(pins[0]));
    expect(gup.folioMaybeDmaPinned(frameOf(pins[0]))).toBe(true);
    plain(mm.exit());
    expect(world.findings.all[0]).toMatchObject({ code: 'PIN_WRONG_RELEASE', sites: [{ what: 'pinned' }] });
    expect(world.findings.all[0].summary).toMatch(/bad page/);
  });

  it('a reference too many that is put is reported, with whatever ledger', () => {
    for (const ledger of ['counts', 'full'] as const) {
      const { memory, world } = setUp({ ledger });
      const pfn = memory.allocFolio(0);
      memory.putFolio(pfn);
      memory.putFolio(pfn);
      expect(codes(world)).toEqual(['PIN_DOUBLE_RELEASE']);
      assertMemorySane(memory);
    }
  });

  it('reports a pin that is given back twice, also when the ledger only counts', () => {
    const { mm, gup, owner, world, frames } = setUp({ ledger: 'counts' });
    const pins = newPinnedPages(1);
    plain(gup.pinUserPagesFast(mm, touched(mm, 1), 1, W, pins, 0, owner));
    gup.unpinUserPages(pins, 0, 1);
    gup.unpinUserPages(pins, 0, 1);
    expect(codes(world)).toEqual(['PIN_DOUBLE_RELEASE']);
    expect(frames.refcount[frameOf(pins[0])]).toBe(1);
  });
});

describe('faults that sleep', () => {
  function slowObject() {
    const set = setUp();
    const pages: number[] = [];
    const mapping = set.memory.addOwner({ name: 'disk file' });
    const backing: VmaBacking = {
      name: 'disk file',
      *fault(_vma, index) {
        yield* set.world.sleep(1000);
        if (index >= 3) return -EFAULT;
        pages[index] ??= set.memory.allocFolio(0);
        set.memory.frames.mapping[pages[index]] = mapping;
        return pages[index];
      },
    };
    const address = plain(set.mm.mmap(4 * PAGE_SIZE, RW, MAP_SHARED, 0, backing));
    return { ...set, address };
  }

  it('make the pin a task that goes on after the fault (SL-03) and gives what it got (E-07)', () => {
    const { world, mm, gup, owner, address, memory } = slowObject();
    const pins = newPinnedPages(4);
    const result = gup.pinUserPagesFast(mm, address, 4, W, pins, 0, owner);
    expect(typeof result).not.toBe('number');
    expect(world.complete(result as Exclude<MaySleep, number>)).toBe(3);
    expect(world.now).toBe(4000);
    expect(memory.ledger.counters.pinnedNow).toBe(3);
    assertMemorySane(memory);
  });

  it('work for long-term pins and for plain gets as well', () => {
    const { world, mm, gup, owner, address } = slowObject();
    const pins = newPinnedPages(2);
    const gets = newGottenPages(1);
    const pinned = gup.pinUserPages(mm, address, 2, W | LT, pins, 0, owner);
    expect(world.complete(pinned as Exclude<MaySleep, number>)).toBe(2);
    const gotten = gup.getUserPages(mm, address + 2 * PAGE_SIZE, 1, 0, gets, 0, owner);
    expect(world.complete(gotten as Exclude<MaySleep, number>)).toBe(1);
  });

  it('end a call with FOLL_NOWAIT at once', () => {
    const { world, mm, gup, owner, address } = slowObject();
    expect(plain(gup.getUserPages(mm, address, 1, FOLL_NOWAIT, newGottenPages(1), 0, owner))).toBe(0);
    world.checkAtEnd();
    expect(codes(world)).toEqual([]);
  });
});
