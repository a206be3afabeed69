/**
 * How random I/O chooses its blocks: every block once in a scattered order, independent draws, or draws by Zipf's law.
 *
 * All of it is integer arithmetic and the four exactly rounded floating-point operations, so that a seed gives the same
 * offsets on every engine (Math.pow and its kin differ in the last bit).
 */

const TWO_POW_32 = 4294967296;
const FEISTEL_ROUNDS = 4;

/** A small generator of 32-bit numbers (a counter through a mixing function), one for each job. */
export class JobRandom {
  private state: number;

  /** @param seed uint32 */
  constructor(seed: number) {
    this.state = seed | 0;
  }

  uint32(): number {
    this.state = (this.state + 0x9e3779b9) | 0;
    return mix(this.state) >>> 0;
  }

  /** A number from 0 to n - 1; n up to 2^53. */
  below(n: number): number {
    if (n <= TWO_POW_32) return Math.floor((this.uint32() / TWO_POW_32) * n);
    return Math.floor(this.fraction() * n);
  }

  /** From 0 up to, not including, 1, with 53 bits. */
  fraction(): number {
    const high = this.uint32() >>> 5;
    const low = this.uint32() >>> 6;
    return (high * 67108864 + low) / 9007199254740992;
  }
}

/**
 * A permutation of 0 … n-1 that needs no memory: a Feistel network over the next even power of two, walked until it
 * lands inside. Another key is another order.
 */
export class BlockPermutation {
  /** A power of two whose square is at least n. */
  private readonly half: number;
  private readonly key: number;

  /** @param n up to 2^52; `key` uint32 */
  constructor(
    readonly n: number,
    key: number,
  ) {
    let half = 1;
    while (half * half < n) half *= 2;
    this.half = half;
    this.key = key | 0;
  }

  at(index: number): number {
    let value = index;
    do value = this.round(value);
    while (value >= this.n);
    return value;
  }

  /** One pass through the network. Both halves stay below 2^26, so that all but the split is 32-bit arithmetic. */
  private round(value: number): number {
    const mask = this.half - 1;
    let left = Math.floor(value / this.half);
    let right = value - left * this.half;
    for (let i = 1; i <= FEISTEL_ROUNDS; i++) {
      const next = (left + mix(right + Math.imul(this.key, i))) & mask;
      left = right;
      right = next;
    }
    return left * this.half + right;
  }
}

/** The order in which a job visits its blocks. */
export abstract class OffsetChoice {
  /** Number of the next block, 0 … n-1. */
  abstract next(): number;
}

/** fio's random map: each block once, then all again in another order. */
export class EachOnce extends OffsetChoice {
  private index = 0;
  private order: BlockPermutation;

  constructor(
    private readonly n: number,
    private readonly random: JobRandom,
  ) {
    super();
    this.order = new BlockPermutation(n, random.uint32());
  }

  override next(): number {
    if (this.index === this.n) {
      this.index = 0;
      this.order = new BlockPermutation(this.n, this.random.uint32());
    }
    return this.order.at(this.index++);
  }
}

export class Independent extends OffsetChoice {
  constructor(
    private readonly n: number,
    private readonly random: JobRandom,
  ) {
    super();
  }

  override next(): number {
    return this.random.below(this.n);
  }
}

/**
 * Zipf's law: the block of rank k is drawn with a weight of 1 / k^theta; ranks are scattered over the disk.
 *
 * The first 1024 ranks have a weight each. Above, ranks lie in groups, 64 to a power of two, and all ranks of a group have
 * the weight of its middle: the table stays below 4,000 entries for any disk, the error of a weight below 1 %.
 */
export class Zipf extends OffsetChoice {
  /** First rank of each group, and the sum of all weights before the group. */
  private readonly firstRank: Float64Array;
  private readonly weightBefore: Float64Array;
  private readonly groups: number;
  private readonly total: number;
  private readonly scatter: BlockPermutation;

  constructor(
    n: number,
    theta: number,
    private readonly random: JobRandom,
  ) {
    super();
    const ranks: number[] = [];
    for (let rank = 1, width = 1; rank <= n; rank += width) {
      while (rank >= 1024 && width * 64 < rank) width *= 2;
      ranks.push(rank);
    }
    this.groups = ranks.length;
    this.firstRank = Float64Array.from([...ranks, n + 1]);
    this.weightBefore = new Float64Array(this.groups + 1);
    for (let group = 0; group < this.groups; group++) {
      const width = this.firstRank[group + 1] - this.firstRank[group];
      const middle = this.firstRank[group] + (width - 1) / 2;
      this.weightBefore[group + 1] = this.weightBefore[group] + width / power(middle, theta);
    }
    this.total = this.weightBefore[this.groups];
    this.scatter = new BlockPermutation(n, random.uint32());
  }

  override next(): number {
    const drawn = this.random.fraction() * this.total;
    let low = 0;
    let high = this.groups - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.weightBefore[middle] <= drawn) low = middle;
      else high = middle - 1;
    }
    const width = this.firstRank[low + 1] - this.firstRank[low];
    return this.scatter.at(this.firstRank[low] - 1 + this.random.below(width));
  }
}

/** base^exponent for base >= 1 and exponent >= 0 by addition, multiplication, division and square root alone. */
export function power(base: number, exponent: number): number {
  const whole = Math.floor(exponent);
  let result = 1;
  for (let i = 0; i < whole; i++) result *= base;
  // The fraction in binary: base^0.101b = base^(1/2) * base^(1/8).
  let root = base;
  let rest = exponent - whole;
  for (let bit = 0; bit < 40 && rest > 0; bit++) {
    root = Math.sqrt(root);
    rest *= 2;
    if (rest >= 1) {
      result *= root;
      rest -= 1;
    }
  }
  return result;
}

function mix(value: number): number {
  let x = value | 0;
  x = Math.imul(x ^ (x >>> 16), 0x85ebca6b);
  x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35);
  return x ^ (x >>> 16);
}
