/** What can be set on the driver: the `config` part of an NVMe device in a machine file. Times are virtual. */
import { parseDuration, parseSize } from '@pincushion/driver';
import { z } from 'zod';

const duration = z.union([z.number(), z.string()]).transform((value, context) => {
  const ns = parseDuration(value);
  if (ns !== null && Number.isSafeInteger(ns) && ns > 0) return ns;
  context.addIssue({ code: 'custom', message: "expected a time in nanoseconds or as text, such as '30s'" });
  return z.NEVER;
});

const size = z.union([z.number(), z.string()]).transform((value, context) => {
  const bytes = parseSize(value);
  if (bytes !== null && Number.isSafeInteger(bytes) && bytes >= 0) return bytes;
  context.addIssue({ code: 'custom', message: "expected a size in bytes or as text, such as '32KiB'" });
  return z.NEVER;
});

export const NvmeDriverConfig = z.strictObject({
  /** I/O queue pairs at most; one per CPU is made, as far as the controller and this allow. */
  queuePairs: z.number().int().min(1).max(128).default(128),
  /** Queue pairs without interrupts beside those, for polled I/O (nvme module parameter poll_queues). */
  pollQueues: z.number().int().min(0).max(16).default(0),
  /** Entries of each I/O queue (nvme module parameter io_queue_depth); one less is in flight at most. */
  queueDepth: z.number().int().min(2).max(4096).default(1024),
  /**
   * An I/O whose segments are this long on average goes by an SGL, when the controller takes those; 0: none does (parameter
   * sgl_threshold).
   */
  sglThreshold: size.prefault('32KiB'),
  /** After so long an I/O is aborted, after as long again the controller is reset (parameter io_timeout). */
  ioTimeout: duration.prefault('30s'),
  /** After so long an admin command is given up (parameter admin_timeout). */
  adminTimeout: duration.prefault('60s'),
  /** How often a failed I/O is tried again when its status allows it (parameter max_retries). */
  retries: z.number().int().min(0).max(255).default(5),
});
export type NvmeDriverConfig = z.output<typeof NvmeDriverConfig>;
