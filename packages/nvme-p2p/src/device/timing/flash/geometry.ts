/**
 * How the flash is divided, in units of 4 KiB.
 *
 *   row    the pages at one place of all planes of a die: one reading brings them into the die's register
 *   shot   the rows that are programmed together
 *   line   one block of every plane of every die, in the order in which it is written: shot by shot, from die to die
 *
 *   line      | shot 0 | shot 1 | ... | shot dies-1 | shot dies | ...     place = line, then unit within it
 *   die           0        1               dies-1         0
 *   channel     die mod channels: neighbouring shots are on different channels
 *
 * Every die has one block of each plane in a line, and `shotsPerLine / dies` shots ("word lines") of it.
 */
import { UsageError } from '@pincushion/driver';
import type { FlashSettings } from '../timing-settings';

export const UNIT_BYTES = 4096;
/** Places are kept in 32 bits, of which two values mean something else. */
const PLACES_MAX = 2 ** 32 - 2;

export class FlashGeometry {
  readonly dies: number;
  readonly channels: number;
  readonly rowUnits: number;
  readonly shotUnits: number;
  readonly rowsPerLine: number;
  readonly shotsPerLine: number;
  readonly lineUnits: number;
  /** Lines that the capacity fills. */
  readonly fullLines: number;
  readonly lines: number;
  /** Units the host can address. */
  readonly units: number;
  private readonly rowsPerShot: number;

  /** @throws UsageError DRIVER_CONFIG_INVALID when there is more flash than places can name. */
  constructor(settings: FlashSettings, capacityBytes: number) {
    const { channels, diesPerChannel, planesPerDie, pageBytes, pagesPerProgram, pagesPerBlock } = settings;
    this.channels = channels;
    this.dies = channels * diesPerChannel;
    this.rowUnits = (planesPerDie * pageBytes) / UNIT_BYTES;
    this.rowsPerShot = pagesPerProgram;
    this.shotUnits = this.rowUnits * pagesPerProgram;
    this.rowsPerLine = pagesPerBlock * this.dies;
    this.shotsPerLine = this.rowsPerLine / pagesPerProgram;
    this.lineUnits = this.rowsPerLine * this.rowUnits;
    this.units = Math.ceil(capacityBytes / UNIT_BYTES);
    this.fullLines = Math.ceil(this.units / this.lineUnits);
    const spare = Math.ceil((this.fullLines * settings.sparePercent) / 100);
    // Two open lines, and one that is collected while as many as are kept free are.
    const leastSpare = settings.gcFreeLines + 3;
    this.lines = this.fullLines + (spare > leastSpare ? spare : leastSpare);
    if (this.lines * this.lineUnits > PLACES_MAX) {
      throw new UsageError('DRIVER_CONFIG_INVALID', 'model.latency has more flash than the model can count', {
        expected: 'less than 16 TiB in all namespaces together, with what is spare',
        actual: `${this.lines * this.lineUnits * UNIT_BYTES} bytes`,
        hint: 'the flat model, or smaller namespaces',
      });
    }
  }

  /** Rows are counted through all lines, as places are. */
  rowOf(place: number): number {
    return Math.floor(place / this.rowUnits);
  }

  dieOf(row: number): number {
    return Math.floor(row / this.rowsPerShot) % this.dies;
  }

  /** Whether a row is of the slower page type: they alternate within a block. */
  isSlow(row: number): boolean {
    const shot = Math.floor(row / this.rowsPerShot);
    const rowOfBlock = Math.floor(shot / this.dies) * this.rowsPerShot + (row % this.rowsPerShot);
    return (rowOfBlock & 1) !== 0;
  }

  /** The how-manieth of its die and line a shot is; shots are counted within their line. */
  wordLineOf(shot: number): number {
    return Math.floor(shot / this.dies);
  }
}
