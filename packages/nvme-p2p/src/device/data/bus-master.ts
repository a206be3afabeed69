/**
 * What the parts of the controller may do on the bus: DMA to addresses of the IOMMU domain, and nothing else.
 * The functions are those of `DeviceModel`; each answers 0 or a negative errno, and a refused access is reported as a DMA
 * fault by the domain itself.
 */
export interface BusMaster {
  dmaRead(iova: number, into: Uint8Array, at: number, n: number): number;
  dmaWrite(iova: number, from: Uint8Array, at: number, n: number): number;
  /** Whole dwords, 4-byte aligned, within one 4 KiB page. */
  dmaReadWords(iova: number, into: Int32Array, at: number, words: number): number;
  /** As `dmaReadWords`. */
  dmaWriteWords(iova: number, from: Int32Array, at: number, words: number): number;
  dmaFill(iova: number, byte: number, n: number): number;
  /** Translates only; moves nothing. */
  dmaCheck(iova: number, n: number, write: boolean): number;
}

/** Where the data of a command lies, found by `PrpWalk` or `SglWalk`: the first `count` of both arrays. */
export interface Segments {
  readonly count: number;
  /** Bus address of each segment. */
  readonly address: Float64Array;
  /** Bytes of each segment. */
  readonly length: Int32Array;
}
