import { median, ResultTable, significant } from '../src/bench/report';

describe('the figures of a benchmark', () => {
  it('are medians of their rounds, in order of first appearance', () => {
    const table = new ResultTable();
    for (const value of [30, 10, 20]) {
      table.add([
        { name: 'boot', unit: 'ms', value },
        { name: 'boot.rss', unit: 'MiB', value: value / 10 },
      ]);
    }
    expect(table.results()).toEqual([
      { name: 'boot', unit: 'ms', value: 20, rounds: [30, 10, 20] },
      { name: 'boot.rss', unit: 'MiB', value: 2, rounds: [3, 1, 2] },
    ]);
  });

  it('take the mean of the two in the middle when the rounds are even', () => {
    expect(median([4, 1, 3, 2])).toBe(2.5);
  });

  it('carry four significant digits', () => {
    expect(significant(12_345_678)).toBe(12_350_000);
    expect(significant(0.123456)).toBe(0.1235);
  });
});
