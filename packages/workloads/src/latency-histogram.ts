/**
 * A histogram of latencies in flat memory: how long a run's I/Os took, for p50, p99, p99.9 and the largest.
 *
 * Model: log-linear buckets. Below 128 ns every nanosecond has a bucket; above, each power of two is cut into 64 equal
 * buckets, so that a percentile is at most 1/64 (1.6 %) above the true value. Recording is a few integer operations and
 * touches one counter; there is no list of samples, so a million I/Os cost as much memory as one.
 *
 * Everything is integer arithmetic (no logarithm): the same samples give the same figures on every engine.
 */

const LINEAR_BITS = 7;
const LINEAR_BUCKETS = 1 << LINEAR_BITS;
const PER_POWER = LINEAR_BUCKETS / 2;
/** Up to 2^53 ns, the largest exact virtual time. */
const BUCKETS = LINEAR_BUCKETS + (53 - LINEAR_BITS) * PER_POWER;
const TWO_POW_32 = 4294967296;

/** Percentiles of one kind of I/O, in nanoseconds; all zero when nothing was recorded. */
export interface LatencySummary {
  readonly count: number;
  readonly minNs: number;
  readonly meanNs: number;
  readonly p50Ns: number;
  readonly p99Ns: number;
  readonly p999Ns: number;
  readonly maxNs: number;
}

export class LatencyHistogram {
  private readonly buckets = new Float64Array(BUCKETS);
  private samples = 0;
  private sumNs = 0;
  private smallestNs = 0;
  private largestNs = 0;

  get count(): number {
    return this.samples;
  }

  /** Counts one latency. `ns`: a non-negative integer below 2^53; anything smaller counts as 0. */
  record(ns: number): void {
    const value = ns > 0 ? ns : 0;
    this.buckets[bucketOf(value)]++;
    this.sumNs += value;
    if (this.samples === 0 || value < this.smallestNs) this.smallestNs = value;
    if (value > this.largestNs) this.largestNs = value;
    this.samples++;
  }

  /** Adds all samples of `other`, as if they had been recorded here. */
  add(other: LatencyHistogram): void {
    if (other.samples === 0) return;
    for (let i = 0; i < BUCKETS; i++) this.buckets[i] += other.buckets[i];
    this.sumNs += other.sumNs;
    if (this.samples === 0 || other.smallestNs < this.smallestNs) this.smallestNs = other.smallestNs;
    if (other.largestNs > this.largestNs) this.largestNs = other.largestNs;
    this.samples += other.samples;
  }

  /**
   * The latency that `perMille` of 1000 samples do not exceed: the upper edge of the bucket, never above the largest
   * sample. 500 is the median, 999 is p99.9. Zero when nothing was recorded.
   */
  atPerMille(perMille: number): number {
    if (this.samples === 0) return 0;
    const rank = Math.max(1, Math.ceil((this.samples * perMille) / 1000));
    let seen = 0;
    for (let i = 0; i < BUCKETS; i++) {
      seen += this.buckets[i];
      if (seen >= rank) return Math.min(upperEdge(i), this.largestNs);
    }
    return this.largestNs;
  }

  summary(): LatencySummary {
    return {
      count: this.samples,
      minNs: this.smallestNs,
      meanNs: this.samples === 0 ? 0 : Math.round(this.sumNs / this.samples),
      p50Ns: this.atPerMille(500),
      p99Ns: this.atPerMille(990),
      p999Ns: this.atPerMille(999),
      maxNs: this.largestNs,
    };
  }
}

function bucketOf(ns: number): number {
  if (ns < LINEAR_BUCKETS) return ns;
  const high = Math.floor(ns / TWO_POW_32);
  const power = high > 0 ? 63 - Math.clz32(high) : 31 - Math.clz32(ns);
  const shift = power - LINEAR_BITS + 1;
  const within = Math.floor(ns / 2 ** shift) - PER_POWER;
  return LINEAR_BUCKETS + (power - LINEAR_BITS) * PER_POWER + within;
}

function upperEdge(bucket: number): number {
  if (bucket < LINEAR_BUCKETS) return bucket;
  const power = LINEAR_BITS + Math.floor((bucket - LINEAR_BUCKETS) / PER_POWER);
  const within = (bucket - LINEAR_BUCKETS) % PER_POWER;
  const width = 2 ** (power - LINEAR_BITS + 1);
  return (PER_POWER + within + 1) * width - 1;
}
