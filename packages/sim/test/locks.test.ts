import { Context, Mutex, SpinLock, WaitQueue, World } from '@pincushion/sim';
import type { Task } from '@pincushion/sim';

describe('Mutex', () => {
  it('is handed to who has waited longest', () => {
    const world = new World();
    const lock = new Mutex(world, 'm');
    const log: string[] = [];
    function* user(name: string): Task {
      yield* lock.lock();
      log.push(`${world.now}${name}`);
      yield* world.sleep(10);
      lock.unlock();
    }
    for (const name of ['a', 'b', 'c']) world.spawn(user(name), { name });
    world.run();
    expect(log).toEqual(['0a', '10b', '20c']);
    expect(lock.owner).toBeNull();
  });

  it('knows its owner also when nobody contends', () => {
    const world = new World();
    const lock = new Mutex(world, 'm');
    function* user(): Task<string | null> {
      yield* lock.lock();
      const owner = lock.owner;
      lock.unlock();
      return owner;
    }
    expect(world.complete(user(), 'fio')).toBe("thread 'fio'");
  });

  it('is unlocked by nobody but its owner', () => {
    const world = new World();
    const lock = new Mutex(world, 'm');
    expect(() => {
      lock.unlock();
    }).toThrow(/LOCK_NOT_OWNED/);
    expect(lock.tryLock()).toBe(true);
    function* thief(): Task {
      lock.unlock();
      yield* world.sleep(1);
    }
    expect(() => {
      world.complete(thief(), 'thief');
    }).toThrow(/LOCK_NOT_OWNED.*thread 'thief'.*owner code outside/);
    lock.unlock();
  });

  it('is not taken twice by one thread', () => {
    const world = new World();
    const lock = new Mutex(world, 'm');
    function* greedy(): Task {
      yield* lock.lock();
      yield* lock.lock();
    }
    expect(() => {
      world.complete(greedy());
    }).toThrow(/LOCK_RECURSIVE/);
  });

  it('held below a nested operation makes an infeasible choice and no deadlock', () => {
    const world = new World();
    const lock = new Mutex(world, 'mmap_lock');
    function* interrupted(): Task {
      yield* lock.lock();
      world.nest(Context.task, 1, () => {
        lock.lockNested();
        return undefined;
      });
    }
    expect(() => {
      world.complete(interrupted(), 'below');
    }).toThrow(/INFEASIBLE_CHOICE.*mmap_lock.*thread 'below'/);
  });

  it('may not be tried in an interrupt', () => {
    const world = new World();
    const lock = new Mutex(world, 'm');
    world.after(1, Context.hardirq, () => {
      lock.tryLock();
      return undefined;
    });
    expect(() => world.run()).toThrow(/SLEEP_IN_ATOMIC/);
  });
});

describe('SpinLock', () => {
  it('forbids to sleep while it is held', () => {
    const world = new World();
    const lock = new SpinLock(world, 'ptl');
    lock.lock();
    expect(() => world.sleep(1)).toThrow(/SLEEP_IN_ATOMIC.*holding 1 spin lock/);
    lock.unlock();
    world.complete(world.sleep(1));
  });

  it('held below a nested operation makes an infeasible choice', () => {
    const world = new World();
    const lock = new SpinLock(world, 'ptl');
    lock.lock();
    const nested = (): void => {
      world.nest(Context.hardirq, 1, () => {
        lock.lock();
        return undefined;
      });
    };
    expect(nested).toThrow(/INFEASIBLE_CHOICE: spin lock 'ptl'/);
    expect(() => {
      lock.lock();
    }).toThrow(/LOCK_RECURSIVE/);
    lock.unlock();
    expect(() => {
      lock.unlock();
    }).toThrow(/LOCK_NOT_OWNED/);
  });

  it('is not carried over a sleep', () => {
    const world = new World();
    const lock = new SpinLock(world, 'ptl');
    const sleep = world.sleep(5);
    function* careless(): Task {
      lock.lock();
      yield* sleep;
    }
    const thread = world.spawn(careless(), { name: 'careless' });
    world.run();
    expect(String(thread.error)).toMatch(/SLEEP_IN_ATOMIC.*'careless' stops while it holds a spin lock/);
  });
});

describe('WaitQueue', () => {
  it('wakes one, or all, in order of waiting', () => {
    const world = new World();
    const queue = new WaitQueue(world, 'q');
    const log: string[] = [];
    function* waiter(name: string): Task {
      yield* queue.wait();
      log.push(name);
    }
    for (const name of ['a', 'b', 'c']) world.spawn(waiter(name), { name });
    world.run();
    expect(queue.waiting).toBe(3);
    queue.wakeOne();
    world.run();
    expect(log).toEqual(['a']);
    queue.wakeAll();
    world.run();
    expect(log).toEqual(['a', 'b', 'c']);
  });

  it('waits until a condition holds, however often it is woken', () => {
    const world = new World();
    const queue = new WaitQueue(world, 'q');
    let ready = 0;
    const tick = world.handler('tick', Context.hardirq, () => {
      ready++;
      queue.wakeAll();
      if (ready < 5) world.schedule(10, tick, 0);
      return undefined;
    });
    world.schedule(10, tick, 0);
    world.complete(queue.waitUntil(() => ready === 3));
    expect(world.now).toBe(30);
  });

  it('gives up a wait after its time, and keeps no event after one in time', () => {
    const world = new World();
    const queue = new WaitQueue(world, 'q');
    expect(world.complete(queue.waitUntilTimeout(() => false, 70))).toBe(false);
    expect([world.now, queue.waiting]).toEqual([70, 0]);
    let ready = false;
    world.after(5, Context.hardirq, () => {
      ready = true;
      queue.wakeAll();
      return undefined;
    });
    expect(world.complete(queue.waitUntilTimeout(() => ready, 70))).toBe(true);
    expect([world.now, world.eventsPending]).toEqual([75, 0]);
  });
});
