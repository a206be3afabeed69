/**
 * One request after the other goes wrong, in each way that a device knows: the error reaches the bio it belongs to, once, all
 * others are done, nothing is left behind, and nothing waits for ever.
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
  bioChain,
  submitBio,
} from '@pincushion/block';
import type { Bio } from '@pincushion/block';
import { Context } from '@pincushion/sim';
import { KernelPages } from './kernel-pages';
import { bench } from './machine-under-test';

const PAGE_BYTES = 4096;
const LATENCY_NS = 1_000;
const TIMEOUT_NS = 50_000;

type Fault =
  'none' | 'error' | 'refused' | 'resource' | 'requeue' | 'part' | 'part, then error' | 'lost, tried again' | 'lost';
const FAULTS: readonly Fault[] = [
  'error',
  'refused',
  'resource',
  'requeue',
  'part',
  'part, then error',
  'lost, tried again',
  'lost',
];
/** How the bio ends that it strikes. */
const STATUS: Partial<Record<Fault, number>> = {
  error: BlkStatus.medium,
  refused: BlkStatus.target,
  'part, then error': BlkStatus.medium,
  lost: BlkStatus.timeout,
};

/** A program of a dozen bios, of which the request of number `at` goes wrong. */
function runWith(fault: Fault, at: number) {
  const { world, memory, codes } = bench({}, 'counts');
  const kernel = new KernelPages(memory);
  /** Bios of the program that the request belongs to; null: a flush, which belongs to all who wait for it. */
  let struck: readonly number[] | null = [];
  let requests = 0;
  const lost = new Set<number>();
  const queue: DispatchQueue = new DispatchQueue(
    world,
    'queue 0',
    { depth: 3, timeoutNs: TIMEOUT_NS },
    {
      queueRq(bio, tag) {
        const mine = requests++ === at ? fault : 'none';
        if (mine !== 'none') struck = bio.op === BioOp.flush ? null : rootsOf(bio);
        if (mine === 'refused') return BlkStatus.target;
        if (mine === 'resource') return BlkStatus.resource;
        if (mine === 'lost' || mine === 'lost, tried again') lost.add(tag);
        else
          world.after(LATENCY_NS, Context.hardirq, () => {
            end(mine, bio, tag);
          });
        return BlkStatus.ok;
      },
      timedOut(_bio, tag) {
        expect(lost.delete(tag)).toBe(true);
        if (fault === 'lost') queue.complete(tag, BlkStatus.timeout);
        else queue.requeue(tag);
        return TimeoutAnswer.done;
      },
    },
  );
  const end = (mine: Fault, bio: Bio, tag: number): undefined => {
    const some = bio.sectors > 1 ? 512 : 0;
    if (mine === 'error') queue.complete(tag, BlkStatus.medium);
    else if (mine === 'requeue') queue.requeue(tag, LATENCY_NS);
    else if (mine === 'part') queue.completePart(tag, some, BlkStatus.ok);
    else if (mine === 'part, then error') queue.completePart(tag, some, BlkStatus.medium);
    else queue.complete(tag, BlkStatus.ok);
  };
  const limits = {
    logicalBlockBytes: 512,
    maxBytes: 4 * PAGE_BYTES,
    maxPages: 5,
    maxDiscardBytes: 8192,
    maxWriteZeroesBytes: 0,
  };
  const disk = new MultiQueueDisk('disk0', 4096, limits, [queue]);
  const plug = new Plug(world);
  const write = (sector: number, pages: number, id: number, flags = 0): Bio => {
    const bio = kernel.bio(BioOp.write, sector, kernel.frames(pages), id);
    bio.flags = flags;
    return bio;
  };

  submitBio(disk, write(0, 10, 0));
  for (const id of [1, 2, 3]) submitBio(disk, write(80 + 8 * id, 1, id), plug);
  submitBio(disk, write(200, 1, 4, REQ_PREFLUSH | REQ_FUA));
  submitBio(disk, kernel.range(BioOp.flush, 0, 0, 5));
  submitBio(disk, kernel.range(BioOp.discard, 304, 20 * 1024, 6));
  submitBio(disk, kernel.range(BioOp.writeZeroes, 400, 40 * 1024, 7));
  submitBio(disk, kernel.bio(BioOp.read, 600, kernel.frames(6), 8));
  const parent = write(700, 1, 9);
  const child = kernel.pool.alloc();
  Object.assign(child, { op: BioOp.write, sector: 720 });
  bioChain(child, parent);
  submitBio(disk, child);
  submitBio(disk, parent);
  submitBio(disk, write(800, 3, 10, REQ_FUA));
  plug.finish();
  world.run();
  world.checkAtEnd();
  const ends = new Map(kernel.ended.map((text) => text.split(':').map(Number) as [number, number]));
  const left = [queue.inFlight, queue.waiting, disk.inFlight, kernel.pool.live, disk.parts?.live ?? 0];
  return { requests, struck: struck as readonly number[] | null, ends, ended: kernel.ended, left, codes: codes() };
}

/** The bios of the program behind what the driver got. */
function rootsOf(bio: Bio): number[] {
  const roots: number[] = [];
  for (let one = bio.first ?? bio; ;) {
    let root = one;
    while (root.parent !== null) root = root.parent;
    roots.push(root.privateData);
    if (one.next === null) return roots;
    one = one.next;
  }
}

describe('a program of bios with one request that goes wrong', () => {
  const { requests } = runWith('none', -1);

  it('makes some dozens of requests', () => {
    expect(requests).toBeGreaterThan(15);
    expect([...runWith('none', -1).ends.values()]).toEqual(new Array(11).fill(0));
  });

  it.each(FAULTS)('%s: at every request', (fault) => {
    for (let at = 0; at < requests; at++) {
      const { ended, ends, struck, left, codes } = runWith(fault, at);
      const wanted = STATUS[fault] ?? BlkStatus.ok;
      const failed = [...ends].filter(([, status]) => status !== 0);
      expect([at, ended.length, ends.size, left, codes]).toEqual([at, 11, 11, [0, 0, 0, 0, 0], []]);
      expect(failed.every(([, status]) => status === wanted)).toBe(true);
      const ids = failed.map(([id]) => id).sort((a, b) => a - b);
      if (wanted === BlkStatus.ok) expect(ids).toEqual([]);
      else if (struck !== null) expect(ids).toEqual([...struck].sort((a, b) => a - b));
      else expect(ids.length > 0 && ids.every((id) => [4, 5, 10].includes(id))).toBe(true);
    }
  });
});
