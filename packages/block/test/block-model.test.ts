/**
 * Random bios through the whole block layer, over random limits: a device that is out of resources, does a part, wants bios
 * again, answers late or fails. Every byte reaches its place once, every bio ends once, tags never exceed the depth.
 */
import {
  BioOp,
  BlkStatus,
  DispatchQueue,
  MultiQueueDisk,
  Plug,
  REQ_FUA,
  REQ_PREFLUSH,
  TimeoutAnswer,
  submitBio,
} from '@pincushion/block';
import type { Bio, QueueLimits } from '@pincushion/block';
import { FRAME_MASK, PAGE_SIZE } from '@pincushion/mm';
import type { Memory } from '@pincushion/mm';
import { Context } from '@pincushion/sim';
import type { ChoiceStream, World } from '@pincushion/sim';
import { KernelPages } from './kernel-pages';
import type { Piece } from './kernel-pages';
import { bench, pattern } from './machine-under-test';

const SECTORS = 2048;

function drawLimits(draw: ChoiceStream): QueueLimits {
  const some = <K extends keyof QueueLimits>(key: K, value: number): Partial<Record<K, number>> =>
    draw.below(2) === 0 ? ({ [key]: value } as Record<K, number>) : {};
  const maxPages = 2 + draw.below(20);
  return {
    logicalBlockBytes: 512,
    maxBytes: 512 * (8 + draw.below(120)),
    maxPages,
    ...some('maxSegments', 2 + draw.below(6)),
    ...some('maxSegmentBytes', PAGE_SIZE * (1 + draw.below(4))),
    ...some('segmentBoundaryBytes', PAGE_SIZE << draw.below(4)),
    ...[{}, { virtBoundaryBytes: 0 }, { virtBoundaryBytes: 512 }, { virtBoundaryBytes: 4096 }][draw.below(4)],
    ...some('chunkBytes', 512 * (1 + draw.below(64))),
    ...some('dmaAlignmentBytes', 4),
    ...some('maxDiscardBytes', 512 * draw.below(40)),
    ...some('discardGranularityBytes', 2048),
    ...some('maxWriteZeroesBytes', 512 * draw.below(40)),
    volatileCache: draw.below(3) !== 0,
    fua: draw.below(2) === 0,
  };
}

/** A device that breaks no promise but is slow, picky and unreliable. */
class MoodyDevice {
  readonly content = new Uint8Array(SECTORS * 512);
  /** Writes of each sector since `newRound`. */
  readonly writes = new Uint8Array(SECTORS);
  readonly queues: DispatchQueue[];
  /** Sectors that cannot be read or written. */
  readonly bad = new Set<number>();
  readonly broken: string[] = [];

  constructor(
    private readonly world: World,
    private readonly memory: Memory,
    private readonly limits: QueueLimits,
    private readonly draw: ChoiceStream,
  ) {
    this.queues = Array.from({ length: 1 + draw.below(3) }, (_, q) => {
      const depth = 1 + draw.below(4);
      const queue: DispatchQueue = new DispatchQueue(
        world,
        `queue ${q}`,
        { depth, timeoutNs: 50_000 },
        {
          queueRq: (bio, tag) => this.queueRq(queue, bio, tag),
          timedOut: (_bio, tag) => {
            queue.requeue(tag, draw.below(1_000));
            return TimeoutAnswer.done;
          },
        },
      );
      return queue;
    });
  }

  private queueRq(queue: DispatchQueue, bio: Bio, tag: number): number {
    this.must(tag >= 0 && tag < queue.depth && queue.bioOf(tag) === bio && queue.inFlight <= queue.depth, 'tag');
    this.checkLimits(bio);
    const mood = this.draw.below(20);
    if (mood === 0) return BlkStatus.resource;
    if (mood === 1) return BlkStatus.devResource;
    if (mood === 2) return BlkStatus.ok; // Lost: its timeout brings it back.
    if (mood === 3) this.finish(queue, bio, tag);
    else this.later(queue, bio, tag);
    return BlkStatus.ok;
  }

  private later(queue: DispatchQueue, bio: Bio, tag: number): void {
    this.world.after(1 + this.draw.below(20_000), Context.hardirq, () => {
      const mood = this.draw.below(12);
      if (mood === 0) queue.requeue(tag, this.draw.below(5_000));
      else this.finish(queue, bio, tag);
      return undefined;
    });
  }

  private finish(queue: DispatchQueue, bio: Bio, tag: number): void {
    const first = this.firstBad(bio);
    const whole = first < 0 ? bio.sectors : first - bio.sector;
    const some = whole > 1 && bio.bytes > 0 && this.draw.below(4) === 0 ? 1 + this.draw.below(whole - 1) : whole;
    this.transfer(bio, some * 512);
    if (first < 0 && some === bio.sectors) queue.complete(tag, BlkStatus.ok);
    else queue.completePart(tag, some * 512, some < whole ? BlkStatus.ok : BlkStatus.medium);
  }

  private firstBad(bio: Bio): number {
    for (let sector = bio.sector; sector < bio.sector + bio.sectors; sector++) if (this.bad.has(sector)) return sector;
    return -1;
  }

  private transfer(bio: Bio, bytes: number): void {
    let at = bio.sector * 512;
    if (bio.op === BioOp.writeZeroes) this.content.fill(0, at, at + bytes);
    if (bio.op === BioOp.write || bio.op === BioOp.writeZeroes || bio.op === BioOp.discard) {
      for (let done = 0; done < bytes; done += 512) this.writes[bio.sector + done / 512]++;
    }
    if (bio.op !== BioOp.read && bio.op !== BioOp.write) return;
    for (let i = 0, left = bytes; left > 0; i++) {
      const { page, offset, length } = bio.bioVec(i);
      const n = Math.min(length, left);
      if (bio.op === BioOp.read) this.memory.bytes.write(page, offset, this.content, at, n);
      else this.memory.bytes.read(page, offset, this.content, at, n);
      at += n;
      left -= n;
    }
  }

  /** Notes in `broken` what a bio should not have been; `expect` at each step would take a minute. */
  private checkLimits(bio: Bio): void {
    const { limits } = this;
    this.must((bio.flags & REQ_PREFLUSH) === 0, 'preflush');
    this.must((bio.flags & REQ_FUA) === 0 || limits.fua === true, 'fua');
    this.must(bio.op !== BioOp.flush || limits.volatileCache === true, 'flush');
    this.must(bio.op !== BioOp.discard || bio.bytes <= (limits.maxDiscardBytes ?? Infinity), 'discard');
    this.must(bio.op !== BioOp.writeZeroes || bio.bytes <= (limits.maxWriteZeroesBytes ?? Infinity), 'zeroes');
    if (bio.op !== BioOp.read && bio.op !== BioOp.write) return;
    this.must(bio.bytes <= limits.maxBytes && bio.pageCount <= limits.maxPages, 'length');
    const chunk = limits.chunkBytes ?? Infinity;
    this.must(chunk === Infinity || ((bio.sector * 512) % chunk) + bio.bytes <= chunk, 'chunk');
    const gap = limits.virtBoundaryBytes === 0 ? 1 : (limits.virtBoundaryBytes ?? PAGE_SIZE);
    const boundary = limits.segmentBoundaryBytes ?? Infinity;
    const dma = limits.dmaAlignmentBytes ?? limits.logicalBlockBytes;
    let end = -1;
    let segments = 0;
    let segmentBytes = 0;
    let bytes = 0;
    for (let i = 0; i < bio.pageCount; i++) {
      const { page, offset, length } = bio.bioVec(i);
      const address = (page & FRAME_MASK) * PAGE_SIZE + offset;
      this.must(i === 0 || (offset % gap === 0 && end % gap === 0), 'gap');
      this.must(offset % dma === 0 && length % dma === 0, 'alignment');
      const joins =
        address === end &&
        segmentBytes + length <= (limits.maxSegmentBytes ?? Infinity) &&
        Math.floor(address / boundary) === Math.floor((address - 1) / boundary);
      segmentBytes = joins ? segmentBytes + length : length;
      if (!joins) segments++;
      end = address + length;
      bytes += length;
    }
    this.must(segments <= (limits.maxSegments ?? Infinity), 'segments');
    this.must(bytes === bio.bytes, 'bytes');
  }

  private must(holds: boolean, what: string): void {
    if (!holds) this.broken.push(what);
  }
}

describe('the block layer against a model', () => {
  it.each([1, 2, 3, 4, 5, 6])('loses nothing, does nothing twice, keeps every limit (seed %d)', (seed) => {
    const { world, memory, codes } = bench({}, 'counts');
    const draw = world.choices.stream('test:block', seed);
    const limits = drawLimits(draw);
    const device = new MoodyDevice(world, memory, limits, draw);
    const disk = new MultiQueueDisk('disk0', SECTORS, limits, device.queues);
    const kernel = new KernelPages(memory, 64);
    const plug = new Plug(world);
    const frames = kernel.frames(96);
    const model = new Uint8Array(SECTORS * 512);

    for (let round = 0; round < 20; round++) {
      device.writes.fill(0);
      device.bad.clear();
      const frameOf = [...frames].sort((a, b) => ((a * 7919 + round) % 97) - ((b * 7919 + round) % 97));
      let nextFrame = 0;
      /** A buffer of some sectors, in pieces that may have gaps. */
      const buffer = (sectors: number): Piece[] => {
        const pieces: Piece[] = [];
        for (let left = sectors; left > 0;) {
          const offset = draw.below(3) === 0 ? 512 * draw.below(8) : 0;
          const most = Math.min(left, (PAGE_SIZE - offset) / 512);
          const length = draw.below(3) === 0 ? 1 + draw.below(most) : most;
          pieces.push({ frame: frameOf[nextFrame++], offset, length: 512 * length });
          left -= length;
        }
        return pieces;
      };
      const ends = new Map<number, number>();
      const checks: (() => void)[] = [];
      let id = 0;
      for (let sector = draw.below(8); nextFrame < 60;) {
        const sectors = 1 + draw.below(100);
        if (sector + sectors > SECTORS) break;
        const op = [BioOp.read, BioOp.write, BioOp.write, BioOp.writeZeroes, BioOp.discard, BioOp.flush][draw.below(6)];
        const moves = op === BioOp.read || op === BioOp.write;
        const from = sector * 512;
        const to = (sector + sectors) * 512;
        const pieces = moves ? buffer(Math.min(sectors, 24)) : [];
        const bytes = moves ? pieces.reduce((sum, { length }) => sum + length, 0) : op === BioOp.flush ? 0 : to - from;
        const isBad = bytes > 0 && draw.below(8) === 0;
        if (isBad) device.bad.add(sector + draw.below(bytes / 512));
        const bio = moves ? kernel.pieces(op, sector, pieces, id) : kernel.range(op, sector, bytes, id);
        if (op === BioOp.write) bio.flags = [0, 0, REQ_FUA, REQ_PREFLUSH, REQ_PREFLUSH | REQ_FUA][draw.below(5)];
        bio.cpu = draw.below(4);
        const key = id++;
        bio.endIo = (one) => {
          expect(ends.has(key)).toBe(false);
          ends.set(key, one.status);
          kernel.pool.free(one);
          return undefined;
        };
        const data = pattern(bytes, round * 64 + key);
        if (op === BioOp.write) {
          let at = 0;
          for (const { frame, offset, length } of pieces) {
            kernel.fill(frame, offset, data.subarray(at, at + length));
            at += length;
          }
        }
        const first = sector;
        checks.push(() => {
          const status = ends.get(key);
          const noDiscard =
            op === BioOp.discard && limits.maxDiscardBytes !== undefined && limits.maxDiscardBytes < 512;
          if (noDiscard) expect(status).toBe(BlkStatus.notSupp);
          else if (isBad || status !== BlkStatus.medium) expect(status).toBe(isBad ? BlkStatus.medium : BlkStatus.ok);
          // Who was merged with a bad neighbour fails with it.
          const failed = status === BlkStatus.medium;
          if (failed) expect(device.bad.size).toBeGreaterThan(0);
          if (!failed && op === BioOp.write) model.set(data, from);
          if (!failed && op === BioOp.writeZeroes) model.fill(0, from, to);
          if (!failed && op === BioOp.read) {
            expect(Buffer.compare(kernel.content(pieces), model.subarray(from, from + bytes))).toBe(0);
          }
          const isWritten = op !== BioOp.read && op !== BioOp.flush && !noDiscard;
          for (let s = first; s < first + bytes / 512; s++) {
            const once = device.writes[s] === (isWritten ? 1 : 0);
            if (!once && !(failed && device.writes[s] <= 1)) device.broken.push(`sector ${s}`);
          }
          if (failed) model.set(device.content.subarray(from, from + bytes), from);
        });
        submitBio(disk, bio, draw.below(2) === 0 ? plug : null);
        sector += op === BioOp.flush ? 0 : bytes / 512 + (draw.below(3) === 0 ? draw.below(20) : 0);
        if (draw.below(6) === 0) world.run({ events: draw.below(20) });
      }
      plug.finish();
      world.run();
      expect(ends.size).toBe(id);
      for (const check of checks) check();
      expect(Buffer.compare(device.content, model)).toBe(0);
      for (const queue of device.queues) expect([queue.inFlight, queue.waiting]).toEqual([0, 0]);
      expect(device.broken).toEqual([]);
      expect([disk.inFlight, kernel.pool.live, disk.parts?.live ?? 0]).toEqual([0, 0, 0]);
    }
    world.checkAtEnd();
    expect(codes()).toEqual([]);
  });
});
