/** Every planted bug: the code it must be named by, and the check that finds it first. */
import type { DriverClass, ExampleProgram, HardwareClass } from '@pincushion/driver';
import type { ErrorCode } from '@pincushion/sim';
import { AbandonsBios, EndsTwice, ForgetsBios, diskExample } from './disk-bugs';
import * as completion from './completion-bugs';
import * as lifetime from './lifetime-bugs';
import * as lock from './lock-bugs';
import * as memory from './memory-bugs';
import { PortHardware, portExample } from './port';

export interface PlantedBug {
  readonly driver: DriverClass;
  readonly hardware: HardwareClass;
  readonly example: ExampleProgram;
  readonly code: ErrorCode;
  readonly check: string;
}

type Row = readonly [DriverClass, ErrorCode, string];

const PORT_BUGS: readonly Row[] = [
  [memory.UnpinsBeforeDmaStops, 'DMA_AFTER_UNPIN', 'example'],
  [memory.UnmapsBeforeDmaStops, 'DMA_FAULT', 'example'],
  [memory.KeepsPinWhenMappingFails, 'PIN_LEAK', 'fail-map'],
  [memory.KeepsPinWhenProbeFails, 'PIN_LEAK', 'fail-alloc'],
  [memory.KeepsMemoryWhenProbeFails, 'DMA_MAPPING_LEAK', 'fail-alloc'],
  [memory.IgnoresMissingMemory, 'TASK_FAILED', 'fail-alloc'],
  [memory.NeverUnpins, 'PIN_LEAK', 'example'],
  [memory.NeverUnmaps, 'DMA_MAPPING_LEAK', 'example'],
  [memory.UnmapsWrongSize, 'DMA_UNMAP_WRONG_SIZE', 'example'],
  [memory.UnmapsWrongDirection, 'DMA_UNMAP_WRONG_DIRECTION', 'example'],
  [memory.UnmapsTwice, 'DMA_UNMAP_UNKNOWN', 'example'],
  [memory.MapsWrongDirection, 'DMA_FAULT', 'example'],
  [memory.ReleasesWithPut, 'PIN_WRONG_RELEASE', 'example'],
  [memory.ReleasesTwice, 'PIN_DOUBLE_RELEASE', 'example'],
  [memory.ReleasesClean, 'PIN_RELEASED_CLEAN', 'example'],
  [memory.PinsForReading, 'PIN_READ_ONLY_WRITTEN', 'example'],
  [memory.OverrunsItsBuffer, 'DMA_FAULT', 'example'],
  [lifetime.SleepsInInterrupt, 'SLEEP_IN_ATOMIC', 'example'],
  [lifetime.SleepsInTimer, 'SLEEP_IN_ATOMIC', 'lost-interrupt'],
  [lifetime.DropsATask, 'TASK_NEVER_STARTED', 'example'],
  [lifetime.WaitsForGoneHardware, 'TASK_STUCK', 'unplug'],
  [lifetime.TrustsInterrupts, 'TASK_STUCK', 'lost-interrupt'],
  [lifetime.LeavesHardwareRunning, 'DMA_FAULT', 'unbind'],
  [lifetime.ForgetsATransfer, 'DEVICE_TRANSFER_LEAK', 'unplug'],
  [lifetime.KeepsItsInterrupt, 'DEVICE_INTERRUPT_LEAK', 'example'],
  [lifetime.KeepsItsInterruptWhenProbeFails, 'DEVICE_INTERRUPT_LEAK', 'fail-register'],
  [lifetime.UsesTheDeviceAfterRemoval, 'DMA_FAULT', 'unbind'],
  [lifetime.KeepsItsTimer, 'DEVICE_TIMER_LEAK', 'example'],
  [lifetime.KeepsItsListener, 'LISTENER_LEAK', 'example'],
  [lifetime.WaitsInProbeForEver, 'DRIVER_PROBE_STUCK', 'dead-bus'],
  [lifetime.FailsInRemove, 'DRIVER_REMOVE_FAILED', 'example'],
  [lifetime.FailsInRelease, 'RESOURCE_RELEASE_FAILED', 'example'],
  [lifetime.IndexesByStatus, 'TASK_FAILED', 'fail-dma'],
  [lifetime.AnswersNonsense, 'EXAMPLE_FAILED', 'example'],
  [lifetime.PollsForEver, 'DRIVER_ENDLESS_LOOP', 'unbind'],
  [lock.TakesLocksBothWays, 'LOCK_ORDER', 'example'],
  [lock.SleepsWithASpinLock, 'SLEEP_IN_ATOMIC', 'example'],
];
const COMPLETION_BUGS: readonly Row[] = [
  [completion.IgnoresTags, 'DMA_FAULT', 'doubled-completion'],
  [completion.TrustsCompletions, 'TASK_STUCK', 'lost-completion'],
];
const DISK_BUGS: readonly Row[] = [
  [EndsTwice, 'BIO_ENDED_TWICE', 'doubled-interrupt'],
  [ForgetsBios, 'TASK_STUCK', 'fail-map'],
  [AbandonsBios, 'TASK_STUCK', 'unplug'],
];

function withExample(
  rows: readonly Row[],
  example: ExampleProgram,
  hardware: HardwareClass = PortHardware,
): readonly PlantedBug[] {
  return rows.map(([driver, code, check]) => ({ driver, hardware, example, code, check }));
}

export const PLANTED: readonly PlantedBug[] = [
  ...withExample(PORT_BUGS, portExample),
  ...withExample(DISK_BUGS, diskExample),
  ...withExample(COMPLETION_BUGS, portExample, completion.TaggedPortHardware),
];
