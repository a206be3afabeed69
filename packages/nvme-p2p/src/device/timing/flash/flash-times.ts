/** What single steps take, in nanoseconds. */
import { transferNs } from '../bandwidth';
import type { FlashSettings } from '../timing-settings';
import type { FlashGeometry } from './geometry';
import { UNIT_BYTES } from './geometry';

export class FlashTimes {
  readonly readLsbNs: number;
  readonly readMsbNs: number;
  readonly programNs: number;
  readonly eraseNs: number;
  /** The data of a program over its channel. */
  readonly shotNs: number;
  private readonly channelUnitNs: number;
  private readonly linkUnitNs: number;

  constructor(
    private readonly settings: FlashSettings,
    geometry: FlashGeometry,
  ) {
    this.readLsbNs = settings.readLsbNs;
    this.readMsbNs = settings.readMsbNs;
    this.programNs = settings.programNs;
    this.eraseNs = settings.eraseNs;
    this.shotNs = transferNs(geometry.shotUnits * UNIT_BYTES, settings.channelMBps);
    this.channelUnitNs = transferNs(UNIT_BYTES, settings.channelMBps);
    this.linkUnitNs = transferNs(UNIT_BYTES, settings.linkMBps);
  }

  channelNs(bytes: number): number {
    return bytes === UNIT_BYTES ? this.channelUnitNs : transferNs(bytes, this.settings.channelMBps);
  }

  linkNs(bytes: number): number {
    return bytes === UNIT_BYTES ? this.linkUnitNs : transferNs(bytes, this.settings.linkMBps);
  }

  firmwareReadNs(bytes: number): number {
    return bytes <= UNIT_BYTES ? this.settings.firmwareReadSmallNs : this.settings.firmwareReadNs;
  }

  firmwareWriteNs(units: number): number {
    return this.settings.firmwareWriteNs + this.settings.firmwareWriteUnitNs * units;
  }
}
