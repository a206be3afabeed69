/**
 * Where each unit lies: a place for every unit of 4 KiB that was written, in chunks that come with the first write to them.
 * A unit without an entry lies where writing the whole drive in order would have put it: its number is its place.
 */
const CHUNK_SHIFT = 16;
const CHUNK_UNITS = 1 << CHUNK_SHIFT;

/** Of an entry: nothing was written, and after a deallocation, there is nothing any more. */
const UNWRITTEN = 0;
const DEALLOCATED = 0xffff_ffff;

export const NOWHERE = -1;

export class PlaceMap {
  private readonly chunks: (Uint32Array | null)[];
  /** For units without an entry. */
  private readonly isFilled: boolean;

  /** @param isFilled whether units without an entry are there, or nowhere. */
  constructor(
    private readonly units: number,
    isFilled: boolean,
  ) {
    this.isFilled = isFilled;
    this.chunks = Array.from({ length: Math.ceil(units / CHUNK_UNITS) }, () => null);
  }

  /** Place of a unit that has an entry; NOWHERE when it has none. */
  entryOf(unit: number): number {
    const chunk = this.chunks[unit >>> CHUNK_SHIFT];
    if (chunk === null) return NOWHERE;
    const entry = chunk[unit & (CHUNK_UNITS - 1)];
    return entry === UNWRITTEN || entry === DEALLOCATED ? NOWHERE : entry - 1;
  }

  /** Place whose content counts as valid for this unit, or NOWHERE. */
  placeOf(unit: number): number {
    const chunk = this.chunks[unit >>> CHUNK_SHIFT];
    const entry = chunk === null ? UNWRITTEN : chunk[unit & (CHUNK_UNITS - 1)];
    if (entry === UNWRITTEN) return this.isFilled ? unit : NOWHERE;
    return entry === DEALLOCATED ? NOWHERE : entry - 1;
  }

  /** Sets the place of a unit. */
  set(unit: number, place: number): void {
    this.chunkOf(unit)[unit & (CHUNK_UNITS - 1)] = place + 1;
  }

  remove(unit: number): void {
    this.chunkOf(unit)[unit & (CHUNK_UNITS - 1)] = DEALLOCATED;
  }

  /** The first unit from here on, at most `end`, that may be somewhere. */
  nextUsed(from: number, end: number): number {
    let unit = from;
    while (!this.isFilled && unit < end && this.chunks[unit >>> CHUNK_SHIFT] === null) {
      unit = ((unit >>> CHUNK_SHIFT) + 1) * CHUNK_UNITS;
    }
    return unit < end ? unit : end;
  }

  private chunkOf(unit: number): Uint32Array {
    return (this.chunks[unit >>> CHUNK_SHIFT] ??= new Uint32Array(CHUNK_UNITS));
  }
}
