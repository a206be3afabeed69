import { framesOfKey, pagesOf, splitName } from '../src/views';

describe('a view', () => {
  it('is spread out page by page', () => {
    expect(pagesOf('p0:wdx .*2 S:u Z:n*2 G p1')).toEqual([
      { what: 'p0', flags: 'wdx' },
      { what: '.', flags: '' },
      { what: '.', flags: '' },
      { what: 'S', flags: 'u' },
      { what: 'Z', flags: 'n' },
      { what: 'Z', flags: 'n' },
      { what: 'G', flags: '' },
      { what: 'p1', flags: '' },
    ]);
  });

  it('has ranges of frames and of parts', () => {
    expect(pagesOf('p7..9:d').map(({ what }) => what)).toEqual(['p7', 'p8', 'p9']);
    expect(pagesOf('p3.0..2:wH p3.9')).toEqual([
      { what: 'p3.0', flags: 'wH' },
      { what: 'p3.1', flags: 'wH' },
      { what: 'p3.2', flags: 'wH' },
      { what: 'p3.9', flags: '' },
    ]);
  });

  it('that was cut off has the pages up to there', () => {
    expect(pagesOf('p0 p1 ...')).toHaveLength(2);
  });
});

describe('a name', () => {
  it('of many frames stands for each', () => {
    expect(framesOfKey('p1..3')).toEqual(['p1', 'p2', 'p3']);
    expect(framesOfKey('p0.4..5')).toEqual(['p0.4', 'p0.5']);
    expect(framesOfKey('p0.4')).toEqual(['p0.4']);
  });

  it('ends with its number', () => {
    expect(splitName('p12')).toEqual({ before: 'p', number: 12 });
    expect(splitName('p3.7')).toEqual({ before: 'p3.', number: 7 });
  });
});
