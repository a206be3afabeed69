/**
 * Sparse bytes: what was never written takes no memory and reads as zeroes.
 *
 * The address range is cut into extents of 64 KiB. An index says where an extent lies: its place + 1, 0 for "never
 * written", -1 for "made zero" (which matters only to an owner that has other content below). Extents are cut from arenas
 * of 4 MiB that are made on demand, so that scattered writes do not take a whole arena each. The index is one
 * typed array for the whole range: its untouched parts take no memory.
 */

const EXTENT_SHIFT = 16;
export const EXTENT_BYTES = 1 << EXTENT_SHIFT;
const ARENA_BYTES = 4 * 1024 * 1024;
const EXTENTS_PER_ARENA = ARENA_BYTES / EXTENT_BYTES;

export class ExtentStore {
  private readonly index: Int32Array;
  private readonly arenas: Uint8Array[] = [];
  private readonly free: number[] = [];
  private made = 0;

  constructor(readonly bytes: number) {
    this.index = new Int32Array(Math.ceil(bytes / EXTENT_BYTES));
  }

  /** Extents that take memory now. */
  get extents(): number {
    return this.made - this.free.length;
  }

  /** Whether an extent has memory. */
  has(extent: number): boolean {
    return this.index[extent] > 0;
  }

  /** Whether an extent was made zero and not written since. */
  zeroed(extent: number): boolean {
    return this.index[extent] < 0;
  }

  /** The arena an extent lies in. Only for an extent that `has`. */
  arena(extent: number): Uint8Array {
    return this.arenas[Math.floor((this.index[extent] - 1) / EXTENTS_PER_ARENA)];
  }

  /** Where in its arena an extent begins. Only for an extent that `has`. */
  offset(extent: number): number {
    return ((this.index[extent] - 1) % EXTENTS_PER_ARENA) << EXTENT_SHIFT;
  }

  /** Makes an extent, zeroed. */
  make(extent: number): void {
    const reused = this.free.pop();
    const place = reused ?? this.made++;
    if (place === this.arenas.length * EXTENTS_PER_ARENA) this.arenas.push(new Uint8Array(ARENA_BYTES));
    this.index[extent] = place + 1;
    if (reused !== undefined) {
      const at = this.offset(extent);
      this.arena(extent).fill(0, at, at + EXTENT_BYTES);
    }
  }

  /** Makes an extent zero, giving its memory back. */
  zero(extent: number): void {
    if (this.index[extent] > 0) this.free.push(this.index[extent] - 1);
    this.index[extent] = -1;
  }
}
