import { BioOp, BlkStatus, DispatchQueue, MultiQueueDisk, TimeoutAnswer, submitBio } from '@pincushion/block';
import type { Bio, QueueLimits, QueueOps, QueueSetup } from '@pincushion/block';
import { PAGE_SIZE } from '@pincushion/mm';
import { KernelPages } from './kernel-pages';
import { bench } from './machine-under-test';

const LIMITS: QueueLimits = { logicalBlockBytes: 512, maxBytes: 128 * 1024, maxPages: 33 };

/** A disk with one queue, whose driver and device the test plays. */
function queueBench(setup: Partial<QueueSetup> = {}, ops: Partial<QueueOps> = {}, limits: Partial<QueueLimits> = {}) {
  const machine = bench({}, 'counts');
  const { world, memory } = machine;
  const kernel = new KernelPages(memory);
  const started: string[] = [];
  const driver: QueueOps = {
    queueRq(bio, tag) {
      started.push(`${bio.sector}+${bio.bytes / 512} tag ${tag}`);
      return BlkStatus.ok;
    },
    ...ops,
  };
  const queue = new DispatchQueue(world, 'disk0 queue 0', { depth: 2, ...setup }, driver);
  const disk = new MultiQueueDisk('disk0', 4096, { ...LIMITS, ...limits }, [queue]);
  const submit = (sector: number, cpu = 0, pages = 1): Bio => {
    const bio = kernel.bio(BioOp.write, sector, kernel.frames(pages), sector);
    bio.cpu = cpu;
    submitBio(disk, bio);
    return bio;
  };
  const clean = (): unknown => [queue.inFlight, queue.waiting, disk.inFlight, kernel.pool.live, disk.parts?.live ?? 0];
  return { ...machine, disk, kernel, queue, driver, started, submit, clean };
}

const NOTHING_LEFT = [0, 0, 0, 0, 0];

describe('a dispatch queue', () => {
  it('starts bios while there are tags; the others wait in the software queue of their CPU (back-pressure)', () => {
    const { queue, kernel, started, submit, clean } = queueBench();
    for (let n = 0; n < 5; n++) submit(16 * n);
    expect([started.length, queue.inFlight, queue.waiting]).toEqual([2, 2, 3]);
    queue.complete(1, BlkStatus.ok);
    expect(started).toEqual(['0+8 tag 0', '16+8 tag 1', '32+8 tag 1']);
    queue.complete(0, BlkStatus.medium);
    queue.complete(0, BlkStatus.ok);
    queue.complete(1, BlkStatus.ok);
    queue.complete(0, BlkStatus.ok);
    expect(kernel.ended).toEqual(['16:0', `0:${BlkStatus.medium}`, '48:0', '32:0', '64:0']);
    expect(clean()).toEqual(NOTHING_LEFT);
  });

  it('takes from the CPUs in turn, one each (blk_mq_do_dispatch_ctx)', () => {
    const { queue, started, submit } = queueBench({ depth: 1 });
    submit(0, 0);
    for (const [sector, cpu] of [
      [100, 0],
      [200, 0],
      [300, 3],
      [400, 3],
      [500, 1],
    ])
      submit(sector, cpu);
    while (queue.inFlight > 0) queue.complete(0, BlkStatus.ok);
    expect(started.map((text) => parseInt(text, 10))).toEqual([0, 100, 500, 300, 200, 400]);
  });

  it('merges what waits with its neighbours, up to eight places back (blk_bio_list_merge)', () => {
    const { queue, kernel, started, submit, clean } = queueBench({ depth: 1 });
    submit(1000);
    for (const sector of [0, 100, 200, 300, 400, 500, 600, 700, 800]) submit(sector);
    expect(queue.waiting).toBe(9);
    submit(8); // Behind sector 0, which is nine places back.
    submit(108);
    submit(792);
    expect(queue.waiting).toBe(11);
    while (queue.inFlight > 0) queue.complete(0, BlkStatus.ok);
    expect(started.slice(1).map((text) => text.split(' ')[0])).toEqual([
      '0+8',
      '100+8',
      '200+8',
      '300+8',
      '400+8',
      '500+8',
      '600+8',
      '700+8',
      '792+16',
      '8+8',
      '108+8',
    ]);
    expect(kernel.ended).toHaveLength(13);
    expect(clean()).toEqual(NOTHING_LEFT);
  });

  it('ends a bio with the status with which its driver refuses it', () => {
    const { kernel, submit, clean } = queueBench({}, { queueRq: () => BlkStatus.notSupp });
    submit(0);
    expect(kernel.ended).toEqual([`0:${BlkStatus.notSupp}`]);
    expect(clean()).toEqual(NOTHING_LEFT);
  });

  it('lets a driver end bios inside queueRq, however many wait', () => {
    const { queue, kernel, driver, submit, clean } = queueBench({ depth: 1 });
    submit(0);
    for (let n = 1; n < 3_000; n++) submit((16 * n) % 4080, n % 3);
    driver.queueRq = (_bio, tag) => {
      queue.complete(tag, BlkStatus.ok);
      return BlkStatus.ok;
    };
    queue.complete(0, BlkStatus.ok);
    expect(kernel.ended).toHaveLength(3_000);
    expect(clean()).toEqual(NOTHING_LEFT);
  });

  it('holds bios back while it is quiesced; what the device has completes (blk_mq_quiesce_queue)', () => {
    const { queue, kernel, started, submit } = queueBench();
    submit(0);
    queue.quiesce();
    submit(16);
    queue.complete(0, BlkStatus.ok);
    expect([kernel.ended, started.length, queue.waiting]).toEqual([['0:0'], 1, 1]);
    queue.unquiesce();
    expect(started).toEqual(['0+8 tag 0', '16+8 tag 0']);
  });

  it('refuses to complete a tag that is not in use', () => {
    const { queue } = queueBench();
    expect(() => {
      queue.complete(0, BlkStatus.ok);
    }).toThrow(/BIO_INVALID: tag 0 was completed but is not in use/);
  });

  it('serves the CPUs of its disk with as many queues as there are', () => {
    const { world, memory } = bench();
    const kernel = new KernelPages(memory);
    const seen: string[] = [];
    const queues = [0, 1].map(
      (q) =>
        new DispatchQueue(
          world,
          `q${q}`,
          { depth: 4 },
          {
            queueRq: (bio) => {
              seen.push(`cpu ${bio.cpu} queue ${q}`);
              return BlkStatus.ok;
            },
            poll: () => 10 + q,
          },
        ),
    );
    const disk = new MultiQueueDisk('disk0', 4096, LIMITS, queues);
    const bios = [0, 1, 2, 5].map((cpu) => {
      const bio = kernel.range(BioOp.read, 0, 0, cpu);
      bio.cpu = cpu;
      submitBio(disk, bio);
      return bio;
    });
    expect(seen).toEqual(['cpu 0 queue 0', 'cpu 1 queue 1', 'cpu 2 queue 0', 'cpu 5 queue 1']);
    expect([disk.poll(bios[0]), disk.poll(bios[3])]).toEqual([10, 11]);
  });
});

describe('a driver without resources', () => {
  it.each([
    ['resource', BlkStatus.resource],
    ['devResource', BlkStatus.devResource],
  ])('gets the bio again, before all others, when something has completed: %s', (_what, status) => {
    let refuse = false;
    const { queue, kernel, driver, started, submit, clean } = queueBench({ depth: 3 });
    const take = driver.queueRq.bind(driver);
    driver.queueRq = (bio, tag) => (refuse ? status : take(bio, tag));
    submit(0);
    refuse = true;
    submit(16);
    submit(32);
    refuse = false;
    expect([started.length, queue.waiting, queue.inFlight]).toEqual([1, 2, 1]);
    queue.complete(0, BlkStatus.ok);
    expect(started.map((text) => parseInt(text, 10))).toEqual([0, 16, 32]);
    queue.complete(0, BlkStatus.ok);
    queue.complete(1, BlkStatus.ok);
    expect(kernel.ended).toEqual(['0:0', '16:0', '32:0']);
    expect(clean()).toEqual(NOTHING_LEFT);
  });

  it.each([
    ['resource', BlkStatus.resource],
    ['devResource', BlkStatus.devResource],
  ])('gets it again after three milliseconds when nothing is with the device: %s', (_what, status) => {
    const times: number[] = [];
    const { world, queue, driver, submit } = queueBench();
    driver.queueRq = () => {
      times.push(world.now);
      return times.length < 3 ? status : BlkStatus.ok;
    };
    submit(0);
    world.run();
    expect(times).toEqual([0, 3_000_000, 6_000_000]);
    expect(queue.inFlight).toBe(1);
  });
});

it('a refused bio comes again before those behind it in the dispatch list', () => {
  const asked: number[] = [];
  const { world, queue, driver, submit } = queueBench();
  submit(0);
  submit(16);
  driver.queueRq = (bio) => {
    asked.push(bio.sector);
    return asked.length === 1 ? BlkStatus.resource : BlkStatus.ok;
  };
  queue.requeue(0);
  queue.requeue(1);
  world.run();
  expect([asked, world.now]).toEqual([[0, 0, 16], 3_000_000]);
});

describe('a requeued bio (blk_mq_requeue_request)', () => {
  it('comes again after its delay, before what waits, and others go on meanwhile', () => {
    const { world, queue, started, submit } = queueBench();
    submit(0);
    submit(16);
    queue.requeue(0, 5_000);
    submit(32);
    expect(started).toEqual(['0+8 tag 0', '16+8 tag 1', '32+8 tag 0']);
    submit(48);
    world.run();
    expect([queue.waiting, world.now]).toEqual([2, 5_000]);
    queue.complete(1, BlkStatus.ok);
    expect(started.slice(3)).toEqual(['0+8 tag 1']);
  });

  it('that is wanted earlier brings the others with it', () => {
    const { world, queue, started, submit } = queueBench();
    submit(0);
    submit(16);
    queue.requeue(0, 5_000);
    queue.requeue(1);
    world.run();
    expect([started.slice(2), world.now]).toEqual([['0+8 tag 1', '16+8 tag 0'], 0]);
  });
});

describe('a timeout (blk_mq_timeout_work)', () => {
  it('asks the driver, in softirq, once the bio has been with the device for so long; resetTimer asks again', () => {
    const asked: string[] = [];
    const { world, queue, kernel, driver, submit } = queueBench({ timeoutNs: 30_000 });
    driver.timedOut = (bio, tag) => {
      asked.push(`${bio.sector} tag ${tag} at ${world.now}`);
      return asked.length < 3 ? TimeoutAnswer.resetTimer : TimeoutAnswer.done;
    };
    submit(0);
    world.run({ untilNs: 10_000 });
    submit(16);
    world.run({ untilNs: 20_000 });
    queue.complete(0, BlkStatus.ok);
    world.run();
    expect(asked).toEqual(['16 tag 1 at 40000', '16 tag 1 at 70000', '16 tag 1 at 100000']);
    queue.complete(1, BlkStatus.timeout);
    expect(kernel.ended).toEqual(['0:0', `16:${BlkStatus.timeout}`]);
  });

  it('lets the driver abort: it ends the bio itself and the next one starts', () => {
    const { world, queue, kernel, driver, started, submit, clean } = queueBench({ timeoutNs: 1_000, depth: 1 });
    driver.timedOut = (_bio, tag) => {
      queue.complete(tag, BlkStatus.timeout);
      return TimeoutAnswer.done;
    };
    submit(0);
    submit(16);
    world.run();
    expect(kernel.ended).toEqual([`0:${BlkStatus.timeout}`, `16:${BlkStatus.timeout}`]);
    expect([started.length, world.now]).toEqual([2, 2_000]);
    expect(clean()).toEqual(NOTHING_LEFT);
  });

  it('does not take a new bio for the late one, though it is the same object under the same tag', () => {
    const asked: number[] = [];
    const { world, queue, disk, kernel, driver } = queueBench({ timeoutNs: 1_000, depth: 1 });
    driver.timedOut = (_bio, tag) => {
      asked.push(world.now);
      queue.complete(tag, BlkStatus.timeout);
      return TimeoutAnswer.done;
    };
    const submit = (left: number): void => {
      const bio = kernel.range(BioOp.read, 0, 0);
      bio.endIo = () => {
        kernel.pool.free(bio);
        if (left > 1) submit(left - 1);
        return undefined;
      };
      submitBio(disk, bio);
    };
    submit(3);
    world.run();
    expect(asked).toEqual([1_000, 2_000, 3_000]);
  });

  it('begins anew when the bio is sent again, and waits for ever without a driver that answers', () => {
    const asked: number[] = [];
    const { world, queue, driver, submit } = queueBench({ timeoutNs: 1_000 });
    driver.timedOut = (_bio, tag) => {
      asked.push(world.now);
      if (asked.length < 3) queue.requeue(tag, 500);
      return TimeoutAnswer.done;
    };
    submit(0);
    world.run();
    expect(asked).toEqual([1_000, 2_500, 4_000]);
    const silent = queueBench({ timeoutNs: 1_000 });
    silent.submit(0);
    silent.world.run({ untilNs: 10_000 });
    expect(silent.queue.inFlight).toBe(1);
  });
});

describe('a partial completion (blk_update_request)', () => {
  it('sends the rest again, and the bio ends when all is done, with its pages until then (B-13)', () => {
    const { queue, kernel, started, submit, clean } = queueBench({ depth: 1 });
    const bio = submit(0, 0, 4);
    queue.completePart(0, PAGE_SIZE + 512, BlkStatus.ok);
    queue.completePart(0, 512, BlkStatus.ok);
    expect(started).toEqual(['0+32 tag 0', '9+23 tag 0', '10+22 tag 0']);
    const rest = queue.bioOf(0);
    expect([rest?.firstOffset, rest?.pageCount, rest?.bioVec(0).page]).toEqual([1024, 3, bio.bioVec(1).page]);
    expect([kernel.ended, bio.pageCount]).toEqual([[], 4]);
    queue.completePart(0, 22 * 512, BlkStatus.ok);
    expect(kernel.ended).toEqual(['0:0']);
    expect(clean()).toEqual(NOTHING_LEFT);
  });

  it('ends the rest with an error when the driver says so', () => {
    const { queue, kernel, submit, clean } = queueBench();
    submit(0, 0, 2);
    queue.completePart(0, PAGE_SIZE, BlkStatus.medium);
    expect(kernel.ended).toEqual([`0:${BlkStatus.medium}`]);
    expect(clean()).toEqual(NOTHING_LEFT);
  });

  it('of a request ends the bios that are done, and makes a request of the rest of the others', () => {
    const { queue, kernel, started, submit, clean } = queueBench({ depth: 1 });
    submit(1000);
    for (const sector of [0, 8, 16, 24]) submit(sector);
    queue.complete(0, BlkStatus.ok);
    queue.completePart(0, PAGE_SIZE + 1024, BlkStatus.ok);
    expect(kernel.ended).toEqual(['1000:0', '0:0']);
    expect(started.slice(1)).toEqual(['0+32 tag 0', '10+22 tag 0']);
    queue.completePart(0, 6 * 512, BlkStatus.ok);
    queue.completePart(0, PAGE_SIZE, BlkStatus.ok);
    expect(kernel.ended).toEqual(['1000:0', '0:0', '8:0', '16:0']);
    queue.completePart(0, 0, BlkStatus.transport);
    expect(kernel.ended.slice(4)).toEqual([`24:${BlkStatus.transport}`]);
    expect(clean()).toEqual(NOTHING_LEFT);
  });

  it('of one block at a time does not pile up', () => {
    const { queue, kernel, submit, clean } = queueBench({ depth: 1 });
    submit(0, 0, 32);
    for (let block = 0; block < 256; block++) queue.completePart(0, 512, BlkStatus.ok);
    expect(kernel.ended).toEqual(['0:0']);
    expect(clean()).toEqual(NOTHING_LEFT);
  });
});
