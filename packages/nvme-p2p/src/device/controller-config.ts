/**
 * What can be set on the hardware: the `model` part of an NVMe device in a machine file.
 * Sizes may be given in bytes or as text ('64GiB'). The numbers of the latency model are explained in `timing-settings.ts`.
 */
import { z } from 'zod';
import { sizeFrom, TimingSettings } from './timing/timing-settings';

const bytes = sizeFrom(1);
function isPowerOfTwo(size: number): boolean {
  let power = 1;
  while (power < size) power *= 2;
  return power === size;
}

/** Of memory that a BAR shows: 0 for none, else a power of two. */
const barBytes = sizeFrom(0).refine((size) => size === 0 || (size >= 65_536 && isPowerOfTwo(size)), {
  error: 'expected 0, or a power of two of at least 64KiB',
});
const blockCount = z.number().int().min(1).max(65_535);

const BadBlocks = z.strictObject({
  /** First block, and how many. */
  first: z.number().int().min(0),
  blocks: z.number().int().min(1).default(1),
  /** What fails there. */
  fails: z.enum(['read', 'write']).default('read'),
});

export const NamespaceSettings = z.strictObject({
  /** Size. With an image: the image's size, unless given. */
  capacity: bytes.optional(),
  /** Bytes of a logical block. */
  blockBytes: z.union([z.literal(512), z.literal(4096)]).default(512),
  /** A raw image file on the host with the content. */
  image: z.string().min(1).optional(),
  /** Whether writes go to the image file; otherwise they are kept in memory and lost at the end. */
  writable: z.boolean().default(false),
  /** Namespace id; the place in the list, from 1, unless given. */
  nsid: z.number().int().min(1).max(256).optional(),
  /** Whether the controller has it from the start; otherwise the host attaches it. */
  attached: z.boolean().default(true),
  /** Blocks that cannot be read, or not be written. */
  badBlocks: z.array(BadBlocks).max(4096).default([]),
  /** Copy: blocks of one source range (MSSRL), blocks in all (MCL), source ranges (MSRC + 1). */
  copyRangeBlocksMax: blockCount.default(128),
  copyBlocksMax: z.number().int().min(1).max(0xffff_ffff).default(128),
  copyRangesMax: z.number().int().min(1).max(256).default(128),
});
export type NamespaceSettings = z.output<typeof NamespaceSettings>;

/** Capacity of a namespace that says neither capacity nor image. */
export const DEFAULT_CAPACITY_BYTES = 64 * 1024 * 1024 * 1024;
/** Namespaces a controller can have (Identify Controller, NN). */
export const NAMESPACES_MAX = 256;
/** I/O queue pairs the hardware can be given at most, and with the admin queue's the interrupt vectors it has. */
export const QUEUE_PAIRS_MAX = 128;

/** Ids are given, or are the places in the list. */
function haveOwnIds(namespaces: readonly NamespaceSettings[]): boolean {
  return new Set(namespaces.map(({ nsid }, i) => nsid ?? i + 1)).size === namespaces.length;
}

export const ControllerConfig = z.strictObject({
  /** Serial number, at most 20 characters. */
  serial: z.string().min(1).max(20).default('PIN0001'),
  /** Model name, at most 40 characters. */
  modelName: z.string().min(1).max(40).default('Pincushion NVMe'),
  /** The namespaces, in the order of their ids from 1. */
  namespaces: z
    .array(NamespaceSettings)
    .min(1)
    .max(NAMESPACES_MAX)
    .refine(haveOwnIds, { error: 'expected a namespace id of its own for each' })
    .prefault([{}]),
  /** I/O queue pairs the controller offers. */
  queuePairs: z.number().int().min(1).max(QUEUE_PAIRS_MAX).default(64),
  /** Entries a queue may have at most (CAP.MQES + 1). */
  queueEntries: z.number().int().min(2).max(65_536).default(2_048),
  /** Largest transfer: 2^mdts pages of 4 KiB. */
  mdts: z.number().int().min(1).max(9).default(7),
  /** Largest Verify: 2^vsl pages of 4 KiB. */
  vsl: z.number().int().min(0).max(16).default(7),
  /** Interrupt vectors; one for each queue pair and the admin queue's unless given. */
  vectors: z
    .number()
    .int()
    .min(1)
    .max(QUEUE_PAIRS_MAX + 1)
    .optional(),
  /** Asynchronous event requests that may be outstanding, 0's based (AERL). */
  aerl: z.number().int().min(0).max(15).default(3),
  /** Entries of the error information log (ELPE + 1). */
  errorLogEntries: z.number().int().min(1).max(64).default(64),
  /** Size of the controller memory buffer; 0: none. */
  cmb: barBytes.default(0),
  /** Size of the persistent memory region; 0: none. */
  pmr: barBytes.default(0),
  /** Whether the host can set interrupt coalescing (features 08h and 09h). */
  coalescing: z.boolean().default(true),
  /** Whether the controller has Write Uncorrectable. */
  writeUncorrectable: z.boolean().default(true),
  /** Whether the host can attach and detach namespaces. */
  namespaceManagement: z.boolean().default(true),
  /** Whether the controller has shadow doorbells (Doorbell Buffer Config), as controllers of virtual machines do. */
  shadowDoorbells: z.boolean().default(false),
  /** `bytes` moves real content; `none` only checks that the DMA would be allowed, for measurements. */
  data: z.enum(['bytes', 'none']).default('bytes'),
  latency: TimingSettings.prefault({}),
});
export type ControllerConfig = z.output<typeof ControllerConfig>;
