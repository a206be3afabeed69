/**
 * The driver's hand on the controller's registers: enable, disable, shut down, each with the wait that belongs to it.
 * A controller that has been pulled out reads as all ones, and every wait ends at once with -ENODEV.
 * Source followed: `nvme_enable_ctrl`, `nvme_disable_ctrl`, `nvme_wait_ready` (Linux 6.18, drivers/nvme/host/core.c).
 */
import type { DeviceClock, Registers, Task } from '@pincushion/driver';
import { EIO, ENODEV, ETIMEDOUT } from '@pincushion/driver';
import {
  CC_CSS_SHIFT,
  CC_EN,
  CC_IOCQES_SHIFT,
  CC_IOSQES_SHIFT,
  CC_SHN_MASK,
  CC_SHN_NORMAL,
  CC_SHN_SHIFT,
  CQE_SHIFT,
  CSTS_CFS,
  CSTS_RDY,
  CSTS_SHST_COMPLETE,
  CSTS_SHST_MASK,
  REG_ACQ,
  REG_AQA,
  REG_ASQ,
  REG_CAP,
  REG_CC,
  REG_CSTS,
  SQE_SHIFT,
} from '../spec/registers';

/** What a register reads as when nobody answers. */
const GONE = 0xffffffff;
const POLL_NS = 1_000_000;
const TIMEOUT_UNIT_NS = 500_000_000;
const SHUTDOWN_TIMEOUT_NS = 5_000_000_000;
const CSS_ALL = 6;
/** CC as Linux sets it: all command sets when the controller has them, 64-byte and 16-byte entries, 4 KiB pages. */
const CC_ENTRIES = (SQE_SHIFT << CC_IOSQES_SHIFT) | (CQE_SHIFT << CC_IOCQES_SHIFT);
const CAP_HIGH_CSS_ALL = 1 << 11;

export class ControllerControl {
  /** CC as written last: a reset clears the register (ctrl->ctrl_config). */
  private cc = 0;

  constructor(
    private readonly registers: Registers,
    private readonly clock: DeviceClock,
  ) {}

  /** Pulled out. */
  get gone(): boolean {
    return this.registers.read32(REG_CSTS) === GONE;
  }

  /** A fatal status; also when pulled out. */
  get failed(): boolean {
    return (this.registers.read32(REG_CSTS) & CSTS_CFS) !== 0;
  }

  /** Enabled, and able to take commands. */
  get ready(): boolean {
    return (this.registers.read32(REG_CSTS) & (CSTS_RDY | CSTS_CFS)) === CSTS_RDY;
  }

  /** CAP.MQES: entries a queue may have at most. */
  get queueEntriesMax(): number {
    return (this.registers.read32(REG_CAP) & 0xffff) + 1;
  }

  /** CAP.DSTRD: bytes from one doorbell to the next. */
  get doorbellStride(): number {
    return 4 << (this.registers.read32(REG_CAP + 4) & 15);
  }

  /** CC.EN = 0, and waits until the controller has stopped: no DMA of it comes afterwards. 0 or -errno. */
  *disable(): Task<number> {
    this.write(this.cc & ~CC_EN & ~(CC_SHN_MASK << CC_SHN_SHIFT));
    return yield* this.waitFor(CSTS_RDY, 0, this.readyTimeoutNs);
  }

  /** Sets the admin queues, CC.EN = 1, and waits until the controller is ready. 0 or -errno. */
  *enable(depth: number, submissionsIova: number, completionsIova: number): Task<number> {
    const { registers } = this;
    registers.write32(REG_AQA, (depth - 1) | ((depth - 1) << 16));
    registers.write64lohi(REG_ASQ, submissionsIova);
    registers.write64lohi(REG_ACQ, completionsIova);
    const css = (registers.read32(REG_CAP + 4) & CAP_HIGH_CSS_ALL) !== 0 ? CSS_ALL : 0;
    const cc = CC_ENTRIES | (css << CC_CSS_SHIFT);
    this.write(cc);
    this.write(cc | CC_EN);
    return yield* this.waitFor(CSTS_RDY, CSTS_RDY, this.readyTimeoutNs);
  }

  /** Tells the controller that power may go, and waits until what it has cached is safe. 0 or -errno. */
  *shutdown(): Task<number> {
    this.write((this.cc & ~(CC_SHN_MASK << CC_SHN_SHIFT)) | CC_SHN_NORMAL);
    return yield* this.waitFor(CSTS_SHST_MASK, CSTS_SHST_COMPLETE, SHUTDOWN_TIMEOUT_NS);
  }

  private write(cc: number): void {
    this.cc = cc;
    this.registers.write32(REG_CC, cc);
  }

  /** CAP.TO, in units of 500 ms, and one more. */
  private get readyTimeoutNs(): number {
    return ((this.registers.read32(REG_CAP) >>> 24) + 1) * TIMEOUT_UNIT_NS;
  }

  private *waitFor(mask: number, value: number, timeoutNs: number): Task<number> {
    const untilNs = this.clock.now + timeoutNs;
    for (;;) {
      const csts = this.registers.read32(REG_CSTS);
      if (csts === GONE) return -ENODEV;
      if ((csts & mask) === value) return 0;
      if (value !== 0 && (csts & CSTS_CFS) !== 0) return -EIO;
      if (this.clock.now >= untilNs) return -ETIMEDOUT;
      yield* this.clock.sleep(POLL_NS);
    }
  }
}
