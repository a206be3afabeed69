/**
 * The lines of the flash: which is free, which is written, how much of it is still valid, and what lies where.
 *
 *   free -> open (the host's, or garbage collection's) -> full -> collected -> free
 *
 * Units are appended to the open line of their stream, a shot at a time: a shot that is full, or closed early, is a
 * program. A unit written again leaves an invalid one behind; the line with the fewest valid units is the next to be
 * collected. Every unit of a line knows what it holds (`holder`), as the spare area of flash pages does.
 */
import { PincushionError } from '@pincushion/driver';
import type { FlashGeometry } from './geometry';
import { NOWHERE, PlaceMap } from './place-map';

/** Streams of units: each has an open line. */
export const HOST_STREAM = 0;
export const GC_STREAM = 1;

const FREE = 0;
const OPEN = 1;
const FULL = 2;
const COLLECTED = 3;

/** A unit that filled up a shot. */
const PADDING = 0xffff_ffff;
const NO_LINE = -1;

export class FlashLines {
  /** Lines that are free. */
  free = 0;
  /** The shot that was completed last: its line, its number within it, and the units in it that are not padding. */
  shotLine = 0;
  shot = 0;
  shotFilled = 0;
  /** Units from the streams, and padding. */
  readonly unitsWritten = new Float64Array(3);
  private readonly map: PlaceMap;
  private readonly state: Uint8Array;
  /** Valid units of each line. */
  private readonly valid: Int32Array;
  /** Unit at each place of a line; null: the place's own number, from before the first writing. */
  private readonly holder: (Uint32Array | null)[];
  /** Free lines, first freed first. */
  private readonly freeRing: Int32Array;
  private freeFirst = 0;
  /** By line and die: how many of its shots are programmed. */
  private readonly programmed: Int32Array;
  /** By line: shots that are completed and not yet programmed. */
  private readonly inFlight: Int32Array;
  // By stream: the open line, its next shot, and how far that is filled.
  private readonly openLine = new Int32Array(2).fill(NO_LINE);
  private readonly openShot = new Int32Array(2);
  private readonly openFilled = new Int32Array(2);

  constructor(
    private readonly geometry: FlashGeometry,
    preconditioned: boolean,
  ) {
    const { lines, fullLines, lineUnits, units, dies } = geometry;
    this.map = new PlaceMap(units, preconditioned);
    this.state = new Uint8Array(lines);
    this.valid = new Int32Array(lines);
    this.holder = Array.from({ length: lines }, () => null);
    this.freeRing = new Int32Array(lines);
    this.programmed = new Int32Array(lines * dies);
    this.inFlight = new Int32Array(lines);
    for (let line = 0; line < lines; line++) {
      if (preconditioned && line < fullLines) {
        this.state[line] = FULL;
        const left = units - line * lineUnits;
        this.valid[line] = left < lineUnits ? left : lineUnits;
      } else {
        this.freeRing[this.free++] = line;
      }
    }
  }

  /**
   * Where a read finds a unit: a place in the flash, or NOWHERE when it is still in the controller's memory. A unit that
   * was never written is looked for where it would be.
   */
  readPlace(unit: number): number {
    const place = this.map.entryOf(unit);
    if (place === NOWHERE) return unit;
    const { lineUnits, shotUnits, dies } = this.geometry;
    const line = Math.floor(place / lineUnits);
    const shot = Math.floor((place - line * lineUnits) / shotUnits);
    const programmed = this.programmed[line * dies + (shot % dies)];
    return programmed > this.geometry.wordLineOf(shot) ? place : NOWHERE;
  }

  /** Writes a unit to the end of a stream; true when that completes a shot, which the caller has to program. */
  append(stream: number, unit: number): boolean {
    const { lineUnits, shotUnits } = this.geometry;
    this.invalidate(unit);
    const line = this.openLine[stream] === NO_LINE ? this.open(stream) : this.openLine[stream];
    const within = this.openShot[stream] * shotUnits + this.openFilled[stream];
    this.map.set(unit, line * lineUnits + within);
    (this.holder[line] as Uint32Array)[within] = unit;
    this.valid[line]++;
    this.unitsWritten[stream]++;
    this.openFilled[stream]++;
    if (this.openFilled[stream] < shotUnits) return false;
    this.completeShot(stream);
    return true;
  }

  /** Fills up the begun shot of a stream; true when there is one, which the caller has to program. */
  close(stream: number): boolean {
    if (this.openFilled[stream] === 0) return false;
    this.completeShot(stream);
    return true;
  }

  /** A shot of a line is in the flash. */
  shotProgrammed(line: number, die: number): void {
    this.programmed[line * this.geometry.dies + die]++;
    this.inFlight[line]--;
  }

  /** What these units hold is no longer needed. */
  deallocate(from: number, end: number): void {
    for (let unit = this.map.nextUsed(from, end); unit < end; unit = this.map.nextUsed(unit + 1, end)) {
      if (this.map.placeOf(unit) === NOWHERE) continue;
      this.invalidate(unit);
      this.map.remove(unit);
    }
  }

  /** The full line with the fewest valid units becomes the one that is collected; NOWHERE when there is none to gain from. */
  collect(): number {
    let victim: number = NOWHERE;
    let fewest = this.geometry.lineUnits;
    for (let line = 0; line < this.state.length; line++) {
      if (this.state[line] === FULL && this.valid[line] < fewest && this.inFlight[line] === 0) {
        victim = line;
        fewest = this.valid[line];
      }
    }
    if (victim !== NOWHERE) this.state[victim] = COLLECTED;
    return victim;
  }

  /** The line is not collected after all, or not to its end. */
  giveUp(line: number): void {
    this.state[line] = FULL;
  }

  /** Valid units in a row of a line; rows are counted within it. */
  validInRow(line: number, row: number): number {
    const { rowUnits } = this.geometry;
    let count = 0;
    for (let within = row * rowUnits; within < (row + 1) * rowUnits; within++) {
      if (this.unitAt(line, within) !== NOWHERE) count++;
    }
    return count;
  }

  /** The unit that lies at a place of a line and is valid there, or NOWHERE. */
  unitAt(line: number, within: number): number {
    const place = line * this.geometry.lineUnits + within;
    const holder = this.holder[line];
    const unit = holder === null ? place : holder[within];
    if (unit === PADDING || unit >= this.geometry.units) return NOWHERE;
    return this.map.placeOf(unit) === place ? unit : NOWHERE;
  }

  /** A collected line is erased. */
  erased(line: number): void {
    this.state[line] = FREE;
    this.freeRing[(this.freeFirst + this.free++) % this.freeRing.length] = line;
  }

  /** Valid units of all lines together. */
  get validUnits(): number {
    let sum = 0;
    for (const valid of this.valid) sum += valid;
    return sum;
  }

  /** Throws INTERNAL unless each line counts as valid what is valid in it, and every shot once; for tests. */
  check(): void {
    const { lines, lineUnits, shotsPerLine, dies } = this.geometry;
    const expect = (line: number, what: string, counted: number, real: number): void => {
      if (counted === real) return;
      throw new PincushionError('INTERNAL', `line ${line} counts ${counted} ${what} and has ${real}`);
    };
    for (let line = 0; line < lines; line++) {
      if (this.state[line] === FREE) continue;
      let valid = 0;
      for (let within = 0; within < lineUnits; within++) if (this.unitAt(line, within) !== NOWHERE) valid++;
      expect(line, 'valid units', this.valid[line], valid);
      if (this.holder[line] === null) continue;
      const stream = this.openLine.indexOf(line);
      let shots = this.inFlight[line];
      for (let die = 0; die < dies; die++) shots += this.programmed[line * dies + die];
      expect(line, 'shots', shots, stream < 0 ? shotsPerLine : this.openShot[stream]);
    }
  }

  private invalidate(unit: number): void {
    const place = this.map.placeOf(unit);
    if (place !== NOWHERE) this.valid[Math.floor(place / this.geometry.lineUnits)]--;
  }

  private open(stream: number): number {
    if (this.free === 0) {
      throw new PincushionError('INTERNAL', 'the flash model has no free line left, with garbage collection at work');
    }
    const line = this.freeRing[this.freeFirst];
    this.freeFirst = (this.freeFirst + 1) % this.freeRing.length;
    this.free--;
    const { dies, lineUnits } = this.geometry;
    this.state[line] = OPEN;
    this.valid[line] = 0;
    this.holder[line] ??= new Uint32Array(lineUnits);
    this.programmed.fill(0, line * dies, (line + 1) * dies);
    this.openLine[stream] = line;
    this.openShot[stream] = 0;
    return line;
  }

  private completeShot(stream: number): void {
    const { shotUnits, shotsPerLine } = this.geometry;
    const line = this.openLine[stream];
    const shot = this.openShot[stream];
    const filled = this.openFilled[stream];
    (this.holder[line] as Uint32Array).fill(PADDING, shot * shotUnits + filled, (shot + 1) * shotUnits);
    this.unitsWritten[2] += shotUnits - filled;
    this.shotLine = line;
    this.shot = shot;
    this.shotFilled = filled;
    this.openFilled[stream] = 0;
    this.openShot[stream] = shot + 1;
    this.inFlight[line]++;
    if (shot + 1 === shotsPerLine) {
      this.state[line] = FULL;
      this.openLine[stream] = NO_LINE;
    }
  }
}
