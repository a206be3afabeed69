/**
 * A range of PCI bus addresses that BARs are placed in, each aligned to its size, as firmware and hot-plug do.
 *
 * First fit from below. A BAR that is taken out leaves its room to later ones.
 * Source followed: PCI Express Base Specification, Base Address Registers; Linux 6.18 drivers/pci/setup-res.c.
 */

interface Placed {
  readonly start: number;
  readonly end: number;
}

export class BusAddresses {
  /** Sorted by address. */
  private readonly placed: Placed[] = [];

  /** @param start, end bus addresses in bytes; `start` is a multiple of every size that is placed */
  constructor(
    readonly start: number,
    readonly end: number,
  ) {}

  /** Room for `bytes`, a power of two: the bus address, or -1 when there is none. */
  place(bytes: number): number {
    let at = this.start;
    let index = 0;
    for (const { start, end } of this.placed) {
      if (at + bytes <= start) break;
      at = Math.ceil(end / bytes) * bytes;
      index++;
    }
    if (at + bytes > this.end) return -1;
    this.placed.splice(index, 0, { start: at, end: at + bytes });
    return at;
  }

  /** Takes out what was placed at `address`. */
  release(address: number): void {
    const index = this.placed.findIndex(({ start }) => start === address);
    if (index >= 0) this.placed.splice(index, 1);
  }

  /** Where the last placed range ends; `start` when there is none. */
  get usedEnd(): number {
    return this.placed.at(-1)?.end ?? this.start;
  }
}
