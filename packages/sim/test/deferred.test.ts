import { Context, Timer, WorkItem, WorkQueue, World } from '@pincushion/sim';
import type { Task } from '@pincushion/sim';

describe('WorkQueue', () => {
  it('runs in task context what an interrupt queued, and sleeps there', () => {
    const world = new World();
    const log: string[] = [];
    function* dirty(): Task {
      expect(world.contexts.current).toBe(Context.task);
      yield* world.sleep(100);
      log.push(`done at ${world.now}`);
    }
    const item = new WorkItem('dirty', () => dirty());
    world.after(10, Context.hardirq, () => {
      log.push(String(world.work.queue(item)), String(world.work.queue(item)));
      return undefined;
    });
    world.run();
    expect(log).toEqual(['true', 'false', 'done at 110']);
    expect(world.waiters()).toEqual([]);
  });

  it('runs items one after the other, and one that runs may be queued again', () => {
    const world = new World();
    const log: string[] = [];
    let rounds = 0;
    const again: WorkItem = new WorkItem('again', () => {
      log.push('again');
      if (++rounds < 2) world.work.queue(again);
      return undefined;
    });
    const other = new WorkItem('other', () => {
      log.push('other');
      return undefined;
    });
    world.work.queue(again);
    world.work.queue(other);
    world.complete(world.work.flush());
    world.run();
    expect(log).toEqual(['again', 'other', 'again']);
  });

  it('flushes what was queued before, and not what comes after', () => {
    const world = new World();
    const queue = new WorkQueue(world, 'test');
    const sleep = (name: string): WorkItem => new WorkItem(name, () => world.sleep(50));
    queue.queue(sleep('first'));
    const flush = queue.flush();
    world.after(20, Context.softirq, () => {
      queue.queue(sleep('second'));
      return undefined;
    });
    world.complete(flush);
    expect([world.now, queue.outstanding]).toEqual([50, 1]);
  });

  it('takes an item back, or waits for its end', () => {
    const world = new World();
    let ended = 0;
    function* work(): Task {
      yield* world.sleep(50);
      ended++;
    }
    const item = new WorkItem('w', () => work());
    world.work.queue(item);
    expect(world.work.cancel(item)).toBe(true);
    expect(world.work.cancel(item)).toBe(false);
    world.run();
    expect(ended).toBe(0);
    world.work.queue(item);
    world.run({ untilNs: 10 });
    world.complete(world.work.cancelSync(item));
    expect([ended, world.now]).toEqual([1, 50]);
  });

  it('goes on after an item that fails, and reports the failure', () => {
    const world = new World();
    let ran = false;
    world.work.queue(
      new WorkItem('broken', () => {
        throw new Error('planted');
      }),
    );
    world.work.queue(
      new WorkItem('fine', () => {
        ran = true;
        return undefined;
      }),
    );
    world.run();
    expect(ran).toBe(true);
    expect(world.findings.all.map((f) => f.summary)).toEqual(["work item 'broken' failed: planted"]);
  });
});

describe('Timer', () => {
  it('fires once in its context, and can be moved and stopped', () => {
    const world = new World();
    const fired: string[] = [];
    const timer = new Timer(world, 'watchdog', Context.softirq, () => {
      fired.push(`${world.now} ${world.contexts.current}`);
      return undefined;
    });
    timer.start(10);
    timer.start(30);
    expect(timer.pending).toBe(true);
    world.run();
    expect(fired).toEqual([`30 ${Context.softirq}`]);
    expect([timer.pending, timer.cancel()]).toEqual([false, false]);
    timer.start(5);
    expect(timer.cancel()).toBe(true);
    world.run();
    expect(fired).toHaveLength(1);
  });

  it('may start itself again', () => {
    const world = new World();
    let ticks = 0;
    const timer: Timer = new Timer(world, 'tick', Context.hardirq, () => {
      if (++ticks < 3) timer.start(100);
      return undefined;
    });
    timer.start(100);
    world.run();
    expect([ticks, world.now]).toEqual([3, 300]);
  });
});

describe('what is deferred', () => {
  it('runs when what runs now has ended, at the same time, before threads and events, in order', () => {
    const world = new World();
    const seen: string[] = [];
    const note = world.handler('note', Context.task, (arg) => {
      seen.push(`deferred ${arg} at ${world.now}, may sleep: ${world.contexts.current === Context.task}`);
      return undefined;
    });
    world.after(5, Context.hardirq, () => {
      world.after(0, Context.device, () => {
        seen.push('event');
        return undefined;
      });
      world.defer(note, 1);
      world.defer(note, 2);
      seen.push('interrupt');
      return undefined;
    });
    world.run();
    expect(seen).toEqual([
      'interrupt',
      'deferred 1 at 5, may sleep: true',
      'deferred 2 at 5, may sleep: true',
      'event',
    ]);
  });

  it('is kept in order however much it is', () => {
    const world = new World();
    const seen: number[] = [];
    let next = 0;
    const run = world.handler('run', Context.softirq, (arg) => {
      seen.push(arg);
      for (let i = 0; i < 3 && next < 1000; i++) world.defer(run, next++);
      return undefined;
    });
    world.defer(run, next++);
    expect(world.run({ events: 10 })).toBe('limit');
    world.run();
    expect(seen).toEqual(Array.from({ length: 1000 }, (_, i) => i));
  });

  it('refuses a handler that was never registered', () => {
    expect(() => {
      new World().defer(999, 0);
    }).toThrow(/SCHEDULE_INVALID/);
  });
});

describe('a retired handler', () => {
  it('does nothing any more, also for events that are pending, and disturbs no other', () => {
    const world = new World();
    const seen: string[] = [];
    const register = (name: string): number =>
      world.handler(name, Context.device, () => {
        seen.push(name);
        return undefined;
      });
    const gone = register('gone');
    const stays = register('stays');
    world.schedule(1, gone, 0);
    world.schedule(2, stays, 0);
    world.retireHandler(gone);
    world.schedule(3, gone, 0);
    world.run();
    expect(seen).toEqual(['stays']);
    expect(world.now).toBe(3);
  });
});
