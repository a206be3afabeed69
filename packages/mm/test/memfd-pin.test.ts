import { EINVAL } from '@pincushion/sim';
import { PAGE_SIZE, frameOf, memfdPinFolios, newHugetlbFile, newPinnedPages, newShmemFile } from '../src/index';
import type { MappableFile, Memory, PinnedPages } from '../src/index';
import { MIB, assertMemorySane, plain, setUp } from './machine-memory';

function pin(memory: Memory, file: MappableFile | null, start: number, end: number, folios: PinnedPages, max: number) {
  const offset = new Int32Array(1);
  return { n: plain(memfdPinFolios(memory, file, start, end, folios, max, offset, 0)), offset };
}

describe('memfd_pin_folios (E-11)', () => {
  it('pins each page of a range of bytes, the last byte included, and makes what is missing', () => {
    const { memory, gup, frames, vmstat } = setUp({ ledger: 'counts' });
    const file = newShmemFile(memory, 'memfd', 8 * PAGE_SIZE);
    plain(file.write(0, new Uint8Array(PAGE_SIZE).fill(7), 0, PAGE_SIZE));
    const folios = newPinnedPages(8);
    const { n, offset } = pin(memory, file, 100, 2 * PAGE_SIZE, folios, 8);
    expect([n, offset[0], vmstat.nrFollPinAcquired]).toEqual([3, 100, 3]);
    expect(memory.bytes.view(frameOf(folios[0]), 1)[0]).toBe(7);
    expect(frames.refcount[frameOf(folios[2])]).toBe(1025);
    gup.unpinFolios(folios, 0, 3);
    gup.unpinFolios(folios, 3, 5);
    expect([frames.refcount[frameOf(folios[2])], vmstat.nrFollPinReleased]).toEqual([1, 3]);
    file.close();
    assertMemorySane(memory);
  });

  it('gives no more folios than there is room for', () => {
    const { memory, gup } = setUp({ ledger: 'counts' });
    const file = newShmemFile(memory, 'memfd', 8 * PAGE_SIZE);
    const folios = newPinnedPages(2);
    expect(pin(memory, file, 0, 8 * PAGE_SIZE - 1, folios, 2).n).toBe(2);
    gup.unpinFolio(folios[0]);
    gup.unpinFolio(folios[1]);
    assertMemorySane(memory);
  });

  it('pins a huge page once, whatever part of it is asked for', () => {
    const { memory, gup, frames, vmstat } = setUp({ ledger: 'counts', hugetlb: { 9: 4 } });
    const file = newHugetlbFile(memory, 'memfd', 4 * MIB, 9);
    if (typeof file === 'number') throw new Error('no file');
    const folios = newPinnedPages(4);
    const { n, offset } = pin(memory, file, 2 * MIB + 5 * PAGE_SIZE, 4 * MIB - 1, folios, 4);
    expect([n, offset[0], vmstat.nrFollPinAcquired]).toEqual([1, 5 * PAGE_SIZE, 1]);
    expect(frames.pincount[frameOf(folios[0])]).toBe(1);
    gup.unpinFolios(folios, 0, 1);
    expect(frames.pincount[frameOf(folios[0])]).toBe(0);
    assertMemorySane(memory);
  });

  it('moves pages out of ZONE_MOVABLE first, as every long-term pin', () => {
    const { memory, gup } = setUp({ ledger: 'counts', movableBytes: 32 * MIB });
    const file = newShmemFile(memory, 'memfd', PAGE_SIZE);
    plain(file.write(0, Uint8Array.of(7), 0, 1));
    const folios = newPinnedPages(1);
    expect(pin(memory, file, 0, 0, folios, 1).n).toBe(1);
    expect(memory.zoneOf(frameOf(folios[0]))?.name).toBe('DMA32');
    expect(memory.bytes.view(frameOf(folios[0]), 1)[0]).toBe(7);
    const byte = new Uint8Array(1);
    plain(file.read(0, byte, 0, 1));
    expect(byte[0]).toBe(7);
    gup.unpinFolios(folios, 0, 1);
    assertMemorySane(memory);
  });

  it.each([
    ['begins before the file', -1, 0, 1],
    ['ends before it begins', 10, 9, 1],
    ['ends behind the last byte', 0, PAGE_SIZE, 1],
    ['has no room for a folio', 0, 0, 0],
  ])('refuses a range that %s', (_what, start, end, max) => {
    const { memory } = setUp();
    const file = newShmemFile(memory, 'memfd', PAGE_SIZE);
    expect(pin(memory, file, start, end, newPinnedPages(1), max).n).toBe(-EINVAL);
    expect(pin(memory, null, 0, 0, newPinnedPages(1), 1).n).toBe(-EINVAL);
  });
});
