import { DmaDirection, PCI_WINDOW_START, ScatterList } from '@pincushion/dma';
import { PAGE_SIZE } from '@pincushion/mm';
import { EFAULT, EINVAL, ENODEV, EREMOTEIO } from '@pincushion/sim';
import { MIB, peers } from './peers-under-test';
import type { Peers } from './peers-under-test';

const { toDevice, fromDevice, bidirectional } = DmaDirection;

/** A provider at one port, with two pages of its memory taken, and a client at another. */
function pair(provider: string, client: string, bed: Peers = peers()) {
  const a = bed.card('ssd', provider);
  const b = bed.card('nic', client);
  const pool = bed.offer(a);
  const run = pool.alloc(2 * PAGE_SIZE);
  if (run === null) throw new Error('no pages');
  const pages = Int32Array.of(run.frame, run.frame + 1);
  const content = a.fn.bars[2]?.memory;
  if (content === null || content === undefined) throw new Error('no memory');
  return { ...bed, a, b, pool, run, pages, content };
}

function bytes(...values: number[]): Uint8Array {
  return Uint8Array.from(values);
}

describe('pages of a peer below the same switch (PP-04)', () => {
  it('are mapped to their bus address, past the IOMMU, and what is written there is in the memory of the device', () => {
    const { b, pages, content, codes } = pair('sw0p0', 'sw0p1');
    const address = b.domain.mapPages(pages, 0, 2, 100, PAGE_SIZE, fromDevice);
    expect(address).toBe(content.busAddress + 100);
    expect(b.domain.table.records()).toEqual([]);
    expect(b.domain.liveMappings).toBe(1);
    expect(b.domain.write(address, bytes(1, 2, 3), 0, 3)).toBe(0);
    const seen = new Uint8Array(4);
    content.read(100, seen, 0, 4);
    expect([...seen]).toEqual([1, 2, 3, 0]);
    const word = new Int32Array(1);
    expect(b.domain.readWords(address, word, 0, 1)).toBe(0);
    expect(word[0]).toBe(0x030201);
    b.domain.unmapPages(address, PAGE_SIZE, fromDevice);
    expect(b.domain.liveMappings).toBe(0);
    expect(codes()).toEqual([]);
  });

  it('can be mapped several times at once, each mapping for itself', () => {
    const { b, pages, memory, codes } = pair('sw0p0', 'sw0p1');
    const first = b.domain.mapPages(pages, 0, 1, 0, PAGE_SIZE, fromDevice);
    const second = b.domain.mapPages(pages, 0, 1, 0, PAGE_SIZE, fromDevice);
    const third = b.domain.mapPages(pages, 0, 1, 0, 512, toDevice);
    expect([second, third]).toEqual([first, first]);
    expect(memory.ledger.liveMaps()).toHaveLength(3);
    b.domain.unmapPages(first, 512, toDevice);
    b.domain.unmapPages(first, PAGE_SIZE, fromDevice);
    expect(memory.ledger.liveMaps()).toHaveLength(1);
    b.domain.unmapPages(first, PAGE_SIZE, fromDevice);
    expect(memory.ledger.liveMaps()).toHaveLength(0);
    expect(codes()).toEqual([]);
  });

  it('that are not in a row, or not alone, are no one range', () => {
    const { b, pages, memory } = pair('sw0p0', 'sw0p1');
    const host = memory.allocFolio(0);
    expect(b.domain.mapPages(Int32Array.of(pages[1], pages[0]), 0, 2, 0, 2 * PAGE_SIZE, toDevice)).toBe(-EINVAL);
    expect(b.domain.mapPages(Int32Array.of(pages[0], host), 0, 2, 0, 2 * PAGE_SIZE, toDevice)).toBe(-EINVAL);
    expect(b.domain.mapPages(Int32Array.of(host, pages[0]), 0, 2, 0, 2 * PAGE_SIZE, toDevice)).toBe(-EINVAL);
  });

  it('are given back as they were taken, or a finding says what is wrong (DM-06)', () => {
    const { b, pages, codes } = pair('sw0p0', 'sw0p1');
    const address = b.domain.mapPages(pages, 0, 2, 0, PAGE_SIZE, toDevice);
    b.domain.unmapPages(address + 4, PAGE_SIZE, toDevice);
    b.domain.unmapPages(address, 512, fromDevice);
    b.domain.unmapPages(address, PAGE_SIZE, toDevice);
    expect(codes()).toEqual([
      'DMA_UNMAP_UNKNOWN',
      'DMA_UNMAP_WRONG_SIZE',
      'DMA_UNMAP_WRONG_DIRECTION',
      'DMA_UNMAP_UNKNOWN',
    ]);
  });

  it('that stay mapped are reported when their client goes', () => {
    const { b, pages, world, memory } = pair('sw0p0', 'sw0p1');
    b.domain.mapPages(pages, 0, 1, 0, PAGE_SIZE, toDevice);
    b.domain.detach();
    expect(world.findings.all.map(({ code }) => code)).toEqual(['DMA_MAPPING_LEAK']);
    expect(memory.ledger.liveMaps()).toEqual([]);
  });

  it('are memory of the device itself, too, for itself', () => {
    const { a, pages, content } = pair('sw0p0', 'sw0p1');
    expect(a.domain.mapPages(pages, 0, 1, 0, PAGE_SIZE, bidirectional)).toBe(content.busAddress);
  });
});

describe('pages of a peer behind the host bridge', () => {
  it.each(['strict', 'lazy'] as const)('get an IOVA like others, in the direction of the mapping (%s)', (mode) => {
    const { b, pages, content, codes, memory } = pair('sw0p0', 'sw0p2', peers({ mode }));
    const host = memory.allocFolio(0);
    const mixed = Int32Array.of(host, pages[1], pages[0]);
    const iova = b.domain.mapPages(mixed, 0, 3, 0, 3 * PAGE_SIZE, fromDevice);
    expect(iova).toBeGreaterThan(0);
    expect(iova).toBeLessThan(PCI_WINDOW_START);
    expect(b.domain.write(iova + PAGE_SIZE - 1, bytes(7, 8), 0, 2)).toBe(0);
    expect(content.read32(PAGE_SIZE)).toBe(8);
    expect(b.domain.read(iova + PAGE_SIZE, new Uint8Array(1), 0, 1)).toBe(-EFAULT);
    expect(codes()).toEqual(['DMA_FAULT']);
    b.domain.unmapPages(iova, 3 * PAGE_SIZE, fromDevice);
    b.domain.flush();
    expect(b.domain.check(iova + PAGE_SIZE, 4, true)).toBe(-EFAULT);
    expect(b.domain.table.peers.size).toBe(0);
  });

  it('leave nothing behind for who gets the same address next', () => {
    const { b, pages, memory } = pair('sw0p0', 'sw0p2');
    const iova = b.domain.mapPages(pages, 0, 1, 0, PAGE_SIZE, fromDevice);
    b.domain.unmapPages(iova, PAGE_SIZE, fromDevice);
    const host = Int32Array.of(memory.allocFolio(0));
    expect(b.domain.mapPages(host, 0, 1, 0, PAGE_SIZE, toDevice)).toBe(iova);
    expect(b.domain.check(iova, 4, true)).toBe(-EFAULT);
    expect(b.domain.check(iova, 4, false)).toBe(0);
  });

  it('in lazy mode are reached until the flush, which is a finding, but not when the peer is gone', () => {
    const { b, a, pages, fabric, codes } = pair('sw0p0', 'sw0p2', peers({ mode: 'lazy' }));
    const iova = b.domain.mapPages(pages, 0, 1, 0, PAGE_SIZE, fromDevice);
    b.domain.unmapPages(iova, PAGE_SIZE, fromDevice);
    expect(b.domain.check(iova, 4, true)).toBe(0);
    expect(codes()).toEqual(['DMA_STALE_ACCESS']);
    fabric.pullOut(a.fn);
    expect(b.domain.check(iova, 4, true)).toBe(-EREMOTEIO);
  });

  it('cannot be reached by their bus address: ACS sends the request up to the IOMMU, which does not know it', () => {
    const { b, content, world } = pair('sw0p0', 'sw0p2');
    expect(b.domain.write(content.busAddress, bytes(1), 0, 1)).toBe(-EFAULT);
    const [fault] = world.findings.all;
    expect(fault.code).toBe('DMA_FAULT');
    expect(fault.details).toEqual(['the bus address of memory of ssd; ACS of sw0p2 sent the request up to the IOMMU']);
  });
});

describe('pages of a peer that must not be reached', () => {
  it('are not mapped: -EREMOTEIO, one by one, in a row and in a list, and nothing stays mapped', () => {
    const { b, pages, memory, codes } = pair('rp1', 'rp4');
    expect(b.domain.mapPages(pages, 0, 1, 0, 512, toDevice)).toBe(-EREMOTEIO);
    expect(b.domain.mapPages(pages, 0, 2, 0, 2 * PAGE_SIZE, toDevice)).toBe(-EREMOTEIO);
    const list = new ScatterList(4);
    list.add(memory.allocFolio(0), 0, PAGE_SIZE);
    list.add(pages[0], 0, PAGE_SIZE);
    expect(b.domain.mapSg(list, toDevice)).toBe(-EREMOTEIO);
    expect(list.mappedCount).toBe(0);
    expect(b.domain.liveMappings).toBe(0);
    expect(memory.ledger.liveMaps()).toEqual([]);
    expect(codes()).toEqual([]);
  });
});

describe('a scatter list of host memory and memory of peers', () => {
  it('has a segment with its bus address for each piece on the bus; the others merge as ever (iommu_dma_map_sg)', () => {
    const { b, card, offer, pages, memory, content, codes } = pair('sw0p0', 'sw0p1');
    const far = offer(card('gpu', 'rp1')).alloc(PAGE_SIZE);
    if (far === null) throw new Error('no pages');
    const list = new ScatterList(8);
    list.add(pages[0], 256, 512);
    list.add(memory.allocFolio(0), 0, PAGE_SIZE);
    list.add(memory.allocFolio(0), 0, PAGE_SIZE);
    list.add(far.frame, 0, PAGE_SIZE);
    list.add(pages[1], 0, PAGE_SIZE);
    list.add(memory.allocFolio(0), 0, 100);
    expect(b.domain.mapSg(list, fromDevice)).toBe(4);
    expect(list.dmaAddress(0)).toBe(content.busAddress + 256);
    expect(list.dmaLength(1)).toBe(3 * PAGE_SIZE);
    expect(list.dmaAddress(2)).toBe(content.busAddress + PAGE_SIZE);
    expect(list.dmaAddress(3)).toBe(list.dmaAddress(1) + 3 * PAGE_SIZE);
    for (let i = 0; i < 4; i++) expect(b.domain.fill(list.dmaAddress(i), i + 1, list.dmaLength(i))).toBe(0);
    expect(content.read32(256)).toBe(0x01010101);
    expect(memory.bytes.isZero(far.frame)).toBe(false);
    b.domain.unmapSg(list, fromDevice);
    expect(b.domain.liveMappings).toBe(0);
    expect(memory.ledger.liveMaps()).toEqual([]);
    expect(codes()).toEqual([]);
  });

  it('needs no IOVA at all when everything is on the bus', () => {
    const { b, pages, codes } = pair('sw0p0', 'sw0p1');
    const list = new ScatterList(2);
    list.add(pages[0], 0, PAGE_SIZE);
    list.add(pages[1], 0, PAGE_SIZE);
    expect(b.domain.mapSg(list, toDevice)).toBe(2);
    expect(b.domain.table.records()).toEqual([]);
    b.domain.unmapSg(list, toDevice);
    b.domain.unmapSg(list, toDevice);
    expect(codes()).toEqual(['DMA_UNMAP_UNKNOWN']);
  });
});

describe('a peer that is pulled out', () => {
  it.each([
    ['below a switch', 'sw0p1'],
    ['behind the host bridge', 'sw0p2'],
  ])(
    'answers no request any more: -EREMOTEIO, which is no finding, and the mapping is undone as ever (%s)',
    (_, at) => {
      const { a, b, pages, fabric, codes } = pair('sw0p0', at);
      const address = b.domain.mapPages(pages, 0, 1, 0, PAGE_SIZE, bidirectional);
      fabric.pullOut(a.fn);
      const faultsBefore = b.domain.faultsSeen;
      expect(b.domain.write(address, bytes(1), 0, 1)).toBe(-EREMOTEIO);
      expect(b.domain.read(address, new Uint8Array(1), 0, 1)).toBe(-EREMOTEIO);
      expect(b.domain.fill(address, 1, 4)).toBe(-EREMOTEIO);
      expect(b.domain.check(address, 4, true)).toBe(-EREMOTEIO);
      expect(b.domain.readWords(address, new Int32Array(1), 0, 1)).toBe(-EREMOTEIO);
      expect(b.domain.faultsSeen).toBe(faultsBefore + 5);
      b.domain.unmapPages(address, PAGE_SIZE, bidirectional);
      expect(codes()).toEqual([]);
    },
  );

  it('is nobody once it is forgotten: its addresses are free, and a request there is a DMA fault', () => {
    const { a, b, content, pool, run, fabric, card, codes } = pair('sw0p0', 'sw0p1');
    fabric.pullOut(a.fn);
    pool.free(run);
    pool.end();
    fabric.forget(a.fn);
    expect(b.domain.check(content.busAddress, 4, false)).toBe(-EFAULT);
    expect(codes()).toEqual(['DMA_FAULT']);
    const next = card('other', 'sw0p0').fn.bars[2];
    expect(next?.busAddress).toBe(content.busAddress);
    expect(next?.memory?.read32(100)).toBe(0);
  });

  it('is cut off itself, whatever it would reach', () => {
    const { b, pages } = pair('sw0p0', 'sw0p1');
    const address = b.domain.mapPages(pages, 0, 1, 0, PAGE_SIZE, toDevice);
    b.domain.block();
    expect(b.domain.check(address, 4, false)).toBe(-ENODEV);
    b.domain.unmapPages(address, PAGE_SIZE, toDevice);
  });
});

describe('bus addresses of BARs', () => {
  it('are aligned to their size, apart from each other, and never an IOVA', () => {
    const { card, fabric, iommu } = peers();
    const ssd = card('ssd', 'sw0p0').fn;
    const nic = card('nic', 'sw0p1').fn;
    const addresses = [...ssd.bars, ...nic.bars].flatMap((bar) => (bar === null ? [] : [bar.busAddress]));
    expect(new Set(addresses).size).toBe(4);
    for (const address of addresses) expect(address % 4096).toBe(0);
    expect(Math.min(...addresses)).toBeGreaterThanOrEqual(PCI_WINDOW_START);
    expect(iommu.iovaEnd).toBe(PCI_WINDOW_START);
    expect(fabric.functionAt(nic.bars[0]?.busAddress ?? 0)).toBe(nic);
    expect(fabric.frameAt(nic.bars[0]?.busAddress ?? 0)).toBe(-1);
  });

  it('run out: PCI_NO_ROOM says what would help', () => {
    const { fabric } = peers();
    const big = { bytes: 32 * MIB, isMemory: true, isPrefetchable: true };
    fabric.plugIn('first', null, [big]);
    expect(() => fabric.plugIn('second', null, [{ ...big, bytes: MIB }])).toThrow(/^PCI_NO_ROOM: .*hotplug: 4MiB/);
  });

  it('give a peer no registers: a request there is not answered', () => {
    const { b, a } = pair('sw0p0', 'sw0p1');
    expect(b.domain.check(a.fn.bars[0]?.busAddress ?? 0, 4, true)).toBe(-EREMOTEIO);
  });
});
