/** The frame grabber: hardware, driver, and the library that programs use. */
import { definePlugin } from '@pincushion/driver';
import { FrameGrabberDriver } from './grabber.driver';
import { FrameGrabberHardware } from './grabber.hardware';

export { FrameGrabberDriver } from './grabber.driver';
export { FrameGrabberHardware, frameText } from './grabber.hardware';
export { FrameGrabber } from './grabber.library';

export const plugin = definePlugin({
  name: 'frame-grabber',
  api: 1,
  drivers: [FrameGrabberDriver],
  hardware: [FrameGrabberHardware],
});
