import { BioOp, BlkStatus, Plug, REQ_NOMERGE, REQ_SYNC, submitBio, submitBioWait } from '@pincushion/block';
import type { QueueLimits } from '@pincushion/block';
import { PAGE_SIZE } from '@pincushion/mm';
import { KernelPages } from './kernel-pages';
import { bench, pattern } from './machine-under-test';

function plugBench(limits: Partial<QueueLimits> = {}) {
  const machine = bench(limits);
  const kernel = new KernelPages(machine.memory);
  const plug = new Plug(machine.world);
  const submit = (op: BioOp, sector: number, id: number, flags = 0, pages = 1): number[] => {
    const frames = kernel.frames(pages);
    const bio = kernel.bio(op, sector, frames, id);
    bio.flags = flags;
    submitBio(machine.disk, bio, plug);
    return frames;
  };
  const seen = (): string[] => machine.disk.held.map((bio) => `${bio.op} ${bio.sector}+${bio.bytes / 512}`);
  return { ...machine, kernel, plug, submit, seen };
}

describe('a plug (blk_start_plug, blk_finish_plug)', () => {
  it('holds bios back until it is finished, and sends them in order', () => {
    const { disk, plug, submit, seen } = plugBench();
    submit(BioOp.read, 80, 1);
    submit(BioOp.read, 0, 2);
    expect([disk.held.length, plug.held, disk.inFlight]).toEqual([0, 2, 2]);
    plug.finish();
    expect(seen()).toEqual(['0 80+8', '0 0+8']);
  });

  it('merges bios behind and before each other into one request, whose bios end one by one (bio_attempt_back_merge)', () => {
    const { disk, kernel, plug, submit, seen } = plugBench();
    const frames = [submit(BioOp.write, 8, 1), submit(BioOp.write, 16, 2), submit(BioOp.write, 0, 3)].flat();
    frames.forEach((frame, i) => {
      kernel.fill(frame, 0, pattern(PAGE_SIZE, i));
    });
    plug.finish();
    expect(seen()).toEqual(['1 0+24']);
    disk.finish(disk.held.splice(0)[0]);
    expect(kernel.ended).toEqual(['3:0', '1:0', '2:0']);
    const order = [2, 0, 1];
    order.forEach((i, place) => {
      const at = place * PAGE_SIZE;
      expect(Buffer.compare(disk.content.subarray(at, at + PAGE_SIZE), pattern(PAGE_SIZE, i))).toBe(0);
    });
    expect([disk.inFlight, disk.parts?.live]).toEqual([0, 0]);
  });

  it('gives the status of a request to each of its bios', () => {
    const { disk, kernel, plug, submit } = plugBench();
    submit(BioOp.read, 0, 1);
    submit(BioOp.read, 8, 2);
    plug.finish();
    disk.interrupt(BlkStatus.medium);
    expect(kernel.ended).toEqual([`1:${BlkStatus.medium}`, `2:${BlkStatus.medium}`]);
  });

  it.each<[string, Partial<QueueLimits>, [BioOp, number, number], [BioOp, number, number]]>([
    ['of different operations', {}, [BioOp.read, 0, 0], [BioOp.write, 8, 0]],
    ['of different flags', {}, [BioOp.write, 0, 0], [BioOp.write, 8, REQ_SYNC]],
    ['that must stay alone', {}, [BioOp.write, 0, REQ_NOMERGE], [BioOp.write, 8, REQ_NOMERGE]],
    ['that are not adjacent', {}, [BioOp.write, 0, 0], [BioOp.write, 16, 0]],
    ['beyond max_sectors', { maxBytes: PAGE_SIZE }, [BioOp.write, 0, 0], [BioOp.write, 8, 0]],
    ['beyond max_segments', { maxSegments: 1 }, [BioOp.write, 0, 0], [BioOp.write, 8, 0]],
    ['across chunk_sectors', { chunkBytes: PAGE_SIZE }, [BioOp.write, 0, 0], [BioOp.write, 8, 0]],
  ])('does not merge bios %s (blk_rq_merge_ok)', (_what, limits, first, second) => {
    const { plug, submit, seen } = plugBench(limits);
    submit(first[0], first[1], 1, first[2]);
    submit(second[0], second[1], 2, second[2]);
    plug.finish();
    expect(seen()).toHaveLength(2);
  });

  it('does not merge where memory has a gap that the device does not take (req_gap_back_merge)', () => {
    for (const [virtBoundaryBytes, requests] of [
      [4096, 2],
      [0, 1],
    ]) {
      const { disk, kernel, plug } = plugBench({ virtBoundaryBytes });
      const [a, b] = kernel.frames(2);
      const pieces = [
        { frame: a, offset: 0, length: 512 },
        { frame: b, offset: 512, length: 512 },
      ];
      pieces.forEach((piece, i) => {
        kernel.fill(piece.frame, piece.offset, pattern(512, i));
        submitBio(disk, kernel.pieces(BioOp.write, i, [piece], i), plug);
      });
      plug.finish();
      expect(disk.held).toHaveLength(requests);
      for (const bio of disk.held.splice(0)) disk.finish(bio);
      expect(Buffer.compare(disk.content.subarray(512, 1024), pattern(512, 1))).toBe(0);
      expect(kernel.ended).toEqual(['0:0', '1:0']);
    }
  });

  it('is sent when it has 32 requests, or one of 128 KiB (blk_add_rq_to_plug)', () => {
    const { disk, plug, submit } = plugBench({ maxBytes: 256 * 1024, maxPages: 64 });
    for (let i = 0; i < 33; i++) submit(BioOp.read, 16 * i, i);
    expect([disk.held.length, plug.held]).toEqual([32, 1]);
    plug.finish();
    submit(BioOp.read, 1024, 40, 0, 32);
    submit(BioOp.read, 2048, 41);
    expect([disk.held.length, plug.held]).toEqual([34, 1]);
  });

  it('is sent when its submitter sleeps or ends without finishing it', () => {
    const { world, disk, kernel, plug } = plugBench();
    disk.latencyNs = 1_000;
    function* submitter() {
      submitBio(disk, kernel.bio(BioOp.write, 0, kernel.frames(1), 1), plug);
      yield* world.sleep(500);
      submitBio(disk, kernel.bio(BioOp.write, 8, kernel.frames(1), 2), plug);
      const own = kernel.bio(BioOp.write, 80, kernel.frames(1), 3);
      yield* submitBioWait(disk, own);
      kernel.pool.free(own);
      return world.now;
    }
    expect(world.complete(submitter())).toBe(1_500);
    world.run();
    expect(kernel.ended).toEqual(['1:0', '2:0']);
    expect(disk.seen).toEqual(['1 0+8', '1 80+8', '1 8+8']);
  });

  it('holds parts of long bios, and ends what it holds when the device goes away', () => {
    const { world, disk, kernel, plug, submit } = plugBench({ maxBytes: 2 * PAGE_SIZE });
    submit(BioOp.write, 0, 1, 0, 3);
    submit(BioOp.write, 24, 2);
    disk.gone = true;
    plug.finish();
    world.run();
    expect(kernel.ended).toEqual([`1:${BlkStatus.offline}`, `2:${BlkStatus.offline}`]);
    expect([disk.inFlight, disk.parts?.live]).toEqual([0, 0]);
  });
});

describe('discards in a plug (bio_attempt_discard_merge)', () => {
  function discards(limits: Partial<QueueLimits>, ranges: readonly (readonly [sector: number, sectors: number])[]) {
    const machine = plugBench(limits);
    const { disk, kernel, plug } = machine;
    ranges.forEach(([sector, sectors], i) => {
      submitBio(disk, Object.assign(kernel.bio(BioOp.discard, sector, [], i), { bytes: sectors * 512 }), plug);
    });
    plug.finish();
    return machine;
  }
  const RANGES = [
    [800, 8],
    [0, 16],
    [400, 8],
  ] as const;

  it('become one request with a range each when the disk takes several, wherever they lie', () => {
    const { disk, kernel } = discards({ maxDiscardSegments: 256 }, RANGES);
    expect(disk.held).toHaveLength(1);
    const [request] = disk.held;
    const ranges: string[] = [];
    for (let bio = request.first; bio !== null; bio = bio.next) ranges.push(`${bio.sector}+${bio.bytes / 512}`);
    expect([ranges, request.bytes, request.pageCount]).toEqual([['800+8', '0+16', '400+8'], 32 * 512, 0]);
    disk.interrupt();
    expect(kernel.ended).toEqual(['0:0', '1:0', '2:0']);
    expect(disk.inFlight).toBe(0);
  });

  it.each<[string, Partial<QueueLimits>, number]>([
    ['the disk takes one range', {}, 3],
    ['the disk takes two', { maxDiscardSegments: 2 }, 2],
    ['together they are longer than a discard may be', { maxDiscardSegments: 256, maxDiscardBytes: 24 * 512 }, 2],
  ])('stay apart as far as %s', (_what, limits, requests) => {
    const { disk } = discards(limits, RANGES);
    expect(disk.held).toHaveLength(requests);
    while (disk.held.length > 0) disk.interrupt();
  });
});
