import { ENOMEM } from '@pincushion/sim';
import { IovaAllocator } from '../src/iova';

describe('IOVA allocation', () => {
  it('never gives page 0, and leaves a page free behind every range', () => {
    const iovas = new IovaAllocator(1 << 20);
    const taken = new Map<number, number>();
    for (let i = 0; i < 2000; i++) {
      const pages = 1 + ((i * 7919) % 40);
      taken.set(iovas.alloc(pages), pages);
    }
    const sorted = [...taken].sort(([a], [b]) => a - b);
    expect(sorted[0][0]).toBeGreaterThan(0);
    for (let i = 1; i < sorted.length; i++) {
      expect(sorted[i][0]).toBeGreaterThan(sorted[i - 1][0] + sorted[i - 1][1]);
    }
  });

  it('aligns a range to the power of two that holds it', () => {
    const iovas = new IovaAllocator(1 << 20);
    iovas.alloc(1);
    expect(iovas.alloc(100) % 128).toBe(0);
    expect(iovas.alloc(1000) % 1024).toBe(0);
  });

  it('uses what alignment skipped', () => {
    const iovas = new IovaAllocator(256);
    const big = iovas.alloc(127);
    expect(big).toBe(128);
    const small: number[] = [];
    for (let page = iovas.alloc(1); page > 0; page = iovas.alloc(1)) small.push(page);
    expect(small).toHaveLength((128 - 16) / 2);
    expect(Math.max(...small)).toBeLessThan(128);
  });

  it('gives the range freed last, and splits larger ones when nothing else is left', () => {
    const iovas = new IovaAllocator(64);
    const a = iovas.alloc(31);
    expect(a).toBe(32);
    expect(iovas.alloc(15)).toBe(16);
    expect(iovas.alloc(1)).toBe(-ENOMEM);
    iovas.free(a, 31);
    const pieces = [iovas.alloc(7), iovas.alloc(7), iovas.alloc(15)];
    expect(new Set(pieces).size).toBe(3);
    expect(pieces.every((page) => page >= 32 && page < 64)).toBe(true);
    expect(iovas.alloc(1)).toBe(-ENOMEM);
    iovas.free(pieces[0], 7);
    expect(iovas.alloc(7)).toBe(pieces[0]);
  });

  it('never gives a page twice, over many sizes and frees', () => {
    const iovas = new IovaAllocator(1 << 14);
    const used = new Set<number>();
    const live: [number, number][] = [];
    let state = 12345;
    const next = (n: number): number => {
      state = (Math.imul(state, 1103515245) + 12345) >>> 0;
      return Math.floor((state / 0x1_0000_0000) * n);
    };
    for (let step = 0; step < 20_000; step++) {
      if (live.length > 0 && next(5) < 2) {
        const [[page, pages]] = live.splice(next(live.length), 1);
        for (let p = page; p <= page + pages; p++) used.delete(p);
        iovas.free(page, pages);
        continue;
      }
      const pages = 1 + next(20);
      const page = iovas.alloc(pages);
      if (page < 0) continue;
      for (let p = page; p <= page + pages; p++) {
        if (used.has(p)) throw new Error(`page ${p} was given twice`);
        used.add(p);
      }
      live.push([page, pages]);
    }
    expect(live.length).toBeGreaterThan(100);
  });
});
