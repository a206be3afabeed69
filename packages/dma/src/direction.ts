/**
 * The direction of a DMA mapping, seen from memory: which way the data goes. The IOMMU turns it into a permission
 * (DM-01): the device may read what goes to it, write what comes from it, and do both when it is bidirectional.
 *
 * Left out on purpose: DMA_NONE, which in the kernel is only a mark for "bug".
 * Source: Linux 6.18 include/linux/dma-direction.h, drivers/iommu/dma-iommu.c (dma_info_to_prot).
 */
export const DmaDirection = { bidirectional: 0, toDevice: 1, fromDevice: 2 } as const;
export type DmaDirection = (typeof DmaDirection)[keyof typeof DmaDirection];

/** Permission bits of an entry of the I/O page table; the 30 bits below them are the frame number. */
export const IOMMU_READ = 1 << 30;
export const IOMMU_WRITE = 1 << 31;

/** What a mapping of this direction allows the device: IOMMU_READ, IOMMU_WRITE or both; 0 when there is no such direction. */
export function permissionOf(direction: number): number {
  return direction === DmaDirection.toDevice
    ? IOMMU_READ
    : direction === DmaDirection.fromDevice
      ? IOMMU_WRITE
      : direction === DmaDirection.bidirectional
        ? IOMMU_READ | IOMMU_WRITE
        : 0;
}

/** The name the kernel's dma-debug prints: "DMA_TO_DEVICE". */
export function directionName(direction: number): string {
  return direction === DmaDirection.toDevice
    ? 'DMA_TO_DEVICE'
    : direction === DmaDirection.fromDevice
      ? 'DMA_FROM_DEVICE'
      : direction === DmaDirection.bidirectional
        ? 'DMA_BIDIRECTIONAL'
        : `no direction (${direction})`;
}
