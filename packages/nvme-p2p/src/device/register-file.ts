/**
 * The controller's register file: what a host reads, and which writes stick. What a write causes is the controller's.
 *
 *   read     any width at any offset: the bytes that lie there. 8 bytes are exact below 2^53 (CAP is not: hosts read it as two
 *            dwords, as Linux does)
 *   write    at the offset of a register; anywhere else it is dropped. Narrow: the value with zeroes above. 8 bytes: two
 *            dwords, the lower first
 *
 * All registers are dwords here; a 64-bit register is two. Those of the CMB and the PMR are kept by `ControllerMemory`.
 * Source: NVM Express Base Specification 1.4, section 3.1.
 */
import {
  CC_EN,
  CC_IOCQES_SHIFT,
  CC_IOSQES_SHIFT,
  CC_MPS_MASK,
  CC_MPS_SHIFT,
  CC_CSS_MASK,
  CC_CSS_SHIFT,
  CAP_HIGH_CMBS,
  CAP_HIGH_PMRS,
  CQE_SHIFT,
  CSS_ADMIN_ONLY,
  CSTS_RDY,
  REG_ACQ,
  REG_AQA,
  REG_ASQ,
  REG_CAP,
  REG_CC,
  REG_CSTS,
  REG_INTMC,
  REG_INTMS,
  REG_VS,
  SQE_SHIFT,
  VERSION_1_4,
} from '../spec/registers';
import type { ControllerMemory } from './controller-memory';

const HIGH_WORD = 0x1_0000_0000;
/** CAP: contiguous queues required, ready within 15 × 500 ms. */
const CAP_LOW = (1 << 16) | (15 << 24);
/** CAP: NVM, I/O and admin-only command sets; pages of 4 KiB to 64 KiB. */
const CAP_HIGH = (1 << 5) | (1 << 11) | (1 << 12) | (4 << 20);
const MPS_MAX = 4;
const CSS_NVM = 0;
const CSS_ALL = 6;

export class RegisterFile {
  cc = 0;
  csts = 0;
  private aqa = 0;
  private asqLow = 0;
  private asqHigh = 0;
  private acqLow = 0;
  private acqHigh = 0;
  private interruptMask = 0;

  /** @param queueEntriesMax entries a queue may have (CAP.MQES is 0's based). */
  constructor(
    private readonly queueEntriesMax: number,
    private readonly memory: ControllerMemory,
  ) {}

  /** As after power-on. */
  reset(): void {
    this.cc = this.csts = this.aqa = this.interruptMask = 0;
    this.asqLow = this.asqHigh = this.acqLow = this.acqHigh = 0;
  }

  /** EN 1 -> 0: everything but AQA, ASQ and ACQ is as after power-on. */
  disable(): void {
    this.cc = this.csts = this.interruptMask = 0;
  }

  read(offset: number, width: number): number {
    const at = offset & ~3;
    const skipped = offset & 3;
    if (width === 8) return this.read(offset, 4) + this.read(offset + 4, 4) * HIGH_WORD;
    const low = this.dword(at) >>> (8 * skipped);
    if (width === 4) return skipped === 0 ? low : (low | (this.dword(at + 4) << (32 - 8 * skipped))) >>> 0;
    const value = skipped + width > 4 ? low | (this.dword(at + 4) << 8) : low;
    return width === 2 ? value & 0xffff : value & 0xff;
  }

  /** Keeps a written value; CC and the doorbells are not kept here. */
  write(offset: number, value: number): void {
    switch (offset) {
      case REG_INTMS:
        this.interruptMask |= value;
        break;
      case REG_INTMC:
        this.interruptMask &= ~value;
        break;
      case REG_AQA:
        this.aqa = value;
        break;
      case REG_ASQ:
        this.asqLow = value;
        break;
      case REG_ASQ + 4:
        this.asqHigh = value;
        break;
      case REG_ACQ:
        this.acqLow = value;
        break;
      case REG_ACQ + 4:
        this.acqHigh = value;
        break;
      default: // Of the controller's memory; reserved and read-only registers drop the write.
        this.memory.write(offset, value);
    }
  }

  /** The host has asked for no I/O commands at all. */
  get adminOnly(): boolean {
    return ((this.cc >>> CC_CSS_SHIFT) & CC_CSS_MASK) === CSS_ADMIN_ONLY;
  }

  get ready(): boolean {
    return (this.csts & CSTS_RDY) !== 0;
  }

  /** Page size the host has chosen, bytes. */
  get pageBytes(): number {
    return 4096 << ((this.cc >>> CC_MPS_SHIFT) & CC_MPS_MASK);
  }

  /** Entries of the admin queues. */
  get adminSqSize(): number {
    return (this.aqa & 0xfff) + 1;
  }

  get adminCqSize(): number {
    return ((this.aqa >>> 16) & 0xfff) + 1;
  }

  /** Bus addresses of the admin queues. */
  get adminSqBase(): number {
    return (this.asqHigh >>> 0) * HIGH_WORD + (this.asqLow >>> 0);
  }

  get adminCqBase(): number {
    return (this.acqHigh >>> 0) * HIGH_WORD + (this.acqLow >>> 0);
  }

  /** Whether the controller can be enabled with what is set; otherwise it reports a fatal status. */
  get enableAllowed(): boolean {
    const { cc } = this;
    if ((cc & CC_EN) === 0 || ((cc >>> CC_MPS_SHIFT) & CC_MPS_MASK) > MPS_MAX) return false;
    const css = (cc >>> CC_CSS_SHIFT) & CC_CSS_MASK;
    if (css !== CSS_NVM && css !== CSS_ALL && css !== CSS_ADMIN_ONLY) return false;
    if (((cc >>> CC_IOSQES_SHIFT) & 15) !== SQE_SHIFT || ((cc >>> CC_IOCQES_SHIFT) & 15) !== CQE_SHIFT) return false;
    if (this.adminSqSize < 2 || this.adminCqSize < 2) return false;
    const mask = this.pageBytes - 1;
    return (this.asqLow & mask) === 0 && (this.acqLow & mask) === 0;
  }

  private get memoryBits(): number {
    const { cmb, pmr } = this.memory;
    return (cmb === null ? 0 : CAP_HIGH_CMBS) | (pmr === null ? 0 : CAP_HIGH_PMRS);
  }

  private dword(offset: number): number {
    switch (offset) {
      case REG_CAP:
        return (CAP_LOW | (this.queueEntriesMax - 1)) >>> 0;
      case REG_CAP + 4:
        return (CAP_HIGH | this.memoryBits) >>> 0;
      case REG_VS:
        return VERSION_1_4;
      case REG_INTMS:
      case REG_INTMC:
        return this.interruptMask >>> 0;
      case REG_CC:
        return this.cc >>> 0;
      case REG_CSTS:
        return this.csts;
      case REG_AQA:
        return this.aqa >>> 0;
      case REG_ASQ:
        return this.asqLow >>> 0;
      case REG_ASQ + 4:
        return this.asqHigh >>> 0;
      case REG_ACQ:
        return this.acqLow >>> 0;
      case REG_ACQ + 4:
        return this.acqHigh >>> 0;
      default:
        return this.memory.read(offset) ?? 0;
    }
  }
}
