import { DecisionTrail, UsageError, World } from '../src/index';

/** Small enough that a long run is a short one. */
const LIMITS = { decisions: 100, stride: 8, checks: 16 };

/** The trail of a world in which `run` took decisions. */
function trailOf(run: (world: World) => void): string {
  const world = new World({ seed: 7 });
  const trail = new DecisionTrail(world, LIMITS);
  world.choices.listener = trail;
  run(world);
  return trail.text();
}

/** `n` decisions of a stream, a nanosecond apart. */
function decide(world: World, name: string, n: number, below = 100): void {
  const stream = world.choices.stream(name);
  for (let i = 0; i < n; i++) {
    world.now++;
    stream.below(below);
  }
}

describe('the trail of decisions', () => {
  it('has each decision with its time, what was possible and what was taken', () => {
    const text = trailOf((world) => {
      decide(world, 'a', 1);
      world.now = 5000;
      world.choices.stream('b', 3).between(-4, 4);
    });
    const value = new World({ seed: 7 }).choices.stream('a').below(100);
    const other = new World({ seed: 7 }).choices.stream('b', 3).between(-4, 4);
    expect(text.split('\n').slice(0, 3)).toEqual([
      'pincushion-trail 1',
      `1 a 0 0 0..99 ${value}`,
      `5000 b 3 0 -4..4 ${other}`,
    ]);
    expect(text).toMatch(/\nend 2 5000 [0-9a-f]{8}\n$/);
  });

  it('says nothing about two runs that are the same, however long', () => {
    for (const n of [0, 1, 100, 1000, 1001]) {
      const run = (world: World): void => {
        decide(world, 'a', n);
      };
      expect(DecisionTrail.firstDivergence(trailOf(run), trailOf(run))).toBeNull();
    }
  });

  it('names the first decision that gave something else, with both values and the time', () => {
    const run = (world: World): void => {
      decide(world, 'a', 10);
    };
    const recorded = trailOf(run);
    const lines = recorded.split('\n');
    lines[4] = lines[4].replace(/\d+$/, '98').replace('98 98', '98 97');
    const divergence = DecisionTrail.firstDivergence(lines.join('\n'), recorded);
    const here = recorded.split('\n')[4].split(' ').at(-1);
    expect(divergence).toEqual({
      first: 4,
      last: 4,
      recorded: '98 of 0..99 by a 0 decision 3, at 4 ns',
      here: `${here} of 0..99 by a 0 decision 3, at 4 ns`,
      atNs: 4,
    });
  });

  it.each([
    ['another stream', (world: World) => void world.choices.stream('c').below(100), /by b 0/, /by c 0/],
    ['another range', (world: World) => void world.choices.stream('b').below(50), /of 0\.\.99/, /of 0\.\.49/],
    [
      'another time',
      (world: World) => {
        world.now++;
        world.choices.stream('b').below(100);
      },
      /at 3 ns/,
      /at 4 ns/,
    ],
    ['nothing at all', () => undefined, /by b 0/, /the run had ended/],
  ])('tells a run that then decides %s', (_what, then, recorded, here) => {
    const before = (world: World): void => {
      decide(world, 'a', 3);
    };
    const first = trailOf((world) => {
      before(world);
      world.choices.stream('b').below(100);
    });
    const second = trailOf((world) => {
      before(world);
      then(world);
    });
    expect(DecisionTrail.firstDivergence(first, second)).toMatchObject({
      first: 4,
      recorded: expect.stringMatching(recorded) as string,
      here: expect.stringMatching(here) as string,
    });
    expect(DecisionTrail.firstDivergence(second, first)).toMatchObject({
      first: 4,
      recorded: expect.stringMatching(here) as string,
    });
  });

  it('finds a difference among decisions that only checksums are kept of', () => {
    const long = (odd: number) =>
      trailOf((world) => {
        decide(world, 'a', odd - 1);
        decide(world, 'a', 1, 101);
        decide(world, 'a', 200 - odd);
      });
    const divergence = DecisionTrail.firstDivergence(long(150), long(200));
    expect(divergence).toMatchObject({ recorded: expect.stringMatching(/^checksum/) as string });
    expect(divergence?.first).toBeLessThanOrEqual(150);
    expect(divergence?.last).toBeGreaterThanOrEqual(150);
    expect((divergence?.last ?? 0) - (divergence?.first ?? 0)).toBeLessThan(8);
  });

  it('tells two long runs of which one goes on longer', () => {
    const run = (n: number) =>
      trailOf((world) => {
        decide(world, 'a', n);
      });
    expect(DecisionTrail.firstDivergence(run(150), run(70_001))).toMatchObject({ last: 151 });
  });

  it('stays small: checksums of a long run are at growing distances', () => {
    const text = trailOf((world) => {
      decide(world, 'a', 100_000);
    });
    const checks = text.match(/^at /gm) ?? [];
    expect(checks.length).toBeLessThan(16);
    expect(checks.length).toBeGreaterThan(4);
  });

  it('changes no decision', () => {
    const listening = new World({ seed: 5 });
    listening.choices.listener = new DecisionTrail(listening);
    const quiet = new World({ seed: 5 });
    const drawn = (world: World) => Array.from({ length: 20 }, () => world.choices.stream('x').uint32());
    expect(drawn(listening)).toEqual(drawn(quiet));
  });

  it.each([
    ['', /line 1 .*pincushion-trail 1/],
    ['pincushion-trail 2\n', /line 1 /],
    ['pincushion-trail 1\n', /line 2 .*got nothing/],
    ['pincushion-trail 1\n1 a 0 0 0..9 5\n', /line 3 /],
    ['pincushion-trail 1\n1 a 0 0 0..9\nend 1 1 00000000\n', /line 2 .*'1 a 0 0 0..9'/],
    ['pincushion-trail 1\nend 1 1 0000\n', /line 2 /],
  ])('that is damaged is refused with its line: %j', (text, message) => {
    const whole = trailOf(() => undefined);
    expect(() => DecisionTrail.firstDivergence(text, whole)).toThrow(UsageError);
    expect(() => DecisionTrail.firstDivergence(text, whole)).toThrow(/CHOICES_UNREADABLE/);
    expect(() => DecisionTrail.firstDivergence(text, whole)).toThrow(message);
  });
});
