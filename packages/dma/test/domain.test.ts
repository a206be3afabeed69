import { DmaDirection } from '@pincushion/dma';
import { FRAME_MASK, PAGE_SIZE } from '@pincushion/mm';
import { EFAULT, EINVAL, EIO, ENODEV, ENOMEM } from '@pincushion/sim';
import { bench, pattern } from './machine-under-test';

const { toDevice, fromDevice, bidirectional } = DmaDirection;

describe('a mapping', () => {
  it('lets the device read what the process wrote, and the process read what the device wrote', () => {
    const { nic, mm, run, pin, unpin, codes } = bench();
    const { address, pages } = pin(3);
    const sent = pattern(3 * PAGE_SIZE, 1);
    run(mm.write(address, sent));
    const iova = nic.mapPages(pages, 0, 3, 0, 3 * PAGE_SIZE, bidirectional);
    const seen = new Uint8Array(3 * PAGE_SIZE);
    expect(nic.read(iova, seen, 0, seen.length)).toBe(0);
    expect(seen).toEqual(sent);

    const answer = pattern(5000, 2);
    expect(nic.write(iova + 100, answer, 0, answer.length)).toBe(0);
    const back = new Uint8Array(5000);
    run(mm.read(address + 100, back));
    expect(back).toEqual(answer);
    nic.unmapPages(iova, 3 * PAGE_SIZE, bidirectional);
    unpin(pages);
    expect(codes()).toEqual([]);
  });

  it('starts at the offset of the memory in its page and is contiguous over frames that are not', () => {
    const { nic, pin } = bench();
    const { pages } = pin(4);
    const swapped = new Int32Array([pages[3], pages[0], pages[2]]);
    const iova = nic.mapPages(swapped, 0, 3, 0x123, 2 * PAGE_SIZE, toDevice);
    expect(iova % PAGE_SIZE).toBe(0x123);
    expect(nic.mappings()).toEqual([
      expect.objectContaining({ iova, pages: 3, bytes: 2 * PAGE_SIZE, direction: toDevice }),
    ]);
    expect(nic.liveMappings).toBe(1);
  });

  it('maps only the pages that the bytes touch', () => {
    const { nic, pin } = bench();
    const { pages } = pin(3);
    nic.mapPages(pages, 0, 3, 0, PAGE_SIZE, toDevice);
    expect(nic.mappings()[0].pages).toBe(1);
  });

  it('takes pages from the middle of an array', () => {
    const { nic, memory, pin } = bench();
    const { pages } = pin(3);
    memory.bytes.write(pages[2] & FRAME_MASK, 0, pattern(16, 9), 0, 16);
    const iova = nic.mapPages(pages, 2, 1, 0, 16, toDevice);
    const seen = new Uint8Array(16);
    nic.read(iova, seen, 0, 16);
    expect(seen).toEqual(pattern(16, 9));
  });

  it.each([
    ['no bytes', 0, 0, toDevice as number],
    ['negative bytes', 0, -1, toDevice as number],
    ['bytes beyond the pages', 1, 2 * PAGE_SIZE, toDevice as number],
    ['an offset beyond the first page', PAGE_SIZE, 1, toDevice as number],
    ['a direction that does not exist', 0, 16, 3],
    ['a length that is no number', 0, Number.NaN, toDevice as number],
  ])('is refused with -EINVAL for %s', (_what, offset, length, direction) => {
    const { nic, pin } = bench();
    const { pages } = pin(2);
    expect(nic.mapPages(pages, 0, 2, offset, length, direction)).toBe(-EINVAL);
    expect(nic.liveMappings).toBe(0);
  });

  it('is refused with -ENOMEM when the address space of the device is used up, and works again after an unmap', () => {
    const { nic, pin } = bench({ addressBits: 20 });
    const { pages } = pin(1);
    const iovas: number[] = [];
    let iova = nic.mapPages(pages, 0, 1, 0, 64, toDevice);
    while (iova > 0) {
      iovas.push(iova);
      iova = nic.mapPages(pages, 0, 1, 0, 64, toDevice);
    }
    expect(iova).toBe(-ENOMEM);
    expect(iovas).toHaveLength((256 - 16) / 2);
    expect(new Set(iovas).size).toBe(iovas.length);
    nic.unmapPages(iovas[7], 64, toDevice);
    expect(nic.mapPages(pages, 0, 1, 0, 64, toDevice)).toBe(iovas[7]);
  });

  it('gets the address that a mapping of its size had before', () => {
    const { nic, pin } = bench();
    const { pages } = pin(3);
    const iova = nic.mapPages(pages, 0, 3, 0, 3 * PAGE_SIZE, toDevice);
    nic.unmapPages(iova, 3 * PAGE_SIZE, toDevice);
    expect(nic.mapPages(pages, 0, 3, 0, 3 * PAGE_SIZE, toDevice)).toBe(iova);
    expect(nic.mapPages(pages, 0, 1, 0, PAGE_SIZE, toDevice)).toBeGreaterThan(iova + 3 * PAGE_SIZE);
  });

  it('fails at the call that a fault plan names', () => {
    const { world, nic, pin } = bench();
    const { pages } = pin(1);
    world.faults.arm('map', { nth: 2, errno: -ENOMEM });
    const first = nic.mapPages(pages, 0, 1, 0, 64, toDevice);
    expect(first).toBeGreaterThan(0);
    expect(nic.mapPages(pages, 0, 1, 0, 64, toDevice)).toBe(-ENOMEM);
    expect(nic.liveMappings).toBe(1);
  });

  it('is told to the ledger and to tracepoints, once per call', () => {
    const { world, memory, nic, pin } = bench({}, 'counts');
    const { pages } = pin(8);
    const seen: string[] = [];
    world.trace.subscribe(
      (tp, a, b, c, d) => {
        seen.push(`${tp.name} ${a} ${b} ${c} ${d}`);
        return undefined;
      },
      ['dma:map', 'dma:unmap', 'dma:access'],
    );
    const iova = nic.mapPages(pages, 0, 8, 0, 8 * PAGE_SIZE, toDevice);
    nic.check(iova, 6 * PAGE_SIZE, false);
    expect(memory.ledger.counters).toMatchObject({ mapsMade: 1, mappedPagesNow: 8 });
    nic.unmapPages(iova, 8 * PAGE_SIZE, toDevice);
    expect(memory.ledger.counters).toMatchObject({ mapsUndone: 1, mappedPagesNow: 0, mappedPagesMost: 8 });
    const page = iova / PAGE_SIZE;
    expect(seen).toEqual([
      `dma:map 0 ${page} 8 1`,
      `dma:access 0 ${page} ${6 * PAGE_SIZE} 0`,
      `dma:unmap 0 ${page} 8 1`,
    ]);
  });
});

describe('a device', () => {
  it('that writes outside of its mappings is stopped and named, with what is mapped nearby', () => {
    const { nic, pin, finding } = bench();
    const { pages } = pin(2);
    const iova = nic.mapPages(pages, 0, 2, 0, 2 * PAGE_SIZE, fromDevice);
    expect(nic.write(iova + 2 * PAGE_SIZE, new Uint8Array(16), 0, 16)).toBe(-EFAULT);
    const { summary, device, details, sites } = finding('DMA_FAULT');
    expect(device).toBe('nic0');
    expect(summary).toContain(`wrote to IOVA 0x${(iova + 2 * PAGE_SIZE).toString(16)}`);
    expect(details.join()).toContain(`nearest below: 0x${iova.toString(16)} (2 pages, 8192 bytes, DMA_FROM_DEVICE)`);
    expect(sites[0].what).toBe('mapped');
    expect(sites[0].site).toContain('domain.test.ts');
  });

  it('that runs over the end of its buffer faults even when another buffer was mapped right after it', () => {
    const { nic, pin } = bench();
    const { pages } = pin(2);
    const first = nic.mapPages(pages, 0, 1, 0, PAGE_SIZE, fromDevice);
    nic.mapPages(pages, 1, 1, 0, PAGE_SIZE, fromDevice);
    expect(nic.write(first + PAGE_SIZE - 8, new Uint8Array(16), 0, 16)).toBe(-EFAULT);
  });

  it('has transferred what lay before the fault', () => {
    const { nic, mm, run, pin } = bench();
    const { address, pages } = pin(1);
    const iova = nic.mapPages(pages, 0, 1, 0, PAGE_SIZE, fromDevice);
    expect(nic.write(iova, pattern(PAGE_SIZE + 1, 3), 0, PAGE_SIZE + 1)).toBe(-EFAULT);
    const seen = new Uint8Array(PAGE_SIZE);
    run(mm.read(address, seen));
    expect(seen).toEqual(pattern(PAGE_SIZE + 1, 3).subarray(0, PAGE_SIZE));
  });

  it('may only read what is mapped to it and only write what is mapped from it (DM-01)', () => {
    const { nic, pin, codes, world } = bench();
    const { pages } = pin(2);
    const out = nic.mapPages(pages, 0, 1, 0, PAGE_SIZE, toDevice);
    const inn = nic.mapPages(pages, 1, 1, 0, PAGE_SIZE, fromDevice);
    const buffer = new Uint8Array(16);
    expect(nic.read(out, buffer, 0, 16)).toBe(0);
    expect(nic.write(inn, buffer, 0, 16)).toBe(0);
    expect(codes()).toEqual([]);
    expect(nic.write(out, buffer, 0, 16)).toBe(-EFAULT);
    expect(nic.read(inn, buffer, 0, 16)).toBe(-EFAULT);
    expect(nic.fill(out, 0, 16)).toBe(-EFAULT);
    expect(nic.check(out, 16, true)).toBe(-EFAULT);
    expect(nic.writeWords(out, new Int32Array(4), 0, 4)).toBe(-EFAULT);
    expect(codes()).toEqual(['DMA_FAULT', 'DMA_FAULT']);
    expect(world.findings.all[0].summary).toContain('mapped for the other direction only');
    expect(world.findings.all[0].details[0]).toContain('DMA_TO_DEVICE');
  });

  it('that uses an address after its unmap is told until when it was mapped, and by whom it was unmapped', () => {
    const { world, nic, pin, finding } = bench();
    const { pages } = pin(1);
    const iova = nic.mapPages(pages, 0, 1, 0, PAGE_SIZE, toDevice);
    world.after(5000, 0, () => {
      nic.unmapPages(iova, PAGE_SIZE, toDevice);
      return undefined;
    });
    world.run();
    expect(nic.read(iova, new Uint8Array(4), 0, 4)).toBe(-EFAULT);
    const { details, sites } = finding('DMA_FAULT');
    expect(details[0]).toMatch(/^was mapped until 5/);
    expect(sites.map((site) => site.what)).toEqual(['mapped', 'unmapped']);
  });

  it.each([
    ['address 0', 0],
    ['a negative address', -4096],
    ['an address beyond all mappings', 2 ** 41],
    ['an address whose low bits fit a mapping', 2 ** 44 + 0x10000],
    ['no number at all', Number.NaN],
  ])('that puts %s on the bus faults', (_what, iova) => {
    const { nic, pin, codes } = bench();
    const { pages } = pin(1);
    expect(nic.mapPages(pages, 0, 1, 0, PAGE_SIZE, bidirectional)).toBe(0x10000);
    expect(nic.read(iova, new Uint8Array(4), 0, 4)).toBe(-EFAULT);
    expect(nic.writeWords(iova, new Int32Array(4), 0, 4)).toBe(-EFAULT);
    expect(new Set(codes())).toEqual(new Set(['DMA_FAULT']));
  });

  it('cannot reach what is mapped for another device', () => {
    const { nic, iommu, pin } = bench();
    const other = iommu.attach('nic1');
    const { pages } = pin(1);
    const iova = nic.mapPages(pages, 0, 1, 0, PAGE_SIZE, bidirectional);
    expect(other.read(iova, new Uint8Array(4), 0, 4)).toBe(-EFAULT);
    expect(other.id).not.toBe(nic.id);
  });

  it('that runs wild fills no report: one finding per page and direction, and not more than 64', () => {
    const { nic, codes } = bench();
    for (let i = 0; i < 1000; i++) nic.check(0x100000 + i * 64, 8, true);
    expect(codes()).toHaveLength(16);
    for (let i = 0; i < 1000; i++) nic.check(0x100000 + i * PAGE_SIZE, 8, true);
    expect(codes()).toHaveLength(64);
    expect(nic.faultsSeen).toBe(2000);
  });

  it('that is cut off gets -ENODEV for every access, silently, while the driver can still unmap', () => {
    const { nic, pin, unpin, codes } = bench();
    const { pages } = pin(1);
    const iova = nic.mapPages(pages, 0, 1, 0, PAGE_SIZE, bidirectional);
    nic.block();
    expect(nic.read(iova, new Uint8Array(4), 0, 4)).toBe(-ENODEV);
    expect(nic.writeWords(iova, new Int32Array(4), 0, 4)).toBe(-ENODEV);
    expect(nic.check(0, 4, false)).toBe(-ENODEV);
    expect(nic.faultsSeen).toBe(3);
    nic.unmapPages(iova, PAGE_SIZE, bidirectional);
    unpin(pages);
    nic.detach();
    expect(codes()).toEqual([]);
  });

  it('fails at the access that a fault plan names, without a finding', () => {
    const { world, nic, pin, codes } = bench();
    const { pages } = pin(1);
    const iova = nic.mapPages(pages, 0, 1, 0, PAGE_SIZE, bidirectional);
    world.faults.arm('dma', { nth: 2, errno: -EIO });
    expect(nic.fill(iova, 1, 8)).toBe(0);
    expect(nic.fill(iova, 1, 8)).toBe(-EIO);
    expect(nic.fill(iova, 1, 8)).toBe(0);
    expect(codes()).toEqual([]);
  });

  it('that touches a page after its pin is gone is found by the full ledger, through the domain', () => {
    const { nic, pin, unpin, codes } = bench();
    const { pages } = pin(1);
    const iova = nic.mapPages(pages, 0, 1, 0, PAGE_SIZE, fromDevice);
    unpin(pages);
    nic.write(iova, new Uint8Array(8), 0, 8);
    expect(codes()).toEqual(['UNPINNED_WHILE_MAPPED', 'DMA_AFTER_UNPIN']);
  });
});

describe('words', () => {
  it('are read and written little-endian, in fresh pages too', () => {
    const { nic, mm, run, pin } = bench();
    const { address, pages } = pin(1);
    const iova = nic.mapPages(pages, 0, 1, 0, PAGE_SIZE, bidirectional);
    const words = new Int32Array([1, 2, 3]);
    expect(nic.readWords(iova + 64, words, 1, 2)).toBe(0);
    expect([...words]).toEqual([1, 0, 0]);
    expect(nic.writeWords(iova + 60, new Int32Array([9, 0x11223344, -1]), 1, 2)).toBe(0);
    const seen = new Uint8Array(8);
    run(mm.read(address + 60, seen));
    expect([...seen]).toEqual([0x44, 0x33, 0x22, 0x11, 255, 255, 255, 255]);
  });

  it('see zeros in a frame that was freed and given out again', () => {
    const { nic, memory } = bench();
    const frame = memory.allocFolio(0);
    const iova = nic.mapPages(new Int32Array([frame]), 0, 1, 0, PAGE_SIZE, bidirectional);
    nic.writeWords(iova, new Int32Array([7]), 0, 1);
    memory.putFolio(frame);
    expect(memory.allocFolio(0)).toBe(frame);
    const word = new Int32Array([5]);
    nic.readWords(iova, word, 0, 1);
    expect(word[0]).toBe(0);
  });

  it('agree with bytes in frames that lie far apart', () => {
    const { nic, memory } = bench();
    const frames: number[] = [];
    for (let i = 0; i < 44; i++) frames.push(memory.allocFolio(9));
    const iovas = frames.map((frame) => nic.mapPages(new Int32Array([frame]), 0, 1, 0, PAGE_SIZE, bidirectional));
    for (let round = 0; round < 2; round++) {
      iovas.forEach((iova, i) => nic.writeWords(iova + 8, new Int32Array([i * 1000 + round]), 0, 1));
      iovas.forEach((iova, i) => {
        const bytes = new Uint8Array(4);
        nic.read(iova + 8, bytes, 0, 4);
        expect(new DataView(bytes.buffer).getInt32(0, true)).toBe(i * 1000 + round);
      });
    }
  });

  it('must be aligned and lie in one page', () => {
    const { nic, pin } = bench();
    const { pages } = pin(2);
    const iova = nic.mapPages(pages, 0, 2, 0, 2 * PAGE_SIZE, bidirectional);
    expect(() => nic.readWords(iova + 2, new Int32Array(1), 0, 1)).toThrow(/DMA_INVALID.*nic0/);
    expect(() => nic.writeWords(iova + PAGE_SIZE - 4, new Int32Array(2), 0, 2)).toThrow(/DMA_INVALID/);
  });
});

describe('an unmap', () => {
  it('of an address that is not mapped is named, with what was mapped there', () => {
    const { nic, pin, finding } = bench();
    const { pages } = pin(1);
    const iova = nic.mapPages(pages, 0, 1, 0, PAGE_SIZE, toDevice);
    nic.unmapPages(iova, PAGE_SIZE, toDevice);
    nic.unmapPages(iova, PAGE_SIZE, toDevice);
    const { summary, sites } = finding('DMA_UNMAP_UNKNOWN');
    expect(summary).toContain(`unmapped IOVA 0x${iova.toString(16)} where no mapping starts`);
    expect(sites.map((site) => site.what)).toEqual(['mapped', 'unmapped', 'unmapped']);
    expect(nic.liveMappings).toBe(0);
  });

  it.each([0, -1, 2 ** 50, Number.NaN])('of the impossible address %p is named', (iova) => {
    const { nic, codes } = bench();
    nic.unmapPages(iova, PAGE_SIZE, toDevice);
    expect(codes()).toEqual(['DMA_UNMAP_UNKNOWN']);
  });

  it('that starts in the middle of a mapping undoes nothing', () => {
    const { nic, pin, codes } = bench();
    const { pages } = pin(2);
    const iova = nic.mapPages(pages, 0, 2, 0, 2 * PAGE_SIZE, toDevice);
    nic.unmapPages(iova + 16, 2 * PAGE_SIZE - 16, toDevice);
    nic.unmapPages(iova + PAGE_SIZE, PAGE_SIZE, toDevice);
    expect(codes()).toEqual(['DMA_UNMAP_UNKNOWN', 'DMA_UNMAP_UNKNOWN']);
    expect(nic.check(iova, 2 * PAGE_SIZE, false)).toBe(0);
  });

  it('with another size is named and undoes the mapping as it was made', () => {
    const { nic, pin, finding } = bench();
    const { pages } = pin(2);
    const iova = nic.mapPages(pages, 0, 2, 0, 2 * PAGE_SIZE, toDevice);
    nic.unmapPages(iova, PAGE_SIZE, toDevice);
    const { summary, sites } = finding('DMA_UNMAP_WRONG_SIZE');
    expect(summary).toContain('with 4096 bytes, not the 8192 it was mapped with');
    expect(sites.map((site) => site.what)).toEqual(['mapped', 'unmapped']);
    expect(nic.check(iova + PAGE_SIZE, 1, false)).toBe(-EFAULT);
    expect(nic.liveMappings).toBe(0);
  });

  it('with another direction is named', () => {
    const { nic, pin, finding } = bench();
    const { pages } = pin(1);
    const iova = nic.mapPages(pages, 0, 1, 0, PAGE_SIZE, toDevice);
    nic.unmapPages(iova, PAGE_SIZE, fromDevice);
    expect(finding('DMA_UNMAP_WRONG_DIRECTION').summary).toContain(
      'as DMA_FROM_DEVICE, not the DMA_TO_DEVICE it was mapped with',
    );
    expect(nic.liveMappings).toBe(0);
  });
});

describe('the end of a device', () => {
  it('names every mapping that the driver forgot, with its call site, and undoes it', () => {
    const { nic, memory, pin, unpin, finding, codes } = bench();
    const { pages } = pin(3);
    const kept = nic.mapPages(pages, 0, 1, 0, 100, toDevice);
    const iova = nic.mapPages(pages, 1, 2, 16, PAGE_SIZE, fromDevice);
    nic.unmapPages(kept, 100, toDevice);
    nic.detach();
    const { summary, details, sites, device } = finding('DMA_MAPPING_LEAK');
    expect(device).toBe('nic0');
    expect(summary).toContain('1 DMA mapping (2 pages)');
    expect(details).toEqual([`0x${iova.toString(16)} (2 pages, 4096 bytes, DMA_FROM_DEVICE)`]);
    expect(sites.map(({ what, atNs }) => [what, atNs])).toEqual([['mapped', 0]]);
    expect(sites[0].site).toContain('domain.test.ts');
    unpin(pages);
    nic.detach();
    expect(codes()).toEqual(['DMA_MAPPING_LEAK']);
    expect(memory.ledger.liveMaps()).toEqual([]);
    expect(memory.ledger.counters.mappedPagesNow).toBe(0);
  });
});

describe('coherent memory', () => {
  it('is zeroed, contiguous, and the same for driver and device', () => {
    const { nic, codes, memory } = bench();
    const free = memory.framesFree;
    const ring = nic.allocCoherent(6000);
    if (ring === null) throw new Error('no memory');
    expect(ring.bytes).toHaveLength(6000);
    expect(ring.words).toHaveLength(1500);
    expect(ring.bytes.every((byte) => byte === 0)).toBe(true);
    ring.words[1023] = 0x0a0b0c0d;
    ring.words[1024] = 77;
    const seen = new Int32Array(1);
    nic.readWords(ring.iova + PAGE_SIZE, seen, 0, 1);
    expect(seen[0]).toBe(77);
    nic.writeWords(ring.iova + 8, new Int32Array([-5]), 0, 1);
    expect(ring.words[2]).toBe(-5);
    expect(nic.check(ring.iova, 2 * PAGE_SIZE + 1, true)).toBe(-EFAULT);
    ring.release();
    ring.release();
    expect(nic.check(ring.iova, 1, true)).toBe(-EFAULT);
    expect(memory.framesFree).toBe(free);
    expect(nic.liveMappings).toBe(0);
    expect(codes()).toEqual(['DMA_FAULT', 'DMA_FAULT']);
  });

  it('is zeroed also when the memory was used before', () => {
    const { nic } = bench();
    const first = nic.allocCoherent(PAGE_SIZE);
    first?.bytes.fill(0xff);
    first?.release();
    const second = nic.allocCoherent(PAGE_SIZE);
    expect(second?.frame).toBe(first?.frame);
    expect(second?.bytes.every((byte) => byte === 0)).toBe(true);
  });

  it.each([0, -1, 4 * 1024 * 1024 + 1, Number.NaN])('of %p bytes is refused', (bytes) => {
    expect(bench().nic.allocCoherent(bytes)).toBeNull();
  });

  it('may be 4 MiB, and is refused when memory or addresses are used up, losing nothing', () => {
    const { nic, memory, world } = bench({ addressBits: 21 });
    const free = memory.framesFree;
    expect(nic.allocCoherent(4 * 1024 * 1024)).toBeNull();
    expect(memory.framesFree).toBe(free);
    world.faults.arm('alloc', { nth: 1, errno: -ENOMEM });
    expect(nic.allocCoherent(PAGE_SIZE)).toBeNull();
    expect(bench().nic.allocCoherent(4 * 1024 * 1024)?.bytes).toHaveLength(4 * 1024 * 1024);
  });

  it('that is still there at the end of the device is a leak, and its release afterwards only frees it', () => {
    const { nic, memory, finding, codes } = bench();
    const free = memory.framesFree;
    const ring = nic.allocCoherent(PAGE_SIZE);
    nic.detach();
    expect(finding('DMA_MAPPING_LEAK').details[0]).toContain('coherent');
    ring?.release();
    expect(memory.framesFree).toBe(free);
    expect(codes()).toEqual(['DMA_MAPPING_LEAK']);
  });

  it('must not be unmapped with the function for streaming mappings (DM-06)', () => {
    const { nic, finding } = bench();
    const ring = nic.allocCoherent(PAGE_SIZE);
    nic.unmapPages(ring?.iova ?? 0, PAGE_SIZE, bidirectional);
    expect(finding('DMA_UNMAP_UNKNOWN').summary).toContain('which allocCoherent made');
    expect(nic.liveMappings).toBe(1);
  });
});

describe('the model of DMA', () => {
  it('does not model ownership between map and unmap: the process may look at any time (DM-03)', () => {
    const { nic, mm, run, pin, codes } = bench();
    const { address, pages } = pin(1);
    const iova = nic.mapPages(pages, 0, 1, 0, PAGE_SIZE, fromDevice);
    nic.fill(iova, 7, 1);
    const byte = new Uint8Array(1);
    run(mm.read(address, byte));
    expect(byte[0]).toBe(7);
    expect(codes()).toEqual([]);
  });
});
