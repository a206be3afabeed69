import {
  SECTOR_WORDS,
  SectorKind,
  firstWrongPatternWord,
  headerOf,
  hexOf,
  isExactly,
  isZeros,
  kindOf,
  writeSectors,
} from '../src/sector-content';

function sectors(n: number): Uint32Array {
  const words = new Uint32Array(n * SECTOR_WORDS);
  writeSectors(words, 0, 5_000_000_000, n, 77, 3, 9);
  return words;
}

describe('sector content', () => {
  it('names its sector, generation, writer and run, also beyond 2^32 sectors', () => {
    const words = sectors(2);
    expect(kindOf(words, SECTOR_WORDS)).toBe(SectorKind.written);
    expect(headerOf(words, SECTOR_WORDS)).toEqual({ sector: 5_000_000_001, generation: 77, writer: 3, run: 9 });
    expect(isExactly(words, SECTOR_WORDS, 5_000_000_001, 77, 3, 9)).toBe(true);
    expect(isExactly(words, 0, 5_000_000_001, 77, 3, 9)).toBe(false);
  });

  it('notices a change of any single byte', () => {
    for (let byte = 0; byte < SECTOR_WORDS * 4; byte++) {
      const words = sectors(1);
      new Uint8Array(words.buffer)[byte] ^= 1;
      expect(isExactly(words, 0, 5_000_000_000, 77, 3, 9)).toBe(false);
    }
  });

  it('finds the seam of a sector made of two writes', () => {
    const words = sectors(1);
    const other = new Uint32Array(SECTOR_WORDS);
    writeSectors(other, 0, 5_000_000_000, 1, 78, 3, 9);
    words.set(other.subarray(64), 64);
    expect(kindOf(words, 0)).toBe(SectorKind.written);
    expect(firstWrongPatternWord(words, 0)).toBe(64);
  });

  it('tells zeros, poison and foreign content apart', () => {
    expect(kindOf(new Uint32Array(SECTOR_WORDS), 0)).toBe(SectorKind.zeros);
    expect(isZeros(new Uint32Array(SECTOR_WORDS), 0)).toBe(true);
    expect(kindOf(new Uint32Array(SECTOR_WORDS).fill(0xa5a5a5a5), 0)).toBe(SectorKind.poison);
    expect(kindOf(new Uint32Array(SECTOR_WORDS).fill(0x12345678), 0)).toBe(SectorKind.foreign);
  });

  it('shows sixteen bytes in the order of memory, also at the end of the sector', () => {
    const words = new Uint32Array(SECTOR_WORDS);
    words[0] = 0x04030201;
    words[SECTOR_WORDS - 1] = 0xff000000;
    expect(hexOf(words, 0, 0)).toBe('01 02 03 04 00 00 00 00 00 00 00 00 00 00 00 00');
    expect(hexOf(words, 0, SECTOR_WORDS - 1)).toMatch(/ff$/);
  });
});
