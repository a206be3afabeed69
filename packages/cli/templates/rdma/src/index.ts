export { MyDeviceDriver } from './my-device.driver';
export { MyDeviceHardware, Status } from './my-device.hardware';
export { MyDeviceContext } from './my-device.library';
export type { Completion, WorkRequest } from './my-device.library';
export { plugin } from './plugin';
export { Access } from './region-table';
