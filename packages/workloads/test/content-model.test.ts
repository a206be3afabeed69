import { World } from '@pincushion/sim';
import { ContentModel } from '../src/content-model';
import type { ContentModelOptions } from '../src/content-model';
import { POISON_BYTE, SECTOR_WORDS } from '../src/sector-content';

const DISK = { name: 'd0', capacitySectors: 2 ** 40 };

/** A disk whose content the test sets by hand, and the model that watches it. */
class Bench {
  readonly world = new World();
  readonly model: ContentModel;

  constructor(options: ContentModelOptions = {}) {
    this.model = new ContentModel(this.world, DISK, options);
  }

  content(generation: number, sector: number, sectors = 1, writer = 0): Uint32Array {
    const words = new Uint32Array(sectors * SECTOR_WORDS);
    if (generation !== 0) this.model.fill(words, 0, sector, sectors, generation, writer);
    return words;
  }

  write(sector: number, sectors = 1): number {
    const generation = this.model.beginWrite(sector, sectors);
    this.model.endWrite(generation, sector, sectors, true);
    return generation;
  }

  /** Reads at once; returns the number of wrong sectors. */
  read(sector: number, words: Uint32Array): number {
    const ticket = this.model.beginRead();
    const wrong = this.model.check(words, 0, sector, words.length / SECTOR_WORDS, ticket);
    this.model.endRead(ticket);
    return wrong;
  }

  get codes(): string[] {
    return this.world.findings.all.map((finding) => finding.code);
  }
}

describe('ContentModel', () => {
  it('expects zeros where nothing was written', () => {
    const bench = new Bench();
    expect(bench.read(100, bench.content(0, 100))).toBe(0);
    expect(bench.read(100, bench.content(1, 100))).toBe(1);
    expect(bench.codes).toEqual(['DATA_LOST']);
  });

  it('accepts the last write and calls an older one lost, naming both', () => {
    const bench = new Bench();
    const first = bench.write(8, 8);
    const second = bench.write(8, 8);
    expect(bench.read(8, bench.content(second, 8, 8))).toBe(0);
    expect(bench.read(8, bench.content(first, 8, 8))).toBe(8);
    const [finding] = bench.world.findings.all;
    expect(bench.codes).toEqual(['DATA_LOST']);
    expect(finding.summary).toMatch(/sectors 8 to 15 of d0: expected generation 2; found generation 1 of sector 8/);
    expect(finding.details.join('\n')).toMatch(/expected at byte 0: 50 49 4e 43 .*\n.*found {4}at byte 0: 50 49 4e 43/);
  });

  it('calls the content of another sector misplaced', () => {
    const bench = new Bench();
    const generation = bench.write(8, 2);
    expect(bench.read(8, bench.content(generation, 9))).toBe(1);
    expect(bench.codes).toEqual(['DATA_MISPLACED']);
  });

  it('calls a mixture inside a sector torn, at the byte of the seam', () => {
    const bench = new Bench();
    const first = bench.write(8);
    const second = bench.write(8);
    const words = bench.content(second, 8);
    words.set(bench.content(first, 8).subarray(32), 32);
    expect(bench.read(8, words)).toBe(1);
    expect(bench.codes).toEqual(['DATA_TORN']);
    expect(bench.world.findings.all[0].summary).toContain('up to byte 128');
  });

  it('calls a sector torn whose beginning was zeroed', () => {
    const bench = new Bench();
    const words = bench.content(bench.write(8), 8);
    words.fill(0, 0, 100);
    expect(bench.read(8, words)).toBe(1);
    expect(bench.codes).toEqual(['DATA_TORN']);
  });

  it('notices a read that transferred nothing, also where nothing was written', () => {
    const bench = new Bench({ unwritten: 'any' });
    const words = new Uint32Array(SECTOR_WORDS);
    new Uint8Array(words.buffer).fill(POISON_BYTE);
    expect(bench.read(8, words)).toBe(1);
    expect(bench.world.findings.all[0].summary).toContain('nothing came');
  });

  it('accepts anything in unwritten sectors of a disk with an image, and still checks written ones', () => {
    const bench = new Bench({ unwritten: 'any' });
    const image = new Uint32Array(SECTOR_WORDS).fill(0x11223344);
    expect(bench.read(8, image)).toBe(0);
    bench.write(8);
    expect(bench.read(8, image)).toBe(1);
  });

  it('expects zeros after a discard', () => {
    const bench = new Bench();
    const written = bench.write(8);
    const generation = bench.model.beginZero(8, 1);
    bench.model.endWrite(generation, 8, 1, true);
    expect(bench.read(8, bench.content(0, 8))).toBe(0);
    expect(bench.read(8, bench.content(written, 8))).toBe(1);
  });

  it('accepts old and new while a write is in flight, and only the new afterwards', () => {
    const bench = new Bench();
    const old = bench.write(8);
    const next = bench.model.beginWrite(8, 1);
    expect(bench.read(8, bench.content(old, 8))).toBe(0);
    expect(bench.read(8, bench.content(next, 8))).toBe(0);
    bench.model.endWrite(next, 8, 1, true);
    expect(bench.read(8, bench.content(old, 8))).toBe(1);
  });

  it('accepts for a read what was current when it began, though it was overwritten meanwhile', () => {
    const bench = new Bench();
    const old = bench.write(8);
    const ticket = bench.model.beginRead();
    bench.write(8);
    bench.write(8);
    expect(bench.model.check(bench.content(old, 8), 0, 8, 1, ticket)).toBe(0);
    bench.model.endRead(ticket);
    expect(bench.read(8, bench.content(old, 8))).toBe(1);
  });

  it('does not accept for a late read what was replaced before it began, though an earlier read goes on', () => {
    const bench = new Bench();
    const old = bench.write(8);
    const early = bench.model.beginRead();
    bench.write(8);
    const late = bench.model.beginRead();
    expect(bench.model.check(bench.content(old, 8), 0, 8, 1, late)).toBe(1);
    expect(bench.model.check(bench.content(old, 8), 0, 8, 1, early)).toBe(0);
  });

  it('accepts either of two writes that overlap, until a later write settles the sector', () => {
    const bench = new Bench();
    const before = bench.write(8);
    const a = bench.model.beginWrite(8, 1);
    const b = bench.model.beginWrite(8, 1);
    bench.model.endWrite(b, 8, 1, true);
    bench.model.endWrite(a, 8, 1, true);
    expect(bench.read(8, bench.content(a, 8))).toBe(0);
    expect(bench.read(8, bench.content(b, 8))).toBe(0);
    expect(bench.read(8, bench.content(before, 8))).toBe(1);
    const settling = bench.write(8);
    expect(bench.read(8, bench.content(settling, 8))).toBe(0);
    expect(bench.read(8, bench.content(a, 8))).toBe(1);
  });

  it('accepts old and new after a write that failed', () => {
    const bench = new Bench();
    const old = bench.write(8);
    const failed = bench.model.beginWrite(8, 1);
    bench.model.endWrite(failed, 8, 1, false);
    expect(bench.read(8, bench.content(old, 8))).toBe(0);
    expect(bench.read(8, bench.content(failed, 8))).toBe(0);
    bench.write(8);
    expect(bench.read(8, bench.content(failed, 8))).toBe(1);
  });

  it('takes the content of an earlier run for content where this run has not written', () => {
    const bench = new Bench();
    const generation = bench.write(8);
    const left = bench.content(generation, 8);
    bench.world.after(5, 0, () => undefined);
    bench.world.run();
    const later = new ContentModel(bench.world, DISK);
    const ticket = later.beginRead();
    expect(later.check(left, 0, 8, 1, ticket)).toBe(0);
    later.endWrite(later.beginWrite(8, 1), 8, 1, true);
    expect(later.check(left, 0, 8, 1, later.beginRead())).toBe(1);
  });

  it('lists what was written in the order of the disk, in pieces of at most so many sectors', () => {
    const bench = new Bench();
    bench.write(5_000_000_000, 3);
    bench.write(2046, 4);
    bench.write(10, 2);
    expect([...bench.model.writtenRuns(3)]).toEqual([
      { sector: 10, sectors: 2 },
      { sector: 2046, sectors: 3 },
      { sector: 2049, sectors: 1 },
      { sector: 5_000_000_000, sectors: 3 },
    ]);
  });

  it('lists the first findings of a code one by one and counts the rest', () => {
    const bench = new Bench();
    for (let i = 0; i < 30; i++) bench.read(i * 100, bench.content(1, i * 100));
    expect(bench.codes.length).toBe(20);
    bench.model.reportSuppressed();
    expect(bench.world.findings.all.at(-1)?.summary).toBe('10 more places of d0 went wrong in the same way');
  });

  it('agrees with a plain model over random histories of overlapping writes and reads', () => {
    for (let seed = 1; seed <= 40; seed++) randomHistory(seed);
  });
});

/** One sector; every read is given each generation ever written, and must be accepted exactly when the definition says. */
function randomHistory(seed: number): void {
  const bench = new Bench();
  let state = seed;
  const below = (n: number): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 4294967296) * n);
  };
  let clock = 0;
  const writes: { generation: number; begun: number; ended: number; ok: boolean }[] = [
    { generation: 0, begun: -1, ended: -1, ok: true },
  ];
  const inFlight: number[] = [];
  const reads: { ticket: number; begun: number }[] = [];
  for (let step = 0; step < 60; step++) {
    clock++;
    const act = below(4);
    if (act === 0 && inFlight.length < 3) {
      inFlight.push(
        writes.push({ generation: bench.model.beginWrite(8, 1), begun: clock, ended: Infinity, ok: false }) - 1,
      );
    } else if (act === 1 && inFlight.length > 0) {
      const [index] = inFlight.splice(below(inFlight.length), 1);
      const ok = below(8) > 0;
      bench.model.endWrite(writes[index].generation, 8, 1, ok);
      Object.assign(writes[index], { ended: clock, ok });
    } else if (act === 2 && reads.length < 3) {
      reads.push({ ticket: bench.model.beginRead(), begun: clock });
    } else if (reads.length > 0) {
      const [read] = reads.splice(below(reads.length), 1);
      for (const write of writes) {
        // Replaced for certain: a successful write that began after it ended, and ended before the read began.
        const replaced = writes.some((w) => w.ok && w.begun > write.ended && w.ended < read.begun);
        const wrong = bench.model.check(bench.content(write.generation, 8), 0, 8, 1, read.ticket);
        expect({ seed, step, generation: write.generation, wrong }).toEqual({
          seed,
          step,
          generation: write.generation,
          wrong: replaced ? 1 : 0,
        });
      }
      bench.model.endRead(read.ticket);
    }
  }
}
