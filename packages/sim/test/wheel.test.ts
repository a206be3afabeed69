import { EventSlots } from '../src/event-slots';
import { EventWheel } from '../src/wheel';

describe('EventWheel', () => {
  it('never moves its time beyond the limit of a take, on whichever level the next event lies', () => {
    for (const dueNs of [700, 1024, 5_000, 2 ** 21, 3_000_000, 2 ** 31 + 5, 2 ** 32 - 1, 2 ** 40 + 9, 2 ** 52 + 7]) {
      const slots = new EventSlots();
      const wheel = new EventWheel(slots);
      wheel.add(dueNs, slots.take(0, 0), 0, 0);
      for (const limitNs of [0, 1, 1023, Math.floor(dueNs / 2), dueNs - 1]) {
        if (limitNs >= dueNs) continue;
        expect(wheel.take(limitNs)).toBe(-1);
        expect(wheel.nowNs).toBeLessThanOrEqual(limitNs);
      }
      expect(wheel.take(dueNs)).toBeGreaterThanOrEqual(0);
      expect(wheel.nowNs).toBe(dueNs);
    }
  });

  it('keeps the order of equal times that were added from different distances, on every level', () => {
    const slots = new EventSlots();
    const wheel = new EventWheel(slots);
    const dueNs = 3 * 2 ** 43 + 5 * 2 ** 33 + 7 * 2 ** 22 + 11 * 2 ** 11 + 13;
    let added = 0;
    for (const distanceNs of [dueNs, 2 ** 43, 2 ** 34, 2 ** 31, 2 ** 20, 2 ** 9, 1]) {
      wheel.add(dueNs - distanceNs, slots.take(0, -1), 0, -1);
      wheel.take(Infinity); // enters that time
      for (let i = 0; i < 70; i++) wheel.add(dueNs, slots.take(0, added), 0, added++);
    }
    for (let i = 0; i < added; i++) {
      wheel.take(Infinity);
      expect([wheel.nowNs, wheel.arg]).toEqual([dueNs, i]);
    }
    expect(wheel.take(Infinity)).toBe(-1);
  });
});
