import { ChoiceSource, EventQueue } from '@pincushion/sim';

interface Expected {
  timeNs: number;
  sequence: number;
  id: number;
}

/** The reference: a sorted list, new events behind their equals. */
class SortedList {
  private readonly events: Expected[] = [];

  get size(): number {
    return this.events.length;
  }

  push(event: Expected): void {
    let low = 0;
    let high = this.events.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.events[middle].timeNs <= event.timeNs) low = middle + 1;
      else high = middle;
    }
    this.events.splice(low, 0, event);
  }

  popUntil(limitNs: number): Expected | undefined {
    return this.events.length > 0 && this.events[0].timeNs <= limitNs ? this.events.shift() : undefined;
  }

  takeAt(index: number): Expected {
    return this.events.splice(index, 1)[0];
  }
}

const EPOCH = 2 ** 32;
/** Delays that hit ties, each level of the wheel, the edges between levels, and later epochs. */
const SPANS = [1, 4, 1023, 1025, 100_000, 2 ** 21 + 7, 1e9, EPOCH - 1, EPOCH + 3, 5 * EPOCH, 1e15];

function runAgainstReference(seed: number, steps: number): { popped: number; switches: number; cancels: number } {
  const choice = new ChoiceSource(seed).stream('test.queue');
  const queue = new EventQueue();
  const reference = new SortedList();
  const gone: number[] = [];
  let now = 0;
  let sequence = 0;
  let target = 20;
  let popped = 0;
  let switches = 0;
  let cancels = 0;
  let usedWheel = false;
  for (let step = 0; step < steps; step++) {
    if (step % 3000 === 0) target = [3, 20, 100, 140, 600, 2000][choice.below(6)];
    const what = choice.below(100);
    if (what < (queue.size < target ? 70 : 25)) {
      const timeNs = now + choice.below(SPANS[choice.below(choice.below(4) === 0 ? SPANS.length : 6)]);
      const id = queue.push(timeNs, 1, sequence);
      reference.push({ timeNs, sequence, id });
      sequence++;
    } else if (what < 80) {
      const limitNs = choice.below(3) === 0 ? Infinity : now + choice.below(SPANS[choice.below(7)]);
      const expected = reference.popUntil(limitNs);
      if (queue.popUntil(limitNs) !== (expected !== undefined)) throw new Error(`step ${step}: wrong answer to a pop`);
      if (expected !== undefined) {
        if (queue.arg !== expected.sequence || queue.now !== expected.timeNs) {
          throw new Error(`step ${step}: popped ${queue.arg} at ${queue.now}, expected ${JSON.stringify(expected)}`);
        }
        now = expected.timeNs;
        gone.push(expected.id);
        popped++;
      } else if (limitNs !== Infinity && choice.below(2) === 0) {
        now = limitNs; // the slice ended there; otherwise it goes on from the earlier time
      }
    } else if (what < 96 && reference.size > 0) {
      const victim = reference.takeAt(choice.below(reference.size));
      if (!queue.cancel(victim.id)) throw new Error(`step ${step}: a pending event was not cancelled`);
      gone.push(victim.id);
      cancels++;
    } else if (gone.length > 0 && queue.cancel(gone[choice.below(gone.length)])) {
      throw new Error(`step ${step}: a stale id cancelled something`);
    }
    if (queue.size !== reference.size) throw new Error(`step ${step}: size ${queue.size}, expected ${reference.size}`);
    if (queue.usesWheel !== usedWheel) {
      usedWheel = queue.usesWheel;
      switches++;
    }
  }
  return { popped, switches, cancels };
}

describe('EventQueue', () => {
  it('gives events in exact (time, sequence) order through ties, cancels, switches, limits and far times', () => {
    const total = { popped: 0, switches: 0, cancels: 0 };
    for (let seed = 1; seed <= 8; seed++) {
      const { popped, switches, cancels } = runAgainstReference(seed, 50_000);
      total.popped += popped;
      total.switches += switches;
      total.cancels += cancels;
    }
    expect(total.popped).toBeGreaterThan(100_000);
    expect(total.switches).toBeGreaterThan(20);
    expect(total.cancels).toBeGreaterThan(10_000);
  });

  it('accepts a push before the time a limited pop looked ahead to', () => {
    const queue = new EventQueue();
    for (let i = 0; i < 300; i++) queue.push(5_000_000 + (i >> 1), 1, i);
    expect(queue.usesWheel).toBe(true);
    expect(queue.popUntil(4_999_999)).toBe(false);
    queue.push(10, 1, 1000);
    expect(queue.popUntil(Infinity)).toBe(true);
    expect([queue.arg, queue.now]).toEqual([1000, 10]);
    for (let i = 0; i < 300; i++) {
      expect(queue.popUntil(Infinity)).toBe(true);
      expect([queue.arg, queue.now]).toEqual([i, 5_000_000 + (i >> 1)]);
    }
  });

  it('goes back to the list although more cancelled events are outstanding than the list has room for', () => {
    const queue = new EventQueue();
    const ids = Array.from({ length: 3000 }, (_, i) => queue.push(i < 1500 ? 1000 + i : 1e9 + i, 1, i));
    for (const id of ids.slice(1500)) expect(queue.cancel(id)).toBe(true);
    for (let i = 0; i < 1490; i++) queue.popUntil(Infinity);
    expect([queue.usesWheel, queue.size]).toEqual([false, 10]);
    queue.push(3e9, 1, 1500);
    const seen: number[] = [];
    while (queue.popUntil(Infinity)) seen.push(queue.arg);
    expect(seen).toEqual(Array.from({ length: 11 }, (_, i) => 1490 + i));
  });

  it('does not let a cancelled event move the time', () => {
    const queue = new EventQueue();
    const ids = Array.from({ length: 300 }, (_, i) => queue.push(1_000_000_000 + i, 1, i));
    ids.forEach((id) => queue.cancel(id));
    expect(queue.popUntil(Infinity)).toBe(false);
    queue.push(7, 1, 7);
    expect(queue.popUntil(Infinity)).toBe(true);
    expect(queue.now).toBe(7);
  });

  it('lets a stale id cancel nothing after its slot was used again', () => {
    const queue = new EventQueue();
    const first = queue.push(1, 1, 0);
    queue.popUntil(Infinity);
    const second = queue.push(2, 1, 0);
    expect(second).not.toBe(first);
    expect(queue.cancel(first)).toBe(false);
    expect(queue.cancel(second)).toBe(true);
    expect(queue.cancel(second)).toBe(false);
    expect(queue.cancel(-1)).toBe(false);
    expect(queue.size).toBe(0);
  });

  it('gives what is scheduled for the present time after everything that was scheduled for it before', () => {
    for (const outstanding of [10, 300]) {
      const queue = new EventQueue();
      for (let i = 0; i < outstanding; i++) queue.push(1000 + 100 * i, 1, -1);
      for (let i = 0; i < 3; i++) queue.push(1000, 1, i);
      queue.popUntil(Infinity);
      for (let i = 3; i < 6; i++) queue.push(1000, 1, i);
      const seen: number[] = [];
      while (queue.popUntil(1000)) seen.push(queue.arg);
      expect(seen).toEqual([0, 1, 2, 3, 4, 5]);
    }
  });

  it('lets no id of two million past events cancel one of those that wait', () => {
    const queue = new EventQueue();
    const waiting = [queue.push(1e12, 1, 0), queue.push(1e12, 1, 1)];
    const seen = new Set(waiting);
    let stale = 0;
    for (let i = 0; i < 2_000_000; i++) {
      const id = queue.push(i, 1, i);
      queue.popUntil(Infinity);
      if (i % 100 === 0) {
        if (seen.has(id) || queue.cancel(id)) stale++;
        seen.add(id);
      }
    }
    expect([stale, queue.size]).toEqual([0, 2]);
    expect(waiting.map((id) => queue.cancel(id))).toEqual([true, true]);
  });

  it('keeps a hundred thousand events in order, and forgets cancelled ones without being popped', () => {
    const queue = new EventQueue();
    const choice = new ChoiceSource(3).stream('test.many');
    const ids: number[] = [];
    for (let i = 0; i < 100_000; i++) ids.push(queue.push(choice.below(20_000), 1, i));
    for (let i = 0; i < 100_000; i += 2) queue.cancel(ids[i]);
    expect(queue.size).toBe(50_000);
    let last = [-1, -1];
    let count = 0;
    while (queue.popUntil(Infinity)) {
      const ordered = queue.now > last[0] || (queue.now === last[0] && queue.arg > last[1]);
      if (!ordered || queue.arg % 2 === 0) throw new Error(`${queue.arg} at ${queue.now} after ${String(last)}`);
      last = [queue.now, queue.arg];
      count++;
    }
    expect(count).toBe(50_000);
  });

  it('refuses a time in the past, a fraction of a nanosecond and a time that is none', () => {
    const queue = new EventQueue();
    queue.push(10, 0, 0);
    queue.popUntil(Infinity);
    for (const time of [9, 10.5, NaN, Infinity]) expect(() => queue.push(time, 0, 0)).toThrow(/SCHEDULE_INVALID/);
  });
});
