import { DmaDirection, ScatterList } from '@pincushion/dma';
import { PAGE_SIZE } from '@pincushion/mm';
import type { Memory } from '@pincushion/mm';
import { EFAULT, EINVAL, ENOMEM } from '@pincushion/sim';
import { bench } from './machine-under-test';

const { toDevice, fromDevice } = DmaDirection;

function frames(memory: Memory, n: number): number[] {
  return Array.from({ length: n }, () => memory.allocFolio(0));
}

function segments(list: ScatterList): number[] {
  return Array.from({ length: list.mappedCount }, (_, i) => list.dmaLength(i));
}

describe('a scatter list', () => {
  it('becomes one segment where its pieces meet at page boundaries, whatever the frames are', () => {
    const { nic, memory, codes } = bench();
    const [a, b, c] = frames(memory, 3);
    const list = new ScatterList(8);
    list.add(c, 1000, PAGE_SIZE - 1000);
    list.add(a, 0, PAGE_SIZE);
    list.add(b, 0, 50);
    expect(nic.mapSg(list, fromDevice)).toBe(1);
    expect(list.dmaAddress(0) % PAGE_SIZE).toBe(1000);
    expect(list.dmaLength(0)).toBe(PAGE_SIZE - 1000 + PAGE_SIZE + 50);
    nic.fill(list.dmaAddress(0), 5, list.dmaLength(0));
    const seen = new Uint8Array(51);
    memory.bytes.read(b, 0, seen, 0, 51);
    expect(seen[49]).toBe(5);
    expect(seen[50]).toBe(0);
    nic.unmapSg(list, fromDevice);
    expect(list.mappedCount).toBe(0);
    expect(nic.liveMappings).toBe(0);
    expect(codes()).toEqual([]);
  });

  it('keeps pieces apart that do not meet at a page boundary', () => {
    const { nic, memory } = bench();
    const [a, b, c] = frames(memory, 3);
    const list = new ScatterList(4);
    list.add(a, 0, 100);
    list.add(b, 0, PAGE_SIZE);
    list.add(c, 8, 100);
    expect(nic.mapSg(list, toDevice)).toBe(3);
    expect(segments(list)).toEqual([100, PAGE_SIZE, 100]);
  });

  it('makes no segment longer than the device takes (max_segment_size, 64 KiB by default)', () => {
    const { nic, memory } = bench();
    const list = new ScatterList(40);
    for (const frame of frames(memory, 40)) list.add(frame, 0, PAGE_SIZE);
    expect(nic.mapSg(list, toDevice)).toBe(3);
    expect(segments(list)).toEqual([65536, 65536, 8 * PAGE_SIZE]);
  });

  it('makes no segment across the boundary of the device (segment_boundary_mask) and leaves the gap unmapped', () => {
    const { nic, memory } = bench({}, 'full');
    const list = new ScatterList(8, { boundaryBytes: 4 * PAGE_SIZE });
    const big = memory.allocFolio(2);
    list.add(frames(memory, 1)[0], 0, PAGE_SIZE);
    list.add(big, 0, 4 * PAGE_SIZE);
    list.add(frames(memory, 1)[0], 0, PAGE_SIZE);
    expect(nic.mapSg(list, toDevice)).toBe(3);
    for (let i = 0; i < 3; i++) {
      const last = list.dmaAddress(i) + list.dmaLength(i) - 1;
      expect(Math.floor(list.dmaAddress(i) / (4 * PAGE_SIZE))).toBe(Math.floor(last / (4 * PAGE_SIZE)));
    }
    expect(nic.check(list.dmaAddress(0) + PAGE_SIZE, 1, false)).toBe(-EFAULT);
    expect(memory.ledger.counters.mappedPagesNow).toBe(6);
    nic.unmapSg(list, toDevice);
    expect(memory.ledger.counters.mappedPagesNow).toBe(0);
    expect(memory.ledger.liveMaps()).toEqual([]);
  });

  it('takes pieces of several frames, and offsets beyond a page', () => {
    const { nic, memory } = bench();
    const big = memory.allocFolio(3);
    memory.bytes.write(big + 3, 10, new Uint8Array([42]), 0, 1);
    const list = new ScatterList(1);
    expect(list.add(big, 2 * PAGE_SIZE + 10, 2 * PAGE_SIZE)).toBe(true);
    expect(nic.mapSg(list, toDevice)).toBe(1);
    const seen = new Uint8Array(1);
    nic.read(list.dmaAddress(0) + PAGE_SIZE, seen, 0, 1);
    expect(seen[0]).toBe(42);
  });

  it('is full at its capacity, and takes no empty piece', () => {
    const list = new ScatterList(1);
    expect(list.add(5, 0, 0)).toBe(false);
    expect(list.add(5, -1, 10)).toBe(false);
    expect(list.add(5, 0, 10)).toBe(true);
    expect(list.add(6, 0, 10)).toBe(false);
    expect(list.count).toBe(1);
    list.clear();
    expect(list.add(6, 0, 10)).toBe(true);
  });

  it('is not mapped when empty, twice, too long, or with a piece longer than the boundary', () => {
    const { nic, memory } = bench();
    expect(nic.mapSg(new ScatterList(1), toDevice)).toBe(-EINVAL);
    const list = new ScatterList(1, { boundaryBytes: 2 * PAGE_SIZE });
    list.add(memory.allocFolio(2), 0, 3 * PAGE_SIZE);
    expect(nic.mapSg(list, toDevice)).toBe(-EINVAL);
    const huge = new ScatterList(2);
    huge.add(16, 0, 2 ** 30);
    huge.add(16, 0, 2 ** 30);
    expect(nic.mapSg(huge, toDevice)).toBe(-EINVAL);
    list.clear();
    list.add(memory.allocFolio(0), 0, 10);
    expect(nic.mapSg(list, toDevice)).toBe(1);
    expect(nic.mapSg(list, toDevice)).toBe(-EINVAL);
    expect(nic.liveMappings).toBe(1);
  });

  it('is mapped whole or not at all (DM-02)', () => {
    const { nic, memory } = bench({ addressBits: 20 });
    const list = new ScatterList(300);
    for (const frame of frames(memory, 300)) list.add(frame, 0, PAGE_SIZE);
    expect(nic.mapSg(list, toDevice)).toBe(-ENOMEM);
    expect(list.mappedCount).toBe(0);
    expect(nic.liveMappings).toBe(0);
  });

  it('must be unmapped with the number of pieces it was mapped with, not with the number of segments', () => {
    const { nic, memory, finding } = bench();
    const list = new ScatterList(8);
    for (const frame of frames(memory, 4)) list.add(frame, 0, PAGE_SIZE);
    list.count = nic.mapSg(list, toDevice);
    nic.unmapSg(list, toDevice);
    expect(finding('DMA_UNMAP_WRONG_SIZE').summary).toContain(
      'with 1 scatter-list entries, not the 4 it was mapped with',
    );
    expect(nic.liveMappings).toBe(0);
    expect(memory.ledger.counters.mappedPagesNow).toBe(0);
  });

  it('that is unmapped twice, or in another direction, is named', () => {
    const { nic, memory, codes } = bench();
    const list = new ScatterList(2);
    list.add(memory.allocFolio(0), 0, 10);
    nic.mapSg(list, toDevice);
    nic.unmapSg(list, fromDevice);
    nic.unmapSg(list, fromDevice);
    expect(codes()).toEqual(['DMA_UNMAP_WRONG_DIRECTION', 'DMA_UNMAP_UNKNOWN']);
  });

  it('must not be unmapped with the function for pages (DM-06)', () => {
    const { nic, memory, finding } = bench();
    const list = new ScatterList(2);
    list.add(memory.allocFolio(0), 0, PAGE_SIZE);
    nic.mapSg(list, toDevice);
    nic.unmapPages(list.dmaAddress(0), PAGE_SIZE, toDevice);
    expect(finding('DMA_UNMAP_UNKNOWN').summary).toContain('which mapSg made');
  });
});
