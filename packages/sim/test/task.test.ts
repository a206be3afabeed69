import { Context, World, sleeping } from '@pincushion/sim';
import type { MaySleep, Task } from '@pincushion/sim';

function* doubled(world: World, n: number): Task<number> {
  yield* world.sleep(100);
  return 2 * n;
}

describe('a task', () => {
  it('gives its result after the virtual time that it slept', () => {
    const world = new World();
    expect(world.complete(doubled(world, 21))).toBe(42);
    expect(world.now).toBe(100);
  });

  it('is called by another with a plain result when nothing had to wait', () => {
    const world = new World();
    const pin = (present: boolean): MaySleep => (present ? 1 : doubled(world, 1));
    function* caller(): Task<number[]> {
      const results: number[] = [];
      for (const present of [true, false]) {
        const r = pin(present);
        results.push(typeof r === 'number' ? r : yield* r);
      }
      return results;
    }
    expect(world.complete(caller())).toEqual([1, 2]);
    expect(world.settle(pin(true))).toBe(1);
    expect(world.settle(pin(false))).toBe(2);
  });

  it('throws into its caller', () => {
    const world = new World();
    function* failing(): Task {
      yield* world.sleep(1);
      throw new Error('planted');
    }
    function* caller(): Task<string> {
      try {
        yield* failing();
      } catch (error) {
        return (error as Error).message;
      }
      return 'nothing';
    }
    expect(world.complete(caller())).toBe('planted');
  });

  it('is named when it yields something that is no blocker', () => {
    const world = new World();
    const wrong = { next: () => ({ done: false, value: world.sleep(1) }) };
    const task = { ...wrong, [Symbol.iterator]: () => wrong } as unknown as Task;
    expect(() => {
      world.complete(task, 'starless');
    }).toThrow(/TASK_BAD_YIELD.*'starless'.*yield\*/);
  });

  it('takes turns with others in the order in which they became runnable', () => {
    const world = new World();
    const log: string[] = [];
    function* worker(name: string): Task {
      for (let i = 0; i < 2; i++) {
        log.push(name);
        yield* world.sleep(10);
      }
    }
    for (const name of ['a', 'b', 'c']) world.spawn(worker(name), { name });
    world.run();
    expect(log.join('')).toBe('abcabc');
  });

  it('is ended through join, which gives the result to everybody who asks', () => {
    const world = new World();
    const thread = world.spawn(doubled(world, 4), { name: 'child', cpu: 2 });
    function* parent(): Task<number> {
      return (yield* thread.join()) + (yield* thread.join());
    }
    expect(world.complete(parent())).toBe(16);
    expect([thread.state, thread.cpu, thread.waitingFor]).toEqual(['done', 2, '']);
  });
});

describe('a may-sleep service', () => {
  it('that an interrupt calls fails at the call', () => {
    const world = new World();
    let message = '';
    const made: Task[] = [];
    world.after(10, Context.hardirq, () => {
      try {
        made.push(sleeping(world, 'pinUserPages', () => world.sleep(1)[Symbol.iterator]()));
      } catch (error) {
        message = String(error);
      }
      return undefined;
    });
    world.run();
    expect(message).toMatch(/SLEEP_IN_ATOMIC: pinUserPages may sleep and was called in hardirq context/);
    expect([made.length, world.unstarted.size]).toEqual([0, 0]);
  });

  it.each([
    ['softirq', Context.softirq],
    ['device', Context.device],
  ] as const)('fails in %s context, too', (_name, context) => {
    const world = new World();
    world.after(1, context, () => {
      world.contexts.mightSleep('lockPage');
      return undefined;
    });
    expect(() => world.run()).toThrow(/SLEEP_IN_ATOMIC/);
  });

  it('begins only when it is consumed, and only once', () => {
    const world = new World();
    let begun = 0;
    function* steps(): Generator<never, number, undefined> {
      begun++;
      return 5;
    }
    const task = sleeping(world, 'service', steps);
    expect([begun, world.unstarted.size]).toEqual([0, 1]);
    expect(world.complete(task)).toBe(5);
    expect([begun, world.unstarted.size]).toEqual([1, 0]);
    expect(() => world.complete(task)).toThrow(/TASK_STARTED_TWICE/);
  });
});
