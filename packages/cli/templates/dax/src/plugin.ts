/** What the package brings; package.json says the same under `pincushion`, as data. */
import { definePlugin } from '@pincushion/driver';
import { example } from './example';
import { MyDeviceDriver } from './my-device.driver';
import { MyDeviceHardware } from './my-device.hardware';

export const plugin = definePlugin({
  name: 'my-device',
  api: 1,
  drivers: [MyDeviceDriver],
  hardware: [MyDeviceHardware],
  example,
});
