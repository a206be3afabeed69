import { Context, Mutex, WaitQueue, World, sleeping } from '@pincushion/sim';
import type { Task } from '@pincushion/sim';

/** A world that does a little of everything, and what it did. */
function busyWorld(seed: number): { world: World; log: string[] } {
  const world = new World({ seed, schedule: 'random' });
  const log: string[] = [];
  const jitter = world.choices.stream('test.jitter');
  function* worker(name: string): Task {
    for (let i = 0; i < 5; i++) {
      yield* world.sleep(10 + jitter.below(50));
      log.push(`${world.now} ${name}`);
    }
  }
  for (const name of ['a', 'b', 'c']) world.spawn(worker(name), { name });
  return { world, log };
}

describe('World', () => {
  it('runs events in order of time and, at one time, in order of scheduling', () => {
    const world = new World();
    const seen: string[] = [];
    const note = world.handler('note', Context.hardirq, (arg) => {
      seen.push(`${world.now}:${arg}`);
      return undefined;
    });
    world.schedule(20, note, 1);
    world.schedule(10, note, 2);
    world.schedule(20, note, 3);
    expect(world.run()).toBe('idle');
    expect(seen).toEqual(['10:2', '20:1', '20:3']);
    expect(world.eventsRun).toBe(3);
  });

  it('stops at a time, after a number of events, by a condition and by stop', () => {
    const world = new World();
    let count = 0;
    const tick = world.handler('tick', Context.hardirq, () => {
      count++;
      world.schedule(10, tick, 0);
      if (count === 50) world.stop();
      return undefined;
    });
    world.schedule(10, tick, 0);
    expect(world.run({ untilNs: 35 })).toBe('limit');
    expect([world.now, count]).toEqual([35, 3]);
    expect(world.run({ events: 4 })).toBe('limit');
    expect(count).toBe(7);
    expect(world.run({ until: () => count === 10 })).toBe('stopped');
    expect(count).toBe(10);
    expect(world.run()).toBe('stopped');
    expect([count, world.eventsPending]).toEqual([50, 1]);
  });

  it('moves the clock to the end of a slice also when nothing is left to happen', () => {
    const world = new World();
    expect(world.run({ untilNs: 2000 })).toBe('idle');
    expect(world.now).toBe(2000);
  });

  it('repeats a run exactly with the same seed, and not with another', () => {
    const logs = [7, 7, 8].map((seed) => {
      const { world, log } = busyWorld(seed);
      world.run();
      return log.join('\n');
    });
    expect(logs[1]).toBe(logs[0]);
    expect(logs[2]).not.toBe(logs[0]);
  });

  it('lets two worlds in one process not influence each other', () => {
    const alone = busyWorld(7);
    alone.world.run();
    const first = busyWorld(7);
    const second = busyWorld(9);
    while (first.world.run({ events: 1 }) === 'limit') second.world.run({ events: 2 });
    expect(first.log).toEqual(alone.log);
    expect(first.world.now).toBe(alone.world.now);
  });

  it('keeps its contexts sane after a handler threw', () => {
    const world = new World();
    world.after(5, Context.hardirq, () => {
      throw new Error('planted');
    });
    let ran = false;
    world.after(6, Context.hardirq, () => {
      ran = true;
      return undefined;
    });
    expect(() => world.run()).toThrow('planted');
    expect([world.contexts.current, world.contexts.depth]).toEqual([Context.task, 0]);
    world.run();
    expect(ran).toBe(true);
  });

  it('refuses to be run from inside of itself', () => {
    const world = new World();
    function* nested(): Task {
      world.complete(world.sleep(1));
      yield* world.sleep(1);
    }
    expect(() => {
      world.complete(nested());
    }).toThrow(/WORLD_BUSY/);
    world.after(0, Context.hardirq, () => {
      world.run();
      return undefined;
    });
    expect(() => world.run()).toThrow(/WORLD_BUSY/);
  });

  it('takes a cancelled closure back and uses its place again', () => {
    const world = new World();
    const ran: string[] = [];
    const event = world.after(5, Context.softirq, () => {
      ran.push('cancelled');
      return undefined;
    });
    expect(world.cancel(event)).toBe(true);
    expect(world.cancel(event)).toBe(false);
    world.after(5, Context.softirq, () => {
      ran.push('kept');
      return undefined;
    });
    world.run();
    expect(ran).toEqual(['kept']);
  });

  it('refuses a delay in the past and a handler nobody registered', () => {
    const world = new World();
    const handler = world.handler('x', Context.hardirq, () => undefined);
    expect(() => world.schedule(-1, handler, 0)).toThrow(/SCHEDULE_INVALID/);
    expect(() => world.schedule(0.5, handler, 0)).toThrow(/SCHEDULE_INVALID/);
    expect(() => world.schedule(1, 999, 0)).toThrow(/SCHEDULE_INVALID/);
  });
});

describe('a world that stops with waiting tasks', () => {
  it('says who waits for what', () => {
    const world = new World();
    const lock = new Mutex(world, 'queue');
    const data = new WaitQueue(world, 'data from the wire');
    function* holder(): Task {
      yield* lock.lock();
      yield* data.wait();
    }
    function* second(): Task {
      yield* lock.lock();
    }
    world.spawn(holder(), { name: 'holder' });
    world.run();
    let message = '';
    try {
      world.complete(second(), 'second');
    } catch (error) {
      message = String(error);
    }
    expect(message).toMatch(/TASK_STUCK.*'second' cannot go on/);
    expect(message).toContain("thread 'holder' waits for data from the wire");
    expect(message).toContain("thread 'second' waits for mutex 'queue' held by thread 'holder'");
    world.checkAtEnd();
    expect(world.findings.all.map((f) => f.code)).toEqual(['TASK_STUCK', 'TASK_STUCK']);
    world.checkAtEnd();
    expect(world.findings.count).toBe(2);
  });

  it('does not blame a kernel thread that may wait for ever, nor anybody while events are left', () => {
    const world = new World();
    const queue = new WaitQueue(world, 'work');
    world.spawn(queue.wait(), { name: 'kthread', daemon: true });
    world.spawn(world.sleep(1_000), { name: 'sleeper' });
    world.run({ untilNs: 10 });
    world.checkAtEnd();
    expect(world.waiters().map((w) => w.thread.name)).toEqual(['kthread', 'sleeper']);
    world.run();
    world.checkAtEnd();
    expect(world.findings.all).toEqual([]);
  });
});

describe('checkAtEnd', () => {
  it('names a dropped service task with its call site', () => {
    const world = new World();
    const unlock = (): Task => sleeping(world, 'unlock', () => world.sleep(1)[Symbol.iterator]());
    const forgotten: Task[] = [];
    forgotten.push(unlock());
    world.run();
    world.checkAtEnd();
    const [finding] = world.findings.all;
    expect(finding.code).toBe('TASK_NEVER_STARTED');
    expect(finding.summary).toContain('unlock');
    expect(finding.sites[0].site).toMatch(/^world\.test\.ts:\d+:\d+ \(unlock\)$/);
  });

  it('names a dropped service task also where call sites are not recorded', () => {
    const world = new World({ callSites: false });
    const forgotten = [world.sleep(1)];
    world.checkAtEnd();
    expect(forgotten).toHaveLength(1);
    expect(world.findings.all.map((f) => [f.code, f.sites[0].site])).toEqual([
      ['TASK_NEVER_STARTED', 'call sites are not recorded in this world'],
    ]);
  });

  it('records call sites once a machine has the full ledger, and not for machines without it', () => {
    const world = new World();
    expect(world.callSites).toBe(true);
    world.machineJoins(false);
    expect(world.callSites).toBe(false);
    world.machineJoins(true);
    world.machineJoins(false);
    expect(world.callSites).toBe(true);
    const asked = new World({ callSites: false });
    asked.machineJoins(true);
    expect(asked.callSites).toBe(false);
  });

  it('reports a thread that failed unseen, and not one that was joined', () => {
    const world = new World();
    function* failing(): Task {
      yield* world.sleep(1);
      throw new Error('planted');
    }
    world.spawn(failing(), { name: 'unseen' });
    const seen = world.spawn(failing(), { name: 'seen' });
    expect(() => {
      world.complete(seen.join());
    }).toThrow('planted');
    world.checkAtEnd();
    expect(world.findings.all.map((f) => f.summary)).toEqual(["thread 'unseen' failed: planted"]);
  });

  it('runs the checks that were registered, until they are taken back', () => {
    const world = new World();
    let checks = 0;
    const takeBack = world.atEnd(() => {
      checks++;
      return undefined;
    });
    world.checkAtEnd();
    takeBack();
    world.checkAtEnd();
    expect(checks).toBe(1);
  });
});
