import { BioOp, BlkStatus, REQ_FUA, REQ_PREFLUSH, submitBio } from '@pincushion/block';
import type { Bio, QueueLimits } from '@pincushion/block';
import { KernelPages } from './kernel-pages';
import { bench } from './machine-under-test';

const NAMES: Record<number, string> = { [BioOp.write]: 'data', [BioOp.flush]: 'flush' };

function flushBench(limits: Partial<QueueLimits> = {}) {
  const machine = bench(limits);
  const kernel = new KernelPages(machine.memory);
  const write = (flags: number, id: number): Bio => {
    const bio = kernel.bio(BioOp.write, 8 * id, kernel.frames(1), id);
    bio.flags = flags;
    return bio;
  };
  const word = (bio: Bio): string => NAMES[bio.op] + ((bio.flags & REQ_FUA) !== 0 ? ' fua' : '');
  const held = (): string[] => machine.disk.held.map(word);
  /** Finishes what the driver has, one after the other, and says what that was. */
  const steps = (): string[] => {
    const seen: string[] = [];
    for (let bio = machine.disk.held.shift(); bio !== undefined; bio = machine.disk.held.shift()) {
      seen.push(word(bio));
      machine.disk.finish(bio);
    }
    machine.world.run();
    return seen;
  };
  return { ...machine, kernel, write, held, steps };
}

describe('a bio with flushes (blk_flush_policy)', () => {
  const both = REQ_PREFLUSH | REQ_FUA;
  it.each<[string, number, Partial<QueueLimits>, string[]]>([
    ['PREFLUSH, cache', REQ_PREFLUSH, {}, ['flush', 'data']],
    ['FUA, cache without FUA', REQ_FUA, {}, ['data', 'flush']],
    ['both, cache without FUA', both, {}, ['flush', 'data', 'flush']],
    ['FUA, cache with FUA', REQ_FUA, { fua: true }, ['data fua']],
    ['both, cache with FUA', both, { fua: true }, ['flush', 'data fua']],
    ['both, no cache', both, { volatileCache: false, fua: true }, ['data']],
  ])('%s', (_what, flags, limits, expected) => {
    const { disk, kernel, write, steps } = flushBench(limits);
    submitBio(disk, write(flags, 1));
    expect(steps()).toEqual(expected);
    expect(kernel.ended).toEqual(['1:0']);
    expect([disk.inFlight, disk.parts?.live ?? 0, kernel.pool.live]).toEqual([0, 0, 0]);
  });

  it.each([
    ['a flush', BioOp.flush, 0],
    ['an empty write with PREFLUSH', BioOp.write, REQ_PREFLUSH],
  ])('%s is one flush with a cache, and nothing without, but ends in both', (_what, op, flags) => {
    for (const volatileCache of [true, false]) {
      const { disk, kernel, steps } = flushBench({ volatileCache });
      const bio = kernel.range(op, 0, 0, 3);
      bio.flags = flags;
      submitBio(disk, bio);
      expect(kernel.ended).toEqual([]);
      expect(steps()).toEqual(volatileCache ? ['flush'] : []);
      expect(kernel.ended).toEqual(['3:0']);
    }
  });

  it('a failed flush ends the bio with its status: the data is not written', () => {
    const { disk, kernel, write, held } = flushBench();
    submitBio(disk, write(both, 1));
    disk.interrupt(BlkStatus.medium);
    expect(held()).toEqual([]);
    expect(kernel.ended).toEqual([`1:${BlkStatus.medium}`]);
  });

  it('failed data ends the bio with its status: no flush follows', () => {
    const { disk, kernel, write, held } = flushBench();
    submitBio(disk, write(REQ_FUA, 1));
    disk.interrupt(BlkStatus.ioerr);
    expect(held()).toEqual([]);
    expect(kernel.ended).toEqual([`1:${BlkStatus.ioerr}`]);
  });

  it('one that is split keeps its promise in every part', () => {
    const { disk, kernel, steps } = flushBench({ maxBytes: 4096 });
    const bio = kernel.bio(BioOp.write, 0, kernel.frames(2), 1);
    bio.flags = REQ_FUA;
    submitBio(disk, bio);
    expect(steps()).toEqual(['data', 'data', 'flush']);
    expect(kernel.ended).toEqual(['1:0']);
  });
});

describe('several flushes (blk_kick_flush)', () => {
  it('that come while one is under way share the next', () => {
    const { disk, kernel, held, steps } = flushBench();
    for (const id of [1, 2, 3]) submitBio(disk, kernel.range(BioOp.flush, 0, 0, id));
    expect(held()).toEqual(['flush']);
    expect(steps()).toEqual(['flush', 'flush']);
    expect(kernel.ended).toEqual(['1:0', '2:0', '3:0']);
  });

  it('wait while data of a sequence is being written, since that will want one, too', () => {
    const { disk, kernel, write, held, steps } = flushBench();
    submitBio(disk, write(REQ_FUA, 1));
    submitBio(disk, kernel.range(BioOp.flush, 0, 0, 2));
    expect(held()).toEqual(['data']);
    expect(steps()).toEqual(['data', 'flush']);
    expect(kernel.ended).toEqual(['2:0', '1:0']);
  });

  it('wait for that at most five seconds (FLUSH_PENDING_TIMEOUT)', () => {
    const { world, disk, kernel, write, held } = flushBench();
    submitBio(disk, write(REQ_FUA, 1));
    submitBio(disk, kernel.range(BioOp.flush, 0, 0, 2));
    world.run({ untilNs: 4_000_000_000 });
    submitBio(disk, kernel.range(BioOp.flush, 0, 0, 3));
    expect(held()).toEqual(['data']);
    world.run({ untilNs: 5_000_000_000 });
    submitBio(disk, kernel.range(BioOp.flush, 0, 0, 4));
    expect(held()).toEqual(['data', 'flush']);
    for (const bio of disk.held.splice(0).reverse()) disk.finish(bio);
    disk.interrupt();
    expect(kernel.ended).toEqual(['2:0', '3:0', '4:0', '1:0']);
  });

  it('one that ends does not cover what was submitted since: that waits for the next', () => {
    const { disk, kernel, held } = flushBench();
    submitBio(disk, kernel.range(BioOp.flush, 0, 0, 1));
    submitBio(disk, kernel.range(BioOp.flush, 0, 0, 2));
    disk.interrupt();
    expect([kernel.ended, held()]).toEqual([['1:0'], ['flush']]);
    disk.interrupt(BlkStatus.target);
    expect(kernel.ended).toEqual(['1:0', `2:${BlkStatus.target}`]);
  });
});
