import { BlockPermutation, EachOnce, Independent, JobRandom, Zipf, power } from '../src/offset-choice';

describe('BlockPermutation', () => {
  it.each([1, 2, 3, 7, 64, 1000, 4097])('visits each of %i blocks once', (n) => {
    const order = new BlockPermutation(n, 12345);
    const seen = new Set<number>();
    for (let i = 0; i < n; i++) seen.add(order.at(i));
    expect(seen.size).toBe(n);
    expect(Math.max(...seen)).toBe(n - 1);
  });

  it('is another order for another key, and no run of neighbours', () => {
    const a = new BlockPermutation(1000, 1);
    const b = new BlockPermutation(1000, 2);
    let same = 0;
    let neighbours = 0;
    for (let i = 0; i < 999; i++) {
      if (a.at(i) === b.at(i)) same++;
      if (a.at(i) + 1 === a.at(i + 1)) neighbours++;
    }
    expect(same).toBeLessThan(20);
    expect(neighbours).toBeLessThan(20);
  });

  it('stays inside for disks beyond 2^32 blocks', () => {
    const order = new BlockPermutation(2 ** 40, 3);
    const blocks = Array.from({ length: 1000 }, (_, i) => order.at(i * 1_000_000_007));
    expect(blocks.every((block) => Number.isInteger(block) && block >= 0 && block < 2 ** 40)).toBe(true);
    expect(new Set(blocks).size).toBe(1000);
  });
});

describe('the choice of offsets', () => {
  it('covers all blocks in each pass, in another order the second time', () => {
    const choice = new EachOnce(100, new JobRandom(1));
    const first = Array.from({ length: 100 }, () => choice.next());
    const second = Array.from({ length: 100 }, () => choice.next());
    expect([...first].sort((a, b) => a - b)).toEqual(Array.from({ length: 100 }, (_, i) => i));
    expect([...second].sort((a, b) => a - b)).toEqual(Array.from({ length: 100 }, (_, i) => i));
    expect(second).not.toEqual(first);
  });

  it('draws independently when asked: about a third of the blocks stays out in one pass', () => {
    const choice = new Independent(1000, new JobRandom(1));
    const seen = new Set(Array.from({ length: 1000 }, () => choice.next()));
    expect(seen.size).toBeGreaterThan(580);
    expect(seen.size).toBeLessThan(690);
  });

  it("follows Zipf's law: with theta 1 the most popular block is drawn twice as often as the next", () => {
    const choice = new Zipf(100000, 1, new JobRandom(4));
    const counts = new Map<number, number>();
    for (let i = 0; i < 60000; i++) {
      const block = choice.next();
      counts.set(block, (counts.get(block) ?? 0) + 1);
    }
    const popular = [...counts.values()].sort((a, b) => b - a);
    expect(Math.max(...counts.keys())).toBeLessThan(100000);
    // The harmonic number of 100000 is 12.09.
    expect(popular[0] / 60000).toBeCloseTo(1 / 12.09, 2);
    expect(popular[0] / popular[1]).toBeCloseTo(2, 0);
    expect(popular[0] / popular[9]).toBeGreaterThan(8);
    expect(popular[0] / popular[9]).toBeLessThan(12.5);
  });

  it('is the same for the same seed and another for another', () => {
    const draw = (seed: number): number[] => {
      const choice = new Zipf(1000, 1.2, new JobRandom(seed));
      return Array.from({ length: 50 }, () => choice.next());
    };
    expect(draw(1)).toEqual(draw(1));
    expect(draw(1)).not.toEqual(draw(2));
  });
});

describe('power', () => {
  it('agrees with the library to nine digits', () => {
    for (const base of [1, 2, 3.5, 1000, 123456789]) {
      for (const exponent of [0, 0.5, 1, 1.1, 2.25, 0.9999]) {
        expect(power(base, exponent) / base ** exponent).toBeCloseTo(1, 9);
      }
    }
  });
});
