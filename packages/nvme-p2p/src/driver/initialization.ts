/**
 * What the driver asks and tells a controller that has just become ready: who it is, what its commands do, what time it is,
 * what the host understands.
 *
 *   Identify Controller
 *   Get Log Page: effects        once; a reset does not ask again
 *   Set Features: Timestamp      if the controller keeps one
 *   Set Features: Host Behaviour if there is something to say: retry delays, extended formats
 *
 * Left out: power states, host memory buffer, the hwmon device (which reads the SMART log here), security.
 * Source followed: `nvme_init_ctrl_finish`, `nvme_init_identify`, `nvme_init_effects`, `nvme_configure_timestamp`,
 * `nvme_configure_host_options` (Linux 6.18, drivers/nvme/host/core.c).
 */
import type { DeviceClock, Log, Task } from '@pincushion/driver';
import { Cns, Feature, LogPage } from '../spec/opcodes';
import type { AdminCalls } from './admin-calls';
import { statusText } from './admin-calls';
import { CommandEffects, EFFECTS_LOG_BYTES } from './command-effects';
import { CTRATT_EXTENDED_FORMATS, LPA_EFFECTS, ONCS_TIMESTAMP, readControllerIdentity } from './identity';
import type { ControllerIdentity } from './identity';

export interface ControllerFacts {
  readonly identity: ControllerIdentity;
  readonly effects: CommandEffects;
}

const TIMESTAMP_BYTES = 8;
const HOST_BEHAVIOUR_BYTES = 512;

/** Task context. Throws when the controller does not say who it is. @param known what was found before a reset */
export function* initializeController(
  calls: AdminCalls,
  clock: DeviceClock,
  log: Log,
  known: ControllerFacts | null,
): Task<ControllerFacts> {
  const identity = readControllerIdentity(yield* calls.identify(Cns.controller, 0));
  const effects = known?.effects ?? (yield* readEffects(calls, identity));
  if ((identity.oncs & ONCS_TIMESTAMP) !== 0) {
    const status = yield* calls.setFeatureData(Feature.timestamp, TIMESTAMP_BYTES, timestamp(clock.now));
    if (status !== 0) log.note(`the time could not be set: ${statusText(status)}`);
  }
  const extendedFormats = (identity.ctratt & CTRATT_EXTENDED_FORMATS) !== 0;
  if (identity.retryDelays || extendedFormats) {
    // Byte 0: advanced command retry; byte 2: extended formats.
    const behaviour = [identity.retryDelays ? 1 : 0, 0, extendedFormats ? 1 : 0];
    const status = yield* calls.setFeatureData(Feature.hostBehaviour, HOST_BEHAVIOUR_BYTES, behaviour);
    if (status !== 0) log.note(`host behaviour could not be set: ${statusText(status)}`);
  }
  return { identity, effects };
}

function* readEffects(calls: AdminCalls, { lpa }: ControllerIdentity): Task<CommandEffects> {
  if ((lpa & LPA_EFFECTS) === 0) return new CommandEffects(null);
  const page = yield* calls.attemptLog(LogPage.commandEffects, EFFECTS_LOG_BYTES);
  return new CommandEffects(typeof page === 'number' ? null : page);
}

/** Milliseconds since the epoch, which is when the world began; little-endian, 48 bits. */
function timestamp(nowNs: number): number[] {
  let ms = Math.floor(nowNs / 1_000_000);
  const bytes: number[] = [];
  for (let i = 0; i < 6; i++) {
    bytes.push(ms % 256);
    ms = Math.floor(ms / 256);
  }
  return bytes;
}
