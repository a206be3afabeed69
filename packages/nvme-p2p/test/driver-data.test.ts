/** How the data of bios become data pointers: PRPs, SGLs, ranges; and doorbells that stay in memory. */
import { BioOp, BioPool, Plug, bioAddPage, submitBio } from '@pincushion/block';
import type { Bio } from '@pincushion/block';
import { PAGE_SIZE } from '@pincushion/driver';
import { pattern, same } from './bare-host';
import { driverBedOn } from './driver-bed';
import type { DriverBedOptions } from './driver-bed';
import { RecordingController } from './recording-controller';

interface Piece {
  readonly frame: number;
  readonly offset: number;
  readonly length: number;
}

function dataBed(options: DriverBedOptions = {}) {
  const bed = driverBedOn(RecordingController, options);
  const { memory } = bed.machine;
  const block = bed.machine.disk('nvme0n1');
  const pool = new BioPool(memory, 300);
  const statuses: number[] = [];
  const bio = (op: BioOp, sector: number, pieces: readonly Piece[]): Bio => {
    const one = pool.alloc();
    one.op = op;
    one.sector = sector;
    for (const { frame, offset, length } of pieces) bioAddPage(one, frame, length, offset);
    one.endIo = (done) => {
      statuses.push(done.status);
      pool.free(done);
      return undefined;
    };
    return one;
  };
  /** Frames in a row, or with a gap behind each. */
  const taken: number[] = [];
  const frames = (n: number, areScattered: boolean): number[] => {
    const all = Array.from({ length: 8 * n }, () => memory.allocFolio(0)).sort((x, y) => x - y);
    taken.push(...all);
    if (areScattered) return all.filter((_, i) => i % 2 === 0).slice(0, n);
    const first = all.findIndex((frame, i) => all[i + n - 1] === frame + n - 1);
    return all.slice(first, first + n);
  };
  const whole = (all: readonly number[]): Piece[] => all.map((frame) => ({ frame, offset: 0, length: PAGE_SIZE }));
  const fill = (pieces: readonly Piece[], data: Uint8Array): void => {
    let at = 0;
    for (const { frame, offset, length } of pieces) {
      memory.bytes.write(frame, offset, data, at, length);
      at += length;
    }
  };
  const content = (pieces: readonly Piece[]): Uint8Array => {
    const data = new Uint8Array(pieces.reduce((sum, { length }) => sum + length, 0));
    let at = 0;
    for (const { frame, offset, length } of pieces) {
      memory.bytes.read(frame, offset, data, at, length);
      at += length;
    }
    return data;
  };
  const io = (): string[] => bed.hardware.ioCommands.map(({ name, usesSgl }) => (usesSgl ? `${name} by SGL` : name));
  const close = (): void => {
    for (const frame of taken) memory.putFolio(frame);
    bed.close();
  };
  return { bed, block, statuses, bio, frames, whole, fill, content, io, close };
}

/** Writes from some pieces, reads into others, and compares. */
function thereAndBack(test: ReturnType<typeof dataBed>, from: readonly Piece[], to: readonly Piece[]): void {
  const { bed, block, bio, fill, content, statuses } = test;
  const data = pattern(
    7,
    from.reduce((sum, { length }) => sum + length, 0),
  );
  fill(from, data);
  submitBio(block, bio(BioOp.write, 64, from));
  bed.world.run();
  submitBio(block, bio(BioOp.read, 64, to));
  bed.world.run();
  expect(statuses).toEqual([0, 0]);
  expect(same(content(to), data)).toBe(true);
}

describe('the data pointer of a command', () => {
  it.each<[string, number, boolean, DriverBedOptions, string]>([
    ['PRPs below the threshold, though memory is one segment', 7, false, {}, 'WRITE'],
    ['an SGL from 32 KiB on, when memory is one segment', 8, false, {}, 'WRITE by SGL'],
    ['PRPs when segments are short on average', 16, true, {}, 'WRITE'],
    ['an SGL by a lower threshold', 16, true, { config: { sglThreshold: 4096 } }, 'WRITE by SGL'],
    ['PRPs with the threshold 0, which means never', 8, false, { config: { sglThreshold: 0 } }, 'WRITE'],
  ])('is made of %s (nvme_pci_use_sgls)', (_what, pages, areScattered, options, expected) => {
    const test = dataBed(options);
    const from = test.whole(test.frames(pages, areScattered));
    thereAndBack(test, from, test.whole(test.frames(pages, areScattered)));
    expect(test.io()).toEqual([expected, expected.replace('WRITE', 'READ')]);
    test.close();
  });

  it('is an SGL for pieces that leave gaps in their pages, as they come', () => {
    const test = dataBed();
    const odd = (frames: readonly number[]): Piece[] =>
      frames.map((frame, i) => ({ frame, offset: 512 * (i % 3), length: 512 * (1 + (i % 5)) }));
    const from = odd(test.frames(20, true));
    const to = odd(test.frames(20, true));
    const { counters } = test.bed.machine.memory.ledger;
    const before = { ...counters };
    thereAndBack(test, from, to);
    expect(test.io()).toEqual(['WRITE by SGL', 'READ by SGL']);
    expect(counters.mapsMade - before.mapsMade).toBeGreaterThan(0);
    expect(counters.mapsMade - before.mapsMade).toBe(counters.mapsUndone - before.mapsUndone);
    test.close();
  });

  it('is never one for a controller without SGLs: such pieces become commands of their own', () => {
    const test = dataBed({ config: { sglThreshold: 0 } });
    const pieces = test.frames(3, true).map((frame) => ({ frame, offset: 512, length: 1024 }));
    thereAndBack(test, pieces, pieces);
    expect(test.io()).toEqual(['WRITE', 'WRITE', 'WRITE', 'READ', 'READ', 'READ']);
    test.close();
  });

  it('of a bio that cannot be mapped, or has no memory for its list, is tried again', () => {
    const test = dataBed();
    const pieces = test.frames(20, true).map((frame) => ({ frame, offset: 512, length: 1024 }));
    test.bed.world.faults.arm('map', { nth: 1, errno: -12 });
    test.bed.world.faults.arm('alloc', { nth: 1, errno: -12 });
    thereAndBack(test, pieces, pieces);
    test.bed.world.faults.disarm();
    test.close();
  });
});

describe('a discard', () => {
  it('of several ranges is one command (nvme_setup_discard)', () => {
    const test = dataBed();
    const { bed, block, bio, statuses } = test;
    const area = bed.buffer(0x10000);
    bed.store(area, pattern(3, 0x10000));
    expect(bed.write(area, 0x10000, 0)).toBe(0x10000);
    const plug = new Plug(bed.world);
    const ranges = [
      [8, 8],
      [64, 16],
      [0, 1],
    ];
    for (const [sector, sectors] of ranges) {
      submitBio(block, Object.assign(bio(BioOp.discard, sector, []), { bytes: sectors * 512 }), plug);
    }
    plug.finish();
    bed.world.run();
    expect(statuses).toEqual([0, 0, 0]);
    expect(bed.hardware.ioCommands.filter(({ name }) => name === 'DSM').map(({ ranges: n }) => n)).toEqual([3]);
    const expected = pattern(3, 0x10000);
    for (const [sector, sectors] of ranges) expected.fill(0, sector * 512, (sector + sectors) * 512);
    expect(bed.read(area, 0x10000, 0)).toBe(0x10000);
    expect(same(bed.load(area, 0x10000), expected)).toBe(true);
    test.close();
  });

  it('longer than the controller takes in one range is split (DMRSL)', () => {
    const test = dataBed({ model: { namespaces: [{ capacity: '1GiB' }] } });
    expect(test.bed.disk.discard(0, 0x200000, 0, 1)).toBe(0);
    test.bed.advance('50ms');
    expect(test.bed.results.get(1)).toEqual([0x40000000]);
    expect(test.io().length).toBeGreaterThan(1);
    test.close();
  });
});

describe('shadow doorbells (nvme_dbbuf_update_and_check_event)', () => {
  it('take the place of register writes while the controller is busy, and lose nothing past the wrap of a queue', () => {
    const doorbells = (model: Record<string, unknown>): number => {
      const test = dataBed({ model, config: { queueDepth: 16 } });
      const { bed } = test;
      const registers = jest.spyOn(bed.hardware, 'mmioWrite');
      const area = bed.buffer(64 * 4096);
      bed.store(area, pattern(1, 64 * 4096));
      for (let round = 0; round < 4; round++) {
        for (let i = 0; i < 64; i++) {
          const sector = (round * 64 + i) * 8;
          expect(bed.submit(BioOp.write, area + i * 4096, 4096, sector, i, round * 64 + i)).toBe(0);
        }
        bed.advance('20ms');
      }
      expect([...bed.results.values()]).toEqual(new Array(256).fill([4096]));
      const back = bed.buffer(64 * 4096);
      expect(bed.read(back, 64 * 4096, 128 * 8)).toBe(64 * 4096);
      expect(same(bed.load(back, 64 * 4096), pattern(1, 64 * 4096))).toBe(true);
      const count = registers.mock.calls.length;
      registers.mockRestore();
      test.close();
      return count;
    };
    const rung = doorbells({});
    const shadowed = doorbells({ shadowDoorbells: true });
    expect(shadowed).toBeLessThan(rung * 0.6);
  });

  it('begin anew after a reset', () => {
    const test = dataBed({ model: { shadowDoorbells: true } });
    const { bed } = test;
    const area = bed.buffer(4096);
    for (let i = 0; i < 5; i++) expect(bed.write(area, 4096, 8 * i)).toBe(4096);
    bed.run(bed.driver.reset());
    for (let i = 0; i < 5; i++) expect(bed.write(area, 4096, 8 * i)).toBe(4096);
    expect(bed.driver.aborts).toBe(0);
    test.close();
  });
});
