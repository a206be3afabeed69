/** What the package brings: the echo NIC, and the same hardware under a driver with a bug. */
import { definePlugin } from '@pincushion/driver';
import { BuggyEchoNic } from './buggy-echo-nic.driver';
import { EchoNic } from './echo-nic.driver';
import { EchoNicHardware } from './echo-nic.hardware';
import { example } from './example';

export const plugin = definePlugin({
  name: 'echo-nic',
  api: 1,
  drivers: [EchoNic],
  hardware: [EchoNicHardware],
  example,
});

export const buggyPlugin = definePlugin({
  name: 'buggy-echo-nic',
  api: 1,
  drivers: [BuggyEchoNic],
  hardware: [EchoNicHardware],
  example,
});
