import { BioOp, BioPages, BioPool, BlkStatus, Disk, bioAllocClone, submitBio } from '@pincushion/block';
import type { Bio, QueueLimits } from '@pincushion/block';
import { PAGE_SIZE, ZERO_PFN } from '@pincushion/mm';
import type { PinnedPages } from '@pincushion/mm';
import { KernelPages } from './kernel-pages';
import { bench, pattern } from './machine-under-test';

function splitBench(limits: Partial<QueueLimits>) {
  const machine = bench(limits);
  const kernel = new KernelPages(machine.memory);
  const seen = (): string[] => machine.disk.held.map((bio) => `${bio.sector}+${bio.bytes / 512}/${bio.pageCount}`);
  const finishAll = (status?: number): void => {
    for (const bio of machine.disk.held.splice(0)) machine.disk.finish(bio, status);
  };
  return { ...machine, kernel, seen, finishAll };
}

describe('a bio longer than its disk takes (bio_split, B-12)', () => {
  it('reaches the driver in parts of at most max_sectors, and ends once, when the last part has', () => {
    const { disk, kernel, seen, finishAll } = splitBench({ maxBytes: 3 * PAGE_SIZE });
    const frames = kernel.frames(8);
    frames.forEach((frame, i) => {
      kernel.fill(frame, 0, pattern(PAGE_SIZE, i));
    });
    submitBio(disk, kernel.bio(BioOp.write, 16, frames, 7));
    expect(seen()).toEqual(['16+24/3', '40+24/3', '64+16/2']);
    const [first, second, third] = disk.held.splice(0);
    disk.finish(third);
    disk.finish(first);
    expect(kernel.ended).toEqual([]);
    disk.finish(second);
    expect(kernel.ended).toEqual(['7:0']);
    finishAll();
    frames.forEach((_frame, i) => {
      const at = 16 * 512 + i * PAGE_SIZE;
      expect(Buffer.compare(disk.content.subarray(at, at + PAGE_SIZE), pattern(PAGE_SIZE, i))).toBe(0);
    });
    expect([kernel.pool.live, disk.parts?.live, disk.inFlight]).toEqual([0, 0, 0]);
  });

  it('ends with the error that came first, whatever the other parts did (B-11)', () => {
    const { disk, kernel } = splitBench({ maxBytes: PAGE_SIZE });
    submitBio(disk, kernel.bio(BioOp.read, 0, kernel.frames(3), 1));
    const [first, second, third] = disk.held.splice(0);
    disk.finish(second, BlkStatus.medium);
    disk.finish(first, BlkStatus.ioerr);
    disk.finish(third);
    expect(kernel.ended).toEqual([`1:${BlkStatus.medium}`]);
  });

  it('keeps the user pages until its end: the parts own none (B-12, B-13)', () => {
    const { disk, memory, mm, buffer, run, pinned } = splitBench({ maxBytes: PAGE_SIZE });
    const pool = new BioPool(memory, 4);
    const bio = pool.alloc();
    const address = buffer(2);
    run(memory.gup.pinUserPages(mm, address, 2, 0, bio.pages as PinnedPages, 0, 0));
    Object.assign(bio, { op: BioOp.write, pageKind: BioPages.pin, pageCount: 2, bytes: 2 * PAGE_SIZE });
    submitBio(disk, bio);
    expect(disk.held.map((part) => part.pageKind)).toEqual([0, 0]);
    for (const part of disk.held.splice(0)) disk.finish(part);
    expect(pinned()).toBe(2);
    memory.gup.unpinUserPages(bio.pages as PinnedPages, 0, 2);
  });

  it.each<[string, Partial<QueueLimits>, string[]]>([
    ['pages', { maxPages: 3 }, ['0+24/3', '24+24/3', '48+16/2']],
    ['segments, when memory is scattered', { maxSegments: 2 }, ['0+16/2', '16+16/2', '32+16/2', '48+16/2']],
    ['multiples of chunk_sectors on the disk', { chunkBytes: 5 * PAGE_SIZE }, ['0+40/5', '40+24/3']],
  ])('is split at %s', (_what, limits, parts) => {
    const { disk, kernel, seen, finishAll } = splitBench(limits);
    submitBio(disk, kernel.bio(BioOp.read, 0, kernel.frames(8, true)));
    expect(seen()).toEqual(parts);
    finishAll();
    expect(kernel.ended).toEqual(['0:0']);
  });

  it('counts neighbours in memory as one segment, up to its size and its boundary (bvec_split_segs)', () => {
    const whole = splitBench({ maxSegments: 1 });
    const eight = whole.kernel.frames(8);
    submitBio(whole.disk, whole.kernel.bio(BioOp.read, 0, eight));
    expect(whole.seen()).toEqual(['0+64/8']);

    const sized = splitBench({ maxSegments: 1, maxSegmentBytes: 2 * PAGE_SIZE });
    submitBio(sized.disk, sized.kernel.bio(BioOp.read, 0, sized.kernel.frames(6)));
    expect(sized.seen()).toEqual(['0+16/2', '16+16/2', '32+16/2']);

    const bounded = splitBench({ maxSegments: 1, segmentBoundaryBytes: 4 * PAGE_SIZE });
    const frames = bounded.kernel.frames(16);
    const from = frames.findIndex((frame) => frame % 4 === 3);
    submitBio(bounded.disk, bounded.kernel.bio(BioOp.read, 0, frames.slice(from, from + 6)));
    expect(bounded.seen()).toEqual(['0+8/1', '8+32/4', '40+8/1']);
  });

  it('is split where memory has a gap, for a device that wants one run (virt_boundary_mask)', () => {
    const { disk, kernel, finishAll } = splitBench({});
    const [a, b, c] = kernel.frames(3);
    const pieces = [
      { frame: a, offset: 512, length: 1024 },
      { frame: b, offset: 0, length: PAGE_SIZE },
      { frame: c, offset: 0, length: 512 },
    ];
    disk.content.set(pattern(8192, 3));
    submitBio(disk, kernel.pieces(BioOp.read, 0, pieces, 4));
    expect(disk.held.map((bio) => [bio.sector, bio.bytes, bio.pageCount, bio.firstOffset, bio.vectored])).toEqual([
      [0, 1024, 1, 512, false],
      [2, 4608, 2, 0, false],
    ]);
    finishAll();
    expect(kernel.content(pieces)).toEqual(pattern(8192, 3).subarray(0, 5632));
    expect(kernel.ended).toEqual(['4:0']);
  });

  it('reaches a driver that takes pieces as they come in one, gaps and all', () => {
    const { disk, kernel, finishAll } = splitBench({ virtBoundaryBytes: 0 });
    const [a, b] = kernel.frames(2);
    const pieces = [
      { frame: a, offset: 512, length: 512 },
      { frame: b, offset: 2048, length: 1024 },
      { frame: b, offset: 512, length: 512 },
    ];
    disk.content.set(pattern(2048, 9));
    submitBio(disk, kernel.pieces(BioOp.read, 0, pieces));
    expect(disk.held.map((bio) => [bio.pageCount, bio.vectored])).toEqual([[3, true]]);
    finishAll();
    expect(kernel.content(pieces)).toEqual(pattern(2048, 9));
  });

  it('ends with inval when a gap lies within a block, or memory is not aligned for DMA, and no driver sees it', () => {
    const { world, disk, kernel } = splitBench({ logicalBlockBytes: 1024, dmaAlignmentBytes: 4 });
    const [a, b] = kernel.frames(2);
    submitBio(disk, kernel.pieces(BioOp.read, 0, [piece(a, 0, 512), piece(b, 512, 512)], 1));
    submitBio(disk, kernel.pieces(BioOp.write, 0, [piece(a, 2, 1024)], 2));
    world.run();
    expect(kernel.ended).toEqual([`1:${BlkStatus.inval}`, `2:${BlkStatus.inval}`]);
    expect(disk.seen).toEqual([]);
  });

  it('that cannot go on after some parts ends with inval when those have ended', () => {
    const { disk, kernel, finishAll } = splitBench({ logicalBlockBytes: 1024, dmaAlignmentBytes: 4 });
    const [a, b] = kernel.frames(2);
    submitBio(disk, kernel.pieces(BioOp.read, 0, [piece(a, 0, 1536), piece(b, 512, 512)], 1));
    expect(disk.seen).toEqual(['0 0+2']);
    finishAll();
    expect(kernel.ended).toEqual([`1:${BlkStatus.inval}`]);
  });

  it('whose device goes away between its parts ends offline', () => {
    const { world, disk, kernel } = splitBench({ maxBytes: PAGE_SIZE });
    const queue = disk.queueBio.bind(disk);
    disk.queueBio = (bio: Bio) => {
      disk.gone = true;
      queue(bio);
      return undefined;
    };
    submitBio(disk, kernel.bio(BioOp.write, 0, kernel.frames(4), 1));
    world.run();
    expect(kernel.ended).toEqual([]);
    disk.finish(disk.held[0]);
    expect(kernel.ended).toEqual([`1:${BlkStatus.offline}`]);
    expect(disk.inFlight).toBe(0);
  });

  it('is told to tracepoints: each part with the bio it belongs to', () => {
    const { world, disk, kernel, finishAll } = splitBench({ maxBytes: PAGE_SIZE });
    const seen: string[] = [];
    world.trace.subscribe(
      (tp, a, b, c, d) => {
        seen.push([tp.name, a, b, c, d].join(' '));
        return undefined;
      },
      ['block:submit', 'block:issue', 'block:issued', 'block:complete'],
    );
    const bio = kernel.bio(BioOp.write, 16, kernel.frames(2));
    const { id } = bio;
    submitBio(disk, bio);
    const [first, second] = disk.held.map((part) => part.id);
    finishAll();
    expect(seen).toEqual([
      `block:submit ${id} 1 16 16`,
      `block:issue ${id} ${first} 16 8`,
      `block:issue ${id} ${second} 24 8`,
      `block:issued ${first} 0 1 8`,
      `block:issued ${second} 0 1 8`,
      `block:complete ${id} 0 1 16`,
    ]);
  });

  it('that is never ended is reported once, though it was in parts', () => {
    const { world, disk, kernel, finding } = splitBench({ maxBytes: PAGE_SIZE });
    submitBio(disk, kernel.bio(BioOp.write, 0, kernel.frames(3)));
    disk.finish(disk.held[1]);
    world.checkAtEnd();
    expect(finding('BIO_NEVER_ENDED').details[0]).toContain('write of 12288 bytes at sector 0 of ram0');
  });
});

describe('a clone (bio_alloc_clone)', () => {
  it('shares the pages of its bio and owns none', () => {
    const { disk, kernel, finishAll } = splitBench({});
    const [a, b] = kernel.frames(2);
    const bio = kernel.pieces(BioOp.write, 8, [piece(a, 512, 512), piece(b, 1024, 512)], 1);
    const clone = bioAllocClone(kernel.pool, bio);
    expect(clone).toMatchObject({ op: BioOp.write, sector: 8, bytes: 1024, pageKind: 0, vectored: true });
    expect([clone.bioVec(0), clone.bioVec(1)]).toEqual([bio.bioVec(0), bio.bioVec(1)]);
    kernel.fill(a, 512, pattern(512, 1));
    submitBio(disk, clone);
    finishAll();
    kernel.pool.free(clone);
    expect(Buffer.compare(disk.content.subarray(8 * 512, 9 * 512), pattern(512, 1))).toBe(0);
  });

  it('of a bio with more pages than the pool allows is refused', () => {
    const { memory, kernel } = splitBench({});
    const [a, b] = kernel.frames(2);
    const bio = kernel.pieces(BioOp.write, 0, [piece(a, 0, PAGE_SIZE), piece(b, 0, PAGE_SIZE)]);
    expect(() => bioAllocClone(new BioPool(memory, 1), bio)).toThrow(/BIO_INVALID.*no room for the pages/);
  });
});

describe('a discard', () => {
  it('is split so that each bio after the first begins at the granularity (bio_split_discard)', () => {
    const { disk, kernel, seen, finishAll } = splitBench({
      maxDiscardBytes: 10 * 4096,
      discardGranularityBytes: 4 * 4096,
    });
    submitBio(disk, kernel.range(BioOp.discard, 8, 20 * 4096));
    expect(seen()).toEqual(['8+56/0', '64+64/0', '128+40/0']);
    finishAll();
    expect(kernel.ended).toEqual(['0:0']);
  });

  it('is not supported by a device without (max_discard_sectors 0)', () => {
    const { world, disk, kernel } = splitBench({ maxDiscardBytes: 0 });
    submitBio(disk, kernel.range(BioOp.discard, 0, 4096));
    world.run();
    expect(kernel.ended).toEqual([`0:${BlkStatus.notSupp}`]);
  });
});

describe('write-zeroes', () => {
  it('is split at the most that the device takes', () => {
    const { disk, kernel, seen, finishAll } = splitBench({ maxWriteZeroesBytes: 8192 });
    submitBio(disk, kernel.range(BioOp.writeZeroes, 0, 20480));
    expect(seen()).toEqual(['0+16/0', '16+16/0', '32+8/0']);
    finishAll();
    expect(kernel.ended).toEqual(['0:0']);
  });

  it('becomes writes of the zero page where the device has none, a few at a time (__blkdev_issue_zero_pages)', () => {
    const { memory, disk, kernel } = splitBench({ maxWriteZeroesBytes: 0, maxBytes: 2 * PAGE_SIZE });
    disk.content.fill(1);
    const before = memory.frames.refcount[ZERO_PFN];
    submitBio(disk, kernel.range(BioOp.writeZeroes, 1, 40 * PAGE_SIZE + 512));
    let most = 0;
    while (disk.held.length > 0) {
      most = Math.max(most, disk.held.length);
      const bio = disk.held[0];
      expect([bio.op, bio.bioVec(0).page]).toEqual([BioOp.write, ZERO_PFN]);
      disk.held.shift();
      disk.finish(bio);
    }
    expect(most).toBe(8);
    const end = 512 + 40 * PAGE_SIZE + 512;
    expect([disk.content[511], disk.content[end]]).toEqual([1, 1]);
    expect(disk.content.subarray(512, end).every((byte) => byte === 0)).toBe(true);
    expect([kernel.ended, memory.frames.refcount[ZERO_PFN]]).toEqual([['0:0'], before]);
  });

  it('falls back to zero pages when the device refuses it, and does not try again (blkdev_issue_write_zeroes)', () => {
    const { disk, kernel, finishAll } = splitBench({});
    disk.content.fill(1);
    submitBio(disk, kernel.range(BioOp.writeZeroes, 0, 8192));
    finishAll(BlkStatus.notSupp);
    expect(disk.held.map((bio) => bio.op)).toEqual([BioOp.write]);
    finishAll();
    expect(kernel.ended).toEqual(['0:0']);
    expect(disk.content.subarray(0, 8192).every((byte) => byte === 0)).toBe(true);
    submitBio(disk, kernel.range(BioOp.writeZeroes, 0, 512));
    expect(disk.held.map((bio) => bio.op)).toEqual([BioOp.write]);
    finishAll(BlkStatus.nospc);
    expect(kernel.ended).toEqual(['0:0', `0:${BlkStatus.nospc}`]);
    expect(disk.parts?.live).toBe(0);
  });
});

describe('the limits of a disk', () => {
  it.each<[string, Partial<QueueLimits>]>([
    ['logicalBlockBytes a power of two from 512 to 4096', { logicalBlockBytes: 520 }],
    ['maxBytes of at least 512', { maxBytes: 100 }],
    ['maxPages of at least 1', { maxPages: 0 }],
    ['maxSegmentBytes of at least 4096', { maxSegmentBytes: 512 }],
    ['segmentBoundaryBytes a power of two', { segmentBoundaryBytes: 12288 }],
    ['virtBoundaryBytes a power of two from 4 to 4096', { virtBoundaryBytes: 8192 }],
    ['chunkBytes in whole blocks of 512', { chunkBytes: 1000 }],
  ])('must be some that a bio can keep: %s', (expected, limits) => {
    class Odd extends Disk {
      override queueBio(): undefined {
        return undefined;
      }
    }
    const make = (): Disk => new Odd('odd0', 8, { logicalBlockBytes: 512, maxBytes: 4096, maxPages: 2, ...limits });
    expect(make).toThrow(`DISK_LIMITS_INVALID`);
    expect(make).toThrow(expected);
  });
});

function piece(frame: number, offset: number, length: number) {
  return { frame, offset, length };
}
