/** Page-pin tracking schemes behind the seam of the memory manager. */
import { BiasScheme } from '@pincushion/mm';
import type { FrameTable, PinScheme } from '@pincushion/mm';
import { GetPutScheme } from './get-put';

export { GetPutScheme } from './get-put';

/** Every scheme by the name that a machine description uses. */
export const schemes: Readonly<Record<string, (frames: FrameTable) => PinScheme>> = Object.freeze({
  bias: (frames: FrameTable) => new BiasScheme(frames),
  'get-put': (frames: FrameTable) => new GetPutScheme(frames),
});
