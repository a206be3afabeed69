import {
  FOLL_LONGTERM,
  FOLL_PIN,
  FOLL_WRITE,
  MADV_DONTNEED,
  MAP_FIXED,
  PAGE_SIZE,
  PinnedRanges,
  accountPinnedVm,
  frameOf,
  ioAccountMem,
  linux54,
  newGottenPages,
  newPinnedPages,
} from '../src/index';
import type { PinnedPages } from '../src/index';
import { ANON, MIB, RW, anon, codes, frameAt, plain, setUp, touched } from './machine-memory';

const W = FOLL_WRITE;
const NIC = 7;
const IOVA = 0x10000;
const BIDIRECTIONAL = 0;
const TO_DEVICE = 1;
const FROM_DEVICE = 2;
const here = expect.stringMatching(/^ledger-checks\.test\.ts:\d+:\d+/) as string;

function pinned(pages = 4, flags = W) {
  const set = setUp();
  const address = touched(set.mm, pages);
  const pin = (owner = set.owner, pinFlags = flags): PinnedPages => {
    const pins = newPinnedPages(pages);
    expect(plain(set.gup.pinUserPagesFast(set.mm, address, pages, pinFlags, pins, 0, owner))).toBe(pages);
    return pins;
  };
  return { ...set, ledger: set.memory.ledger, address, pin, pins: pin() };
}

describe('a release is matched with the handle that was pinned into', () => {
  it('so that a second release of one handle does not take the pin of another', () => {
    const { world, gup, pin, pins, ledger } = pinned(1);
    gup.unpinUserPages(pins, 0, 1);
    const others = pin(ledger.owner('gpu0'));
    gup.unpinUserPages(pins, 0, 1);
    expect(world.findings.all).toEqual([
      expect.objectContaining({
        code: 'PIN_DOUBLE_RELEASE',
        device: 'nic0',
        sites: [
          { what: 'pinned', site: here, atNs: 0 },
          { what: 'unpinned', site: here, atNs: 0 },
          { what: 'pinned', site: here, atNs: 0 },
          { what: 'given back again', site: here, atNs: 0 },
        ],
      }),
    ]);
    expect(ledger.holdersOf(others[0]).map(({ owner }) => owner)).toEqual(['gpu0']);
  });

  it('and pages that were copied out of it are given back without a finding', () => {
    const { world, gup, pins } = pinned(4);
    gup.unpinUserPages(pins.slice(2) as PinnedPages, 0, 2);
    gup.unpinUserPage(pins[1]);
    gup.unpinUserPages(pins, 0, 1);
    world.checkAtEnd();
    expect(codes(world)).toEqual([]);
  });

  it('and so are ranges, of which two may hold one page', () => {
    const { world, gup, mm, memory, owner } = setUp();
    const address = touched(mm, 4);
    const [one, two] = [new PinnedRanges(), new PinnedRanges()];
    plain(gup.pinUserPageRanges(mm, address, 4, W, one, owner));
    plain(gup.pinUserPageRanges(mm, address, 4, W, two, memory.ledger.owner('gpu0')));
    gup.unpinUserPageRanges(one);
    expect(memory.ledger.livePins().map((pin) => pin.owner)).toEqual(['gpu0', 'gpu0', 'gpu0', 'gpu0']);
    gup.unpinUserPageRanges(two);
    world.checkAtEnd();
    expect(codes(world)).toEqual([]);
  });

  it('and one more pin of a page is a handle of its own', () => {
    const { world, gup, pins, ledger, owner } = pinned(1);
    expect(gup.folioAddPin(pins[0], owner)).toBe(0);
    expect(ledger.holdersOf(pins[0])).toHaveLength(2);
    gup.unpinUserPage(pins[0]);
    gup.unpinUserPage(pins[0]);
    world.checkAtEnd();
    expect(codes(world)).toEqual([]);
  });
});

describe('a release of a page that is not the caller’s', () => {
  it('is reported when nobody ever pinned it', () => {
    const { world, gup, mm, pins } = pinned(1);
    const stranger = frameAt(mm, touched(mm, 1));
    gup.unpinUserPages(Int32Array.of((pins[0] - frameOf(pins[0])) | stranger) as PinnedPages, 0, 1);
    expect(world.findings.all).toEqual([
      expect.objectContaining({ code: 'PIN_WRONG_PAGE', sites: [{ what: 'given back', site: here, atNs: 0 }] }),
    ]);
  });

  it('is reported when another owner alone has pinned it, and his pin stays', () => {
    const { world, gup, pins, ledger } = pinned(1);
    ledger.releasing(ledger.owner('gpu0'));
    gup.unpinUserPages(pins, 0, 1);
    expect(world.findings.all).toEqual([
      expect.objectContaining({
        code: 'PIN_WRONG_PAGE',
        device: 'gpu0',
        summary: expect.stringContaining('held by nic0 alone') as string,
        sites: [
          { what: 'pinned', site: here, atNs: 0 },
          { what: 'given back', site: here, atNs: 0 },
        ],
      }),
    ]);
    expect(ledger.holdersOf(pins[0])).toHaveLength(1);
  });
});

describe('who holds a frame', () => {
  it('is told with owner, process, address, call site and age', () => {
    const { world, pins, ledger, address } = pinned(4);
    world.run({ untilNs: 3000 });
    expect(ledger.holdersOf(frameOf(pins[2]))).toEqual([
      {
        kind: 'pin',
        owner: 'nic0',
        process: 'prog',
        address: address + 2 * PAGE_SIZE,
        site: here,
        sinceNs: 0,
        ageNs: 3000,
        flags: W | FOLL_PIN,
      },
    ]);
    const text = ledger.holdersText(frameOf(pins[2]));
    expect(text).toMatch(/pinned by nic0 for 3 µs at ledger-checks\.test\.ts:.*, of prog at 0x/);
    expect(ledger.holdersText(3)).toBe('frame 3 is held by nobody');
  });

  it('is known of the calls that have held longest', () => {
    const { world, gup, ledger, pin, pins } = pinned(4);
    world.run({ untilNs: 3000 });
    pin(ledger.owner('gpu0'));
    gup.unpinUserPages(pins, 0, 1);
    expect(ledger.oldestPins()).toEqual([
      { owner: 'nic0', process: 'prog', pages: 3, site: here, sinceNs: 0, ageNs: 3000 },
      { owner: 'gpu0', process: 'prog', pages: 4, site: here, sinceNs: 3000, ageNs: 0 },
    ]);
    expect(ledger.oldestPins(1)).toHaveLength(1);
  });
});

describe('what a device has written', () => {
  it('must be marked dirty at the release, anonymous memory too (U-02)', () => {
    const { world, ledger, gup, pins } = pinned(4);
    ledger.mapped(NIC, IOVA, pins, 0, 4, FROM_DEVICE);
    ledger.deviceAccess(NIC, frameOf(pins[1]), true, IOVA + PAGE_SIZE);
    ledger.deviceAccess(NIC, frameOf(pins[3]), true, IOVA + 3 * PAGE_SIZE);
    ledger.unmapped(NIC, IOVA, 4);
    gup.unpinUserPages(pins, 0, 4);
    expect(world.findings.all).toEqual([
      expect.objectContaining({
        code: 'PIN_RELEASED_CLEAN',
        device: 'nic0',
        summary: expect.stringContaining(`2 pages (the first is frame ${frameOf(pins[1])})`) as string,
        sites: [
          { what: 'pinned', site: here, atNs: 0 },
          { what: 'unpinned', site: here, atNs: 0 },
        ],
      }),
    ]);
  });

  it.each(['at the release', 'before it', 'page by page'])('may be marked dirty %s', (when) => {
    const { world, ledger, gup, pins } = pinned(1);
    ledger.mapped(NIC, IOVA, pins, 0, 1, BIDIRECTIONAL);
    ledger.deviceAccess(NIC, frameOf(pins[0]), true, IOVA);
    ledger.unmapped(NIC, IOVA, 1);
    if (when === 'at the release') plain(gup.unpinUserPagesDirtyLock(pins, 0, 1, true));
    else {
      if (when === 'before it') gup.markDirty(pins[0]);
      else plain(gup.setPageDirtyLock(pins[0]));
      gup.unpinUserPages(pins, 0, 1);
    }
    expect(codes(world)).toEqual([]);
  });

  it('is no concern of a holder whose device only read', () => {
    const { world, ledger, gup, pins, pin } = pinned(1);
    const reader = pin(ledger.owner('gpu0'), 0);
    ledger.mapped(NIC, IOVA, pins, 0, 1, BIDIRECTIONAL);
    ledger.deviceAccess(NIC, frameOf(pins[0]), true, IOVA);
    gup.unpinUserPages(reader, 0, 1);
    expect(codes(world)).toEqual([]);
  });
});

describe('a mapping for a device', () => {
  it('of memory that is gotten, not pinned, is reported', () => {
    const { world, ledger, gup, mm, owner, address } = pinned(1);
    const gets = newGottenPages(1);
    const other = anon(mm, 1);
    plain(mm.write(other, Uint8Array.of(1)));
    plain(gup.getUserPagesFast(mm, other, 1, W, gets, 0, owner));
    ledger.mapped(NIC, IOVA, gets, 0, 1, TO_DEVICE);
    expect(address).not.toBe(other);
    expect(world.findings.all).toEqual([
      expect.objectContaining({
        code: 'MAPPED_UNPINNED',
        sites: [
          { what: 'gotten', site: here, atNs: 0 },
          { what: 'mapped', site: here, atNs: 0 },
        ],
      }),
    ]);
  });

  it('of memory that nobody holds is reported; of buffers of the kernel it is not', () => {
    const { world, ledger, mm, memory } = setUpWithLedger();
    ledger.mapped(NIC, IOVA, Int32Array.of(memory.allocFolio(0)), 0, 1, BIDIRECTIONAL);
    expect(codes(world)).toEqual([]);
    ledger.mapped(NIC, IOVA + PAGE_SIZE, Int32Array.of(frameAt(mm, touched(mm, 1))), 0, 1, BIDIRECTIONAL);
    expect(codes(world)).toEqual(['MAPPED_UNPINNED']);
  });

  it('from the device is reported when the pin is for reading; a write through a mapping for both is, too', () => {
    const { world, ledger, pins } = pinned(1, 0);
    ledger.mapped(NIC, IOVA, pins, 0, 1, BIDIRECTIONAL);
    ledger.deviceAccess(NIC, frameOf(pins[0]), false, IOVA);
    expect(codes(world)).toEqual([]);
    ledger.deviceAccess(NIC, frameOf(pins[0]), true, IOVA);
    ledger.deviceAccess(NIC, frameOf(pins[0]), true, IOVA);
    ledger.mapped(NIC, IOVA + PAGE_SIZE, pins, 0, 1, FROM_DEVICE);
    ledger.mapped(NIC, IOVA + 2 * PAGE_SIZE, pins, 0, 1, TO_DEVICE);
    expect(codes(world)).toEqual(['PIN_READ_ONLY_WRITTEN', 'PIN_READ_ONLY_WRITTEN']);
    expect(world.findings.all[0].sites.map(({ what }) => what)).toEqual(['pinned', 'mapped', 'accessed']);
  });
});

function setUpWithLedger() {
  const set = setUp();
  return { ...set, ledger: set.memory.ledger };
}

describe('a device that writes to a page of somebody else', () => {
  it('is reported with both, when the page was freed and is used again', () => {
    const { world, ledger, gup, mm, memory, pins, address } = pinned(1);
    const frame = frameOf(pins[0]);
    ledger.mapped(NIC, IOVA, pins, 0, 1, BIDIRECTIONAL);
    gup.unpinUserPages(pins, 0, 1);
    plain(mm.munmap(address, PAGE_SIZE));
    world.findings.clear();
    const victim = memory.createMm('victim');
    const stolen = touched(victim, 1);
    expect(frameAt(victim, stolen)).toBe(frame);
    ledger.deviceAccess(NIC, frame, true, IOVA);
    ledger.deviceAccess(NIC, frame, true, IOVA);
    expect(world.findings.all).toEqual([
      expect.objectContaining({
        code: 'DMA_INTO_FOREIGN_PAGE',
        summary: expect.stringContaining('victim (anonymous)') as string,
        device: 'nic0',
      }),
    ]);
    expect(world.findings.all[0].sites.map(({ what }) => what)).toEqual(['pinned', 'mapped', 'unpinned', 'accessed']);
  });
});

describe('the accounting audit', () => {
  it('sets charges beside what is pinned for long', () => {
    const { gup, mm, ledger, owner } = setUpWithLedger();
    const pins = newPinnedPages(4);
    expect(accountPinnedVm(mm, 4)).toBe(0);
    plain(gup.pinUserPagesFast(mm, touched(mm, 4), 4, W | FOLL_LONGTERM, pins, 0, owner));
    expect(ledger.auditCharges()).toEqual([
      { counter: 'pinned_vm of prog', charged: 4, pinned: 4 },
      { counter: 'locked_vm of user root', charged: 0, pinned: 4 },
    ]);
    gup.unpinUserPages(pins, 0, 4);
  });

  it('reports at the end what is charged and not pinned', () => {
    const { world, gup, mm, owner } = setUp();
    const pins = newPinnedPages(4);
    expect(ioAccountMem(mm.user, mm, 4)).toBe(0);
    plain(gup.pinUserPagesFast(mm, touched(mm, 4), 4, W | FOLL_LONGTERM, pins, 0, owner));
    gup.unpinUserPages(pins, 0, 4);
    mm.pinnedVm -= 3;
    world.checkAtEnd();
    expect(world.findings.all.map(({ code, summary }) => `${code}: ${summary}`)).toEqual([
      'ACCOUNTING_DRIFT: pinned_vm of prog is 1 pages, and 0 are pinned for long',
      'ACCOUNTING_DRIFT: locked_vm of user root is 4 pages, and 0 are pinned for long',
    ]);
  });
});

describe('process and device part', () => {
  const steps = {
    MADV_DONTNEED: ({ mm, address }) => plain(mm.madvise(address + PAGE_SIZE, 2 * PAGE_SIZE, MADV_DONTNEED)),
    munmap: ({ mm, address }) => plain(mm.munmap(address + PAGE_SIZE, 2 * PAGE_SIZE)),
    mremap: ({ mm, address }) => plain(mm.mremap(address + PAGE_SIZE, 2 * PAGE_SIZE, address + 64 * MIB)),
    'mmap with MAP_FIXED': ({ mm, address }) =>
      plain(mm.mmap(2 * PAGE_SIZE, RW, ANON | MAP_FIXED, address + PAGE_SIZE)),
  } satisfies Record<string, (set: ReturnType<typeof pinned>) => number>;

  it.each(Object.entries(steps))('by %s, which is written down with its call', (step, act) => {
    const set = pinned(4);
    act(set);
    const { world, address, pins, ledger } = set;
    expect(ledger.coherence?.partings).toEqual([
      {
        process: 'prog',
        address: address + PAGE_SIZE,
        frame: frameOf(pins[1]),
        pages: 2,
        step,
        atNs: 0,
        site: here,
        owner: 'nic0',
        pinned: { what: 'pinned', site: here, atNs: 0 },
      },
    ]);
    expect(ledger.coherence?.text()).toContain(`${step} at ledger-checks`);
    expect(codes(world)).toEqual([]);
  });

  it('by a write after fork, where the kernel does not copy pinned pages for the child', () => {
    const { mm, address, ledger } = pinned(1);
    const child = mm.fork('child');
    if (typeof child === 'number') throw new Error('no child');
    plain(child.write(address, Uint8Array.of(9)));
    plain(mm.write(address, Uint8Array.of(9)));
    expect(ledger.coherence?.partings).toEqual([]); // 6.18 copies at once: the parent keeps its page (P-01).
    const old = setUp({ profile: linux54 });
    const there = touched(old.mm, 1);
    const pins = newPinnedPages(1);
    plain(old.gup.pinUserPagesFast(old.mm, there, 1, W, pins, 0, old.owner));
    expect(typeof old.mm.fork('child')).toBe('object');
    plain(old.mm.write(there, Uint8Array.of(9)));
    expect(old.memory.ledger.coherence?.partings).toMatchObject([
      { step: 'copy on write', address: there, frame: frameOf(pins[0]), site: here },
    ]);
  });

  it('not by a page that goes elsewhere, nor by the end of the process, nor when nothing is pinned', () => {
    const { mm, gup, address, pins, ledger } = pinned(2);
    gup.unpinUserPages(pins, 1, 1);
    plain(mm.munmap(address + PAGE_SIZE, PAGE_SIZE));
    plain(mm.exit());
    expect(ledger.coherence?.partings).toEqual([]);
  });

  it('as a finding when that is asked for', () => {
    const { world, mm, address, ledger } = pinned(2);
    if (ledger.coherence !== null) ledger.coherence.mode = 'report';
    plain(mm.madvise(address, 2 * PAGE_SIZE, MADV_DONTNEED));
    expect(world.findings.all).toEqual([
      expect.objectContaining({
        code: 'PIN_PARTED',
        device: 'nic0',
        sites: [
          { what: 'pinned', site: here, atNs: 0 },
          { what: 'MADV_DONTNEED', site: here, atNs: 0 },
        ],
      }),
    ]);
  });

  it('is not watched unless the ledger is full', () => {
    expect(setUp({ ledger: 'counts' }).memory.ledger.coherence).toBeNull();
  });
});
