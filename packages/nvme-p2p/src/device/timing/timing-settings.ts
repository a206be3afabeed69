/**
 * The `latency` part of the hardware's settings: which timing model, and its numbers.
 *
 *   latency: { readNs: 10000 }                          the flat model, as without a word (latency.ts)
 *   latency: { preset: 970-pro }                        a class of drive, with all its numbers (timing-presets.ts)
 *   latency: { preset: 970-pro, writeBufferBytes: 4MiB }     the same with some of them changed
 *   latency: { model: flash, channels: 4 }              the flash model; what is not given is as in 970-pro
 *
 * A setting of another model than the chosen one is refused, so that no number is set in vain. What comes out has the
 * chosen model and all numbers of it.
 */
import { parseSize } from '@pincushion/driver';
import { z } from 'zod';
import { MODEL_DEFAULTS, PRESET_NAMES, PRESETS } from './timing-presets';

const nanoseconds = z.number().int().min(0).max(10_000_000_000);
const bandwidth = z.number().int().min(1).max(1_000_000);
/** Times within the flash model fit into 31 bits. */
const flashTime = z.number().int().min(0).max(1_000_000_000);
/** 0: no limit. */
const flashBandwidth = z.number().int().min(0).max(1_000_000);

/** A size in bytes or as text, such as '64GiB'. */
export function sizeFrom(min: number): z.ZodType<number> {
  return z.union([z.number(), z.string()]).transform((value, context) => {
    const size = parseSize(value);
    if (size !== null && Number.isSafeInteger(size) && size >= min) return size;
    const least = min === 0 ? '' : ` of at least ${min}`;
    context.addIssue({ code: 'custom', message: `expected a size in bytes${least} or as text, such as '64GiB'` });
    return z.NEVER;
  });
}

const flat = Object.freeze({
  /** Firmware time of a read, before the flash. */
  readNs: nanoseconds,
  /** Reading one flash page (16 KiB) on its unit. */
  flashReadNs: nanoseconds,
  /** Units that read at the same time: dies. */
  units: z.number().int().min(1).max(65_535),
  /** Firmware time of a write into the buffer. */
  writeNs: nanoseconds,
  /** Bytes the write buffer takes before writes wait for the flash. */
  writeBufferBytes: sizeFrom(1),
  /** Bandwidth at which the buffer is programmed into the flash, MB/s. */
  programMBps: bandwidth,
  /** Bandwidth of the link to the host, MB/s. */
  linkMBps: bandwidth,
  /** A flush, on top of programming what is in the buffer. */
  flushNs: nanoseconds,
  /** Deallocate and Write Zeroes. */
  trimNs: nanoseconds,
  /** An admin command. */
  adminNs: nanoseconds,
  /** Up to so much is added to each I/O command, drawn evenly. */
  jitterNs: nanoseconds,
});

const constant = Object.freeze({
  /** A read or write of 4 KiB or less at depth 1, link included. */
  latencyNs: nanoseconds,
  /** Reads and writes per second at most. */
  commandsPerSecond: z.number().int().min(1).max(1_000_000_000),
  linkMBps: bandwidth,
  trimNs: nanoseconds,
  adminNs: nanoseconds,
});

const flash = Object.freeze({
  channels: z.number().int().min(1).max(256),
  diesPerChannel: z.number().int().min(1).max(256),
  /** Planes of a die; they are read and programmed together. */
  planesPerDie: z.number().int().min(1).max(16),
  /** Bytes of a page of one plane: what one reading delivers. */
  pageBytes: sizeFrom(4096),
  /** Pages of each plane that one shot programs. */
  pagesPerProgram: z.number().int().min(1).max(16),
  /** Pages of a block; the blocks at one place of every plane make a line, which is collected and erased as a whole. */
  pagesPerBlock: z.number().int().min(1).max(4096),
  /** Reading a page of the faster type, and of the slower type: they alternate. */
  readLsbNs: flashTime,
  readMsbNs: flashTime,
  programNs: flashTime,
  eraseNs: flashTime,
  /** Whether a die reads on while the last page waits in its cache register for the channel. */
  cacheReads: z.boolean(),
  /** Bandwidth of a channel, of the link in each direction; MB/s, 0 for no limit. */
  channelMBps: flashBandwidth,
  linkMBps: flashBandwidth,
  /** Firmware time of a read of 4 KiB or less, and of a larger one. */
  firmwareReadSmallNs: flashTime,
  firmwareReadNs: flashTime,
  /** Firmware time of a write, and what each 4 KiB of it adds. */
  firmwareWriteNs: flashTime,
  firmwareWriteUnitNs: flashTime,
  /** 0: none; a write ends when it is programmed. */
  writeBufferBytes: sizeFrom(0),
  /** Flash beyond the capacity, percent of it. */
  sparePercent: z.number().int().min(0).max(1000),
  /** With so many free lines or fewer, lines are collected and writes wait for what that brings. */
  gcFreeLines: z.number().int().min(5).max(1000),
  /** Whether every block was written once before, in order. */
  preconditioned: z.boolean(),
  trimNs: flashTime,
  adminNs: flashTime,
});

type Values<T extends Record<string, z.ZodType>> = { readonly [K in keyof T]: z.output<T[K]> };

export type FlatSettings = { readonly model: 'flat' } & Values<typeof flat>;
export type ConstantSettings = { readonly model: 'constant' } & Values<typeof constant>;
export type FlashSettings = { readonly model: 'flash' } & Values<typeof flash>;
export type TimingSettings = FlatSettings | ConstantSettings | FlashSettings;

/** As a user writes it: any number of any model, none of them required. */
const given = z
  .strictObject({
    model: z.enum(['flat', 'flash', 'constant']),
    preset: z.enum(PRESET_NAMES),
    ...constant,
    ...flash,
    ...flat,
    writeBufferBytes: sizeFrom(0),
    linkMBps: flashBandwidth,
  })
  .partial();

const MEMBERS = Object.freeze({
  flat: z.strictObject(flat),
  flash: z.strictObject(flash),
  constant: z.strictObject(constant),
});

export const TimingSettings = given.transform((settings, context): TimingSettings => {
  const { model: wanted, preset, ...numbers } = settings;
  const base: TimingSettings = preset === undefined ? MODEL_DEFAULTS[wanted ?? 'flat'] : PRESETS[preset];
  const refuse = (path: string, message: string): never => {
    context.addIssue({ code: 'custom', path: [path], message });
    return z.NEVER;
  };
  if (wanted !== undefined && wanted !== base.model) {
    return refuse('model', `${base.model}, the model of the preset '${String(preset)}'`);
  }
  const { model, ...defaults } = base;
  for (const name of Object.keys(numbers)) {
    if (!(name in defaults)) {
      return refuse(name, `a setting of the model '${model}': ${Object.keys(defaults).join(', ')}`);
    }
  }
  const result = MEMBERS[model].safeParse({ ...defaults, ...numbers });
  if (!result.success) {
    for (const { path, message } of result.error.issues) context.addIssue({ code: 'custom', path, message });
    return z.NEVER;
  }
  const all = { model, ...result.data } as TimingSettings;
  const wrong = all.model === 'flash' ? wrongGeometry(all) : null;
  return wrong === null ? all : refuse(...wrong);
});

/** The setting that does not go with the others, and what it should be. */
function wrongGeometry(settings: FlashSettings): [string, string] | null {
  const { pageBytes, planesPerDie, pagesPerProgram, pagesPerBlock, writeBufferBytes } = settings;
  if (pageBytes % 4096 !== 0) return ['pageBytes', 'a multiple of 4096 bytes'];
  if (pagesPerBlock % pagesPerProgram !== 0)
    return ['pagesPerBlock', `a multiple of pagesPerProgram ${pagesPerProgram}`];
  const shotBytes = pageBytes * planesPerDie * pagesPerProgram;
  if (writeBufferBytes > 0 && writeBufferBytes < 2 * shotBytes) {
    return ['writeBufferBytes', `0, or at least two shots of ${shotBytes} bytes`];
  }
  return null;
}
