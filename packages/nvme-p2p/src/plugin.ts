/** The plugin: one controller model and the driver for it. */
import { definePlugin } from '@pincushion/driver';
import { NvmeController } from './device/controller';
import { NvmeDriver } from './driver/nvme-driver';
import { example } from './lib/example';

export const plugin = definePlugin({
  name: '@pincushion/nvme-p2p',
  api: 1,
  drivers: [NvmeDriver],
  hardware: [NvmeController],
  example,
});
