/** DMA mapping after Linux: IOMMU, IOVAs, streaming and coherent mappings, DMA faults. */
export { CoherentBuffer } from './coherent';
export { DmaDirection, directionName } from './direction';
export { DmaDomain } from './domain';
export { Iommu } from './iommu';
export type { IommuMode, IommuOptions } from './iommu';
export { ScatterList } from './scatter-list';
export type { ScatterLimits } from './scatter-list';
