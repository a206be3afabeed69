import { Context, World, armPoint, disarmPoint, point } from '@pincushion/sim';
import type { Task } from '@pincushion/sim';

const P = point;
const BEFORE_WRITE = 1;

/** Synchronous code with a race window: reads, then writes what it read plus one. */
function increment(cell: { value: number }): void {
  const read = cell.value;
  if (P.armed && --P.left === 0) P.fire(BEFORE_WRITE);
  cell.value = read + 1;
}

describe('a preemption point', () => {
  afterEach(disarmPoint);

  it('runs nothing while it is not armed', () => {
    const cell = { value: 0 };
    increment(cell);
    expect([cell.value, point.armed, point.left]).toEqual([1, false, 0]);
  });

  it('fires at the site whose turn has come, once', () => {
    const sites: number[] = [];
    armPoint({
      countdown: 3,
      onFire: (site) => {
        sites.push(site);
        return undefined;
      },
    });
    for (let i = 0; i < 10; i++) increment({ value: 0 });
    expect(sites).toEqual([BEFORE_WRITE]);
    expect(point.armed).toBe(false);
  });

  it('may be armed again by what it runs', () => {
    let fired = 0;
    const onFire = (): undefined => {
      fired++;
      armPoint({ countdown: 2, onFire });
      return undefined;
    };
    armPoint({ countdown: 1, onFire });
    for (let i = 0; i < 5; i++) increment({ value: 0 });
    expect(fired).toBe(3);
  });

  it('shows a lost update when an interrupt runs in the window, at the time of the interrupt', () => {
    const world = new World();
    const cell = { value: 0 };
    world.after(40, Context.hardirq, () => {
      expect(world.contexts.current).toBe(Context.hardirq);
      increment(cell);
      return undefined;
    });
    armPoint({
      countdown: 1,
      onFire: () => {
        expect(world.nestEvent(39)).toBe(false);
        expect(world.nestEvent()).toBe(true);
        return undefined;
      },
    });
    increment(cell);
    expect(cell.value).toBe(1);
    expect([world.now, world.contexts.depth]).toEqual([40, 0]);
  });

  it("runs another CPU's thread up to where it blocks", () => {
    const world = new World();
    const log: string[] = [];
    function* other(): Task {
      log.push(`cpu${world.contexts.cpu}`);
      yield* world.sleep(10);
      log.push('after sleep');
    }
    function* main(): Task {
      const thread = world.spawn(other(), { name: 'other', cpu: 3 });
      log.push('before');
      expect(world.nestThread(thread)).toBe(true);
      expect(world.nestThread(thread)).toBe(false);
      expect(world.current?.name).toBe('main');
      log.push('went on');
      yield* thread.join();
    }
    world.complete(main());
    expect(log).toEqual(['before', 'cpu3', 'went on', 'after sleep']);
  });

  it('runs plain code of another CPU inside, and restores the context also when that throws', () => {
    const world = new World();
    const failing = (): void => {
      world.nest(Context.softirq, 2, () => {
        expect([world.contexts.current, world.contexts.cpu, world.contexts.depth]).toEqual([Context.softirq, 2, 1]);
        throw new Error('planted');
      });
    };
    expect(failing).toThrow('planted');
    expect([world.contexts.current, world.contexts.cpu, world.contexts.depth]).toEqual([Context.task, 0, 0]);
  });
});

describe('ContextStack', () => {
  it('nests interrupts as on a CPU and says in words where it is', () => {
    const { contexts } = new World();
    contexts.enter(Context.softirq, 1);
    contexts.enter(Context.hardirq, 1);
    expect(contexts.describe()).toBe('hardirq context on cpu 1');
    contexts.leave();
    expect(contexts.describe()).toBe('softirq context on cpu 1');
    contexts.leave();
    expect(contexts.describe()).toBe('task context on cpu 0');
    expect(() => {
      contexts.leave();
    }).toThrow(/CONTEXT_UNBALANCED/);
  });

  it('ends an endless recursion of interrupts', () => {
    const { contexts } = new World();
    const recurse = (): void => {
      contexts.enter(Context.hardirq, 0);
      recurse();
    };
    expect(recurse).toThrow(/CONTEXT_UNBALANCED/);
  });

  it('does not model interleavings that nesting cannot express: what was nested ends before what it interrupts', () => {
    const world = new World();
    const order: string[] = [];
    world.nest(Context.hardirq, 1, () => {
      order.push('B1', 'B2');
      return undefined;
    });
    order.push('A2');
    expect(order).toEqual(['B1', 'B2', 'A2']);
  });
});
