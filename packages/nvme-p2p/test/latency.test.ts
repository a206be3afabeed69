import { World } from '@pincushion/driver';
import { ControllerConfig } from '../src/index';
import { LatencyModel } from '../src/device/timing/latency';
import type { FlatSettings } from '../src/device/timing/timing-settings';

function model(settings: Record<string, number> = {}): LatencyModel {
  const { latency } = ControllerConfig.parse({ latency: { jitterNs: 0, ...settings } });
  return new LatencyModel(latency as FlatSettings, new World().choices.stream('latency'));
}

/** Reads or writes `count` times `bytes` at `depth`, and says how long it took. */
function closedLoopNs(depth: number, count: number, issue: (nowNs: number, i: number) => number): number {
  const done = new Float64Array(depth);
  let endNs = 0;
  for (let i = 0; i < count; i++) {
    let slot = 0;
    for (let k = 1; k < depth; k++) if (done[k] < done[slot]) slot = k;
    done[slot] += issue(done[slot], i);
    if (done[slot] > endNs) endNs = done[slot];
  }
  return endNs;
}

/** A read of `bytes` from byte `at` of the media. */
const read = (latency: LatencyModel, nowNs: number, at: number, bytes: number): number =>
  latency.read(nowNs, Math.floor(at / 16_384) | 0, at % 16_384, bytes);

/** Scattered blocks of 4 KiB within 64 GiB. */
const scattered = (i: number): number => ((Math.imul(i, 0x9e3779b1) >>> 8) % (1 << 24)) * 4096;

describe('the latency model, with its defaults', () => {
  it('reads 4 KiB at depth 1 in 63 µs', () => {
    expect(read(model(), 0, 0, 4096)).toBe(25_000 + 37_000 + 1242);
  });

  it('ends at the rate of its 16 units when many small reads are in flight', () => {
    const latency = model();
    const ns = closedLoopNs(256, 40_000, (nowNs, i) => read(latency, nowNs, scattered(i), 4096));
    const perSecond = 40_000 / (ns / 1e9);
    expect(perSecond).toBeGreaterThan(350_000);
    expect(perSecond).toBeLessThan(440_000);
  });

  it('ends at the bandwidth of the link when reads are large', () => {
    const latency = model();
    const ns = closedLoopNs(32, 4000, (nowNs, i) => read(latency, nowNs, i * 131_072, 131_072));
    expect((4000 * 131_072 * 1000) / ns).toBeGreaterThan(3200);
    expect((4000 * 131_072 * 1000) / ns).toBeLessThan(3301);
  });

  it('takes writes into its buffer, until the flash has to keep up', () => {
    const latency = model();
    expect(latency.write(0, 0, 0, 4096, false)).toBe(10_000 + 1242);
    const ns = closedLoopNs(32, 8000, (nowNs) => latency.write(nowNs, 0, 0, 131_072, false));
    const megabytes = (8000 * 131_072 - 64 * 1024 * 1024) / 1e6;
    expect(megabytes / (ns / 1e9)).toBeGreaterThan(2550);
    expect(megabytes / (ns / 1e9)).toBeLessThan(2650);
  });

  it('flushes what is in the buffer, and a write through it waits for the same', () => {
    const latency = model();
    expect(latency.flush(0)).toBe(150_000);
    latency.write(0, 0, 0, 26_000_000, false);
    expect(latency.flush(0)).toBe(10_000_000 + 150_000);
    expect(latency.flush(5_000_000)).toBe(5_000_000 + 150_000);
    expect(latency.write(20_000_000, 0, 0, 4096, true)).toBeGreaterThanOrEqual(10_000 + 1576);
  });

  it('serves reads of one unit one after another, and of different units side by side', () => {
    const latency = model();
    const first = read(latency, 0, 0, 4096);
    expect(read(latency, 0, 4096, 4096)).toBe(first + 37_000);
    expect(read(latency, 0, 16_384, 4096)).toBe(first);
  });

  it('adds jitter up to what is set, the same for the same seed', () => {
    const draw = (): number[] => {
      const latency = model({ jitterNs: 100 });
      return Array.from({ length: 50 }, (_, i) => read(latency, i * 1_000_000, 0, 4096));
    };
    const latencies = draw();
    expect(Math.min(...latencies)).toBeGreaterThanOrEqual(63_242);
    expect(Math.max(...latencies)).toBeLessThanOrEqual(63_342);
    expect(new Set(latencies).size).toBeGreaterThan(10);
    expect(draw()).toEqual(latencies);
  });
});
