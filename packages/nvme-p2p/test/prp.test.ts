import { controllerBed, pattern, same } from './bare-host';

const READ = 2;
const WRITE = 1;

/** A started controller with `pages` pages of data at `data`, and a page for lists. */
function transferBed() {
  const bed = controllerBed();
  bed.host.start();
  return {
    bed,
    host: bed.host,
    data: bed.host.memory(0x22000),
    back: bed.host.memory(0x22000),
    lists: bed.host.memory(0x3000),
  };
}

describe('PRPs: where the data of a command lies', () => {
  it('moves one block through PRP1', () => {
    const { bed, host, data, back } = transferBed();
    data.bytes.set(pattern(1, 512));
    expect(host.blocks(WRITE, 0, 1, data.iova)).toBe('0/00');
    expect(host.blocks(READ, 0, 1, back.iova)).toBe('0/00');
    expect(same(back.bytes.slice(0, 512), pattern(1, 512))).toBe(true);
    expect(back.bytes[512]).toBe(0);
    bed.close();
  });

  it('takes PRP2 as a page when the data spans two, at an offset too', () => {
    const { bed, host, data, back } = transferBed();
    data.bytes.set(pattern(2, 8192));
    expect(host.blocks(WRITE, 8, 16, data.iova, data.iova + 0x1000)).toBe('0/00');
    expect(host.blocks(READ, 8, 8, back.iova + 0x200, back.iova + 0x1000)).toBe('0/00');
    expect(same(back.bytes.slice(0x200, 0x1200), pattern(2, 8192).slice(0, 0x1000))).toBe(true);
    expect(back.bytes[0x1200]).toBe(0);
    bed.close();
  });

  it('follows a list whose pages are out of order', () => {
    const { bed, host, data, back, lists } = transferBed();
    data.bytes.set(pattern(3, 0x4000));
    host.list(lists, 0, data.iova + 0x3000, data.iova + 0x1000, data.iova + 0x2000);
    expect(host.blocks(WRITE, 40, 32, data.iova, lists.iova)).toBe('0/00');
    host.list(lists, 0, back.iova + 0x1000, back.iova + 0x2000, back.iova + 0x3000);
    expect(host.blocks(READ, 40, 32, back.iova, lists.iova)).toBe('0/00');
    expect(same(back.bytes.slice(0x1000, 0x2000), pattern(3, 0x4000).slice(0x3000))).toBe(true);
    expect(same(back.bytes.slice(0x2000, 0x3000), pattern(3, 0x4000).slice(0x1000, 0x2000))).toBe(true);
    bed.close();
  });

  it('follows a list that starts near the end of its page and goes on in another', () => {
    const { bed, host, data, back, lists } = transferBed();
    data.bytes.set(pattern(4, 0x4000));
    host.list(lists, 0xff0, data.iova + 0x1000, lists.iova + 0x2000);
    host.list(lists, 0x2000, data.iova + 0x2000, data.iova + 0x3000);
    expect(host.blocks(WRITE, 72, 32, data.iova, lists.iova + 0xff0)).toBe('0/00');
    host.list(lists, 8, back.iova + 0x1000, back.iova + 0x2000, back.iova + 0x3000);
    expect(host.blocks(READ, 72, 32, back.iova, lists.iova + 8)).toBe('0/00');
    expect(same(back.bytes.slice(0, 0x4000), pattern(4, 0x4000))).toBe(true);
    bed.close();
  });

  it('moves the largest transfer, 2^MDTS pages', () => {
    const { bed, host, data, back, lists } = transferBed();
    data.bytes.set(pattern(5, 0x20000));
    const pages = (from: number): number[] => Array.from({ length: 31 }, (_, i) => from + 0x1000 * (i + 1));
    host.list(lists, 0, ...pages(data.iova));
    expect(host.blocks(WRITE, 1024, 256, data.iova, lists.iova)).toBe('0/00');
    host.list(lists, 0, ...pages(back.iova));
    expect(host.blocks(READ, 1024, 256, back.iova, lists.iova)).toBe('0/00');
    expect(same(back.bytes.slice(0, 0x20000), pattern(5, 0x20000))).toBe(true);
    bed.close();
  });

  it('refuses an offset anywhere but in PRP1 with 0/13h, and moves nothing', () => {
    const { bed, host, data, lists } = transferBed();
    data.bytes.fill(0xee);
    expect(host.blocks(READ, 0, 16, data.iova, data.iova + 0x1008)).toBe('0/13!');
    host.list(lists, 0, data.iova + 0x1000, data.iova + 0x2010, data.iova + 0x3000);
    expect(host.blocks(READ, 0, 32, data.iova, lists.iova)).toBe('0/13!');
    expect(host.blocks(READ, 0, 32, data.iova, lists.iova + 4)).toBe('0/13!');
    host.list(lists, 0xff8, lists.iova + 0x2010);
    expect(host.blocks(READ, 0, 32, data.iova, lists.iova + 0xff8)).toBe('0/13!');
    expect(data.bytes.every((byte) => byte === 0xee)).toBe(true);
    bed.close();
  });

  it('answers a page it cannot reach with data transfer error 0/04h, and the access is a DMA fault', () => {
    const { bed, host, data } = transferBed();
    bed.expectFinding('DMA_FAULT');
    expect(host.blocks(READ, 0, 1, 0x70_0000_0000)).toBe('0/04!');
    expect(host.blocks(WRITE, 0, 16, data.iova, 0)).toBe('0/04!');
    expect(host.blocks(READ, 0, 32, data.iova, 0x70_0000_0000)).toBe('0/04!');
    expect(bed.findings.filter((finding) => finding.code === 'DMA_FAULT').length).toBeGreaterThanOrEqual(3);
    bed.close();
  });

  it('works with pages of 64 KiB when the host chose them', () => {
    const bed = controllerBed();
    const { host } = bed;
    // Rings and data aligned to 64 KiB.
    const area = host.memory(0x80000);
    const base = Math.ceil(area.iova / 0x10000) * 0x10000;
    const words = (at: number): number => (base - area.iova + at) / 4;
    host.write32(0x24, (31 << 16) | 31);
    host.driver.registers.write64lohi(0x28, base);
    host.driver.registers.write64lohi(0x30, base + 0x10000);
    host.write32(0x14, 0x460001 | (4 << 7));
    expect(host.read32(0x1c)).toBe(1);
    area.words[words(0)] = 0x06 | (7 << 16);
    area.words[words(0) + 6] = (base + 0x2fff0) | 0;
    area.words[words(0) + 8] = (base + 0x31000) | 0; // aligned to 4 KiB only
    area.words[words(0) + 10] = 1;
    host.write32(0x1000, 1);
    bed.advance('1ms');
    expect(area.words[words(0x10000) + 3] >>> 17).toBe(0x4013);
    bed.close();
  });
});
