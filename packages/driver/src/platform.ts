/** What a machine gives its devices: the parts they all share. */
import type { Iommu, PciFabric } from '@pincushion/dma';
import type { Memory } from '@pincushion/mm';
import type { World } from '@pincushion/sim';
import type { DeviceNodes } from './services/device-nodes';
import type { HostFiles } from './services/host-files';
import type { InterruptController } from './services/interrupts';
import type { Wiring } from './wiring';

export interface Platform {
  readonly world: World;
  readonly memory: Memory;
  readonly iommu: Iommu;
  readonly pci: PciFabric;
  readonly interrupts: InterruptController;
  readonly nodes: DeviceNodes;
  readonly hostFiles: HostFiles;
  /** Scope of the machine; each device gets a child of it. */
  readonly wiring: Wiring;
  /** Put before device names in reports, with a slash; empty for the only machine of a world. */
  readonly machineName: string;
  /** How long a probe may take, virtual nanoseconds. */
  readonly probeLimitNs: number;
}
