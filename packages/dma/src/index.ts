/** DMA mapping after Linux: IOMMU, IOVAs, streaming and coherent mappings, DMA faults. */
export { BarMemory } from './pci/bar';
export type { Bar, BarSpec } from './pci/bar';
export { PCI_WINDOW_START, PciFabric, PciFunction, pciMemoryFor } from './pci/fabric';
export { P2pMemory } from './pci/p2p-memory';
export type { P2pRun } from './pci/p2p-memory';
export { calcRoute } from './pci/p2p-route';
export type { P2pMapType, P2pRoute, P2pRule, PciEnd } from './pci/p2p-route';
export { Acs, DEFAULT_LAYOUT, KERNEL_ALLOW_LIST, ownRootPort } from './pci/topology';
export type { AllowedHostBridge, BridgeKind, HostBridge, PciBridge, PciLayout } from './pci/topology';
export { CoherentBuffer } from './coherent';
export type { DeviceAccess } from './device-access';
export { DmaDirection, directionName } from './direction';
export { DmaDomain } from './domain';
export { Iommu } from './iommu';
export type { IommuMode, IommuOptions } from './iommu';
export { ScatterList } from './scatter-list';
export type { ScatterLimits } from './scatter-list';
