import { DmaDirection } from '@pincushion/dma';
import { PAGE_SIZE } from '@pincushion/mm';
import { EFAULT } from '@pincushion/sim';
import { bench, pattern } from './machine-under-test';

const { toDevice, fromDevice } = DmaDirection;

describe('lazy invalidation', () => {
  it('lets a device go on using an unmapped page until the flush, and says so', () => {
    const { world, mm, nic, run, pin, finding, codes } = bench({ mode: 'lazy' });
    const { address, pages } = pin(1);
    const iova = nic.mapPages(pages, 0, 1, 0, PAGE_SIZE, fromDevice);
    nic.unmapPages(iova, PAGE_SIZE, fromDevice);
    expect(nic.liveMappings).toBe(0);
    world.run({ untilNs: 9_999_999 });
    expect(nic.write(iova, pattern(16, 4), 0, 16)).toBe(0);
    const seen = new Uint8Array(16);
    run(mm.read(address, seen));
    expect(seen).toEqual(pattern(16, 4));
    expect(finding('DMA_STALE_ACCESS')).toMatchObject({ device: 'nic0', details: ['was mapped until 0 ns'] });
    world.run();
    expect(world.now).toBe(10_000_000);
    expect(nic.write(iova, pattern(16, 4), 0, 16)).toBe(-EFAULT);
    expect(codes()).toEqual(['DMA_STALE_ACCESS', 'DMA_FAULT']);
  });

  it('keeps the direction of a stale entry', () => {
    const { nic, pin, codes } = bench({ mode: 'lazy' });
    const { pages } = pin(1);
    const iova = nic.mapPages(pages, 0, 1, 0, PAGE_SIZE, toDevice);
    nic.unmapPages(iova, PAGE_SIZE, toDevice);
    expect(nic.check(iova, 16, true)).toBe(-EFAULT);
    expect(nic.check(iova, 16, false)).toBe(0);
    expect(codes()).toEqual(['DMA_FAULT', 'DMA_STALE_ACCESS']);
  });

  it('gives no address out again before the flush', () => {
    const { world, nic, pin } = bench({ mode: 'lazy' });
    const { pages } = pin(1);
    const first = nic.mapPages(pages, 0, 1, 0, PAGE_SIZE, toDevice);
    nic.unmapPages(first, PAGE_SIZE, toDevice);
    const second = nic.mapPages(pages, 0, 1, 0, PAGE_SIZE, toDevice);
    expect(second).not.toBe(first);
    world.run();
    expect(nic.mapPages(pages, 0, 1, 0, PAGE_SIZE, toDevice)).toBe(first);
  });

  it('flushes at once when 256 ranges wait, and the clock starts again for the next ones', () => {
    const { world, nic, pin } = bench({ mode: 'lazy' });
    const { pages } = pin(2);
    const iovas: number[] = [];
    for (let i = 0; i < 256; i++) {
      iovas.push(nic.mapPages(pages, 0, 2, 0, 2 * PAGE_SIZE, toDevice));
      nic.unmapPages(iovas[i], 2 * PAGE_SIZE, toDevice);
      if (i === 254) expect(nic.check(iovas[0], 1, false)).toBe(0);
    }
    expect(nic.check(iovas[0], 1, false)).toBe(-EFAULT);
    expect(nic.check(iovas[255], 1, false)).toBe(-EFAULT);
    const late = nic.mapPages(pages, 0, 1, 0, PAGE_SIZE, toDevice);
    nic.unmapPages(late, PAGE_SIZE, toDevice);
    expect(nic.check(late, 1, false)).toBe(0);
    world.run();
    expect(nic.check(late, 1, false)).toBe(-EFAULT);
  });

  it('sets the clock again after each flush', () => {
    const { world, nic, pin } = bench({ mode: 'lazy', flushNs: 1_000 });
    const { pages } = pin(1);
    for (let round = 1; round <= 3; round++) {
      const iova = nic.mapPages(pages, 0, 1, 0, PAGE_SIZE, toDevice);
      nic.unmapPages(iova, PAGE_SIZE, toDevice);
      expect(nic.check(iova, 1, false)).toBe(0);
      world.run();
      expect(world.now).toBe(round * 1_000);
      expect(nic.check(iova, 1, false)).toBe(-EFAULT);
    }
  });

  it('flushes early rather than refuse a mapping for want of addresses', () => {
    const { nic, pin } = bench({ mode: 'lazy', addressBits: 20 });
    const { pages } = pin(1);
    for (let i = 0; i < 1_000; i++) {
      const iova = nic.mapPages(pages, 0, 1, 0, PAGE_SIZE, toDevice);
      expect(iova).toBeGreaterThan(0);
      nic.unmapPages(iova, PAGE_SIZE, toDevice);
    }
  });

  it('waits as long as the machine says', () => {
    const { world, nic, pin } = bench({ mode: 'lazy', flushNs: 2_000 });
    const { pages } = pin(1);
    const iova = nic.mapPages(pages, 0, 1, 0, PAGE_SIZE, toDevice);
    nic.unmapPages(iova, PAGE_SIZE, toDevice);
    world.run({ untilNs: 1_999 });
    expect(nic.check(iova, 1, false)).toBe(0);
    world.run({ untilNs: 2_000 });
    expect(nic.check(iova, 1, false)).toBe(-EFAULT);
  });

  it('ends with the device: what is stale then is unreachable and no leak', () => {
    const { world, nic, pin, codes } = bench({ mode: 'lazy' });
    const { pages } = pin(1);
    const iova = nic.mapPages(pages, 0, 1, 0, PAGE_SIZE, toDevice);
    nic.unmapPages(iova, PAGE_SIZE, toDevice);
    nic.detach();
    world.run();
    expect(codes()).toEqual([]);
  });

  it('unmapped coherent memory stays reachable, too, although it is free', () => {
    const { nic, memory, finding } = bench({ mode: 'lazy' });
    const ring = nic.allocCoherent(PAGE_SIZE);
    const iova = ring?.iova ?? 0;
    ring?.release();
    const reused = memory.allocFolio(0);
    expect(reused).toBe(ring?.frame);
    expect(nic.fill(iova, 0xee, 4)).toBe(0);
    const seen = new Uint8Array(4);
    memory.bytes.read(reused, 0, seen, 0, 4);
    expect([...seen]).toEqual([0xee, 0xee, 0xee, 0xee]);
    expect(finding('DMA_STALE_ACCESS').summary).toContain('not yet flushed');
  });
});
