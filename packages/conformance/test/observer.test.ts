import { ScenarioMachine } from '../src/index';
import type { OperationArguments } from '../src/index';
import { deltaBetween, emptySnapshot, foldSteps } from '../src/snapshot';
import type { Snapshot } from '../src/snapshot';
import { golden } from './recordings';

/** A machine whose steps are observed one after the other, as the recorder does. */
class Watched {
  readonly machine = new ScenarioMachine();
  last: Snapshot = emptySnapshot();

  step(by: string, op: string, a: OperationArguments): Snapshot {
    this.machine.perform(by, op, a);
    this.last = this.machine.observer.snapshot();
    return this.last;
  }

  view(process = 'P', region = 'A'): string | undefined {
    return this.last.views.get(process)?.get(region);
  }
}

function anonymous(n: number, setUp: (watched: Watched) => void = () => undefined): Watched {
  const watched = new Watched();
  watched.step('P', 'mmap', { r: 'A', kind: 'anon', n });
  setUp(watched);
  return watched;
}

describe('frames', () => {
  it('are named in the order of first sight, pages from low to high', () => {
    const watched = anonymous(4);
    watched.step('P', 'w', { r: 'A', i: 2, v: 1 });
    watched.step('P', 'w', { r: 'A', i: 0, v: 1 });
    expect(watched.view()).toBe('p1:wdx . p0:wdx .');
  });

  it('keep their name as long as they live, and a new frame has a new one', () => {
    const watched = anonymous(2);
    watched.step('P', 'w', { r: 'A', i: 0, v: 1 });
    watched.step('P', 'madvise', { r: 'A', i: 0, n: 1, adv: 'DONTNEED' });
    expect(watched.last.frames.size).toBe(0);
    watched.step('P', 'w', { r: 'A', i: 0, v: 1 });
    expect(watched.view()).toBe('p1:wdx .');
  });

  it('that are freed and handed out again within one step have a new name', () => {
    const watched = anonymous(2);
    watched.step('P', 'w', { r: 'A', i: 0, v: 1 });
    watched.machine.perform('P', 'madvise', { r: 'A', i: 0, n: 1, adv: 'DONTNEED' });
    watched.step('P', 'w', { r: 'A', i: 0, v: 2 });
    expect(watched.view()).toBe('p1:wdx .');
    expect([...watched.last.frames.keys()]).toEqual(['p1']);
  });

  it('that a device holds are seen after they were unmapped', () => {
    const watched = anonymous(2);
    watched.step('P', 'pin', { id: 'b', r: 'A', i: 0, n: 1 });
    watched.step('P', 'munmap', { r: 'A' });
    expect(watched.view()).toBe('.*2');
    expect(watched.last.frames.get('p0')).toMatchObject({ rc: 1024, mc: 0 });
    watched.step('P', 'unpin', { id: 'b' });
    expect(watched.last.frames.size).toBe(0);
  });

  it('in a run are written as one entry from eight on', () => {
    const watched = anonymous(9);
    for (let i = 0; i < 9; i++) watched.step('P', 'w', { r: 'A', i, v: i });
    expect(watched.view()).toBe('p0..8:wdx');
    watched.step('P', 'madvise', { r: 'A', i: 7, n: 1, adv: 'DONTNEED' });
    expect(watched.view()).toBe('p0:wdx p1:wdx p2:wdx p3:wdx p4:wdx p5:wdx p6:wdx . p8:wdx');
  });
});

describe('a huge page', () => {
  const huge = () =>
    anonymous(512, (watched) => {
      watched.step('P', 'madvise', { r: 'A', adv: 'HUGEPAGE' });
      watched.step('P', 'w', { r: 'A', i: 5, v: 7 });
    });

  it('is one frame; parts that an operation named have a state of their own', () => {
    const watched = huge();
    expect(watched.view()).toBe('p0.0..511:wdxH');
    expect([...watched.last.frames.keys()]).toEqual(['p0', 'p0.5']);
    expect(watched.last.frames.get('p0')).toMatchObject({ o: 9, em: 1, lm: 1, pc: 0, c: 0 });
    // While the page is mapped as a whole, its head alone says that it is exclusive.
    expect(watched.last.frames.get('p0')?.f).toContain('X');
    expect(watched.last.frames.get('p0.5')).toEqual({ f: 'AULBT', c: 7 });
  });

  it('keeps the names of its parts when a page is copied out of it', () => {
    const watched = huge();
    watched.step('P', 'fork', { c: 'C1' });
    watched.step('C1', 'w', { r: 'A', i: 5, v: 9 });
    expect(watched.view('C1')).toMatch(/^p0\.0\.\.4:\S+ p1:wdx p0\.6\.\.511/);
  });
});

describe('a snapshot', () => {
  it('changes nothing: two in a row are the same', () => {
    const watched = anonymous(4);
    watched.step('P', 'w', { r: 'A', i: 1, v: 1 });
    watched.step('P', 'fork', { c: 'C1' });
    const again = watched.machine.observer.snapshot();
    expect(deltaBetween(watched.last, again)).toEqual({ v: {}, f: {}, m: {} });
  });

  it('is folded from deltas and taken apart into the same deltas again', () => {
    for (const [topic, name] of [
      ['fork', 'fork/pin-then-fork-parent-writes'],
      ['thp', 'thp/pageout-part'],
    ]) {
      const { steps } = golden(topic, name);
      let before = emptySnapshot();
      const folded = [...foldSteps(steps)];
      for (const [k, snapshot] of folded.entries()) {
        const { v, f, m } = deltaBetween(before, snapshot);
        expect({ v, m }).toEqual({ v: steps[k].s.v, m: steps[k].s.m });
        expect(Object.keys(f).sort()).toEqual(Object.keys(steps[k].s.f).sort());
        before = snapshot;
      }
    }
  });
});
