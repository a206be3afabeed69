import { disturb, runJob } from '../src/index';
import type { Disturbed } from '../src/index';

function seen({ page, arrives, waitedNs }: Disturbed) {
  return { page, arrives, waited: waitedNs > 0 };
}

describe('a job of direct I/O', () => {
  it('takes and gives back each page once, by pins or by plain references, all of them on the fast path', () => {
    const pin = runJob('pin');
    const get = runJob('get');
    const longterm = runJob('pin-longterm-only');
    expect([pin.getOperations, get.pinOperations, longterm.pinOperations]).toEqual([0, 0, 0]);
    expect(pin.pinOperations).toBeGreaterThan(2);
    expect([get.getOperations, longterm.getOperations]).toEqual([pin.pinOperations, pin.pinOperations]);
    expect([pin, get, longterm].map(({ slowPercent }) => slowPercent)).toEqual([0, 0, 0]);
  });
});

describe('a page that a disk fills', () => {
  it('stays where it is for reclaim when it is pinned; with a plain reference it is unmapped, and found again (fact 20)', () => {
    expect(seen(disturb('pin', 'reclaim', 'linux'))).toEqual({ page: 'stays mapped', arrives: true, waited: false });
    for (const hold of ['get', 'pin-longterm-only'] as const) {
      expect(seen(disturb(hold, 'reclaim', 'linux'))).toEqual({ page: 'is unmapped', arrives: true, waited: false });
    }
  });

  it('is copied for the child of a fork when it is pinned; with a plain reference the program loses it (section 11)', () => {
    expect(seen(disturb('pin', 'fork', 'linux'))).toEqual({ page: 'stays mapped', arrives: true, waited: false });
    for (const hold of ['get', 'pin-longterm-only'] as const) {
      expect(seen(disturb(hold, 'fork', 'linux'))).toEqual({
        page: 'is replaced by a copy',
        arrives: false,
        waited: false,
      });
    }
  });

  it('is written back as it is by Linux, and dirtied again by a work item (fact 25, B-09)', () => {
    for (const hold of ['pin', 'get', 'pin-longterm-only'] as const) {
      const disturbed = disturb(hold, 'writeback', 'linux');
      expect([seen(disturbed).waited, disturbed.deferred, disturbed.arrives]).toEqual([false, 1, true]);
    }
  });

  it('is waited for by fsync under wait, unless nobody can see that it is held: the plain reference of get (Hubbard 2021)', () => {
    expect(
      ['pin', 'get', 'pin-longterm-only'].map((hold) => seen(disturb(hold as 'pin', 'writeback', 'wait')).waited),
    ).toEqual([true, false, true]);
  });

  it('is not waited for by truncation: what the disk sends is lost, however it is held (section 14)', () => {
    for (const hold of ['pin', 'get', 'pin-longterm-only'] as const) {
      expect(seen(disturb(hold, 'truncate', 'wait'))).toEqual({
        page: 'leaves the file',
        arrives: false,
        waited: false,
      });
    }
  });
});
