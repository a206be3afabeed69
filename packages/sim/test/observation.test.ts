import { ENOMEM, EFAULT, Context, FaultSites, World } from '@pincushion/sim';

describe('a tracepoint', () => {
  it('is off without a listener, on with one, and off again', () => {
    const world = new World();
    const pin = world.trace.point('gup:pin', ['frame', 'pages', 'owner', 'flags']);
    const seen: number[][] = [];
    expect(pin.on).toBe(false);
    const end = world.trace.subscribe((point, a, b, c, d) => {
      seen.push([a, b, c, d]);
      expect(point.fields[0]).toBe('frame');
      return undefined;
    });
    expect(pin.on).toBe(true);
    pin.emit(5, 1, 2, 3);
    end();
    end();
    expect(pin.on).toBe(false);
    expect(seen).toEqual([[5, 1, 2, 3]]);
  });

  it('is one object per name and world, and finds listeners who came before it', () => {
    const world = new World();
    const names: string[] = [];
    world.trace.subscribe(
      (point) => {
        names.push(point.name);
        return undefined;
      },
      ['dma:map'],
    );
    const map = world.trace.point('dma:map', ['domain']);
    const unmap = world.trace.point('dma:unmap', ['domain']);
    expect([map.on, unmap.on]).toEqual([true, false]);
    expect(world.trace.point('dma:map', [])).toBe(map);
    expect(new World().trace.point('dma:map', [])).not.toBe(map);
    map.emit(1, 0, 0, 0);
    expect(names).toEqual(['dma:map']);
    expect(world.trace.all()).toEqual([map, unmap]);
  });
});

describe('fault sites', () => {
  it('let the n-th call fail once, count, and forget when disarmed', () => {
    const { faults } = new World();
    expect(faults.armed).toBe(false);
    faults.arm('pin', { nth: 2, errno: -EFAULT });
    faults.arm('alloc', { nth: 1, errno: -ENOMEM });
    expect(faults.armed).toBe(true);
    expect([faults.hit('pin'), faults.hit('pin'), faults.hit('pin')]).toEqual([0, -EFAULT, 0]);
    expect(faults.hit('alloc')).toBe(-ENOMEM);
    expect([faults.count('pin'), faults.count('dma')]).toEqual([3, 0]);
    faults.disarm();
    expect([faults.armed, faults.count('pin'), faults.hit('pin')]).toEqual([false, 0, 0]);
  });

  it('only count when told to fail none', () => {
    const faults = new FaultSites();
    faults.arm('map', { nth: 0, errno: -ENOMEM });
    for (let i = 0; i < 5; i++) expect(faults.hit('map')).toBe(0);
    expect(faults.count('map')).toBe(5);
  });

  it('refuse a positive errno and a negative count', () => {
    const faults = new FaultSites();
    expect(() => {
      faults.arm('pin', { nth: 1, errno: EFAULT });
    }).toThrow(/FAULT_SITE_INVALID/);
    expect(() => {
      faults.arm('pin', { nth: -1, errno: -EFAULT });
    }).toThrow(/FAULT_SITE_INVALID/);
  });
});

describe('findings', () => {
  it('are told to listeners with the virtual time', () => {
    const world = new World();
    const told: string[] = [];
    const end = world.findings.subscribe((finding) => {
      told.push(`${finding.code}@${finding.atNs}`);
      return undefined;
    });
    const leak = { code: 'PIN_LEAK', summary: 'leak', sites: [], details: [] } as const;
    world.after(30, Context.hardirq, () => {
      world.findings.report(leak);
      return undefined;
    });
    world.run();
    world.findings.report({ ...leak, atNs: 7 });
    end();
    world.findings.report(leak);
    expect(told).toEqual(['PIN_LEAK@30', 'PIN_LEAK@7']);
    expect(world.findings.count).toBe(3);
    world.findings.clear();
    expect(world.findings.all).toEqual([]);
  });
});

describe('a port', () => {
  it('delivers as an event in device context, records with the time, and replays', () => {
    const run = (use: (world: World, inject: (text: string) => void) => void): string[] => {
      const world = new World();
      const got: string[] = [];
      const wire = world.port<string>('wire', (text) => {
        got.push(`${world.now} ${text} ${world.contexts.current === Context.device}`);
        return undefined;
      });
      use(world, (text) => {
        wire.inject(text);
      });
      world.run();
      inputs = world.inputs;
      return got;
    };
    let inputs: World['inputs'] = [];
    const first = run((world, inject) => {
      inject('a');
      world.run({ untilNs: 500 });
      inject('b');
    });
    expect(first).toEqual(['0 a true', '500 b true']);
    const recorded = inputs;
    expect(recorded).toEqual([
      { atNs: 0, port: 'wire', message: 'a' },
      { atNs: 500, port: 'wire', message: 'b' },
    ]);
    const second = run((world) => {
      world.replayInputs(recorded);
    });
    expect(second).toEqual(first);
    expect(inputs).toEqual(recorded);
  });

  it('hands what comes in to a listener, where there is one, and keeps nothing itself', () => {
    const world = new World();
    const wire = world.port<string>('wire', () => undefined);
    const kept: unknown[] = [];
    world.inputListener = (input) => {
      kept.push(input);
      return undefined;
    };
    wire.inject('a');
    world.run();
    expect([kept, world.inputs]).toEqual([[{ atNs: 0, port: 'wire', message: 'a' }], []]);
  });

  it('takes nothing from inside of the machine, and has its name for itself', () => {
    const world = new World();
    const wire = world.port<number>('wire', () => undefined);
    world.after(1, Context.device, () => {
      wire.inject(1);
      return undefined;
    });
    expect(() => world.run()).toThrow(/PORT_INVALID/);
    expect(() => world.port('wire', () => undefined)).toThrow(/PORT_INVALID/);
    expect(() => {
      world.replayInputs([{ atNs: 0, port: 'nowhere', message: 0 }]);
    }).toThrow(/PORT_INVALID.*'nowhere'/);
  });
});
