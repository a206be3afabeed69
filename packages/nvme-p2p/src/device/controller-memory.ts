/**
 * Memory inside the controller: the controller memory buffer (CMB) and the persistent memory region (PMR).
 *
 *                     bus (BAR 2, BAR 4)                 command addresses
 *   CMB               always                             [CBA, CBA + size) while CMBMSC has CRE and CMSE
 *   PMR               while PMRCTL.EN                    [CBA, CBA + size) while PMRMSC has CMSE
 *
 * The host chooses where commands find it (CBA); that need not be where the BAR lies. Such an address never goes on the bus.
 * Capabilities of the CMB: data both ways, PRP and SGL lists, submission queues; no completion queues. One command may not have data
 * both here and in host memory (CMBLOC.CDMMMS is 0); its lists may be anywhere.
 * Source: NVM Express Base Specification 1.4, sections 3.1.11 to 3.1.21, 4.7 and 4.8.
 */
import type { BarMemory } from '@pincushion/driver';
import {
  CMBMSC_CMSE,
  CMBMSC_CRE,
  CMB_BAR,
  PMRCTL_EN,
  PMRMSC_CMSE,
  PMRSTS_CBAI,
  PMRSTS_NRDY,
  PMR_BAR,
  REG_CMBLOC,
  REG_CMBMSC,
  REG_CMBSTS,
  REG_CMBSZ,
  REG_PMRCAP,
  REG_PMRCTL,
  REG_PMRMSCL,
  REG_PMRMSCU,
  REG_PMRSTS,
} from '../spec/registers';

import type { Segments } from './data/bus-master';

const HIGH_WORD = 0x1_0000_0000;
/** Addresses have 64 bits; what begins below and ends above does not exist. */
const ADDRESS_END = HIGH_WORD * HIGH_WORD;
/** CMBLOC: data pointers may be of other locations than data, and independent of the command's. */
const CMBLOC = CMB_BAR | (1 << 5) | (1 << 6);
/** CMBSZ: submission queues, lists, read data, write data. */
const CMBSZ_SUPPORT = 1 | (1 << 2) | (1 << 3) | (1 << 4);
/** CMBSZ: units of 4 KiB, 64 KiB, 1 MiB. */
const CMBSZ_UNIT_SHIFTS: readonly number[] = [12, 16, 20];
/** PMRCAP: read and write data; a read of PMRSTS is the write barrier; controller memory space. */
const PMRCAP = (1 << 3) | (1 << 4) | (PMR_BAR << 5) | (2 << 10) | (1 << 24);

/** One of the two, as command addresses find it. */
export class MemoryWindow {
  /** First address; meaningless while not enabled. */
  base = 0;
  enabled = false;

  constructor(readonly memory: BarMemory) {}

  get bytes(): number {
    return this.memory.bytes;
  }

  /** Whether an address lies in it now. */
  has(address: number): boolean {
    return this.enabled && address >= this.base && address < this.base + this.memory.bytes;
  }
}

export class ControllerMemory {
  readonly cmb: MemoryWindow | null;
  readonly pmr: MemoryWindow | null;
  private cmbmscLow = 0;
  private cmbmscHigh = 0;
  private cmbBaseInvalid = false;
  private pmrctl = 0;
  private pmrsts = 0;
  private pmrmscLow = 0;
  private pmrmscHigh = 0;

  constructor(cmb: BarMemory | null, pmr: BarMemory | null) {
    this.cmb = cmb === null ? null : new MemoryWindow(cmb);
    this.pmr = pmr === null ? null : new MemoryWindow(pmr);
    if (pmr !== null) pmr.present = false;
  }

  /** Whether command addresses may be here at all. */
  get enabled(): boolean {
    return this.cmb?.enabled === true || this.pmr?.enabled === true;
  }

  /** The window that an address lies in, or null: it is an address of the bus. */
  find(address: number): MemoryWindow | null {
    if (this.cmb?.has(address) === true) return this.cmb;
    return this.pmr?.has(address) === true ? this.pmr : null;
  }

  /** Whether data lies partly here and partly on the bus: a command may not mix the two (status 12h). */
  mixes({ count, address }: Segments): boolean {
    const isInside = this.find(address[0]) !== null;
    for (let i = 1; i < count; i++) if ((this.find(address[i]) !== null) !== isInside) return true;
    return false;
  }

  /** A function-level reset: registers as after power-on; the content stays. */
  reset(): void {
    this.cmbmscLow = this.cmbmscHigh = 0;
    this.cmbBaseInvalid = false;
    this.pmrctl = this.pmrsts = this.pmrmscLow = this.pmrmscHigh = 0;
    if (this.cmb !== null) this.cmb.enabled = false;
    if (this.pmr !== null) this.pmr.enabled = this.pmr.memory.present = false;
  }

  /** A dword of the register file; undefined: it is none of these. */
  read(offset: number): number | undefined {
    if (offset >= REG_PMRCAP) return this.pmr === null ? undefined : this.readPmr(offset);
    if (this.cmb === null) return undefined;
    const visible = (this.cmbmscLow & CMBMSC_CRE) !== 0;
    switch (offset) {
      case REG_CMBLOC:
        return visible ? CMBLOC : 0;
      case REG_CMBSZ:
        return visible ? sizeRegister(this.cmb.bytes) : 0;
      case REG_CMBMSC:
        return this.cmbmscLow >>> 0;
      case REG_CMBMSC + 4:
        return this.cmbmscHigh >>> 0;
      case REG_CMBSTS:
        return this.cmbBaseInvalid ? 1 : 0;
      default:
        return undefined;
    }
  }

  /** Writes a dword; either half of an address takes effect at once. */
  write(offset: number, value: number): void {
    if (this.cmb !== null && offset === REG_CMBMSC) this.placeCmb(this.cmb, value);
    if (this.cmb !== null && offset === REG_CMBMSC + 4) {
      this.cmbmscHigh = value;
      this.placeCmb(this.cmb, this.cmbmscLow);
    }
    if (this.pmr !== null && offset === REG_PMRCTL) this.enablePmr(this.pmr, value);
    if (this.pmr !== null && offset === REG_PMRMSCL) this.placePmr(this.pmr, value);
    if (this.pmr !== null && offset === REG_PMRMSCU) {
      this.pmrmscHigh = value;
      this.placePmr(this.pmr, this.pmrmscLow);
    }
  }

  private placeCmb(cmb: MemoryWindow, value: number): void {
    this.cmbmscLow = value;
    const wanted = (value & CMBMSC_CRE) !== 0 && (value & CMBMSC_CMSE) !== 0;
    this.cmbBaseInvalid = !place(cmb, wanted, value, this.cmbmscHigh);
  }

  private enablePmr(pmr: MemoryWindow, value: number): void {
    this.pmrctl = value;
    const enabled = (value & PMRCTL_EN) !== 0;
    this.pmrsts = enabled ? 0 : PMRSTS_NRDY;
    pmr.memory.present = enabled;
    if (!enabled) pmr.enabled = false;
  }

  private placePmr(pmr: MemoryWindow, value: number): void {
    this.pmrmscLow = value;
    const valid = place(pmr, (value & PMRMSC_CMSE) !== 0, value, this.pmrmscHigh);
    this.pmrsts = valid ? this.pmrsts & ~PMRSTS_CBAI : this.pmrsts | PMRSTS_CBAI;
  }

  private readPmr(offset: number): number | undefined {
    switch (offset) {
      case REG_PMRCAP:
        return PMRCAP;
      case REG_PMRCTL:
        return this.pmrctl >>> 0;
      case REG_PMRSTS:
        return this.pmrsts;
      case REG_PMRMSCL:
        return this.pmrmscLow >>> 0;
      case REG_PMRMSCU:
        return this.pmrmscHigh >>> 0;
      default:
        return undefined;
    }
  }
}

/** Moves a window to the address in a register pair; false when it would not end below 2^64. */
function place(window: MemoryWindow, wanted: boolean, low: number, high: number): boolean {
  const base = (high >>> 0) * HIGH_WORD + ((low & ~0xfff) >>> 0);
  const valid = !wanted || base + window.bytes < ADDRESS_END;
  window.base = base;
  window.enabled = wanted && valid;
  return valid;
}

function sizeRegister(bytes: number): number {
  let unit = CMBSZ_UNIT_SHIFTS.length - 1;
  while (bytes % 2 ** CMBSZ_UNIT_SHIFTS[unit] !== 0) unit--;
  return CMBSZ_SUPPORT | (unit << 8) | ((bytes / 2 ** CMBSZ_UNIT_SHIFTS[unit]) << 12);
}
