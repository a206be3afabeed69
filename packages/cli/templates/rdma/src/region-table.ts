/** The memory regions as the adapter knows them: who comes with a key gets to its bytes, and to no others. */

/** What may be done to a region, beside reading it locally. */
export const Access = { localWrite: 1, remoteWrite: 2, remoteRead: 4 } as const;

export interface Region {
  /** Bus address of its first byte. */
  readonly iova: number;
  /** Bytes. */
  readonly length: number;
  readonly access: number;
}

export class RegionTable {
  private readonly regions = new Map<number, Region>();

  set(key: number, region: Region): void {
    this.regions.set(key, region);
  }

  invalidate(key: number): void {
    this.regions.delete(key);
  }

  clear(): void {
    this.regions.clear();
  }

  /** The bus address of `bytes` bytes at `offset` in a region that allows all of `access`, or -1. */
  translate(key: number, offset: number, bytes: number, access: number): number {
    const region = this.regions.get(key);
    if (region === undefined || offset + bytes > region.length || (region.access & access) !== access) return -1;
    return region.iova + offset;
  }
}
