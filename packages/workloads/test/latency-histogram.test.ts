import { LatencyHistogram } from '../src/latency-histogram';

function histogramOf(samples: readonly number[]): LatencyHistogram {
  const histogram = new LatencyHistogram();
  for (const sample of samples) histogram.record(sample);
  return histogram;
}

describe('LatencyHistogram', () => {
  it('is all zero when nothing was recorded', () => {
    expect(new LatencyHistogram().summary()).toEqual({
      count: 0,
      minNs: 0,
      meanNs: 0,
      p50Ns: 0,
      p99Ns: 0,
      p999Ns: 0,
      maxNs: 0,
    });
  });

  it('is exact below 128 ns and for one sample of any size', () => {
    expect(histogramOf([3, 5, 100]).atPerMille(500)).toBe(5);
    for (const ns of [1, 127, 128, 12345, 4294967295, 4294967296, 2 ** 52 + 1, 2 ** 53 - 1]) {
      expect(histogramOf([ns]).summary()).toMatchObject({ minNs: ns, p50Ns: ns, maxNs: ns, meanNs: ns });
    }
  });

  it('gives percentiles at most one in 64 above the true ones, and never below', () => {
    let state = 7;
    const samples: number[] = [];
    for (let i = 0; i < 20000; i++) {
      state = (Math.imul(state, 1103515245) + 12345) >>> 0;
      samples.push(Math.floor((state % 1000) * (state % 977) * (1 + (state % 31))));
    }
    const histogram = histogramOf(samples);
    samples.sort((a, b) => a - b);
    for (const perMille of [1, 100, 500, 900, 990, 999, 1000]) {
      const exact = samples[Math.max(1, Math.ceil((samples.length * perMille) / 1000)) - 1];
      const shown = histogram.atPerMille(perMille);
      expect(shown).toBeGreaterThanOrEqual(exact);
      expect(shown).toBeLessThanOrEqual(exact + exact / 64 + 1);
    }
  });

  it('adds up: two halves recorded apart equal the whole', () => {
    const left = histogramOf([5, 900, 70000]);
    left.add(histogramOf([1, 2_000_000]));
    expect(left.summary()).toEqual(histogramOf([5, 900, 70000, 1, 2_000_000]).summary());
  });

  it('counts negative latencies as zero', () => {
    expect(histogramOf([-5]).summary()).toMatchObject({ count: 1, maxNs: 0 });
  });
});
