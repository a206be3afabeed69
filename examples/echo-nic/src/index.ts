/** The echo NIC: hardware, driver, and the library that programs use. */
export { BuggyEchoNic } from './buggy-echo-nic.driver';
export { EchoNic } from './echo-nic.driver';
export { EchoNicHardware } from './echo-nic.hardware';
export { EchoSocket } from './echo-nic.library';
export { buggyPlugin, plugin } from './plugin';
