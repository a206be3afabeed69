import { PMD_HUGE, PMD_NONE, PTE_PRESENT, PTE_WRITE, PageTable, REGION_BYTES, indexOf, regionOf } from '../src/index';

describe('the page table', () => {
  it('finds region and index of addresses up to the end of user space', () => {
    expect([regionOf(0), indexOf(0)]).toEqual([0, 0]);
    expect([regionOf(0x7ffffffff000), indexOf(0x7ffffffff000)]).toEqual([2 ** 26 - 1, 511]);
    expect([regionOf(0x200000 + 0x3fff), indexOf(0x200000 + 0x3fff)]).toEqual([1, 3]);
  });

  it('keeps frame and flags of an entry, with frame numbers of 30 bits', () => {
    const table = new PageTable();
    table.set(table.ensureTable(2 ** 26 - 1), 511, 2 ** 30 - 1, PTE_PRESENT | PTE_WRITE);
    expect(table.frameAt(2 ** 26 - 1, 511)).toBe(2 ** 30 - 1);
    expect(table.flagsAt(2 ** 26 - 1, 511)).toBe(PTE_PRESENT | PTE_WRITE);
    expect(table.flagsAt(2 ** 26 - 1, 510)).toBe(0);
    expect(table.flagsAt(5, 511)).toBe(0);
  });

  it('gives an emptied table back and uses it again for another region', () => {
    const table = new PageTable();
    const first = table.ensureTable(7);
    table.set(first, 3, 100, PTE_PRESENT);
    table.freeTableIfEmpty(7);
    expect(table.tableOf(7)).toBe(first);
    table.clear(first, 3);
    table.freeTableIfEmpty(7);
    expect(table.tableOf(7)).toBe(PMD_NONE);
    expect(table.ensureTable(90000)).toBe(first);
    expect(table.flagsAt(90000, 3)).toBe(0);
    expect(table.tableOf(7)).toBe(PMD_NONE);
    expect(table.tablesUsed).toBe(1);
  });

  it('cuts more tables than one chunk has', () => {
    const table = new PageTable();
    for (let i = 0; i < 400; i++) table.set(table.ensureTable(i * 513), i, 1000 + i, PTE_PRESENT);
    for (let i = 0; i < 400; i++) expect(table.frameAt(i * 513, i)).toBe(1000 + i);
  });

  it('splits a huge entry into entries of the same flags', () => {
    const table = new PageTable();
    table.setHuge(12, 2048, PTE_PRESENT | PTE_WRITE);
    expect(table.tableOf(12)).toBe(PMD_HUGE);
    expect(table.frameAt(12, 17)).toBe(2065);
    const number = table.splitHuge(12);
    expect(table.tableOf(12)).toBe(number);
    expect([table.frameAt(12, 17), table.flagsAt(12, 17)]).toEqual([2065, PTE_PRESENT | PTE_WRITE]);
    expect(table.usedIn(number)).toBe(512);
  });

  it('walks over the regions that have something, however far apart', () => {
    const table = new PageTable();
    const regions = [0, 511, 512, 2 ** 18 - 1, 2 ** 18, 2 ** 25 + 77];
    for (const region of regions) table.set(table.ensureTable(region), 0, 5, PTE_PRESENT);
    table.setHuge(1000, 512, PTE_PRESENT);
    const end = 0x800000000000 / REGION_BYTES;
    const seen = [];
    for (let region = table.nextRegion(0, end); region < end; region = table.nextRegion(region + 1, end))
      seen.push(region);
    expect(seen).toEqual([0, 511, 512, 1000, 2 ** 18 - 1, 2 ** 18, 2 ** 25 + 77]);
    expect(table.nextRegion(513, 900)).toBe(900);
  });
});
