import { ChoiceSource, UsageError, World } from '@pincushion/sim';

function take(source: ChoiceSource, name: string, n: number, instance = 0): number[] {
  const stream = source.stream(name, instance);
  return Array.from({ length: n }, () => stream.below(1_000_000));
}

describe('ChoiceSource', () => {
  it('gives the same decisions for the same seed, on any machine', () => {
    expect(take(new ChoiceSource(42), 'nvme.latency', 4)).toEqual(take(new ChoiceSource(42), 'nvme.latency', 4));
    // Written down once: these values must never change, recordings of users depend on them.
    expect(take(new ChoiceSource(42), 'nvme.latency', 4)).toEqual(GOLDEN);
  });

  it('lets one more choice shift nobody else', () => {
    const plain = new ChoiceSource(5);
    const other = new ChoiceSource(5);
    take(other, 'irq.order', 1);
    take(other, 'nvme.latency', 3, 1);
    expect(take(other, 'nvme.latency', 20)).toEqual(take(plain, 'nvme.latency', 20));
    expect(take(other, 'irq.order', 19)).toEqual(take(plain, 'irq.order', 20).slice(1));
  });

  it('tells apart seeds, names and instances', () => {
    const runs = [
      take(new ChoiceSource(1), 'a', 8),
      take(new ChoiceSource(2), 'a', 8),
      take(new ChoiceSource(1 + 2 ** 32), 'a', 8),
      take(new ChoiceSource(1), 'b', 8),
      take(new ChoiceSource(1), 'a', 8, 1),
    ].map((run) => run.join());
    expect(new Set(runs).size).toBe(5);
  });

  it('spreads its values evenly, small ranges and large ones', () => {
    const stream = new ChoiceSource(11).stream('spread');
    const counts = new Array<number>(10).fill(0);
    for (let i = 0; i < 100_000; i++) counts[stream.below(10)]++;
    for (const count of counts) expect(Math.abs(count - 10_000)).toBeLessThan(500);
    const halves = [0, 0];
    for (let i = 0; i < 20_000; i++) halves[stream.below(2 ** 45) >= 2 ** 44 ? 1 : 0]++;
    expect(Math.abs(halves[0] - 10_000)).toBeLessThan(500);
    for (let i = 0; i < 10_000; i++) {
      const value = stream.between(-3, 3);
      if (value < -3 || value > 3 || !Number.isInteger(value)) throw new Error(String(value));
    }
    expect(stream.below(1)).toBe(0);
  });

  it('lets forced values win, before and after the stream is made', () => {
    const source = new ChoiceSource(1, [{ name: 'a', instance: 0, counter: 1, value: 77 }]);
    const hashed = take(new ChoiceSource(1), 'a', 4);
    const stream = source.stream('a');
    source.force({ name: 'a', instance: 0, counter: 2, value: 78 });
    const taken = Array.from({ length: 4 }, () => stream.below(1_000_000));
    expect(taken).toEqual([hashed[0], 77, 78, hashed[3]]);
  });

  it('names the decision that a forced value does not fit', () => {
    const source = new ChoiceSource(1, [{ name: 'a', instance: 0, counter: 0, value: 10 }]);
    expect(() => source.stream('a').below(10)).toThrow(/CHOICE_INVALID: choice 0 of 'a' is forced to 10/);
  });

  it('refuses impossible seeds, names and ranges', () => {
    expect(() => new ChoiceSource(-1)).toThrow(/CHOICE_INVALID/);
    expect(() => new ChoiceSource(0.5)).toThrow(/CHOICE_INVALID/);
    const source = new ChoiceSource(0);
    expect(() => source.stream('two words')).toThrow(/CHOICE_INVALID/);
    expect(() => source.stream('a').below(0)).toThrow(/CHOICE_INVALID/);
    expect(() => source.stream('a').between(2, 1)).toThrow(/CHOICE_INVALID/);
  });

  it('replays a run from the log of another', () => {
    const first = new World({ seed: 3 });
    first.choices.record = true;
    const stream = first.choices.stream('x', 2);
    const values = [stream.below(100), stream.between(-5, 5), stream.uint32()];
    expect(first.choices.log.map((c) => c.value)).toEqual(values);
    const again = new World({ seed: 999, forced: first.choices.log });
    const replayed = again.choices.stream('x', 2);
    expect([replayed.below(100), replayed.between(-5, 5), replayed.uint32()]).toEqual(values);
  });
});

describe('a recording', () => {
  it('comes back as it was written', () => {
    const forced = [
      { name: 'nvme.latency', instance: 0, counter: 17, value: 80_000 },
      { name: 'x', instance: 3, counter: 0, value: -4 },
    ];
    const text = new ChoiceSource(42, forced).recording();
    expect(ChoiceSource.parse(text)).toEqual({ seed: 42, forced });
    expect(ChoiceSource.parse(`# story\n\n${text.replaceAll('\n', '\r\n')}`)).toEqual({ seed: 42, forced });
  });

  it.each([
    ['pincushion-choices 2\nseed 1', /line 1 /],
    ['pincushion-choices 1\nseed 1\nseed 2', /line 3 /],
    ['pincushion-choices 1\n\nseed -1', /line 3 /],
    ['pincushion-choices 1\nseed 1\nforce a 0 0', /line 3 .*'force a 0 0'/],
    ['pincushion-choices 1\nseed 1\nforce a 0 -1 5', /line 3 /],
    ['pincushion-choices 1\nseed 1\nunforce a 0 0 1', /line 3 /],
    ['pincushion-choices 1\n', /no seed/],
    ['', /no seed/],
  ])('that cannot be understood names the line: %j', (text, expected) => {
    expect(() => ChoiceSource.parse(text)).toThrow(UsageError);
    expect(() => ChoiceSource.parse(text)).toThrow(expected);
  });
});

const GOLDEN: readonly number[] = [361638, 243990, 715652, 627785];
