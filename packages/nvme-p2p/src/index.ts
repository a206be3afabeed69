/** An NVMe controller model, a driver like Linux's, and what a program calls. */

// The plugin, and its two halves for tests
export { plugin } from './plugin';
export { NvmeController } from './device/controller';
export { ControllerConfig } from './device/controller-config';
export { NvmeDriver } from './driver/nvme-driver';
export { NvmeDriverConfig } from './driver/driver-config';

// The library of a user program
export { identifyController, identifyNamespace } from './lib/identify';
export type { ControllerIdentity, NamespaceIdentity } from './driver/identity';
export { NVME_IOCTL_ADMIN_CMD, NVME_IOCTL_IO_CMD } from './driver/passthrough';
export type { PassthroughCommand } from './driver/passthrough';

// How long commands take, for whom wants to look at that alone
export { commandTiming } from './device/timing/timing';
export { TimingSettings } from './device/timing/timing-settings';
export type { CommandTiming, DeviceTime } from './device/timing/command-timing';
