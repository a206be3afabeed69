/**
 * How long commands take: which models there are.
 *
 *   flat       latency.ts          parameters, one event per command
 *   constant   constant-timing.ts  the same time for each, up to a rate
 *   flash      flash/              channels, dies, a write buffer, garbage collection; events of its own
 */
import type { ChoiceStream } from '@pincushion/driver';
import type { CommandTiming, DeviceTime } from './command-timing';
import { ConstantTiming } from './constant-timing';
import { FlashTiming } from './flash/flash-timing';
import { LatencyModel } from './latency';
import type { TimingSettings } from './timing-settings';

/**
 * The model that the settings ask for.
 * @param jitter a stream of its own @param namespaceBytes size of each namespace, by its id @param ended see CommandTiming
 */
export function commandTiming(
  settings: TimingSettings,
  time: DeviceTime,
  jitter: ChoiceStream,
  namespaceBytes: readonly number[],
  ended: (slot: number) => undefined,
): CommandTiming {
  switch (settings.model) {
    case 'flat':
      return new LatencyModel(settings, jitter);
    case 'constant':
      return new ConstantTiming(settings);
    case 'flash':
      return new FlashTiming(settings, time, namespaceBytes, ended);
  }
}
