/**
 * A drive whose memory is written in place: every read and write takes the same time, until the commands or the bytes per
 * second are more than it can do. Nothing is buffered, so a flush finds nothing to do.
 */
import { transferNs } from './bandwidth';
import type { CommandTiming } from './command-timing';
import type { ConstantSettings } from './timing-settings';

const SMALL_BYTES = 4096;

export class ConstantTiming implements CommandTiming {
  /** When the drive can take the next command. */
  private freeNs = 0;
  /** Between two commands at the highest rate. */
  private readonly intervalNs: number;
  private readonly smallNs: number;

  constructor(private readonly settings: ConstantSettings) {
    this.intervalNs = Math.floor(1e9 / settings.commandsPerSecond);
    this.smallNs = transferNs(SMALL_BYTES, settings.linkMBps);
  }

  read(nowNs: number, _page: number, _offset: number, bytes: number): number {
    return this.move(nowNs, bytes);
  }

  write(nowNs: number, _page: number, _offset: number, bytes: number): number {
    return this.move(nowNs, bytes);
  }

  flush(nowNs: number): number {
    return (this.freeNs > nowNs ? this.freeNs - nowNs : 0) + this.settings.latencyNs;
  }

  trim(): number {
    return this.settings.trimNs;
  }

  deallocate(): void {
    // Memory written in place has no map.
  }

  admin(): number {
    return this.settings.adminNs;
  }

  reset(): void {
    this.freeNs = 0;
  }

  private move(nowNs: number, bytes: number): number {
    const { intervalNs, smallNs, settings } = this;
    const linkNs = transferNs(bytes, settings.linkMBps);
    const waitNs = this.freeNs > nowNs ? this.freeNs - nowNs : 0;
    this.freeNs = nowNs + waitNs + (linkNs > intervalNs ? linkNs : intervalNs);
    return waitNs + settings.latencyNs + (linkNs > smallNs ? linkNs - smallNs : 0);
  }
}
