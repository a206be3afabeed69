import { FOLL_PIN, FOLL_WRITE, PAGE_SIZE, frameOf, newGottenPages, newPinnedPages } from '../src/index';
import type { LedgerMode, PinnedPages } from '../src/index';
import { codes, plain, setUp, touched } from './machine-memory';

const W = FOLL_WRITE;
const NIC = 7;
const IOVA = 0xffff_0000_0000;

function pinned(mode: LedgerMode = 'full', pages = 4) {
  const set = setUp({ ledger: mode });
  const address = touched(set.mm, pages);
  const pins = newPinnedPages(pages);
  plain(set.gup.pinUserPagesFast(set.mm, address, pages, W, pins, 0, set.owner));
  return { ...set, ledger: set.memory.ledger, address, pins };
}

const here = expect.stringMatching(/^ledger\.test\.ts:\d+:\d+/) as string;

describe('the ledger', () => {
  it('records nothing when off', () => {
    const { ledger, gup, pins, world } = pinned('off');
    ledger.mapped(NIC, IOVA, pins, 0, 4, 0);
    gup.unpinUserPages(pins, 0, 4);
    expect(Object.values(ledger.counters).every((count) => count === 0)).toBe(true);
    world.checkAtEnd();
    expect(codes(world)).toEqual([]);
  });

  it.each(['counts', 'full'] as const)('keeps totals in mode %s', (mode) => {
    const { ledger, gup, mm, owner, address, pins } = pinned(mode);
    const gets = newGottenPages(2);
    plain(gup.getUserPagesFast(mm, address, 2, 0, gets, 0, owner));
    ledger.mapped(NIC, IOVA, pins, 1, 3, 0);
    ledger.unmapped(NIC, IOVA, 3);
    gup.unpinUserPages(pins, 1, 3);
    gup.putPages(gets, 0, 2);
    expect(ledger.counters).toEqual({
      pinsAcquired: 4,
      pinsReleased: 3,
      pinnedNow: 1,
      pinnedMost: 4,
      getsAcquired: 2,
      getsReleased: 2,
      mapsMade: 1,
      mapsUndone: 1,
      mappedPagesNow: 0,
      mappedPagesMost: 3,
    });
  });

  it('gives the same id to the same owner', () => {
    const { ledger } = setUp().memory;
    const nic = ledger.owner('nic0');
    expect(ledger.owner('nic1')).not.toBe(nic);
    expect(ledger.owner('nic0')).toBe(nic);
    expect(ledger.ownerName(nic)).toBe('nic0');
  });

  it('knows who has pinned what, since when and where', () => {
    const { ledger, pins } = pinned('full', 1);
    expect(ledger.livePins()).toEqual([
      { frame: frameOf(pins[0]), owner: 'nic0', site: here, sinceNs: 0, flags: W | FOLL_PIN },
    ]);
    ledger.mapped(NIC, IOVA, pins, 0, 1, 2);
    expect(ledger.liveMaps()).toEqual([
      { frame: frameOf(pins[0]), domain: NIC, iova: IOVA, direction: 2, site: here, sinceNs: 0 },
    ]);
  });

  it('ends the pin that the released array was filled by, when a page has several', () => {
    const { ledger, gup, mm, memory, address, pins } = pinned('full', 1);
    const others = newPinnedPages(1);
    plain(gup.pinUserPagesFast(mm, address, 1, W, others, 0, memory.ledger.owner('gpu0')));
    gup.unpinUserPages(pins, 0, 1);
    expect(ledger.livePins().map((pin) => pin.owner)).toEqual(['gpu0']);
    gup.unpinUserPages(others, 0, 1);
    expect(ledger.livePins()).toEqual([]);
  });
});

describe('a leak', () => {
  it('is reported at the end with owner and call site', () => {
    const { world, gup, pins } = pinned();
    gup.unpinUserPages(pins, 0, 1);
    world.checkAtEnd();
    expect(world.findings.all).toEqual([
      expect.objectContaining({
        code: 'PIN_LEAK',
        device: 'nic0',
        summary: expect.stringContaining('3 pages') as string,
        sites: [{ what: 'pinned', site: here, atNs: 0 }],
      }),
    ]);
  });

  it('is reported as a number when the ledger only counts', () => {
    const { world } = pinned('counts');
    world.checkAtEnd();
    expect(codes(world)).toEqual(['PIN_LEAK']);
    expect(world.findings.all[0].summary).toContain('4 pages');
  });

  it('is none when everything was given back', () => {
    const { world, gup, pins } = pinned();
    gup.unpinUserPages(pins, 0, 4);
    world.checkAtEnd();
    expect(codes(world)).toEqual([]);
  });

  it('outlives the process, but not the memory that was detached from its world', () => {
    const { world, mm, memory } = pinned();
    plain(mm.exit());
    memory.detach();
    world.checkAtEnd();
    expect(codes(world)).toEqual([]);
  });
});

describe('a pin given back twice', () => {
  it('is reported with the pin, its release and the second release', () => {
    const { world, gup, pins } = pinned();
    gup.unpinUserPages(pins, 0, 4);
    gup.unpinUserPages(pins, 2, 1);
    expect(world.findings.all).toEqual([
      expect.objectContaining({
        code: 'PIN_DOUBLE_RELEASE',
        device: 'nic0',
        sites: [
          { what: 'pinned', site: here, atNs: 0 },
          { what: 'unpinned', site: here, atNs: 0 },
          { what: 'given back again', site: here, atNs: 0 },
        ],
      }),
    ]);
  });
});

describe('a page given back in the wrong way', () => {
  it('is reported when gotten pages are made to look pinned', () => {
    const { world, gup, mm, owner } = setUp();
    const gets = newGottenPages(1);
    plain(gup.getUserPagesFast(mm, touched(mm, 1), 1, W, gets, 0, owner));
    const forged = Int32Array.of(gets[0] | 0x40000000) as unknown as PinnedPages;
    gup.unpinUserPages(forged, 0, 1);
    expect(world.findings.all[0]).toMatchObject({
      code: 'PIN_WRONG_RELEASE',
      sites: [
        { what: 'gotten', site: here },
        { what: 'unpinned', site: here },
      ],
    });
  });
});

describe('an unpin under a device mapping', () => {
  it('is reported with the pin, the mapping and the unpin', () => {
    const { world, ledger, gup, pins } = pinned();
    ledger.mapped(NIC, IOVA, pins, 0, 4, 0);
    gup.unpinUserPages(pins, 2, 2);
    expect(world.findings.all).toEqual([
      expect.objectContaining({
        code: 'UNPINNED_WHILE_MAPPED',
        device: 'nic0',
        sites: [
          { what: 'pinned', site: here, atNs: 0 },
          { what: 'mapped', site: here, atNs: 0 },
          { what: 'unpinned', site: here, atNs: 0 },
        ],
      }),
    ]);
  });

  it('is not reported when the mapping was made through another pin of the page', () => {
    const { world, ledger, gup, mm, owner, address, pins } = pinned('full', 1);
    const others = newPinnedPages(1);
    plain(gup.pinUserPagesFast(mm, address, 1, W, others, 0, owner));
    ledger.mapped(NIC, IOVA, pins, 0, 1, 0);
    gup.unpinUserPages(others, 0, 1);
    ledger.unmapped(NIC, IOVA, 1);
    gup.unpinUserPages(pins, 0, 1);
    expect(codes(world)).toEqual([]);
  });

  it('is not reported after the unmap, nor for kernel memory that was never pinned', () => {
    const { world, ledger, gup, memory, pins } = pinned();
    const ring = memory.allocFolio(1);
    ledger.mapped(NIC, IOVA, pins, 0, 4, 0);
    ledger.mapped(NIC, IOVA + 0x10000, Int32Array.of(ring, ring + 1), 0, 2, 0);
    ledger.unmapped(NIC, IOVA, 4);
    gup.unpinUserPages(pins, 0, 4);
    ledger.deviceAccess(NIC, ring, true, IOVA + 0x10000);
    expect(codes(world)).toEqual([]);
  });
});

describe('a device access after the unpin', () => {
  it('through a mapping that is still there is reported once, with pin, mapping, unpin and address', () => {
    const { world, ledger, gup, pins } = pinned();
    ledger.mapped(NIC, IOVA, pins, 0, 4, 0);
    gup.unpinUserPages(pins, 0, 4);
    world.findings.clear();
    ledger.deviceAccess(NIC, frameOf(pins[1]), true, IOVA + PAGE_SIZE);
    ledger.deviceAccess(NIC, frameOf(pins[2]), true, IOVA + 2 * PAGE_SIZE);
    expect(world.findings.all).toEqual([
      expect.objectContaining({
        code: 'DMA_AFTER_UNPIN',
        device: 'nic0',
        sites: [
          { what: 'pinned', site: here, atNs: 0 },
          { what: 'mapped', site: here, atNs: 0 },
          { what: 'unpinned', site: here, atNs: 0 },
          { what: 'accessed', site: 'device address 0xffff00001000', atNs: 0 },
        ],
      }),
    ]);
  });

  it('through a translation that outlived its mapping is reported', () => {
    const { world, ledger, gup, pins } = pinned();
    ledger.mapped(NIC, IOVA, pins, 0, 4, 0);
    ledger.unmapped(NIC, IOVA, 4);
    gup.unpinUserPages(pins, 0, 4);
    ledger.deviceAccess(NIC + 1, frameOf(pins[0]), false, IOVA);
    expect(codes(world)).toEqual([]);
    ledger.deviceAccess(NIC, frameOf(pins[0]), false, IOVA);
    expect(codes(world)).toEqual(['DMA_AFTER_UNPIN']);
  });

  it('is none while the pin is there', () => {
    const { world, ledger, pins } = pinned();
    ledger.mapped(NIC, IOVA, pins, 0, 4, 0);
    ledger.deviceAccess(NIC, frameOf(pins[0]), true, IOVA);
    expect(codes(world)).toEqual([]);
  });

  it('is none when the page was mapped again through a new pin', () => {
    const { world, ledger, gup, mm, owner, address, pins } = pinned('full', 1);
    ledger.mapped(NIC, IOVA, pins, 0, 1, 0);
    ledger.unmapped(NIC, IOVA, 1);
    gup.unpinUserPages(pins, 0, 1);
    plain(gup.pinUserPagesFast(mm, address, 1, W, pins, 0, owner));
    ledger.mapped(NIC, IOVA, pins, 0, 1, 0);
    ledger.deviceAccess(NIC, frameOf(pins[0]), true, IOVA);
    expect(codes(world)).toEqual([]);
  });
});
