/**
 * The plugin contract. A plugin imports this package (and zod) only: what it needs from the packages below is here too.
 */
import 'reflect-metadata';
import { registerCopy } from './package-copies';

registerCopy();

// What a plugin is made of
export { Driver } from './driver';
export type { RemoveReason } from './driver';
export { DeviceModel } from './device-model';
export type { HardwareBench, Slot } from './device-model';
export { driver, driverMeta, hardware, hardwareMeta } from './decorators';
export type {
  AbstractClass,
  BarMeta,
  DriverClass,
  DriverMatch,
  DriverMeta,
  HardwareClass,
  HardwareMeta,
  Instances,
} from './decorators';
export { checkPlugin, definePlugin } from './plugin';
export type { ExampleProgram, Plugin } from './plugin';
export { PLUGIN_API } from './plugin-api';
export { PLUGIN_KEYWORD, PackageField, fieldDisagreements, idText, parsePackageField } from './package-field';
export type { PackageFieldInput } from './package-field';
export type { Managed } from './managed';
export type { Transfer } from './transfer';

// Services
export { Gup } from './services/gup';
export type { PinnedRange, UserRange } from './services/gup';
export { DmaMapper } from './services/dma-mapper';
export { PeerMemory } from './services/peer-memory';
export type { PeerBuffer, PeerProvider, PeerResource } from './services/peer-memory';
export type { ManagedCoherent, MappedRange } from './services/dma-mapper';
export { Registers } from './services/registers';
export { Interrupts } from './services/interrupts';
export type { Interrupt } from './services/interrupts';
export { DeviceWork } from './services/device-work';
export type { DeviceTimer, DeviceWorkItem } from './services/device-work';
export { BlockDisks } from './services/block-disks';
export { CharDevices } from './services/char-devices';
export type { UserProgram } from './user-program';
export type { CharFile, CharNode, CharOperations, MapRequest } from './services/char-devices';
export { HostFiles } from './services/host-files';
export type { HostFile } from './services/host-files';
export { Cpus, DeviceClock, Log } from './services/machine-facts';

// For who builds machines
export { Bus } from './bus';
export type { DeviceSlot } from './bus';
export { hotplugBytes, memoryBarBytes } from './bar-meta';
export { parseConfig } from './config';
export type { ConfigSubject } from './config';
export { Device } from './device';
export type { DeviceState } from './device';
export { DeviceNodes } from './services/device-nodes';
export type { DeviceNode, DiskPlace } from './services/device-nodes';
export { InterruptController } from './services/interrupts';
export { MachineCpus, WorldClock } from './services/machine-facts';
export { RefusingHostFiles } from './services/host-files';
export { callHook } from './lifecycle';
export { matchDriver } from './matching';
export { nearestName } from './nearest-name';
export type { Platform } from './platform';
export { PROBE_LIMIT_NS } from './probe-watch';
export { Wiring } from './wiring';

// From the packages below
export {
  Context,
  EACCES,
  EAGAIN,
  EBADE,
  EBADF,
  EBUSY,
  ECANCELED,
  EEXIST,
  EFAULT,
  EFBIG,
  EHWPOISON,
  EILSEQ,
  EINTR,
  EINVAL,
  EIO,
  ENODATA,
  ENODEV,
  ENOENT,
  ENOLINK,
  ENOMEM,
  ENOSPC,
  ENOTTY,
  EOPNOTSUPP,
  EOVERFLOW,
  EPERM,
  EPIPE,
  ERANGE,
  EREMOTEIO,
  ETIME,
  ETIMEDOUT,
  Mutex,
  PincushionError,
  SpinLock,
  UsageError,
  WaitQueue,
  World,
  errnoName,
  formatBytes,
  formatNs,
  parseDuration,
  parseSize,
  sleeping,
} from '@pincushion/sim';
export type {
  Blocker,
  ChoiceStream,
  ErrorCode,
  FaultEffect,
  IoSite,
  MaySleep,
  Task,
  Thread,
  Tracepoint,
} from '@pincushion/sim';
export {
  FOLL_LONGTERM,
  FOLL_WRITE,
  FRAME_MASK,
  MAP_ANONYMOUS,
  MAP_PRIVATE,
  MAP_SHARED,
  Memory,
  Mm,
  PAGE_SHIFT,
  PAGE_SIZE,
  PROT_NONE,
  PROT_READ,
  PROT_WRITE,
  PinnedRanges,
  VM_IO,
  VM_PFNMAP,
  frameOf,
  newGottenPages,
  newPinnedPages,
} from '@pincushion/mm';
export type { GottenPages, PinnedPages, Vma, VmaBacking } from '@pincushion/mm';
export { CoherentBuffer, DmaDirection, ScatterList } from '@pincushion/dma';
export type { BarMemory } from '@pincushion/dma';
export {
  BioOp,
  BioPool,
  BlkStatus,
  Disk,
  DispatchQueue,
  HardwareQueue,
  MultiQueueDisk,
  REQ_FUA,
  REQ_POLLED,
  REQ_PREFLUSH,
  REQ_SYNC,
  TimeoutAnswer,
  bioEndIo,
  blkStatusToErrno,
  freezeDisk,
  submitBio,
  submitBioWait,
  unfreezeDisk,
} from '@pincushion/block';
export type { Bio, QueueLimits, QueueOps, QueueSetup } from '@pincushion/block';
