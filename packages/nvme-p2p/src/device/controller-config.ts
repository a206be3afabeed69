/**
 * What can be set on the hardware: the `model` part of an NVMe device in a machine file.
 * Sizes may be given in bytes or as text ('64GiB'). The numbers of the latency model are explained in `latency.ts`.
 */
import { parseSize } from '@pincushion/driver';
import { z } from 'zod';

const bytes = z.union([z.number(), z.string()]).transform((value, context) => {
  const size = parseSize(value);
  if (size !== null && Number.isSafeInteger(size) && size > 0) return size;
  context.addIssue({ code: 'custom', message: "expected a size in bytes or as text, such as '64GiB'" });
  return z.NEVER;
});

const nanoseconds = z.number().int().min(0).max(10_000_000_000);
const bandwidth = z.number().int().min(1).max(1_000_000);

export const LatencySettings = z.strictObject({
  /** Firmware time of a read, before the flash. */
  readNs: nanoseconds.default(25_000),
  /** Reading one flash page (16 KiB) on its unit. */
  flashReadNs: nanoseconds.default(37_000),
  /** Units that read at the same time: dies. */
  units: z.number().int().min(1).max(65_535).default(16),
  /** Firmware time of a write into the buffer. */
  writeNs: nanoseconds.default(10_000),
  /** Bytes the write buffer takes before writes wait for the flash. */
  writeBufferBytes: bytes.default(64 * 1024 * 1024),
  /** Bandwidth at which the buffer is programmed into the flash, MB/s. */
  programMBps: bandwidth.default(2_600),
  /** Bandwidth of the link to the host, MB/s. */
  linkMBps: bandwidth.default(3_300),
  /** A flush, on top of programming what is in the buffer. */
  flushNs: nanoseconds.default(150_000),
  /** Deallocate and Write Zeroes. */
  trimNs: nanoseconds.default(20_000),
  /** An admin command. */
  adminNs: nanoseconds.default(20_000),
  /** Up to so much is added to each I/O command, drawn evenly. */
  jitterNs: nanoseconds.default(2_000),
});
export type LatencySettings = z.output<typeof LatencySettings>;

export const NamespaceSettings = z.strictObject({
  /** Size. With an image: the image's size, unless given. */
  capacity: bytes.optional(),
  /** Bytes of a logical block. */
  blockBytes: z.union([z.literal(512), z.literal(4096)]).default(512),
  /** A raw image file on the host with the content. */
  image: z.string().min(1).optional(),
  /** Whether writes go to the image file; otherwise they are kept in memory and lost at the end. */
  writable: z.boolean().default(false),
});
export type NamespaceSettings = z.output<typeof NamespaceSettings>;

/** Capacity of a namespace that says neither capacity nor image. */
export const DEFAULT_CAPACITY_BYTES = 64 * 1024 * 1024 * 1024;
/** Namespaces a controller can have (Identify Controller, NN). */
export const NAMESPACES_MAX = 256;
/** I/O queue pairs the hardware can be given at most, and with the admin queue's the interrupt vectors it has. */
export const QUEUE_PAIRS_MAX = 128;

export const ControllerConfig = z.strictObject({
  /** Serial number, at most 20 characters. */
  serial: z.string().min(1).max(20).default('PIN0001'),
  /** Model name, at most 40 characters. */
  modelName: z.string().min(1).max(40).default('Pincushion NVMe'),
  /** The namespaces, in the order of their ids from 1. */
  namespaces: z.array(NamespaceSettings).min(1).max(NAMESPACES_MAX).prefault([{}]),
  /** I/O queue pairs the controller offers. */
  queuePairs: z.number().int().min(1).max(QUEUE_PAIRS_MAX).default(64),
  /** Entries a queue may have at most (CAP.MQES + 1). */
  queueEntries: z.number().int().min(2).max(65_536).default(2_048),
  /** Largest transfer: 2^mdts pages of 4 KiB. */
  mdts: z.number().int().min(1).max(9).default(7),
  /** `bytes` moves real content; `none` only checks that the DMA would be allowed, for measurements. */
  data: z.enum(['bytes', 'none']).default('bytes'),
  latency: LatencySettings.prefault({}),
});
export type ControllerConfig = z.output<typeof ControllerConfig>;
