export { MyDeviceDriver } from './my-device.driver';
export { MyDeviceHardware } from './my-device.hardware';
export { CONTENT_BYTES, RecordDisk } from './my-device.library';
export { plugin } from './plugin';
