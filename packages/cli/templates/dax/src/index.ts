export { MyDeviceDriver } from './my-device.driver';
export { MyDeviceHardware } from './my-device.hardware';
export { MyDeviceMemory } from './my-device.library';
export { plugin } from './plugin';
