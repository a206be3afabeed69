/** The order of locks (after kernel/locking/lockdep.c): a circle is found although nobody had to wait. */
import { Context, Mutex, SpinLock, World } from '@pincushion/sim';
import type { Task } from '@pincushion/sim';

type Step = Mutex | SpinLock;

/** Takes the locks one after the other, each while it holds those before, and lets go of them. */
function* nested(world: World, locks: readonly Step[]): Task {
  for (const lock of locks) {
    if (lock instanceof Mutex) yield* lock.lock();
    else lock.lock();
  }
  if (locks.every((lock) => lock instanceof Mutex)) yield* world.sleep(5);
  for (const lock of [...locks].reverse()) lock.unlock();
}

function watched(): World {
  const world = new World();
  world.lockOrder.watch();
  return world;
}

function run(world: World, ...chains: readonly (readonly Step[])[]): readonly string[] {
  for (const chain of chains) world.complete(nested(world, chain), 'program');
  return world.findings.all.map(({ code, summary }) => `${code} ${summary}`);
}

describe('the order of locks', () => {
  it('is broken by one thread that takes two locks both ways, one after the other', () => {
    const world = watched();
    const [a, b] = [new Mutex(world, 'queue'), new Mutex(world, 'buffer')];
    expect(run(world, [a, b], [b, a])).toEqual([
      "LOCK_ORDER mutex 'queue' is taken under mutex 'buffer', mutex 'buffer' is taken under mutex 'queue': " +
        'whoever does so at the same time waits for ever',
    ]);
    const [{ sites, details }] = world.findings.all;
    expect(sites.map(({ what }) => what)).toEqual([
      "mutex 'queue' under mutex 'buffer'",
      "mutex 'buffer' under mutex 'queue'",
    ]);
    expect(sites.map(({ site }) => site)).toEqual([
      expect.stringMatching(/^lock-order\.test\.ts:\d+:\d+/),
      expect.stringMatching(/^lock-order\.test\.ts:\d+:\d+/),
    ]);
    expect(details[0]).toContain("thread 'program'");
  });

  it('is told once, however often it is broken', () => {
    const world = watched();
    const [a, b] = [new Mutex(world, 'a'), new Mutex(world, 'b')];
    expect(run(world, [a, b], [b, a], [a, b], [b, a])).toHaveLength(1);
  });

  it('is kept by chains that agree, and by locks that are not held together', () => {
    const world = watched();
    const [a, b, c] = ['a', 'b', 'c'].map((name) => new Mutex(world, name));
    expect(run(world, [a, b, c], [a, c], [b, c], [c], [b], [a])).toEqual([]);
  });

  it('is broken by a circle of three, which names all', () => {
    const world = watched();
    const [a, b, c] = ['a', 'b', 'c'].map((name) => new Mutex(world, name));
    const [found] = run(world, [a, b], [b, c], [c, a]);
    expect(found).toContain(
      "'a' is taken under mutex 'c', mutex 'b' is taken under mutex 'a', mutex 'c' is taken under",
    );
  });

  it('counts locks of one name as one kind, and orders them among themselves', () => {
    const world = watched();
    const [a1, a2, b1, b2] = ['a', 'a', 'b', 'b'].map((name) => new Mutex(world, name));
    expect(run(world, [a1, a2])).toEqual([]);
    expect(run(world, [a1, b1])).toEqual([]);
    expect(run(world, [b2, a2])).toHaveLength(1);
    expect(run(world, [a2, a1])).toHaveLength(2);
  });

  it('is kept for spin locks and mutexes alike', () => {
    const world = watched();
    const [a, b] = [new SpinLock(world, 'a'), new SpinLock(world, 'b')];
    const mutex = new Mutex(world, 'm');
    expect(run(world, [mutex, a, b], [mutex, b, a])).toEqual([expect.stringContaining("spin lock 'a' is taken under")]);
  });

  it('is not broken by a lock that is only tried, but by what is taken under that', () => {
    const world = watched();
    const [a, b] = [new Mutex(world, 'a'), new Mutex(world, 'b')];
    run(world, [a, b]);
    const tries = function* (): Task {
      yield* b.lock();
      expect(a.tryLock()).toBe(true);
      a.unlock();
      b.unlock();
    };
    world.complete(tries());
    expect(world.findings.count).toBe(0);
    const under = function* (): Task {
      expect(b.tryLock()).toBe(true);
      yield* a.lock();
      a.unlock();
      b.unlock();
    };
    world.complete(under());
    expect(world.findings.all).toMatchObject([{ code: 'LOCK_ORDER' }]);
  });

  it('begins anew in an interrupt, and every thread has its own', () => {
    const world = watched();
    const [a, b] = [new SpinLock(world, 'a'), new SpinLock(world, 'b')];
    const nest = (outer: SpinLock, inner: SpinLock): void => {
      outer.lock();
      world.nest(Context.hardirq, 0, () => {
        inner.lock();
        inner.unlock();
        return undefined;
      });
      outer.unlock();
    };
    nest(a, b);
    nest(b, a);
    const [m, n] = [new Mutex(world, 'm'), new Mutex(world, 'n')];
    world.spawn(nested(world, [m]), { name: 'one' });
    world.spawn(nested(world, [n]), { name: 'two' });
    world.spawn(nested(world, [m, n]), { name: 'three' });
    world.run();
    expect(world.findings.all).toEqual([]);
  });

  it('names a deadlock also when it happens', () => {
    const world = watched();
    const [a, b] = [new Mutex(world, 'a'), new Mutex(world, 'b')];
    const holdThenTake = function* (first: Mutex, second: Mutex): Task {
      yield* first.lock();
      yield* world.sleep(1);
      yield* second.lock();
    };
    world.spawn(holdThenTake(a, b), { name: 'one' });
    world.spawn(holdThenTake(b, a), { name: 'two' });
    world.run();
    world.checkAtEnd();
    expect(world.findings.all.map(({ code }) => code)).toEqual(['LOCK_ORDER', 'TASK_STUCK', 'TASK_STUCK']);
  });

  it('is not kept, and nothing is noted, when nobody watches', () => {
    const world = new World();
    const [a, b] = [new Mutex(world, 'a'), new Mutex(world, 'b')];
    expect(run(world, [a, b], [b, a])).toEqual([]);
  });
});
