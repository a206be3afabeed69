/**
 * How long a command takes, by a simple model of a flash drive with parameters, one event per command:
 *
 *   read    firmware, then the flash units that hold its pages (each serves one page after another), then the link
 *   write   firmware and link into the write buffer; programming runs behind at its own bandwidth, and once the buffer is
 *           full a write waits for what was before it
 *   flush   until everything in the buffer is programmed
 *
 * A unit is chosen by the address, commands reach it in the order of submission, and its next free time is kept: exact
 * for a first-come unit. The link is a bandwidth limit, not a queue: booking it from the moment of issue would serialise
 * reads that are served in parallel. Jitter is drawn from the choice source. Integer nanoseconds throughout.
 * Left out: channels, page types, erase, garbage collection, background work; `flash/` has them.
 *
 * With the defaults a 4 KiB read at depth 1 takes 64 µs, at depth 32 the units limit to about 430,000 a second, and
 * sequential reads and writes end at the link's 3.3 GB/s and the buffer's 2.6 GB/s.
 */
import type { ChoiceStream } from '@pincushion/driver';
import { transferNs } from './bandwidth';
import type { CommandTiming } from './command-timing';
import type { FlatSettings } from './timing-settings';

/** log2 of the bytes that lie together on one flash unit and that one reading of it delivers: 16 KiB. */
export const FLASH_PAGE_SHIFT = 14;
const FLASH_PAGE_BYTES = 1 << FLASH_PAGE_SHIFT;
/** 2^32 / golden ratio: spreads neighbouring flash pages evenly over the units. */
const SPREAD = 0x9e3779b1;

export class LatencyModel implements CommandTiming {
  private readonly unitFreeNs: Float64Array;
  private linkFreeNs = 0;
  private programmedNs = 0;
  private readonly bufferNs: number;
  /** What the last transfer over the link took: the next is mostly as long. */
  private transferBytes = 0;
  private transferNs = 0;
  // What every read needs of the settings.
  private readonly units: number;
  private readonly readNs: number;
  private readonly flashReadNs: number;
  /** Values that the jitter is drawn from; 1: none is drawn. */
  private readonly jitters: number;

  constructor(
    private readonly settings: FlatSettings,
    private readonly jitter: ChoiceStream,
  ) {
    this.unitFreeNs = new Float64Array(settings.units);
    this.bufferNs = transferNs(settings.writeBufferBytes, settings.programMBps);
    this.units = settings.units;
    this.readNs = settings.readNs;
    this.flashReadNs = settings.flashReadNs;
    this.jitters = settings.jitterNs + 1;
  }

  /**
   * Nanoseconds from now until a read completes.
   * @param page flash page where the data begins, modulo 2^32 @param offset bytes into it @param bytes at least 1
   */
  read(nowNs: number, page: number, offset: number, bytes: number): number {
    let readyNs = this.readFlash(nowNs, page);
    // Further pages, if any.
    for (let left = offset + bytes - FLASH_PAGE_BYTES, next = page + 1; left > 0; left -= FLASH_PAGE_BYTES, next++) {
      const ns = this.readFlash(nowNs, next);
      if (ns > readyNs) readyNs = ns;
    }
    return this.overLink(nowNs, readyNs, bytes) + this.drawJitter();
  }

  /** Nanoseconds until a write of `bytes` is acknowledged; with `durable`, until it is on the media. */
  write(nowNs: number, _page: number, _offset: number, bytes: number, durable: boolean): number {
    const { settings } = this;
    const programNs = transferNs(bytes, settings.programMBps);
    const fromNs = this.programmedNs > nowNs ? this.programmedNs : nowNs;
    this.programmedNs = fromNs + programNs;
    const backlogNs = this.programmedNs - nowNs;
    let delayNs = this.overLink(nowNs, settings.writeNs, bytes);
    if (backlogNs > this.bufferNs) delayNs += backlogNs - this.bufferNs;
    if (durable && backlogNs + settings.writeNs > delayNs) delayNs = backlogNs + settings.writeNs;
    return delayNs + this.drawJitter();
  }

  /** Nanoseconds until everything written is on the media. */
  flush(nowNs: number): number {
    const backlogNs = this.programmedNs > nowNs ? this.programmedNs - nowNs : 0;
    return backlogNs + this.settings.flushNs + this.drawJitter();
  }

  /** Deallocation and zeroing: work on the map, not on the flash. */
  trim(): number {
    return this.settings.trimNs + this.drawJitter();
  }

  deallocate(): void {
    // The buffer alone is modelled, not what lies where.
  }

  admin(): number {
    return this.settings.adminNs;
  }

  /** Forgets all work in progress: a controller reset. */
  reset(): void {
    this.unitFreeNs.fill(0);
    this.linkFreeNs = 0;
    this.programmedNs = 0;
  }

  /** Delay from now until a flash page is read, after the firmware and when its unit is free. */
  private readFlash(nowNs: number, page: number): number {
    const { unitFreeNs } = this;
    // Both factors are below 2^16, so the low 32 bits are the whole product.
    const unit = Math.imul(Math.imul(page, SPREAD) >>> 16, this.units) >>> 16;
    const busyNs = unitFreeNs[unit] - nowNs;
    const doneNs = (busyNs > this.readNs ? busyNs : this.readNs) + this.flashReadNs;
    unitFreeNs[unit] = nowNs + doneNs;
    return doneNs;
  }

  /** Delay from now of data that is ready after `readyNs`: the transfer, or longer when the link is behind. */
  private overLink(nowNs: number, readyNs: number, bytes: number): number {
    if (bytes !== this.transferBytes) {
      this.transferBytes = bytes;
      this.transferNs = transferNs(bytes, this.settings.linkMBps);
    }
    const ownNs = this.transferNs;
    const behindNs = this.linkFreeNs - nowNs;
    const linkNs = behindNs > 0 ? behindNs + ownNs : ownNs;
    this.linkFreeNs = nowNs + linkNs;
    return readyNs + ownNs > linkNs ? readyNs + ownNs : linkNs;
  }

  private drawJitter(): number {
    return this.jitters > 1 ? this.jitter.below(this.jitters) : 0;
  }
}
