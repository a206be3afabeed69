import { BioOp, MAP_ANONYMOUS, MAP_PRIVATE, PROT_READ, PROT_WRITE } from '@pincushion/driver';
import { identifyController, identifyNamespace } from '../src/index';
import { pattern, same } from './bare-host';
import { driverBed } from './driver-bed';

describe('the driver with a healthy controller', () => {
  it('makes a disk of each namespace, and reads back what was written', () => {
    const bed = driverBed({ model: { namespaces: [{ capacity: '8MiB' }, { capacity: '16MiB', blockBytes: 4096 }] } });
    expect(bed.machine.disk('nvme0n1').capacitySectors).toBe(16384);
    expect(bed.machine.disk('nvme0n2').limits.logicalBlockBytes).toBe(4096);
    const from = bed.buffer(0x4000);
    const to = bed.buffer(0x4000);
    bed.store(from, pattern(9, 0x4000));
    expect(bed.write(from, 0x4000, 24)).toBe(0x4000);
    expect(bed.read(to, 0x4000, 24)).toBe(0x4000);
    expect(same(bed.load(to, 0x4000), pattern(9, 0x4000))).toBe(true);
    const second = bed.process.directIo('nvme0n2');
    expect(bed.run(second.write(from, 8192, 64))).toBe(8192);
    expect(bed.run(second.read(to, 4096, 72))).toBe(4096);
    expect(same(bed.load(to, 4096), pattern(9, 0x4000).slice(4096, 8192))).toBe(true);
    bed.close();
  });

  it.each([
    ['one page', 4096, 0],
    ['one page at an offset', 4096, 0x204],
    ['two pages', 8192, 0],
    ['a list', 0x8000, 0],
    ['a list that begins in the middle of a page', 0x8000, 0xe00],
    ['more than one command', 0x100000, 0x800],
  ])('moves %s intact', (_what, bytes, offset) => {
    const bed = driverBed();
    const from = bed.buffer(bytes + 4096) + offset;
    const to = bed.buffer(bytes + 4096);
    bed.store(from, pattern(3, bytes));
    expect(bed.write(from, bytes, 8)).toBe(bytes);
    expect(bed.read(to, bytes, 8)).toBe(bytes);
    expect(same(bed.load(to, bytes), pattern(3, bytes))).toBe(true);
    bed.close();
  });

  it('reads what was never written, discarded or zeroed as zeroes', () => {
    const bed = driverBed();
    const from = bed.buffer(0x10000);
    bed.store(from, pattern(5, 0x10000));
    expect(bed.write(from, 0x10000, 0)).toBe(0x10000);
    expect(bed.disk.discard(16, 16, 0, 1)).toBe(0);
    expect(bed.disk.writeZeroes(64, 8, 1, 2)).toBe(0);
    bed.advance('10ms');
    expect(bed.results.get(1)).toEqual([16 * 512]);
    expect(bed.results.get(2)).toEqual([8 * 512]);
    expect(bed.read(from, 0x10000, 0)).toBe(0x10000);
    const expected = pattern(5, 0x10000);
    expected.fill(0, 16 * 512, 32 * 512);
    expected.fill(0, 64 * 512, 72 * 512);
    expect(same(bed.load(from, 0x10000), expected)).toBe(true);
    expect(bed.read(from, 4096, 4096)).toBe(4096);
    expect(bed.load(from, 4096).every((byte) => byte === 0)).toBe(true);
    bed.close();
  });

  it('flushes, and zeroes more blocks than one command can say', () => {
    const bed = driverBed({ model: { namespaces: [{ capacity: '256MiB' }] } });
    const from = bed.buffer(4096);
    bed.store(from, pattern(5, 4096));
    expect(bed.write(from, 4096, 150_000)).toBe(4096);
    expect(bed.run(bed.disk.sync())).toBe(0);
    expect(bed.disk.writeZeroes(0, 200_000, 0, 1)).toBe(0);
    bed.advance('10ms');
    expect(bed.results.get(1)).toEqual([200_000 * 512]);
    expect(bed.read(from, 4096, 150_000)).toBe(4096);
    expect(bed.load(from, 4096).every((byte) => byte === 0)).toBe(true);
    bed.close();
  });

  it('keeps many I/Os in flight on the queues of several CPUs, past the wrap of a small queue', () => {
    const bed = driverBed({ cpus: 4, config: { queueDepth: 8 } });
    const from = bed.buffer(64 * 4096);
    bed.store(from, pattern(1, 64 * 4096));
    for (let round = 0; round < 3; round++) {
      for (let i = 0; i < 64; i++) {
        expect(bed.submit(BioOp.write, from + i * 4096, 4096, (round * 64 + i) * 8, i, round * 64 + i)).toBe(0);
      }
      bed.advance('20ms');
    }
    expect(bed.results.size).toBe(192);
    expect([...bed.results.values()].every(([bytes, ...more]) => bytes === 4096 && more.length === 0)).toBe(true);
    const to = bed.buffer(64 * 4096);
    expect(bed.read(to, 64 * 4096, 64 * 8)).toBe(64 * 4096);
    expect(same(bed.load(to, 64 * 4096), pattern(1, 64 * 4096))).toBe(true);
    bed.close();
  });

  it('takes and gives back one pin and one mapping for each page of an I/O', () => {
    const bed = driverBed();
    const { counters } = bed.machine.memory.ledger;
    const from = bed.buffer(0x8000);
    bed.store(from, pattern(1, 0x8000));
    const before = { ...counters };
    expect(bed.write(from, 0x8000, 0)).toBe(0x8000);
    expect(counters.pinsAcquired - before.pinsAcquired).toBe(8);
    expect(counters.pinsReleased - before.pinsReleased).toBe(8);
    expect(counters.mapsMade - before.mapsMade).toBe(counters.mapsUndone - before.mapsUndone);
    expect(counters.mapsMade - before.mapsMade).toBeGreaterThan(0);
    bed.close();
  });

  it('works with a lazily flushed IOMMU as well', () => {
    const bed = driverBed({ iommu: { mode: 'lazy' } });
    const from = bed.buffer(0x4000);
    bed.store(from, pattern(8, 0x4000));
    for (let i = 0; i < 20; i++) expect(bed.write(from, 0x4000, i * 32)).toBe(0x4000);
    expect(bed.read(from, 0x4000, 5 * 32)).toBe(0x4000);
    expect(same(bed.load(from, 0x4000), pattern(8, 0x4000))).toBe(true);
    bed.close();
  });

  it('tells a program who the controller is', () => {
    const bed = driverBed({ model: { serial: 'ABC-7', modelName: 'Test drive', namespaces: [{ capacity: '8MiB' }] } });
    const identity = bed.run(identifyController(bed.process, '/dev/nvme0'));
    expect(identity).toMatchObject({ serial: 'ABC-7', model: 'Test drive', firmware: '1.0', mdts: 7 });
    expect(bed.run(identifyNamespace(bed.process, '/dev/nvme0', 1))).toEqual({ blocks: 16384, blockShift: 9 });
    expect(bed.run(identifyNamespace(bed.process, '/dev/nvme0', 0))).toBe(0x400b);
    expect(bed.run(identifyController(bed.process, '/dev/nvme7'))).toBe(-2);
    bed.close();
  });

  it('completes the same I/O at the same time with the same seed, and at another with another', () => {
    const finish = (seed: number): number => {
      const bed = driverBed({ seed });
      const to = bed.buffer(4096);
      for (let i = 0; i < 10; i++) bed.read(to, 4096, i * 8);
      const at = bed.world.now;
      bed.close();
      return at;
    };
    expect(finish(1)).toBe(finish(1));
    expect(finish(1)).not.toBe(finish(2));
  });

  it('moves no bytes in data mode none, and still pins and maps', () => {
    const bed = driverBed({ model: { namespaces: [{ capacity: '8MiB' }], data: 'none' } });
    const address = bed.settle(bed.process.mmap(4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS));
    bed.store(address, pattern(6, 4096));
    expect(bed.write(address, 4096, 0)).toBe(4096);
    expect(bed.read(address, 4096, 0)).toBe(4096);
    expect(same(bed.load(address, 4096), pattern(6, 4096))).toBe(true);
    expect(bed.hardware.namespaces[1]?.memoryBytes).toBe(0);
    bed.close();
  });
});
