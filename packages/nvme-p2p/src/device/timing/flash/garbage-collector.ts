/**
 * Garbage collection: one line after another is made free by moving what is valid in it.
 *
 *   free lines few -> the line with the fewest valid units
 *     row by row: read what is valid -> append it to an open line -> program      some rows at a time, one for each die
 *     nothing left: erase its blocks on all dies -> free
 *
 * While free lines are few the host may write as much as collecting brings: for each invalid unit passed it gets a credit
 * for one. So user data never use up the lines that collecting itself needs.
 */
import type { FlashArray } from './flash-array';
import { FlashOp } from './flash-array';
import type { FlashTimes } from './flash-times';
import type { FlashGeometry } from './geometry';
import { UNIT_BYTES } from './geometry';
import { GC_STREAM } from './lines';
import type { FlashLines } from './lines';
import { NOWHERE } from './place-map';

const GC_READ = FlashOp.gcRead;
const ERASE = FlashOp.erase;

/** What the collector asks of who owns it. */
export interface Collecting {
  /** The shot that the lines have just completed has to be programmed. */
  program(kind: number): void;
  /** There are credits again, or enough free lines. */
  roomMade(): void;
}

export class GarbageCollector {
  /** Units the host may write while free lines are few; negative when padding took more. */
  credits = 0;
  linesCollected = 0;
  private line: number = NOWHERE;
  /** The next row of it, and the reads and erases under way. */
  private row = 0;
  private underWay = 0;
  private isErasing = false;

  constructor(
    private readonly geometry: FlashGeometry,
    private readonly lines: FlashLines,
    private readonly array: FlashArray,
    private readonly times: FlashTimes,
    private readonly freeLines: number,
    private readonly owner: Collecting,
  ) {}

  /** Whether the host needs credits. */
  get isNeeded(): boolean {
    return this.lines.free <= this.freeLines;
  }

  /** After anything that takes a free line. */
  start(): void {
    if (this.line !== NOWHERE || !this.isNeeded) return;
    this.line = this.lines.collect();
    if (this.line === NOWHERE) return;
    this.row = 0;
    this.advance();
  }

  /** A row of the line has been read. */
  rowRead(row: number, counted: number): void {
    const { rowUnits } = this.geometry;
    let moved = 0;
    for (let within = row * rowUnits; within < (row + 1) * rowUnits; within++) {
      const unit = this.lines.unitAt(this.line, within);
      if (unit === NOWHERE) continue;
      moved++;
      if (this.lines.append(GC_STREAM, unit)) this.owner.program(FlashOp.gcProgram);
    }
    this.credits += counted - moved;
    this.underWay--;
    this.advance();
  }

  /** The line's block on one die is erased. */
  dieErased(): void {
    if (--this.underWay > 0) return;
    this.finish();
    this.start();
    this.owner.roomMade();
  }

  /** All operations are forgotten: a line whose content has left is free, any other stays as it is. */
  reset(): void {
    if (this.line === NOWHERE) return;
    if (this.isErasing) {
      this.finish();
    } else {
      this.lines.giveUp(this.line);
      this.line = NOWHERE;
    }
    this.underWay = 0;
  }

  private finish(): void {
    this.lines.erased(this.line);
    this.linesCollected++;
    this.line = NOWHERE;
    this.isErasing = false;
    // Beyond what was needed, credits are worth nothing.
    if (!this.isNeeded) this.credits = 0;
  }

  /** Keeps as many rows on their way as there are dies; when all have been moved, erases. */
  private advance(): void {
    const { geometry, lines } = this;
    const { dies, rowUnits, rowsPerLine } = geometry;
    const before = this.credits;
    while (this.underWay < dies && this.row < rowsPerLine) {
      const row = this.row++;
      const valid = lines.validInRow(this.line, row);
      this.credits += rowUnits - valid;
      if (valid > 0) this.read(row, valid);
    }
    if (this.underWay === 0) this.erase();
    if (this.credits > before) this.owner.roomMade();
  }

  private read(row: number, valid: number): void {
    const { geometry, times } = this;
    this.underWay++;
    const place = this.line * geometry.rowsPerLine + row;
    const die = geometry.dieOf(place);
    const arrayNs = geometry.isSlow(row) ? times.readMsbNs : times.readLsbNs;
    this.array.begin(GC_READ, die, times.channelNs(valid * UNIT_BYTES), arrayNs, row, valid);
  }

  private erase(): void {
    this.isErasing = true;
    this.underWay = this.geometry.dies;
    for (let die = 0; die < this.geometry.dies; die++) this.array.begin(ERASE, die, 0, this.times.eraseNs, 0, 0);
  }
}
