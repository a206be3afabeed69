import { BioOp, BioPool, BlkStatus, HardwareQueue, bioEndIo, submitBio } from '@pincushion/block';
import type { Bio } from '@pincushion/block';
import { bench } from './machine-under-test';

/** A queue with its driver and its device, both played by the test, and bios that count how they ended. */
function queueOf(depth: number) {
  const { memory, disk } = bench();
  const pool = new BioPool(memory, 1);
  const started: { bio: Bio; tag: number }[] = [];
  const ended: string[] = [];
  const queue = new HardwareQueue(depth);
  const onEnd: { again: (n: number) => undefined } = { again: () => undefined };
  const bioOf = (n: number): Bio => {
    const bio = pool.alloc();
    bio.op = BioOp.read;
    bio.privateData = n;
    bio.endIo = (one) => {
      ended.push(`${one.privateData}:${one.status}`);
      onEnd.again(one.privateData);
      return undefined;
    };
    submitBio(disk, bio);
    return bio;
  };
  const start = (bio: Bio | null): void => {
    const tag = bio === null ? -1 : queue.take(bio);
    if (bio !== null && tag >= 0) started.push({ bio, tag });
  };
  const submit = (n: number): void => {
    start(bioOf(n));
  };
  /** What a driver does with the completion of a tag. */
  const finish = (tag: number): void => {
    const bio = queue.bioOf(tag);
    start(queue.release(tag));
    if (bio !== null) bioEndIo(bio, BlkStatus.ok);
  };
  const startWaiting = (): void => {
    for (let bio = queue.nextWaiting(); bio !== null; bio = queue.nextWaiting()) start(bio);
  };
  return { queue, started, ended, bioOf, submit, finish, startWaiting, onEnd };
}

describe('a hardware queue', () => {
  it('gives bios tags while there are any, each its own, and lets the others wait in line', () => {
    const { queue, started, ended, submit, finish } = queueOf(2);
    for (let n = 0; n < 5; n++) submit(n);
    expect(started.map(({ bio, tag }) => [bio.privateData, tag])).toEqual([
      [0, 0],
      [1, 1],
    ]);
    expect([queue.inFlight, queue.waiting]).toEqual([2, 3]);
    finish(1);
    finish(0);
    expect(started.slice(2).map(({ bio, tag }) => [bio.privateData, tag])).toEqual([
      [2, 1],
      [3, 0],
    ]);
    expect(ended).toEqual(['1:0', '0:0']);
    expect([queue.inFlight, queue.waiting]).toEqual([2, 1]);
  });

  it('knows the bio under a tag', () => {
    const { queue, submit } = queueOf(2);
    submit(7);
    expect(queue.bioOf(0)?.privateData).toBe(7);
    expect(queue.bioOf(1)).toBeNull();
    expect(queue.bioOf(-1)).toBeNull();
    expect(queue.bioOf(2)).toBeNull();
  });

  it('refuses to free a tag that is not in use', () => {
    const { queue, submit, finish } = queueOf(2);
    submit(0);
    finish(0);
    expect(() => queue.release(0)).toThrow(/BIO_INVALID: tag 0 was completed but is not in use/);
    expect(() => queue.release(99)).toThrow(/BIO_INVALID/);
    expect(() => queue.release(-1)).toThrow(/BIO_INVALID/);
    expect(queue.inFlight).toBe(0);
  });

  it('keeps the order of any number of waiting bios', () => {
    const { queue, started, submit, finish } = queueOf(1);
    for (let n = 0; n < 40; n++) submit(n);
    for (let n = 0; n < 30; n++) finish(0);
    for (let n = 40; n < 300; n++) submit(n);
    while (queue.inFlight > 0) finish(0);
    expect(started.map(({ bio }) => bio.privateData)).toEqual(Array.from({ length: 300 }, (_, n) => n));
  });

  it('keeps a freed tag for the first in line, also when another bio asks before it', () => {
    const { queue, bioOf } = queueOf(1);
    const [running, first, other] = [bioOf(0), bioOf(1), bioOf(2)];
    expect([queue.take(running), queue.take(first)]).toEqual([0, -1]);
    expect(queue.release(0)).toBe(first);
    expect(queue.take(other)).toBe(-1);
    expect(queue.take(first)).toBe(0);
    expect([queue.bioOf(0), queue.waiting]).toEqual([first, 1]);
  });

  it('does not put the first in line there a second time when it asks while no tag is free', () => {
    const { queue, bioOf } = queueOf(1);
    const [running, first] = [bioOf(0), bioOf(1)];
    queue.take(running);
    expect([queue.take(first), queue.take(first)]).toEqual([-1, -1]);
    expect(queue.waiting).toBe(1);
    expect(queue.nextWaiting()).toBeNull();
  });

  it('ends what waits, in order, when it is drained; what has a tag stays with the device', () => {
    const { queue, ended, submit, finish } = queueOf(1);
    for (let n = 0; n < 4; n++) submit(n);
    queue.drain(BlkStatus.offline);
    expect(ended).toEqual(['1:16', '2:16', '3:16']);
    expect([queue.inFlight, queue.waiting]).toEqual([1, 0]);
    finish(0);
    expect(ended).toHaveLength(4);
  });

  it('ends what has a tag without starting what waits, and names that when the device is back', () => {
    const { queue, started, ended, submit, startWaiting } = queueOf(2);
    for (let n = 0; n < 4; n++) submit(n);
    queue.drainStarted(BlkStatus.ioerr);
    expect(ended).toEqual(['0:10', '1:10']);
    expect([queue.inFlight, queue.waiting]).toEqual([0, 2]);
    startWaiting();
    expect(started.slice(2).map(({ bio }) => bio.privateData)).toEqual([2, 3]);
  });

  it('lets a new bio wait behind those that wait, also while tags are free', () => {
    const { queue, started, submit, finish, startWaiting } = queueOf(1);
    for (let n = 0; n < 2; n++) submit(n);
    queue.drainStarted(BlkStatus.ioerr);
    submit(2);
    expect([started.length, queue.waiting]).toEqual([1, 2]);
    startWaiting();
    finish(0);
    expect(started.map(({ bio }) => bio.privateData)).toEqual([0, 1, 2]);
  });

  it('drains what waits now, not what an endIo submits meanwhile', () => {
    const { queue, ended, submit, onEnd } = queueOf(1);
    for (let n = 0; n < 3; n++) submit(n);
    onEnd.again = (n) => {
      if (n < 100) submit(n + 10);
      return undefined;
    };
    queue.drain(BlkStatus.offline);
    expect(ended).toEqual(['1:16', '2:16']);
    expect(queue.waiting).toBe(2);
  });
});
