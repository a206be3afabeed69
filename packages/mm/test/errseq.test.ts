import { EIO, ENOSPC } from '@pincushion/sim';
import { ErrSeq } from '../src/index';

describe('errors of writeback (errseq)', () => {
  it('are told to each opener once', () => {
    const errors = new ErrSeq();
    const [a, b] = [errors.sample(), errors.sample()];
    expect(errors.checkAndAdvance(a)).toBe(0);
    errors.set(-EIO);
    expect([errors.checkAndAdvance(a), errors.checkAndAdvance(a), errors.checkAndAdvance(b)]).toEqual([-EIO, 0, -EIO]);
  });

  it('that nobody was told of are also told to who opens the file later; others are not', () => {
    const errors = new ErrSeq();
    errors.set(-ENOSPC);
    const first = errors.sample();
    expect(errors.checkAndAdvance(first)).toBe(-ENOSPC);
    expect(errors.checkAndAdvance(errors.sample())).toBe(0);
  });

  it('of the same kind are told again when they come after somebody was told, and else count as one', () => {
    const errors = new ErrSeq();
    const [a, b] = [errors.sample(), errors.sample()];
    errors.set(-EIO);
    errors.set(-EIO);
    expect(errors.checkAndAdvance(a)).toBe(-EIO);
    errors.set(-EIO);
    expect([errors.checkAndAdvance(a), errors.checkAndAdvance(b), errors.checkAndAdvance(b)]).toEqual([-EIO, -EIO, 0]);
  });

  it('are the last ones: who was not there in between hears of the newest', () => {
    const errors = new ErrSeq();
    const late = errors.sample();
    errors.set(-EIO);
    errors.checkAndAdvance(errors.sample());
    errors.set(-ENOSPC);
    errors.set(0);
    expect(errors.checkAndAdvance(late)).toBe(-ENOSPC);
  });
});
