/**
 * The drive's health: what the SMART log says, and the conditions that become asynchronous events.
 *
 * A condition is a bit of the critical warning. One that comes up is an event if the host has enabled it in feature 0Bh; the
 * composite temperature is 50 degrees Celsius and becomes a condition when the host moves a threshold past it.
 * Source: NVM Express Base Specification 1.4, sections 5.14.1.2 and 5.2.
 */
import { AsyncEventType, AsyncHealthInfo, LogPage } from '../../spec/opcodes';
import type { AsyncEvents } from './async-events';
import type { Features } from './features';
import { putNumber } from './identify';

/** The drive's temperature, kelvin: 50 degrees Celsius. */
const TEMPERATURE_K = 323;
const SPARE_PERCENT = 100;
const SPARE_THRESHOLD_PERCENT = 10;
/** Bits of the critical warning. */
const WARNING_SPARE = 1;
const WARNING_TEMPERATURE = 2;
const WARNINGS = 0x3f;
const NS_PER_HOUR = 3_600_000_000_000;

/** What the SMART log counts. */
export type SmartCounters = Float64Array;
/** What its elements count. Doubles from the start: the bytes pass 2^31 after a second of reading. */
export const SmartCount = {
  bytesRead: 0,
  bytesWritten: 1,
  readCommands: 2,
  writeCommands: 3,
  mediaErrors: 4,
  powerCycles: 5,
} as const;
export const SMART_COUNTERS = 6;

export class Health {
  /** Bits that the outside has raised; those of the temperature are found here. */
  private warning = 0;

  constructor(
    readonly counters: SmartCounters,
    private readonly features: Features,
    private readonly events: AsyncEvents,
  ) {}

  /** The conditions are these from now on; each that is new may be an event. */
  report(warning: number): void {
    const raised = warning & ~this.warning & WARNINGS;
    this.warning = warning & WARNINGS;
    for (let bit = 1; bit <= WARNINGS; bit <<= 1) if ((raised & bit) !== 0) this.event(bit);
  }

  /** A temperature threshold was set. */
  checkTemperature(): void {
    if (this.isTooWarmOrCold) this.event(WARNING_TEMPERATURE);
  }

  /** @param errors entries that the error log ever had @param nowNs time since power-on */
  page(errors: number, nowNs: number): Uint8Array {
    const { counters } = this;
    const page = new Uint8Array(512);
    page[0] = this.warning | (this.isTooWarmOrCold ? WARNING_TEMPERATURE : 0);
    putNumber(page, 1, TEMPERATURE_K, 2);
    page[3] = SPARE_PERCENT;
    page[4] = SPARE_THRESHOLD_PERCENT;
    // Data units are thousands of 512 bytes, rounded up.
    putNumber(page, 32, Math.ceil(counters[SmartCount.bytesRead] / 512_000), 8);
    putNumber(page, 48, Math.ceil(counters[SmartCount.bytesWritten] / 512_000), 8);
    putNumber(page, 64, counters[SmartCount.readCommands], 8);
    putNumber(page, 80, counters[SmartCount.writeCommands], 8);
    putNumber(page, 112, counters[SmartCount.powerCycles], 8);
    putNumber(page, 128, Math.floor(nowNs / NS_PER_HOUR), 8);
    putNumber(page, 160, counters[SmartCount.mediaErrors], 8);
    putNumber(page, 176, errors, 8);
    return page;
  }

  private get isTooWarmOrCold(): boolean {
    return TEMPERATURE_K >= this.features.temperatureOver || TEMPERATURE_K <= this.features.temperatureUnder;
  }

  private event(bit: number): void {
    if ((this.features.asyncEvents & bit) === 0) return;
    const { spare, temperature, reliability } = AsyncHealthInfo;
    const info = bit === WARNING_SPARE ? spare : bit === WARNING_TEMPERATURE ? temperature : reliability;
    this.events.report(AsyncEventType.smart, info, LogPage.smart);
  }
}
