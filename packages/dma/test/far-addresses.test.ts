import { DmaDirection } from '@pincushion/dma';
import { FRAME_MASK, PAGE_SIZE } from '@pincushion/mm';
import { EFAULT, ENODEV } from '@pincushion/sim';
import { bench, pattern } from './machine-under-test';

const { toDevice, fromDevice } = DmaDirection;
const INT32_END = 2 ** 31;

/** A device whose next mapping lies beyond 2 GiB: everything below is taken by one mapping of the same page. */
function crowded() {
  const it = bench({}, 'counts');
  const { pages } = it.pin(1);
  const many = new Int32Array(INT32_END / PAGE_SIZE - 1).fill(pages[0]);
  const bytes = many.length * PAGE_SIZE;
  const low = it.nic.mapPages(many, 0, many.length, 0, bytes, toDevice);
  expect(low).toBeGreaterThan(0);
  return { ...it, pages, low, bytes };
}

describe('an address beyond 2 GiB', () => {
  it('is mapped, translated and unmapped as any other', () => {
    const { nic, memory, pages, codes } = crowded();
    const frame = pages[0] & FRAME_MASK;
    memory.bytes.write(frame, 0, pattern(64, 3), 0, 64);
    const iova = nic.mapPages(pages, 0, 1, 8, 56, toDevice);
    expect(iova).toBeGreaterThan(INT32_END);
    expect(iova % PAGE_SIZE).toBe(8);
    const seen = new Uint8Array(56);
    expect(nic.read(iova, seen, 0, 56)).toBe(0);
    expect(seen).toEqual(pattern(64, 3).subarray(8));
    const words = new Int32Array(14);
    expect(nic.readWords(iova, words, 0, 14)).toBe(0);
    expect(new Uint8Array(words.buffer)).toEqual(seen);
    expect(nic.check(iova, 56, false)).toBe(0);
    expect(codes()).toEqual([]);
    expect(nic.check(iova, 56, true)).toBe(-EFAULT);
    nic.unmapPages(iova, 56, toDevice);
    expect(nic.check(iova, 56, false)).toBe(-EFAULT);
    expect(nic.liveMappings).toBe(1);
    expect(codes()).toEqual(['DMA_FAULT', 'DMA_FAULT']);
  });

  it('is not taken for the one 4 GiB below it', () => {
    const { nic, low, pages } = crowded();
    expect(nic.check(low, 8, false)).toBe(0);
    expect(nic.check(low + 2 ** 32, 8, false)).toBe(-EFAULT);
    expect(nic.check(low + 2 ** 44, 8, false)).toBe(-EFAULT);
    const iova = nic.mapPages(pages, 0, 1, 0, 8, toDevice);
    nic.unmapPages(iova + 2 ** 32, 8, toDevice);
    expect(nic.check(iova, 8, false)).toBe(0);
  });

  it('is named when it is unmapped with another size', () => {
    const { nic, pages, finding } = crowded();
    const iova = nic.mapPages(pages, 0, 1, 0, 8, toDevice);
    nic.unmapPages(iova, 16, toDevice);
    expect(finding('DMA_UNMAP_WRONG_SIZE').details[0]).toContain(iova.toString(16));
    expect(nic.liveMappings).toBe(1);
  });

  it('ends a mapping of 2 GiB; unmapping that one undoes it to its last byte', () => {
    const { nic, low, bytes, codes } = crowded();
    nic.unmapPages(low, bytes, toDevice);
    expect(nic.liveMappings).toBe(0);
    expect(nic.check(low + bytes - 8, 8, false)).toBe(-EFAULT);
    expect(codes()).toEqual(['DMA_FAULT']);
  });
});

describe('a device that is cut off', () => {
  it('stays cut off when the driver maps more than ever before', () => {
    const { nic, pin } = bench();
    const { pages } = pin(1);
    nic.block();
    const many = new Int32Array(5000).fill(pages[0]);
    const iova = nic.mapPages(many, 0, many.length, 0, many.length * PAGE_SIZE, fromDevice);
    expect(nic.check(iova, 8, true)).toBe(-ENODEV);
  });
});
