/** Numbers that follow from a seed (mulberry32). */
export function chance(seed: number): (below: number) => number {
  const chances = new Chances(seed);
  return (below) => chances.pick(below);
}

export class Chances {
  /** @param seed that of the numbers still to come */
  constructor(public seed: number) {}

  pick(below: number): number {
    this.seed = (this.seed + 0x6d2b79f5) | 0;
    let t = Math.imul(this.seed ^ (this.seed >>> 15), 1 | this.seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % below;
  }
}
